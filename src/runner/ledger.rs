//! The journal of a run as the loop's ledger.

use crate::controller::Ledger;
use crate::engine::{Fact, Millis, Request, Stamped};
use crate::journal::{JournalError, Mark, RunWriter};

/// Appends to the journal, and remembers what was appended until it is shown.
#[derive(Debug)]
pub struct StoredFacts {
    writer: RunWriter,
    stamped: Vec<Stamped>,
}

impl StoredFacts {
    /// Over what appends to the run.
    pub fn new(writer: RunWriter) -> Self {
        Self { writer, stamped: Vec::new() }
    }

    /// Where the run's facts end.
    pub(super) fn mark(&self) -> Mark {
        self.writer.mark()
    }

    /// What has become durable since this was asked last.
    pub(super) fn take_stamped(&mut self) -> Vec<Stamped> {
        std::mem::take(&mut self.stamped)
    }
}

impl Ledger for StoredFacts {
    type Error = JournalError;

    fn append(&mut self, at: Millis, facts: Vec<Fact>, answers: Option<i64>) -> Result<(), JournalError> {
        self.stamped.extend(self.writer.append(at, &facts, answers)?);
        Ok(())
    }

    fn pending_requests(&mut self) -> Result<Vec<Request>, JournalError> {
        self.writer.pending_requests()
    }

    fn refuse(&mut self, request: i64, at: Millis, why: &str) -> Result<(), JournalError> {
        self.writer.refuse_request(request, at, why)
    }
}
