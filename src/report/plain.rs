//! Plain text: one line per transition, with a timestamp.

use std::io::Write;

use crate::engine::{Millis, Stamped};

use super::{Reporter, RunView, closing, event_of, words};

/// Writes one line per event, then the closing report. After the first error (a closed pipe) it is
/// silent: the run goes on.
#[derive(Debug)]
pub struct Plain<W> {
    out: Option<W>,
    quiet: bool,
}

impl<W: Write + Send> Plain<W> {
    /// Writes to `out`; `quiet`: only the closing report.
    pub fn new(out: W, quiet: bool) -> Self {
        Self { out: Some(out), quiet }
    }

    fn write(&mut self, text: &str) {
        if let Some(out) = &mut self.out
            && out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err()
        {
            self.out = None;
        }
    }
}

/// The line of an event: `2026-11-22T23:15:02Z  w1  reboot: started`.
pub(super) fn line(stamped: &Stamped, view: &RunView) -> Option<String> {
    let event = event_of(stamped, view)?;
    let (who, what) = event.event.line();
    let who = who.unwrap_or("run");
    Some(format!("{}  {who}  {}\n", event.at.to_second(), words::one_line(&what)))
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
        self.write(&format!("\n{}", closing(at, view)));
    }
}
