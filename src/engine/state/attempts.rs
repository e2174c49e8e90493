//! Attempts: how many were issued, and which are awaited.

use super::super::{AttemptId, AttemptMap, Intent};
use crate::graph::StepRef;

/// An attempt that is awaited.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Awaited {
    pub(in crate::engine) at: StepRef,
    pub(in crate::engine) intent: Intent,
}

/// All attempts of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine) struct Attempts {
    last: u64,
    awaited: AttemptMap<Awaited>,
}

impl Attempts {
    /// The number of the next one.
    pub(in crate::engine) fn next(&self) -> AttemptId {
        AttemptId(self.last + 1)
    }

    pub(in crate::engine) fn was_issued(&self, attempt: AttemptId) -> bool {
        (1..=self.last).contains(&attempt.0)
    }

    pub(in crate::engine) fn issue(&mut self, attempt: AttemptId, awaited: Awaited) {
        self.last = attempt.0;
        self.awaited.insert(attempt, awaited);
    }

    pub(in crate::engine) fn awaited(&self, attempt: AttemptId) -> Option<&Awaited> {
        self.awaited.get(&attempt)
    }

    /// Its answer is there.
    pub(in crate::engine) fn answered(&mut self, attempt: AttemptId) -> Option<Awaited> {
        self.awaited.remove(&attempt)
    }

    /// Whether nothing is awaited.
    pub(in crate::engine) fn are_settled(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Nobody will answer: all that were awaited, in the order in which they were issued.
    pub(in crate::engine) fn orphan(&mut self) -> Vec<(AttemptId, Awaited)> {
        let mut orphans: Vec<_> = self.awaited.drain().collect();
        orphans.sort_by_key(|(attempt, _)| *attempt);
        orphans
    }
}
