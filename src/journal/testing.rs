//! Facts as they are stored, for the tests of this room.

use crate::engine::{AttemptId, Fact, Intent, Outcome};
use crate::graph::{Lane, StepIx};

pub(super) fn stored(fact: &Fact) -> String {
    serde_json::to_string(fact).unwrap()
}

pub(super) fn issued(attempt: u64, lane: Lane, intent: Intent) -> Fact {
    Fact::Issued { attempt: AttemptId(attempt), lane, step: StepIx(1), intent }
}

pub(super) fn finished(attempt: u64, outcome: Outcome) -> Fact {
    Fact::Finished { attempt: AttemptId(attempt), outcome }
}
