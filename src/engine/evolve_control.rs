//! The part of `evolve` that is about people and ends: resume, retry, skip, revert, and what it means
//! for the others when a worker has ended.

use crate::graph::{Lane, TargetIx};
use crate::plan::{StepKind, Undo as PlanUndo};

use super::chart::{Event, WorkerState};
use super::lane::{Revert, Status, Undo};
use super::run_chart::{RunEvent, RunPhase};
use super::run_state::RunState;
use super::{ErrorKind, Fact, HaltReason, Intent, RuleViolation, StepError};

impl RunState {
    /// A worker has ended, in whatever way: others may go on.
    pub(super) fn worker_ended(&mut self, target: TargetIx) {
        self.active.remove(target);
        self.rebooting.remove(target);
        self.blocked_catalog.remove(&Lane::Worker(target));
        self.blocked_reboot.remove(&Lane::Worker(target));
        let own = self.graph.targets[target.0 as usize].wave;
        let wave = self.targets[target.0 as usize].counted_in.unwrap_or(own) as usize;
        self.wave_left[wave] = self.wave_left[wave].saturating_sub(1);
        self.blocked_since = None;
        self.wake_blocked();
    }

    /// As [`RunState::worker_ended`] for one that counts as failed. `stays_down`: it goes on holding
    /// its budgets and its domain, unless nothing of it was ever disturbed.
    pub(super) fn worker_failed(&mut self, target: TargetIx, stays_down: bool) {
        let disturbed = self.was_disturbed(target);
        let state = &self.targets[target.0 as usize];
        // It did not answer in preflight; a retry that got nowhere does not bring it back, and neither does a
        // revert, which puts it back to how it was.
        let never_seen = state.unreachable && !state.answered;
        let stays_down = never_seen || (stays_down && (disturbed || state.unreachable));
        if never_seen {
            self.admission.unreachable(target);
        } else {
            self.admission.failed(target, stays_down);
        }
        let state = &mut self.targets[target.0 as usize];
        if !state.counted_failed {
            state.counted_failed = true;
            self.failures += 1;
        }
        self.worker_ended(target);
    }

    /// Whether a step that takes it down was issued.
    fn was_disturbed(&self, target: TargetIx) -> bool {
        let state = &self.targets[target.0 as usize];
        let steps = &self.graph.plan.steps;
        state
            .steps
            .iter()
            .zip(steps)
            .any(|(slot, step)| slot.was_issued && crate::policy::disturbs(&step.kind))
    }

    /// Lanes that were held back by the exclusion of catalog operations and reboots get another look.
    pub(super) fn wake_blocked(&mut self) {
        if self.options.exclusive_catalog {
            // Operations first: a reboot that this very fact lets begin has to find them waiting.
            for lane in std::mem::take(&mut self.blocked_catalog).into_iter().rev() {
                self.agenda.push_front(lane);
            }
            let blocked = std::mem::take(&mut self.blocked_reboot);
            self.agenda.extend(blocked);
        }
    }

    pub(super) fn resume(&mut self, fresh_process: bool) {
        self.paused = None;
        self.pause_wanted = None;
        self.interrupted = false;
        // A person has looked: patience begins anew.
        self.blocked_since = None;
        if fresh_process {
            self.orphan_attempts();
        }
        if let Some((reason, phase)) = self.halted.clone() {
            let may_go_on = match &reason {
                HaltReason::TooManyFailures { .. } => self.failures <= self.allowed_failures,
                HaltReason::NobodyAdmissible { .. } => true,
                HaltReason::LaneFailed { lane, step, .. } => {
                    self.reset_failed_step(*lane, *step);
                    true
                }
            };
            if may_go_on && self.chart.handle(RunEvent::Unhalted(phase)) {
                self.halted = None;
            }
        }
        let lanes: Vec<_> =
            [Lane::Before, Lane::After].into_iter().chain(self.active.iter().map(Lane::Worker)).collect();
        for lane in lanes {
            for slot in &mut self.lane_mut(lane).steps {
                if slot.status == Status::Postponed {
                    slot.status = Status::Pending;
                }
            }
            self.settle(lane);
        }
    }

    /// What the controller before had in flight has no answer, and will get none.
    fn orphan_attempts(&mut self) {
        let mut lost: Vec<_> = self.awaited.drain().collect();
        lost.sort_by_key(|(attempt, _)| *attempt);
        self.catalog_in_flight = 0;
        self.observing = false;
        self.admission_due = None;
        for (attempt, awaited) in lost {
            let repeatable_undo = !matches!(awaited.intent, Intent::UndoCommand);
            let state = self.lane_mut(awaited.lane);
            state.in_flight -= 1;
            if !awaited.intent.is_undo() {
                state.steps[awaited.step as usize].status = Status::Orphaned(attempt);
            } else if let Some(revert) = &mut state.revert {
                revert.in_flight = None;
                if !repeatable_undo {
                    let message = "the controller ended while the undo command ran";
                    revert.error = Some(StepError::new(ErrorKind::Unknown, message));
                }
            }
        }
    }

    /// The failed step is pending again, with all its attempts.
    fn reset_failed_step(&mut self, lane: Lane, step: u32) {
        let state = self.lane_mut(lane);
        let slot = &mut state.steps[step as usize];
        slot.status = Status::Pending;
        slot.tries = 0;
        slot.rechecks = 0;
        state.failed = None;
        state.error = None;
    }

    pub(super) fn retry(&mut self, target: TargetIx, fact: &Fact) -> Result<(), RuleViolation> {
        let index = self.index(target, fact)?;
        let phase = self.halted.as_ref().map_or(self.chart.phase(), |(_, phase)| *phase);
        if !matches!(phase, RunPhase::Rolling | RunPhase::Soaking) || self.aborted.is_some() {
            return Err(RuleViolation::new("workers are retried while the rollout is open", fact));
        }
        if self.targets[index].revert.is_some() {
            return Err(RuleViolation::new("a worker whose steps are partly undone is not retried", fact));
        }
        let failed = self.targets[index].failed;
        self.worker_event(target, Event::Retried, fact)?;
        // Several steps may have failed side by side.
        let failed_steps: Vec<u32> = (0..self.targets[index].steps.len() as u32)
            .filter(|step| self.targets[index].steps[*step as usize].status == Status::Failed)
            .collect();
        for step in failed_steps {
            let lane = Lane::Worker(target);
            let not_rebooted = matches!(failed, Some((at, ErrorKind::NotRebooted)) if at == step);
            self.reset_failed_step(lane, step);
            if not_rebooted {
                self.enter_reboot_again(target, step);
            }
        }
        let state = &mut self.targets[index];
        for slot in &mut state.steps {
            // What waited beside the failed step waits anew: its timer is gone, or long past, and a resume
            // looks at active workers alone.
            if matches!(slot.status, Status::Gated(_) | Status::BackingOff { .. } | Status::Postponed) {
                slot.status = Status::Pending;
            }
        }
        state.failed = None;
        state.error = None;
        state.counted_failed = false;
        state.retried = true;
        // Its own wave may have ended long ago, or not have begun.
        let open = self.wave.map_or(0, |wave| wave + u32::from(phase == RunPhase::Soaking));
        let wave = open.max(self.graph.targets[index].wave);
        state.counted_in = Some(wave);
        self.failures -= 1;
        self.wave_left[wave as usize] += 1;
        // It may not be down (it failed before it was disturbed), and others may have gone down
        // since: admission is asked again.
        self.queue.push(target);
        self.blocked_since = None;
        Ok(())
    }

    /// The reboot behind a step that failed because it did not happen: sent again, receipts void. A
    /// reboot that was seen is left alone.
    fn enter_reboot_again(&mut self, target: TargetIx, step: u32) {
        let lane = Lane::Worker(target);
        let state = self.lane(lane);
        let itself = state.steps[step as usize].reboot.is_some();
        let awaited = state.awaited_reboot(&self.order, step).filter(|(_, reboot)| reboot.is_unverified());
        let found = if itself { Some(step) } else { awaited.map(|(at, _)| at) };
        let Some(reboot) = found else { return };
        if itself || state.steps[reboot as usize].status == Status::Done {
            *self.status_mut(lane, reboot) = Status::Pending;
            self.next_generation(lane, reboot);
        }
    }

    pub(super) fn skip(&mut self, target: TargetIx, fact: &Fact) -> Result<(), RuleViolation> {
        let index = self.index(target, fact)?;
        if matches!(self.chart.phase(), RunPhase::Fresh | RunPhase::Preflight) {
            return Err(RuleViolation::new(
                "workers are skipped after preflight, which says how they are",
                fact,
            ));
        }
        let before = self.targets[index].chart.state();
        self.worker_event(target, Event::Skipped, fact)?;
        if before == WorkerState::Queued {
            self.queue.remove(target);
            self.worker_ended(target);
        }
        let state = &mut self.targets[index];
        if state.counted_failed {
            state.counted_failed = false;
            self.failures -= 1;
        }
        self.blocked_since = None;
        Ok(())
    }

    pub(super) fn start_revert(&mut self, target: TargetIx, fact: &Fact) -> Result<(), RuleViolation> {
        let state = &self.targets[self.index(target, fact)?];
        if state.in_flight > 0 || (state.failed.is_none() && self.aborted.is_none()) {
            return Err(RuleViolation::new("a revert follows a failure or an abort, at rest", fact));
        }
        let todo = self.undos(target).into();
        self.worker_event(target, Event::RevertStarted, fact)?;
        // Its wait has ended: nobody waits for it any more, as for one that has failed.
        self.rebooting.remove(target);
        self.wake_blocked();
        self.targets[target.0 as usize].revert = Some(Box::new(Revert { todo, ..Revert::default() }));
        self.agenda.push_back(Lane::Worker(target));
        Ok(())
    }

    /// What there is to undo: the failed step's own undo first, then finished steps, newest first.
    fn undos(&self, target: TargetIx) -> Vec<Undo> {
        let state = &self.targets[target.0 as usize];
        let failed = state.failed.map(|(step, _)| step);
        let newest_first =
            failed.into_iter().chain(self.order.iter().rev().copied().filter(|step| Some(*step) != failed));
        let mut todo = Vec::new();
        for step in newest_first {
            if !state.steps[step as usize].was_issued {
                continue;
            }
            let mut undo = |intent| todo.push(Undo { step, intent });
            match &self.graph.plan.steps[step as usize].kind {
                StepKind::Disable { .. } => {
                    if state.is_left_disabled() {
                        undo(Intent::UndoEnable);
                    }
                    // Also where it is enabled again: the deploy that starts its jobs may be what failed.
                    undo(Intent::UndoDeploy);
                }
                StepKind::Job { action: crate::plan::JobAction::Stop, .. } => undo(Intent::UndoStop),
                StepKind::Run(command) | StepKind::Local(command)
                    if matches!(command.undo, PlanUndo::Command(_)) =>
                {
                    undo(Intent::UndoCommand);
                }
                _ => {}
            }
        }
        todo
    }
}
