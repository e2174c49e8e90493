//! A reporter that also tells others: it stands where facts are shown, behind their commit, and decides nothing.

use std::sync::{Arc, OnceLock};

use crate::engine::{Millis, Stamped};
use crate::notice::{longer_than_usual, notice_of};
use crate::report::{EventLine, Outlook, Reporter, RunView};

use super::courier::Courier;

/// Shows a run by another reporter, and hands notices to a courier.
pub struct Telling {
    inner: Box<dyn Reporter>,
    courier: Arc<Courier>,
    /// What is to be expected of the run, once it is known.
    outlook: Option<Arc<OnceLock<Outlook>>>,
}

impl Telling {
    /// Beside `inner`.
    pub fn new(
        inner: Box<dyn Reporter>,
        courier: Arc<Courier>,
        outlook: Option<Arc<OnceLock<Outlook>>>,
    ) -> Self {
        Self { inner, courier, outlook }
    }
}

impl Reporter for Telling {
    fn fact(&mut self, stamped: &Stamped, view: &RunView) {
        self.inner.fact(stamped, view);
        if let Some(notice) = notice_of(stamped, view) {
            self.courier.tell(&notice);
        }
    }

    fn told(&mut self, line: &EventLine, view: &RunView) {
        self.inner.told(line, view);
    }

    fn tick(&mut self, at: Millis, view: &RunView) {
        self.inner.tick(at, view);
        let outlook = self.outlook.as_ref().and_then(|outlook| outlook.get());
        if let Some(overdue) = outlook.and_then(|outlook| outlook.overdue(at, view)) {
            self.courier.tell(&longer_than_usual(view, overdue, at));
            // Once is enough.
            self.outlook = None;
        }
    }

    fn finish(&mut self, at: Millis, view: &RunView) {
        self.inner.finish(at, view);
    }
}
