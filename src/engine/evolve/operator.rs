//! The part of `evolve` that is about operators: signals, resume, retry, skip, abort.

use super::super::known::Known;
use super::super::pending::Pending;
use super::super::state::{Presence, RunEvent, RunPhase, StepStatus, WorkerEvent, WorkerState};
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
        self.gates.begin_anew();
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
            HaltReason::TooManyFailures { .. }
            | HaltReason::NobodyAdmissible { .. }
            | HaltReason::GateFailed { .. } => {}
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
        let phase = self.hold.halted().map_or(self.phase(), |(_, phase)| *phase);
        let is_open =
            matches!(phase, RunPhase::Before | RunPhase::Preparing | RunPhase::Rolling | RunPhase::Soaking);
        if !is_open || self.hold.is_aborted() {
            return Err(RuleViolation::new("workers are retried while the rollout is open", fact));
        }
        self.check_retry(target, fact)?;
        let open = self.waves.current().map_or(0, |wave| wave + u32::from(phase != RunPhase::Rolling));
        self.queue_again(target, open, fact, pending)
    }

    /// The rollout is over, and opens once more for these workers.
    pub(super) fn reopen(
        &mut self,
        targets: &[TargetIx],
        enabled: &[TargetIx],
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        if self.hold.is_aborted() || targets.is_empty() {
            return Err(RuleViolation::new("a run is reopened for workers, unless it was aborted", fact));
        }
        if !self.rollout_is_over() {
            return Err(RuleViolation::new("a run is reopened when its rollout is over", fact));
        }
        for (at, target) in targets.iter().enumerate() {
            self.check_retry(*target, fact)?;
            if targets[..at].contains(target) {
                return Err(RuleViolation::new("a run is reopened once for each worker", fact));
            }
        }
        for target in enabled {
            self.worker(*target, fact)?;
        }
        self.run_event(RunEvent::Reopened, fact)?;
        enabled.iter().for_each(|target| self.lanes.worker_mut(*target).disabled_mut().removed());
        self.end = None;
        self.hold.unhalt();
        // Whoever takes it up says so: nothing begins in the process that has only noted this.
        self.hold.interrupt();
        // They enclose the workers, and these come now.
        self.lanes.get_mut(Lane::Before).begin_again();
        self.lanes.get_mut(Lane::After).begin_again();
        self.waves.reopen_last();
        let last = self.waves.next().unwrap_or(0);
        targets.iter().try_for_each(|target| self.queue_again(*target, last, fact, pending))
    }

    /// The last wave has ended, and nothing more of the run is under way.
    pub(in crate::engine) fn rollout_is_over(&self) -> bool {
        let phase = self.hold.halted().map_or(self.phase(), |(_, phase)| *phase);
        self.phase() == RunPhase::Finished || (self.hold.halted().is_some() && phase == RunPhase::After)
    }

    /// Whether this worker may be taken up again, by itself.
    fn check_retry(&self, target: TargetIx, fact: &Fact) -> Result<(), RuleViolation> {
        self.worker(target, fact)?;
        match self.objection_to_retry(target) {
            Some(_) => Err(RuleViolation::new("the worker is not in a state for this", fact)),
            None => Ok(()),
        }
    }

    /// Why a worker cannot be taken up again, by itself.
    pub(in crate::engine) fn objection_to_retry(&self, target: TargetIx) -> Option<&'static str> {
        let lane = self.lanes.worker(target);
        match lane.state() {
            WorkerState::Reverted => Some("its steps were undone, and a new run takes it from the first one"),
            WorkerState::Failed | WorkerState::Skipped if lane.revert().is_some() => {
                Some("its steps are partly undone, and have to be put right by hand")
            }
            WorkerState::Skipped if lane.presence() == Presence::LeftAlone => {
                Some("it was disabled before the run, and takes no part")
            }
            WorkerState::Failed | WorkerState::Skipped => None,
            _ => Some("it has not failed"),
        }
    }

    /// A worker continues at its failed steps, when its turn comes; the wave `open`, or its own where that comes
    /// later, waits for it.
    fn queue_again(
        &mut self,
        target: TargetIx,
        open: u32,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        let lane = self.worker(target, fact)?;
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
        let wave = open.max(self.setup.graph.target(target).wave);
        self.lanes.worker_mut(target).retry(wave);
        if !self.lanes.worker(target).is_prepared(self.setup.ahead()) {
            self.preparation.returns(target);
        }
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
        if self.end.is_some() && was_queued {
            return Err(RuleViolation::new("a run that has ended has nobody in its queue", fact));
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
