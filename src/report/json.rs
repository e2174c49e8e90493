//! Newline-delimited JSON: one event per line, the run view last.

use std::io::Write;

use serde::Serialize;

use crate::engine::{Millis, Stamped};
use crate::plan::json_on_screen;

use super::{EventLine, Reporter, RunView, event_of};

/// Writes one JSON object per line. After the first error (a closed pipe) it is silent.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: Option<W>,
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out: Some(out) }
    }

    fn write(&mut self, value: &impl Serialize) {
        let Some(out) = &mut self.out else { return };
        let written = serde_json::to_string(value).map_err(std::io::Error::from).and_then(|line| {
            writeln!(out, "{}", json_on_screen(&line))?;
            out.flush()
        });
        if written.is_err() {
            self.out = None;
        }
    }
}

impl<W: Write + Send> Reporter for JsonLines<W> {
    fn fact(&mut self, stamped: &Stamped, view: &RunView) {
        if let Some(event) = event_of(stamped, view) {
            self.write(&event);
        }
    }

    fn told(&mut self, line: &EventLine, _view: &RunView) {
        self.write(line);
    }

    fn finish(&mut self, _at: Millis, view: &RunView) {
        self.write(view);
    }
}
