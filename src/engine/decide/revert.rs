//! The part of `decide` that is about putting a worker back: after a failure, or by an abort.

use super::super::{ErrorKind, Fact, Intent, StepError};
use super::Decide;
use crate::graph::{Lane, StepRef, TargetIx};

impl Decide<'_> {
    pub(super) fn end_by_abort(&self, lane: Lane) -> Option<Fact> {
        let Lane::Worker(target) = lane else { return None };
        if !self.run.lanes.get(lane).is_at_rest() {
            return None;
        }
        Some(if self.run.hold.reverts() {
            Fact::RevertStarted { target }
        } else {
            Fact::WorkerCancelled { target }
        })
    }

    pub(super) fn next_undo(&mut self, target: TargetIx) -> Option<Fact> {
        let run = self.run;
        let lane = run.lanes.worker(target);
        let revert = lane.revert().filter(|revert| !revert.is_in_flight())?;
        let stuck = |message| {
            let error = StepError::new(ErrorKind::Unverified, message);
            Some(Fact::RevertStuck { target, error })
        };
        let Some(next) = revert.next() else {
            // A reboot that was sent may still come: the worker is not as it was, and stays down.
            return if lane.has_unverified_reboot() {
                stuck("a reboot was sent and its new boot was never seen")
            } else {
                Some(Fact::WorkerReverted { target })
            };
        };
        let at = StepRef { lane: Lane::Worker(target), step: next.step };
        if let Some(error) = revert.error() {
            let attempts = run.setup.step(at).retries.attempts;
            let spent = revert.tries() >= attempts || next.intent == Intent::UndoCommand;
            // Else it is tried again at once: a revert has nobody to wait for.
            if spent || error.kind.is_final() {
                return Some(Fact::RevertStuck { target, error: error.clone() });
            }
        }
        if next.intent == Intent::UndoEnable && lane.has_unverified_reboot() {
            return stuck("the new boot was never seen: it stays disabled");
        }
        if run.hold.is_interrupted() {
            return None;
        }
        if run.setup.is_exclusive(at, &next.intent) && run.exclusion.others_rebooting(target) {
            self.pending.block_catalog(at.lane);
            return None;
        }
        Some(self.issue(at, next.intent.clone()))
    }
}
