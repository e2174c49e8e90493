//! Catalog operations and reboots exclude each other where the engine contacts every worker.
//!
//! And workers are drained and enabled in turns there: an operation that finds one job enabled again on one worker and
//! still disabled on another has to start it twice. So what comes back together is enabled together, and nobody is
//! drained meanwhile.

use crate::graph::{TargetIx, TargetSet};

/// What is under way of either.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine) struct Exclusion {
    /// Workers between the issue of a reboot and the end of its wait.
    rebooting: TargetSet,
    /// Catalog operations in flight; counted only where they exclude reboots.
    operations: u32,
    /// Edits in flight that drain a worker.
    drains: u32,
    /// Workers whose edit that enables them can begin or is in flight.
    enabling: TargetSet,
    /// Workers whose deploy behind that edit can begin or is in flight.
    starting: TargetSet,
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

    pub(in crate::engine) fn drain_begins(&mut self) {
        self.drains += 1;
    }

    pub(in crate::engine) fn drain_ends(&mut self) {
        self.drains -= 1;
    }

    pub(in crate::engine) fn any_drain(&self) -> bool {
        self.drains > 0
    }

    /// What of its return is under way on a worker: the edit, the deploy behind it.
    pub(in crate::engine) fn returns(&mut self, target: TargetIx, edit: bool, deploy: bool) {
        for (set, is_in) in [(&mut self.enabling, edit), (&mut self.starting, deploy)] {
            if is_in {
                set.insert(target)
            } else {
                set.remove(target)
            };
        }
    }

    pub(in crate::engine) fn others_enabling(&self, target: TargetIx) -> bool {
        others(&self.enabling, target)
    }

    pub(in crate::engine) fn others_starting(&self, target: TargetIx) -> bool {
        others(&self.starting, target)
    }

    /// The controller that carried them out is gone.
    pub(in crate::engine) fn orphan_operations(&mut self) {
        (self.operations, self.drains) = (0, 0);
    }
}

fn others(set: &TargetSet, target: TargetIx) -> bool {
    set.len() > usize::from(set.contains(target))
}
