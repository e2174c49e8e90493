//! The part of `evolve` that is about workers that are prepared ahead, while none is down.

use super::super::known::Known;
use super::super::pending::Pending;
use super::super::state::{RunPhase, WorkerEvent};
use super::super::{Fact, RuleViolation};
use crate::graph::{Lane, StepRef, TargetIx};

impl Known {
    pub(super) fn start_preparing(
        &mut self,
        target: TargetIx,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        self.worker(target, fact)?;
        if !self.hold.admits() || self.failures.is_exceeded() {
            return Err(RuleViolation::new(
                "nobody is prepared while a run is paused, halted or ending",
                fact,
            ));
        }
        if self.phase() != RunPhase::Preparing || !self.preparation.wants(target) {
            return Err(RuleViolation::new("workers are prepared once, before the first wave", fact));
        }
        self.worker_event(target, WorkerEvent::PrepareStarted, fact)?;
        self.preparation.leaves(target);
        self.lanes.start(target);
        self.lanes.worker_mut(target).set_preparing(true);
        pending.look_at(Lane::Worker(target));
        Ok(())
    }

    pub(super) fn finish_preparing(&mut self, target: TargetIx, fact: &Fact) -> Result<(), RuleViolation> {
        let lane = self.worker(target, fact)?;
        if !lane.is_preparing() || !lane.is_prepared(self.setup.ahead()) {
            return Err(RuleViolation::new("a worker is prepared after all steps of `prepare`", fact));
        }
        self.worker_event(target, WorkerEvent::Prepared, fact)?;
        self.lanes.end(target);
        self.lanes.worker_mut(target).set_preparing(false);
        Ok(())
    }

    /// Whether a step is none that its worker, which is only being prepared, must not begin.
    pub(in crate::engine) fn is_its_turn(&self, at: StepRef) -> bool {
        !self.lanes.get(at.lane).is_preparing() || at.step.index() < self.setup.ahead()
    }

    /// Nobody is being prepared or waits for it.
    pub(in crate::engine) fn all_are_prepared(&self) -> bool {
        self.lanes.active().is_empty() && self.preparation.next().is_none()
    }
}
