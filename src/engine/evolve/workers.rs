//! The part of `evolve` that is about workers: admitted, ended, reverted, and what it means for the others.

use super::super::known::Known;
use super::super::pending::Pending;
use super::super::state::{Presence, Revert, RunPhase, Undo, WorkerEvent};
use super::super::{ErrorKind, Fact, GatePlace, Intent, Millis, RuleViolation, StepError};
use crate::graph::{Lane, StepIx, TargetIx};
use crate::plan::{JobAction, StepKind};

impl Known {
    pub(super) fn admit(
        &mut self,
        at: Millis,
        target: TargetIx,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        self.worker(target, fact)?;
        if !self.hold.admits() {
            return Err(RuleViolation::new("nobody is admitted while a run is paused or ending", fact));
        }
        if self.failures.is_exceeded() {
            return Err(RuleViolation::new("nobody is admitted after too many failures", fact));
        }
        let wave = self.setup.graph.target(target).wave;
        if self.phase() != RunPhase::Rolling || Some(wave) > self.waves.current() {
            return Err(RuleViolation::new("workers are admitted when their wave is open", fact));
        }
        if !self.gate_passes(GatePlace::Guard) {
            return Err(RuleViolation::new("nobody is admitted before the guard has passed", fact));
        }
        self.worker_event(target, WorkerEvent::Admitted, fact)?;
        self.gates.wave_goes_on();
        self.lanes.start(target);
        // Taken up again behind the first wave, it is prepared in its turn.
        self.preparation.leaves(target);
        let lane = self.lanes.worker_mut(target);
        lane.admit(at);
        if lane.has_unverified_reboot() {
            // Taken up again by an operator: it may still be away.
            self.exclusion.reboots(target);
        }
        self.note_return(Lane::Worker(target));
        self.admission.admitted(target);
        pending.dequeue(target);
        pending.look_at(Lane::Worker(target));
        Ok(())
    }

    pub(super) fn succeed(
        &mut self,
        at: Millis,
        target: TargetIx,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        if !self.worker(target, fact)?.all_satisfied() {
            return Err(RuleViolation::new("a worker succeeds after all its steps", fact));
        }
        self.worker_event(target, WorkerEvent::Succeeded, fact)?;
        if let Some(took) = self.lanes.worker(target).took(at) {
            self.median.add(took);
        }
        self.admission.succeeded(target);
        self.worker_ended(target, pending);
        Ok(())
    }

    pub(super) fn fail(
        &mut self,
        target: TargetIx,
        step: Option<StepIx>,
        error: &StepError,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        let lane = self.worker(target, fact)?;
        let with_a_step = lane.failed().is_some() || error.kind == ErrorKind::Unverified;
        if !with_a_step || !lane.is_at_rest() {
            return Err(RuleViolation::new("a worker fails with a step, and at rest", fact));
        }
        self.worker_event(target, WorkerEvent::Failed, fact)?;
        self.lanes.worker_mut(target).fail(step, error);
        self.worker_failed(target, true, pending);
        Ok(())
    }

    pub(super) fn cancel(
        &mut self,
        target: TargetIx,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        if !self.worker(target, fact)?.is_at_rest() || !self.hold.is_aborted() {
            return Err(RuleViolation::new("workers are cancelled by an abort, at rest", fact));
        }
        self.worker_event(target, WorkerEvent::Cancelled, fact)?;
        self.worker_ended(target, pending);
        Ok(())
    }

    /// A worker has ended, in whatever way: others may continue.
    pub(super) fn worker_ended(&mut self, target: TargetIx, pending: &mut Pending) {
        self.lanes.end(target);
        self.preparation.leaves(target);
        if self.lanes.worker(target).is_preparing() {
            // It was queued all the time.
            self.lanes.worker_mut(target).set_preparing(false);
            pending.dequeue(target);
        }
        self.exclusion.is_back(target);
        self.note_return(Lane::Worker(target));
        let own = self.setup.graph.target(target).wave;
        self.waves.worker_ended(self.lanes.worker(target).retried_in().unwrap_or(own));
        pending.worker_ended(target);
    }

    /// As [`Self::worker_ended`] for one that counts as failed. `stays_down`: it continues to hold
    /// its budgets and its domain, unless nothing of it was ever disturbed.
    fn worker_failed(&mut self, target: TargetIx, stays_down: bool, pending: &mut Pending) {
        match self.lanes.worker(target).presence() {
            // A retry that got nowhere does not bring it back, and neither does a revert, which puts it back
            // to how it was.
            Presence::NeverSeen => self.admission.unreachable(target),
            Presence::SeenLater => self.admission.failed(target, stays_down),
            Presence::Present | Presence::LeftAlone => {
                self.admission.failed(target, stays_down && self.was_disturbed(target));
            }
        }
        self.failures.count(target);
        self.worker_ended(target, pending);
    }

    pub(super) fn start_revert(
        &mut self,
        target: TargetIx,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        let lane = self.worker(target, fact)?;
        if !lane.is_at_rest() || (lane.failed().is_none() && !self.hold.is_aborted()) {
            return Err(RuleViolation::new("a revert follows a failure or an abort, at rest", fact));
        }
        let revert = Revert::new(self.undos(target));
        self.worker_event(target, WorkerEvent::RevertStarted, fact)?;
        self.lanes.worker_mut(target).start_revert(revert);
        // Its wait has ended: nobody waits for it any more, as for one that has failed.
        self.exclusion.is_back(target);
        self.note_return(Lane::Worker(target));
        pending.wake_blocked();
        pending.look_at(Lane::Worker(target));
        Ok(())
    }

    pub(super) fn finish_revert(
        &mut self,
        target: TargetIx,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        let is_done = self.worker(target, fact)?.revert().is_some_and(|revert| revert.next().is_none());
        if !is_done {
            return Err(RuleViolation::new("a revert ends when all is undone", fact));
        }
        self.worker_event(target, WorkerEvent::Reverted, fact)?;
        self.worker_failed(target, false, pending);
        Ok(())
    }

    pub(super) fn fail_revert(
        &mut self,
        target: TargetIx,
        error: &StepError,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        if !self.worker(target, fact)?.is_at_rest() {
            return Err(RuleViolation::new("a revert is stuck at rest", fact));
        }
        self.worker_event(target, WorkerEvent::Stuck, fact)?;
        self.lanes.worker_mut(target).set_error(error);
        self.worker_failed(target, true, pending);
        Ok(())
    }

    /// What there is to undo: the failed step's own undo first, then finished steps, newest first.
    fn undos(&self, target: TargetIx) -> Vec<Undo> {
        let lane = self.lanes.worker(target);
        let failed = lane.failed().map(|(step, _)| step);
        let others = self.setup.order().iter().rev().copied().filter(|step| Some(*step) != failed);
        let mut todo = Vec::new();
        for step in failed.into_iter().chain(others).filter(|step| lane.step(*step).was_issued()) {
            let mut undo = |intent| todo.push(Undo { step, intent });
            match &self.setup.graph.plan.steps[step.index()].kind {
                StepKind::Disable { .. } => {
                    if lane.disabled().are_left() {
                        undo(Intent::UndoEnable);
                    }
                    // Also where it is enabled again: the deploy that starts its jobs may be what failed.
                    undo(Intent::UndoDeploy);
                }
                StepKind::Job { action: JobAction::Stop, .. } => undo(Intent::UndoStop),
                kind if kind.has_own_undo() == Some(true) => undo(Intent::UndoCommand),
                _ => {}
            }
        }
        todo
    }
}
