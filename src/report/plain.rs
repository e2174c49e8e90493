//! Plain text: one line per transition, with a timestamp.

use std::io::Write;

use crate::engine::{Millis, Stamped};
use crate::plan::on_screen;

use super::{Hint, Reporter, RunView, closing, event_of, text};

/// Writes one line per event, then the closing report. After the first error (a closed pipe) it is
/// silent: the run continues.
#[derive(Debug)]
pub struct Plain<W> {
    out: Option<W>,
    quiet: bool,
    hint: Option<Hint>,
}

impl<W: Write + Send> Plain<W> {
    /// Writes to `out`; `quiet`: only the closing report.
    pub fn new(out: W, quiet: bool) -> Self {
        Self { out: Some(out), quiet, hint: None }
    }

    /// Also says in the closing report what an operator can do next.
    #[must_use]
    pub fn with_hints(self, hint: Hint) -> Self {
        Self { hint: Some(hint), ..self }
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
    let event = event_of(stamped, view)?;
    let (who, what) = event.describe();
    let who = who.unwrap_or("run");
    Some(format!("{}  {who}  {}\n", event.at.to_second(), text::one_line(&what)))
}

impl<W: Write + Send> Reporter for Plain<W> {
    fn fact(&mut self, stamped: &Stamped, view: &RunView) {
        if !self.quiet
            && let Some(line) = line(stamped, view)
        {
            self.write(&line);
        }
    }

    fn finish(&mut self, at: Millis, view: &RunView) {
        self.write(&format!("\n{}", closing(at, view, self.hint)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{rolled, some_fail};

    fn shown(quiet: bool) -> String {
        let (facts, mut view) = rolled(3, some_fail);
        let mut out = Vec::new();
        let mut plain = Plain::new(&mut out, quiet);
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
        insta::assert_snapshot!(shown(false));
    }

    #[test]
    fn quiet_says_only_how_it_ended() {
        assert!(shown(true).starts_with("\n  w1  succeeded"), "{}", shown(true));
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
        let mut plain = Plain::new(Closed(0), false);
        for stamped in &facts {
            view.fold(stamped).unwrap();
            plain.fact(stamped, &view);
        }
        plain.finish(0, &view);
    }
}
