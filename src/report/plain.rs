//! Plain text: one line per transition, with a timestamp.

use std::io::Write;

use crate::engine::{Fact, Millis, Stamped};
use crate::plan::on_screen;

use super::{EventLine, Hint, Reporter, RunView, closing, event_of, text};

/// Which events are lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// All of them.
    All,
    /// One for each worker, when its part is over, and what an operator has to do.
    Workers,
    /// None: only the closing report.
    None,
}

impl Lines {
    fn shows(self, fact: &Fact) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Workers => matches!(
                fact,
                Fact::WorkerSucceeded { .. }
                    | Fact::WorkerFailed { .. }
                    | Fact::WorkerReverted { .. }
                    | Fact::RevertStuck { .. }
                    | Fact::Skipped { .. }
                    | Fact::WorkerCancelled { .. }
                    | Fact::GateClosed { opens: None, .. }
                    | Fact::InDoubt { .. }
                    | Fact::Halted { .. }
            ),
        }
    }
}

/// Writes one line per event, then the closing report. After the first error (a closed pipe) it is
/// silent: the run continues.
#[derive(Debug)]
pub struct Plain<W> {
    out: Option<W>,
    lines: Lines,
    hint: Option<Hint>,
    bell: bool,
}

impl<W: Write + Send> Plain<W> {
    /// Writes to `out`.
    pub fn new(out: W, lines: Lines) -> Self {
        Self { out: Some(out), lines, hint: None, bell: false }
    }

    /// Also says in the closing report what an operator can do next.
    #[must_use]
    pub fn with_hints(self, hint: Option<Hint>) -> Self {
        Self { hint, ..self }
    }

    /// Rings the bell of the terminal that it writes to at the end.
    #[must_use]
    pub fn with_bell(self, bell: bool) -> Self {
        Self { bell, ..self }
    }

    fn write(&mut self, text: &str) {
        if let Some(out) = &mut self.out
            && out.write_all(on_screen(text).as_bytes()).and_then(|()| out.flush()).is_err()
        {
            self.out = None;
        }
    }
}

/// The line of an event: `2026-11-22T23:15:02Z  w1  reboot: started`.
pub(super) fn line(stamped: &Stamped, view: &RunView) -> Option<String> {
    Some(line_of(&event_of(stamped, view)?))
}

fn line_of(event: &EventLine) -> String {
    let (who, what) = event.describe();
    let who = who.unwrap_or("run");
    format!("{}  {who}  {}\n", event.at.to_second(), text::one_line(&what))
}

impl<W: Write + Send> Reporter for Plain<W> {
    fn fact(&mut self, stamped: &Stamped, view: &RunView) {
        if self.lines.shows(&stamped.fact)
            && let Some(line) = line(stamped, view)
        {
            self.write(&line);
        }
    }

    fn told(&mut self, line: &EventLine, _view: &RunView) {
        if self.lines == Lines::All {
            self.write(&line_of(line));
        }
    }

    fn finish(&mut self, at: Millis, view: &RunView) {
        self.write(&format!("\n{}", closing(at, view, self.hint)));
        if let Some(out) = self.out.as_mut().filter(|_| self.bell) {
            // The run is over, whether somebody hears it or not.
            let _ = out.write_all(b"\x07").and_then(|()| out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{rolled, some_fail};

    fn shown(lines: Lines) -> String {
        let (facts, mut view) = rolled(3, some_fail);
        let mut out = Vec::new();
        let mut plain = Plain::new(&mut out, lines);
        for stamped in &facts {
            view.fold(stamped).unwrap();
            plain.fact(stamped, &view);
        }
        let end = facts.last().unwrap().at;
        view.refresh(end);
        plain.finish(end, &view);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_line_per_transition_and_a_report() {
        insta::assert_snapshot!(shown(Lines::All));
    }

    #[test]
    fn quiet_says_only_how_it_ended() {
        assert!(shown(Lines::None).starts_with("\n  w1  succeeded"), "{}", shown(Lines::None));
    }

    #[test]
    fn one_line_per_worker_and_what_needs_an_operator() {
        let text = shown(Lines::Workers);
        let (lines, _) = text.split_once("\n\n").unwrap();
        let what: Vec<_> = lines.lines().map(|line| line.split("  ").nth(1).unwrap()).collect();
        assert_eq!(what, ["w1", "w2", "run"], "{lines}");
        assert!(lines.contains("w1  succeeded in") && lines.contains("w2  FAILED"), "{lines}");
    }

    #[test]
    fn a_closed_pipe_silences_it() {
        struct Closed(usize);
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                self.0 += 1;
                assert_eq!(self.0, 1, "it wrote again after an error");
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (facts, mut view) = rolled(3, some_fail);
        let mut plain = Plain::new(Closed(0), Lines::All);
        for stamped in &facts {
            view.fold(stamped).unwrap();
            plain.fact(stamped, &view);
        }
        plain.finish(0, &view);
    }
}
