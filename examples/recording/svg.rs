//! A film as an SVG that moves by CSS alone: no script, nothing from elsewhere. Each line of text is written once for
//! the time that it is shown. Whoever asks for less motion sees the last picture.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::frames::{Film, Look, Row};
use super::terminal::{COLUMNS, LINES};

/// The size of a character.
const CELL: (f64, f64) = (8.4, 19.0);
/// Between the edge and the text.
const MARGIN: f64 = 18.0;

const TITLE: &str = "A run of maand that is stopped with Ctrl-C and resumed";
const DESCRIPTION: &str = "A recorded terminal. maand plan apply shows what it is about to do with three workers, asks, \
    and begins to drain, reboot and enable one after the other. While the second worker reboots, Ctrl-C stops the run; \
    it says which worker it has left disabled, and to type maand plan resume. That continues with the second worker \
    where it was, does the third, and ends with three workers that have succeeded. Waits are shortened.";

/// Colours, each with a contrast of at least 4.5 to the background.
pub(crate) struct Theme {
    background: &'static str,
    border: &'static str,
    text: &'static str,
    dim: &'static str,
    /// Red, green, yellow, blue, magenta, cyan.
    colors: [&'static str; 6],
}

pub(crate) const LIGHT: Theme = Theme {
    background: "#ffffff",
    border: "#d1d9e0",
    text: "#1f2328",
    dim: "#59636e",
    colors: ["#cf222e", "#1a7f37", "#8a5d00", "#0969da", "#8250df", "#1b7c83"],
};

pub(crate) const DARK: Theme = Theme {
    background: "#0d1117",
    border: "#3d444d",
    text: "#e6edf3",
    dim: "#9198a1",
    colors: ["#ff7b72", "#3fb950", "#d29922", "#79c0ff", "#d2a8ff", "#39c5cf"],
};

/// From when to when something is shown, in thousandths of a percent of the whole.
type Span = (u32, u32);
const WHOLE: u32 = 100_000;

/// Classes of what is shown for a time.
struct Times {
    seconds: f64,
    classes: BTreeMap<Span, usize>,
}

impl Times {
    fn part(&self, at: f64) -> u32 {
        (at / self.seconds * f64::from(WHOLE)).round().clamp(0.0, f64::from(WHOLE)) as u32
    }

    /// The class of what is shown from then to then; `z`, too, if it is part of the last picture.
    fn class(&mut self, from: f64, to: f64) -> String {
        let span = (self.part(from), self.part(to));
        if span == (0, WHOLE) {
            return "z".to_owned();
        }
        let next = self.classes.len();
        let class = *self.classes.entry(span).or_insert(next);
        format!("a{class}{}", if span.1 == WHOLE { " z" } else { "" })
    }

    fn style(&self) -> String {
        let mut style = String::new();
        let percent = |part: u32| {
            let text = format!("{:.3}", f64::from(part) / 1000.0);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        for (&(from, to), class) in &self.classes {
            let _ = write!(
                style,
                "@keyframes a{class}{{0%{{visibility:{}}}",
                if from == 0 { "visible" } else { "hidden" }
            );
            if from > 0 {
                let _ = write!(style, "{}%{{visibility:visible}}", percent(from));
            }
            if to < WHOLE {
                let _ = write!(style, "{}%{{visibility:hidden}}", percent(to));
            }
            let _ = writeln!(style, "}}.a{class}{{animation-name:a{class}}}");
        }
        style
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn class_of(look: Look) -> String {
    let mut classes = Vec::new();
    // The bright colours look like the others.
    if let Some(color @ 1..=6) = look.color.map(|color| color % 8) {
        classes.push(format!("c{color}"));
    }
    if look.bold {
        classes.push("b".to_owned());
    }
    if look.dim {
        classes.push("d".to_owned());
    }
    classes.join(" ")
}

fn line(svg: &mut String, y: usize, row: &Row, class: &str) {
    let top = y as f64 * CELL.1;
    if let Some(column) = row.cursor {
        let x = f64::from(column) * CELL.0;
        let _ = writeln!(
            svg,
            "<rect class=\"u {class}\" x=\"{x:.1}\" y=\"{top:.0}\" width=\"8\" height=\"18\"/>"
        );
    }
    if row.runs.is_empty() {
        return;
    }
    // So wide on every machine, whatever font it has.
    let columns: usize = row.runs.iter().map(|(text, _)| text.chars().count()).sum();
    let width = columns as f64 * CELL.0;
    let _ = write!(svg, "<text class=\"{class}\" y=\"{:.0}\" textLength=\"{width:.1}\">", top + 14.0);
    for (text, look) in &row.runs {
        let (text, class) = (escaped(text), class_of(*look));
        let _ = if class.is_empty() {
            write!(svg, "{text}")
        } else {
            write!(svg, "<tspan class=\"{class}\">{text}</tspan>")
        };
    }
    svg.push_str("</text>\n");
}

/// The whole file.
pub(crate) fn picture(film: &Film, theme: &Theme) -> String {
    let mut times = Times { seconds: film.seconds, classes: BTreeMap::new() };
    let mut body = String::new();
    for y in 0..usize::from(LINES) {
        let mut from = 0;
        for i in 1..=film.frames.len() {
            let next = film.frames.get(i);
            if next.is_some_and(|next| next.rows[y] == film.frames[from].rows[y]) {
                continue;
            }
            let row = &film.frames[from].rows[y];
            if *row != Row::default() {
                let class = times.class(film.frames[from].at, next.map_or(film.seconds, |next| next.at));
                line(&mut body, y, row, &class);
            }
            from = i;
        }
    }
    let (width, height) = (f64::from(COLUMNS) * CELL.0, f64::from(LINES) * CELL.1);
    for (name, from, to) in &film.keys {
        let (class, w) = (times.class(*from, *to), name.len() as f64 * CELL.0 + 20.0);
        let (x, y) = (width - w, height - 32.0);
        let _ = writeln!(
            body,
            "<g class=\"{class}\"><rect class=\"k\" x=\"{x:.0}\" y=\"{y:.0}\" width=\"{w:.0}\" height=\"30\" rx=\"6\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\">{name}</text></g>",
            x + 10.0,
            y + 20.0
        );
    }
    let (w, h) = (width + 2.0 * MARGIN, height + 2.0 * MARGIN);
    let mut colors = String::new();
    for (i, color) in theme.colors.iter().enumerate() {
        let _ = write!(colors, ".c{}{{fill:{color}}}", i + 1);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w:.0}\" height=\"{h:.0}\" viewBox=\"0 0 {w:.0} {h:.0}\" \
         role=\"img\" aria-labelledby=\"title description\" xml:space=\"preserve\">\n\
         <title id=\"title\">{TITLE}</title>\n<desc id=\"description\">{DESCRIPTION}</desc>\n<style>\n\
         text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",\"Liberation Mono\",monospace;\
         fill:{text};white-space:pre}}\n\
         .d{{fill:{dim}}}{colors}.b{{font-weight:bold}}.u{{fill:{dim}}}.k{{fill:{background};stroke:{dim}}}\n\
         .t>*{{visibility:hidden}}.t>.z{{visibility:visible}}\n\
         @media (prefers-reduced-motion:no-preference){{\n\
         .t>*{{animation-duration:{seconds:.2}s;animation-timing-function:step-end;animation-iteration-count:infinite}}\n\
         {style}}}\n</style>\n\
         <rect x=\".5\" y=\".5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"8\" fill=\"{background}\" stroke=\"{border}\"/>\n\
         <g class=\"t\" transform=\"translate({MARGIN} {MARGIN})\">\n{body}</g>\n</svg>\n",
        w - 1.0,
        h - 1.0,
        text = theme.text,
        dim = theme.dim,
        background = theme.background,
        border = theme.border,
        seconds = film.seconds,
        style = times.style(),
    )
}
