//! The failure ledger: who counts as failed, and how many the plan allows.

use crate::graph::{TargetIx, TargetSet};

/// Workers that have failed, unreachable ones included; an operator's retry or skip takes them out again.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct FailureLedger {
    failed: TargetSet,
    allowed: u32,
}

impl FailureLedger {
    pub(in crate::engine) fn new(allowed: u32) -> Self {
        Self { failed: TargetSet::default(), allowed }
    }

    /// A worker counts once, however often it fails.
    pub(in crate::engine) fn count(&mut self, target: TargetIx) {
        self.failed.insert(target);
    }

    pub(in crate::engine) fn forgive(&mut self, target: TargetIx) {
        self.failed.remove(target);
    }

    pub(in crate::engine) fn failed(&self) -> u32 {
        self.failed.len() as u32
    }

    pub(in crate::engine) fn allowed(&self) -> u32 {
        self.allowed
    }

    /// More failed than the plan allows: the run halts.
    pub(in crate::engine) fn is_exceeded(&self) -> bool {
        self.failed() > self.allowed
    }
}
