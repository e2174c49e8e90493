//! Catalog operations and reboots exclude each other where the engine contacts every worker.

use crate::graph::{TargetIx, TargetSet};

/// What is under way of either.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine) struct Exclusion {
    /// Workers between the issue of a reboot and the end of its wait.
    rebooting: TargetSet,
    /// Catalog operations in flight; counted only where they exclude reboots.
    operations: u32,
}

impl Exclusion {
    pub(in crate::engine) fn reboots(&mut self, target: TargetIx) {
        self.rebooting.insert(target);
    }

    /// Nobody waits for its boot any more.
    pub(in crate::engine) fn is_back(&mut self, target: TargetIx) {
        self.rebooting.remove(target);
    }

    pub(in crate::engine) fn is_rebooting(&self, target: TargetIx) -> bool {
        self.rebooting.contains(target)
    }

    pub(in crate::engine) fn any_rebooting(&self) -> bool {
        !self.rebooting.is_empty()
    }

    pub(in crate::engine) fn others_rebooting(&self, target: TargetIx) -> bool {
        self.rebooting.iter().any(|other| other != target)
    }

    pub(in crate::engine) fn operation_begins(&mut self) {
        self.operations += 1;
    }

    pub(in crate::engine) fn operation_ends(&mut self) {
        self.operations -= 1;
    }

    pub(in crate::engine) fn any_operation(&self) -> bool {
        self.operations > 0
    }

    /// The controller that carried them out is gone.
    pub(in crate::engine) fn orphan_operations(&mut self) {
        self.operations = 0;
    }
}
