//! The part of `evolve` that is about operators: signals, resume, retry, skip, abort.

use super::super::known::Known;
use super::super::pending::Pending;
use super::super::state::{RunEvent, RunPhase, StepStatus, WorkerEvent, WorkerState};
use super::super::{ErrorKind, Fact, HaltReason, RuleViolation};
use crate::graph::{Lane, StepIx, TargetIx};

impl Known {
    pub(super) fn interrupt(&mut self, pending: &mut Pending) {
        self.hold.interrupt();
        for target in self.lanes.active().iter().collect::<Vec<_>>() {
            self.settle(Lane::Worker(target), pending);
        }
    }

    pub(super) fn resume(&mut self, fresh_process: bool, pending: &mut Pending) {
        self.hold.resume();
        // An operator has looked.
        pending.patience_begins_anew();
        if fresh_process {
            self.orphan_attempts();
            pending.begin_anew();
        }
        self.resume_after_halt();
        for lane in self.lanes.open().collect::<Vec<_>>() {
            self.lanes.get_mut(lane).resume();
            self.settle(lane, pending);
        }
    }

    fn resume_after_halt(&mut self) {
        let Some((reason, phase)) = self.hold.halted().cloned() else { return };
        match reason {
            HaltReason::TooManyFailures { .. } if self.failures.is_exceeded() => return,
            HaltReason::TooManyFailures { .. } | HaltReason::NobodyAdmissible { .. } => {}
            HaltReason::LaneFailed { lane, step, .. } => {
                self.lanes.get_mut(lane).reset_failed_step(step);
            }
        }
        if self.chart.handle(RunEvent::Unhalted(phase)) {
            self.hold.unhalt();
        }
    }

    /// What the controller before had in flight has no answer, and will get none.
    fn orphan_attempts(&mut self) {
        self.exclusion.orphan_operations();
        for (attempt, awaited) in self.attempts.orphan() {
            let lane = self.lanes.get_mut(awaited.at.lane);
            lane.orphan(attempt, awaited.at.step, &awaited.intent);
        }
    }

    pub(super) fn retry(
        &mut self,
        target: TargetIx,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        let lane = self.worker(target, fact)?;
        let phase = self.hold.halted().map_or(self.phase(), |(_, phase)| *phase);
        if !matches!(phase, RunPhase::Rolling | RunPhase::Soaking) || self.hold.is_aborted() {
            return Err(RuleViolation::new("workers are retried while the rollout is open", fact));
        }
        if lane.revert().is_some() {
            return Err(RuleViolation::new("a worker whose steps are partly undone is not retried", fact));
        }
        let failed = lane.failed();
        // Several steps may have failed side by side.
        let failed_steps: Vec<_> = lane
            .steps()
            .filter(|(_, state)| *state.status() == StepStatus::Failed)
            .map(|(step, _)| step)
            .collect();
        self.worker_event(target, WorkerEvent::Retried, fact)?;
        for step in failed_steps {
            self.lanes.worker_mut(target).reset_failed_step(step);
            if failed == Some((step, ErrorKind::NotRebooted)) {
                self.enter_reboot_again(target, step);
            }
        }
        // Its own wave may have ended long ago, or not have begun.
        let open = self.waves.current().map_or(0, |wave| wave + u32::from(phase == RunPhase::Soaking));
        let wave = open.max(self.setup.graph.target(target).wave);
        self.lanes.worker_mut(target).retry(wave);
        self.waves.worker_returns(wave);
        self.failures.forgive(target);
        // It may not be down (it failed before it was disturbed), and others may have gone down
        // since: admission is asked again.
        pending.enqueue(target);
        Ok(())
    }

    /// The reboot behind a step that failed because it did not happen: sent again, receipts void. A
    /// reboot that was seen is left alone.
    fn enter_reboot_again(&mut self, target: TargetIx, step: StepIx) {
        let lane = self.lanes.worker_mut(target);
        if lane.step(step).reboot().is_some() {
            lane.step_mut(step).enter_reboot_again();
            return;
        }
        let awaited = lane.awaited_reboot(self.setup.order(), step);
        let unverified = awaited.filter(|(_, reboot)| reboot.is_unverified()).map(|(at, _)| at);
        if let Some(reboot) = unverified.filter(|at| *lane.step(*at).status() == StepStatus::Done) {
            lane.step_mut(reboot).enter_reboot_again();
        }
    }

    pub(super) fn skip(
        &mut self,
        target: TargetIx,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        let was_queued = self.worker(target, fact)?.state() == WorkerState::Queued;
        if matches!(self.phase(), RunPhase::Fresh | RunPhase::Preflight) {
            return Err(RuleViolation::new(
                "workers are skipped after preflight, which says how they are",
                fact,
            ));
        }
        self.worker_event(target, WorkerEvent::Skipped, fact)?;
        if was_queued {
            pending.dequeue(target);
            self.worker_ended(target, pending);
        }
        self.failures.forgive(target);
        pending.patience_begins_anew();
        Ok(())
    }

    pub(super) fn abort(
        &mut self,
        revert: bool,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        if self.hold.is_aborted() {
            return Err(RuleViolation::new("a run is aborted once", fact));
        }
        self.hold.abort(revert);
        for target in self.lanes.active().iter() {
            pending.look_at(Lane::Worker(target));
        }
        Ok(())
    }
}
