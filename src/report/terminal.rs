//! The live view: rows at the bottom of a terminal, finished workers scroll by above.

use std::io::Write;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::engine::{Fact, Millis, Stamped};
use crate::plan::on_screen;

use super::layout::cut;
use super::screen::{self, Screen};
use super::{BackgroundWriter, Hint, Reporter, RunView, closing, event_of, rows, text, wrapped};

/// Draws at most this often per second.
const HERTZ: u8 = 10;

/// A terminal that is so far behind, in bytes, gets no more lines until it has caught up.
const FAR_BEHIND: usize = 256 * 1024;

/// Draws the live view on a terminal. Callers use [`super::Plain`] where there is none, or where
/// `NO_COLOR` comes with `TERM=dumb`.
#[derive(Debug)]
pub struct Terminal {
    /// One bar whose message is all rows: one drawing per change, so that nothing flickers.
    bar: ProgressBar,
    size: Size,
    color: bool,
    drawn: Millis,
    hint: Option<Hint>,
    /// What stands before a terminal that takes nothing; `None`: nothing does.
    writer: Option<BackgroundWriter>,
    /// Lines that were left out since the terminal has fallen behind.
    left_out: usize,
}

#[derive(Clone, Copy, Debug)]
enum Size {
    OfStdout,
    Fixed(usize, usize),
}

impl Size {
    /// Columns and lines.
    fn get(self) -> (usize, usize) {
        match self {
            Self::Fixed(width, height) => (width.saturating_sub(1), height),
            Self::OfStdout => {
                let (width, height) = screen::size();
                (width.into(), height.into())
            }
        }
    }
}

impl Terminal {
    /// On standard output.
    pub fn stdout(color: bool) -> Self {
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Screen::stdout()), HERTZ);
        Self::new(target, Size::OfStdout, color)
    }

    /// On something like a terminal.
    pub fn on(terminal: Box<dyn TermLike>, color: bool) -> Self {
        let size = Size::Fixed(terminal.width().into(), terminal.height().into());
        Self::new(ProgressDrawTarget::term_like(terminal), size, color)
    }

    fn new(target: ProgressDrawTarget, size: Size, color: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        let writer = matches!(size, Size::OfStdout).then(BackgroundWriter::stdout);
        Self { bar, size, color, drawn: 0, hint: None, writer, left_out: 0 }
    }

    /// Also says in the closing report what an operator can do next.
    #[must_use]
    pub fn with_hints(mut self, hint: Hint) -> Self {
        self.hint = Some(hint);
        self
    }

    fn draw(&mut self, at: Millis, view: &RunView) {
        // Of a terminal that has not taken the last drawing yet only the newest state is of interest, later.
        if self.writer.as_ref().is_some_and(|writer| !writer.is_idle()) {
            return;
        }
        let (width, height) = self.size.get();
        self.drawn = at;
        self.bar.set_message(
            on_screen(&rows(at, view, width, height.min(60), self.color).join("\n")).into_owned(),
        );
    }

    fn scroll_by(&mut self, text: &str) {
        if self.writer.as_ref().is_some_and(|writer| writer.waiting() > FAR_BEHIND) {
            self.left_out += 1;
            return;
        }
        let (width, _) = self.size.get();
        if self.left_out > 0 {
            self.bar.println(format!("({} lines are left out)", std::mem::take(&mut self.left_out)));
        }
        for line in on_screen(text).lines() {
            self.bar.println(cut(line, width));
        }
    }
}

impl Reporter for Terminal {
    fn fact(&mut self, stamped: &Stamped, view: &RunView) {
        if scrolls_by(&stamped.fact)
            && let Some(event) = event_of(stamped, view)
        {
            let (who, what) = event.describe();
            let what = text::one_line(&what);
            self.scroll_by(&match who {
                Some(who) => format!("{who}  {what}"),
                None => what,
            });
        }
        // Computing the rows costs more than a fact: ten times a second is enough for eyes.
        if stamped.at - self.drawn >= 1000 / Millis::from(HERTZ) || stamped.at < self.drawn {
            self.draw(stamped.at, view);
        }
    }

    fn tick(&mut self, at: Millis, view: &RunView) {
        self.draw(at, view);
    }

    fn finish(&mut self, at: Millis, view: &RunView) {
        // Not cut, and not through the bar, which fills lines up with spaces: an operator copies from this.
        let text = on_screen(&closing(at, view, self.hint)).into_owned();
        if let Some(writer) = &mut self.writer {
            self.bar.finish_and_clear();
            let text = wrapped(&text, self.size.get().0);
            let _ = writeln!(writer, "\n{text}");
        } else {
            self.bar.set_message("");
            self.bar.println(text);
            self.bar.finish_and_clear();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Also when unwinding: what was drawn goes, and the prompt stands on a line of its own.
        self.bar.finish_and_clear();
    }
}

/// What stays readable above the rows: beginnings of waves, ends of workers, and what operators decide.
fn scrolls_by(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::RunStarted { .. }
            | Fact::Preflight { .. }
            | Fact::WaveStarted { .. }
            | Fact::GateClosed { opens: None, .. }
            | Fact::StepIgnored { .. }
            | Fact::InDoubt { .. }
            | Fact::WorkerSucceeded { .. }
            | Fact::WorkerFailed { .. }
            | Fact::RevertStarted { .. }
            | Fact::WorkerReverted { .. }
            | Fact::RevertStuck { .. }
            | Fact::Retried { .. }
            | Fact::Reopened { .. }
            | Fact::Skipped { .. }
            | Fact::Paused { .. }
            | Fact::Interrupted { .. }
            | Fact::Resumed { .. }
            | Fact::Halted { .. }
            | Fact::Aborted { .. }
            | Fact::RunFinished { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{FakeTerminal, rolled, some_fail};

    #[test]
    fn after_the_end_only_lines_that_were_meant_to_stay_are_left() {
        for (width, height) in [(40, 10), (80, 24), (200, 50)] {
            let (facts, mut view) = rolled(12, some_fail);
            let screen = FakeTerminal::new(width, height);
            let mut terminal = Terminal::on(Box::new(screen.clone()), false);
            for stamped in &facts {
                view.fold(stamped).unwrap();
                view.refresh(stamped.at);
                terminal.fact(stamped, &view);
                terminal.tick(stamped.at, &view);
            }
            let end = facts.last().unwrap().at;
            terminal.finish(end, &view);
            drop(terminal);
            let text = screen.text();
            assert!(!text.contains("[#"), "a bar was left behind:\n{text}");
            assert!(text.contains("w1  succeeded in"), "{text}");
            assert!(text.contains("Run 20261122-2315-ab3f"), "{text}");
        }
    }

    #[test]
    fn a_dropped_terminal_leaves_no_rows() {
        let (facts, mut view) = rolled(12, some_fail);
        let screen = FakeTerminal::new(80, 24);
        let mut terminal = Terminal::on(Box::new(screen.clone()), false);
        for stamped in &facts[..facts.len() / 2] {
            view.fold(stamped).unwrap();
            terminal.fact(stamped, &view);
        }
        terminal.tick(facts[facts.len() / 2].at, &view);
        assert!(screen.text().contains('['), "nothing was drawn");
        drop(terminal);
        assert!(!screen.text().contains("[#") && !screen.text().contains("[."), "{}", screen.text());
    }
}
