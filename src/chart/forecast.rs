//! A run that has not been: what would be down at once, and how long it would take.

use super::bands;
use super::counts::largest;
use super::format::Format;
use super::glyphs::Glyphs;
use super::line::{Cell, Ink, Line};
use super::scale::Scale;
use super::words;
use crate::engine::Millis;
use crate::report::describe_span;
use crate::timeline::Timeline;

/// A chart has at most so many lines besides its axis.
const LINES: u32 = 6;
/// Columns before what is drawn.
const MARGIN: usize = 2;

/// How many are down at once, over the time since the start, beside what is allowed.
pub fn down_chart(timeline: &Timeline, format: &Format) -> Vec<Line> {
    let glyphs = Glyphs::new(format.unicode);
    let down = &timeline.down;
    let most = down.all.most().map_or(0, |(_, most)| most);
    let top = most.max(down.allowed).max(1);
    let lines = top.min(LINES);
    let labels = top.to_string().len().max("wave".len());
    let scale = Scale::new(timeline, format.columns().saturating_sub(MARGIN + labels + 1));
    let numbers = largest(&down.all.points, timeline.until, &scale);
    // The line in which a number ends.
    let line_of = |number: u32| (u64::from(number) * u64::from(lines)).div_ceil(u64::from(top)) as u32;
    let row = |name: &str, cells: &[Cell]| {
        Line::of(&format!("{:MARGIN$}{name:>labels$} ", ""), Ink::Dim).with_cells(cells)
    };
    let mut rows = Vec::new();
    for line in (1..=lines).rev() {
        let is_limit = down.allowed > 0 && line_of(down.allowed) == line;
        let mut cells = scale.row(glyphs);
        for (cell, number) in cells.iter_mut().zip(&numbers) {
            let eighths = (u64::from(*number) * u64::from(lines) * 8).div_ceil(u64::from(top));
            let in_line = eighths.saturating_sub(u64::from(line - 1) * 8).min(8) as u32;
            let is_over = *number > down.allowed;
            if in_line > 0 {
                *cell = Cell::new(glyphs.area(in_line), if is_over { Ink::Warn } else { Ink::Plain });
            } else if is_limit {
                *cell = Cell::new(glyphs.limit(), Ink::Dim);
            }
        }
        // Where a line ends at no whole number, its label would be wrong.
        let exact = (u64::from(line) * u64::from(top)).is_multiple_of(u64::from(lines));
        let label = u64::from(line) * u64::from(top) / u64::from(lines);
        let label = if is_limit {
            down.allowed.to_string()
        } else if exact {
            label.to_string()
        } else {
            String::new()
        };
        rows.push(row(&label, &cells));
    }
    rows.push(row("", &scale.axis(glyphs, Some(timeline.began))));
    if timeline.waves.len() > 1 {
        rows.push(row("wave", &bands::waves(timeline, &scale, glyphs)));
    }
    let left_out: Vec<String> = scale.left_out().map(describe_span).collect();
    if !left_out.is_empty() {
        rows.push(row("", &[]).with(&words::left_out(&left_out, glyphs), Ink::Plain));
    }
    cut(rows, format, glyphs)
}

/// Runs that take about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bin {
    /// Milliseconds: at least so long.
    pub from: Millis,
    /// Milliseconds: less than this.
    pub below: Millis,
    /// How many.
    pub runs: u32,
}

/// How many runs take how long; `expected`: the one in the middle.
pub fn finish_chart(bins: &[Bin], expected: Millis, format: &Format) -> Vec<Line> {
    const EXPECTED: &str = " expected";
    let glyphs = Glyphs::new(format.unicode);
    let most = bins.iter().map(|bin| bin.runs).max().unwrap_or(0).max(1);
    let labels: Vec<String> = bins.iter().map(|bin| describe_span(bin.from)).collect();
    let wide = labels.iter().map(String::len).max().unwrap_or(0);
    let numbers = most.to_string().len();
    let room = format.columns().saturating_sub(MARGIN + wide + numbers + 3 + EXPECTED.len()).clamp(1, 60);
    let row = |(bin, label): (&Bin, &String)| {
        // What there is, is seen.
        let long = (room as u64 * u64::from(bin.runs)).div_ceil(u64::from(most)) as usize;
        let is_expected = (bin.from..bin.below).contains(&expected);
        Line::of(&format!("{:MARGIN$}{label:>wide$} ", ""), Ink::Dim)
            .with_cells(&vec![Cell::new(glyphs.area(8), Ink::Plain); long])
            .with(&format!(" {}", bin.runs), Ink::Plain)
            .with(if is_expected { EXPECTED } else { "" }, Ink::Good)
    };
    cut(bins.iter().zip(&labels).map(row).collect(), format, glyphs)
}

/// When each wave begins and ends.
pub struct WaveBar {
    /// Its number or its name.
    pub name: String,
    /// Milliseconds since the start.
    pub from: Millis,
    /// Milliseconds since the start.
    pub to: Millis,
}

/// Waves below one another, over the time since the start.
pub fn waves_chart(waves: &[WaveBar], total: Millis, format: &Format) -> Vec<Line> {
    let glyphs = Glyphs::new(format.unicode);
    let wide = waves.iter().map(|wave| wave.name.chars().count()).max().unwrap_or(0).min(NAMES);
    let scale = Scale::of(0, total, Vec::new(), format.columns().saturating_sub(MARGIN + wide + 1));
    let row = |name: &str, cells: &[Cell]| {
        let name = super::line::in_columns(name, wide, glyphs.ellipsis());
        Line::of(&format!("{:MARGIN$}{name} ", ""), Ink::Dim).with_cells(cells)
    };
    let mut rows = vec![row("", &scale.axis(glyphs, Some(0)))];
    for wave in waves {
        let mut cells = scale.row(glyphs);
        for cell in &mut cells[scale.range(wave.from, wave.to)] {
            *cell = Cell::new(glyphs.area(8), Ink::Plain);
        }
        rows.push(row(&wave.name, &cells));
    }
    cut(rows, format, glyphs)
}

/// Columns of a name.
const NAMES: usize = 16;

fn cut(rows: Vec<Line>, format: &Format, glyphs: Glyphs) -> Vec<Line> {
    rows.into_iter().map(|row| row.cut(format.width, glyphs.ellipsis())).collect()
}
