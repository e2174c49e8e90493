//! What follows from the state: one fact at a time, until nothing more does.
//!
//! Decisions read the state and never change it, but for what this process has asked for already
//! (timers, observations), which is not part of the state. The order of the questions is the order
//! of urgency: lanes that can go on, then the run as a whole, then admission.

use crate::graph::{Lane, TargetIx};
use crate::plan::{OnFailure, OnStepFailure, StepKind};

use super::backoff::{RECHECK_DELAY, RECHECKS, delay_ms};
use super::chart::WorkerState;
use super::lane::{self, Status};
use super::run_chart::RunPhase;
use super::run_state::RunState;
use super::{
    AttemptId, AttemptSpec, Effect, ErrorKind, Fact, HaltReason, Intent, Millis, Resolution, RunEnd,
    StepError, Timer,
};

impl RunState {
    /// The next fact that follows, with the effects that belong to it.
    pub(super) fn next_fact(&mut self, at: Millis, effects: &mut Vec<Effect>) -> Option<Fact> {
        if self.end.is_some() {
            return None;
        }
        if let Some(reason) = self.pause_wanted.take() {
            return Some(Fact::Paused { by: "maand".into(), reason });
        }
        while let Some(lane) = self.agenda.front().copied() {
            if let Some(fact) = self.next_of_lane(at, lane, effects) {
                return Some(fact);
            }
            self.agenda.pop_front();
        }
        self.next_of_run(at, effects)
    }

    fn next_of_lane(&mut self, at: Millis, lane: Lane, effects: &mut Vec<Effect>) -> Option<Fact> {
        if let Lane::Worker(target) = lane {
            let life = self.targets[target.0 as usize].chart.state();
            if !life.is_active() {
                return None;
            }
            if life == WorkerState::Reverting {
                return self.next_undo(target, effects);
            }
        }
        if let Some(fact) = self.settle_ended(at, lane, effects) {
            return Some(fact);
        }
        if self.aborted.is_some() {
            return self.end_by_abort(lane);
        }
        let state = self.lane(lane);
        if let Some((step, _)) = state.failed {
            // Steps in flight beside it finish first.
            return if state.in_flight == 0 { self.lane_failed(lane, step) } else { None };
        }
        let once = !matches!(lane, Lane::Worker(_));
        if !self.may_step(lane) || (once && self.failures > self.allowed_failures) {
            return None;
        }
        for step in 0..self.lane(lane).steps.len() as u32 {
            let pending = self.lane(lane).steps[step as usize].status == Status::Pending;
            if pending
                && self.needs_met(lane, step)
                && let Some(fact) = self.begin(at, lane, step, effects)
            {
                return Some(fact);
            }
        }
        match lane {
            Lane::Worker(target) if self.lane(lane).all_satisfied() => Some(Fact::WorkerSucceeded { target }),
            _ => None,
        }
    }

    /// The fact that a step's turn has come; `None` when it has to wait for others.
    fn begin(&mut self, at: Millis, lane: Lane, step: u32, effects: &mut Vec<Effect>) -> Option<Fact> {
        let millis = |duration: std::time::Duration| duration.as_millis() as Millis;
        let plan_step = self.step(lane, step);
        let timeout = plan_step.timeout.map(millis);
        let gate = match &plan_step.kind {
            StepKind::Pause { duration } => Some((Some(at + self.scaled(*duration)), None)),
            StepKind::Approve { .. } => Some((None, timeout.map(|timeout| at + timeout))),
            _ => None,
        };
        if let Some((opens, expires)) = gate {
            if let Some(at) = opens.or(expires) {
                effects.push(Effect::Wake { at, timer: Timer::Gate { lane, step } });
            }
            return Some(Fact::GateClosed { lane, step, opens, expires });
        }
        let state = self.lane(lane);
        let slot = &state.steps[step as usize];
        let intent = match &plan_step.kind {
            StepKind::Reboot { .. } => match slot.reboot.as_ref().and_then(|r| Some((r, r.boot_id.clone()?)))
            {
                None => Intent::ReadBootId,
                Some((reboot, boot_id)) => Intent::Reboot { boot_id, generation: reboot.generation },
            },
            StepKind::WaitForSsh { .. } => {
                let reboot = state.awaited_reboot(&self.order, step);
                let needed = reboot.filter(|(_, r)| r.seen != super::lane::RebootSeen::NotNeeded);
                Intent::AwaitBoot {
                    not: needed.and_then(|(_, reboot)| reboot.boot_id.clone()),
                    reboot_step: needed.map(|(at, _)| at),
                    reboot_issued: needed.and_then(|(_, reboot)| reboot.issued_at),
                }
            }
            _ => Intent::Do { repeat: slot.was_issued },
        };
        let waits = matches!(intent, Intent::AwaitBoot { .. } | Intent::Reboot { .. });
        if !waits && state.has_unverified_reboot() {
            // Validation orders every step before or behind the wait; a plan that got past it must
            // not hang.
            let message = "the reboot before it is not verified: a wait_for_ssh has to come between";
            let error = StepError::new(ErrorKind::Unverified, message);
            return match lane {
                Lane::Worker(target) if state.in_flight == 0 && !self.has_pending_wait(lane) => {
                    Some(Fact::WorkerFailed { target, step: Some(step), error })
                }
                _ => None,
            };
        }
        if self.is_exclusive(lane, step, &intent) && !self.rebooting.is_empty() {
            self.blocked_catalog.insert(lane);
            return None;
        }
        let goes_down = matches!(intent, Intent::Reboot { .. });
        // One that may be away already is what the waiting operations wait for.
        let maybe_away = matches!(lane, Lane::Worker(target) if self.rebooting.contains(target));
        let held = self.catalog_in_flight > 0 || (!self.blocked_catalog.is_empty() && !maybe_away);
        if self.options.exclusive_catalog && goes_down && held {
            self.blocked_reboot.insert(lane);
            return None;
        }
        Some(self.order(lane, step, intent, effects))
    }

    fn has_pending_wait(&self, lane: Lane) -> bool {
        let steps = self.graph.steps(lane);
        self.lane(lane).steps.iter().enumerate().any(|(at, slot)| {
            matches!(steps[at].kind, StepKind::WaitForSsh { .. })
                && !slot.status.satisfies()
                && (self.needs_met(lane, at as u32) || slot.status != Status::Pending)
        })
    }

    fn order(&self, lane: Lane, step: u32, intent: Intent, effects: &mut Vec<Effect>) -> Fact {
        let attempt = AttemptId(self.last_attempt + 1);
        effects.push(Effect::Execute(AttemptSpec { attempt, lane, step, intent: intent.clone() }));
        Fact::Issued { attempt, lane, step, intent }
    }

    /// Decides about steps whose attempt ended badly or was lost.
    fn settle_ended(&self, at: Millis, lane: Lane, effects: &mut Vec<Effect>) -> Option<Fact> {
        for (step, slot) in self.lane(lane).steps.iter().enumerate() {
            let step = step as u32;
            let kind = &self.step(lane, step).kind;
            match &slot.status {
                Status::Orphaned(attempt) => {
                    let attempt = *attempt;
                    let only_read = !slot.was_issued;
                    if lane::may_repeat(kind) || only_read {
                        return Some(Fact::InDoubtResolved { attempt, how: Resolution::Repeat });
                    }
                    return Some(Fact::InDoubt { attempt });
                }
                Status::Ended(ended) if ended.unknown && !lane::may_repeat(kind) => {
                    return Some(Fact::InDoubt { attempt: ended.attempt });
                }
                Status::Ended(ended) => {
                    return Some(self.after_failure(at, lane, step, &ended.error, ended.unknown, effects));
                }
                _ => {}
            }
        }
        None
    }

    fn after_failure(
        &self,
        at: Millis,
        lane: Lane,
        step: u32,
        error: &StepError,
        unknown: bool,
        effects: &mut Vec<Effect>,
    ) -> Fact {
        let slot = &self.lane(lane).steps[step as usize];
        let plan_step = self.step(lane, step);
        let recheck = unknown
            && slot.rechecks > 0
            && slot.rechecks <= RECHECKS
            && slot.tries < plan_step.retries.attempts;
        let again = !error.kind.is_final() && slot.tries < plan_step.retries.attempts;
        if (recheck || again) && self.aborted.is_none() {
            let delay = if unknown {
                RECHECK_DELAY.as_millis() as Millis
            } else {
                delay_ms(&plan_step.retries, self.seed, lane, step, slot.tries)
            };
            let itself = matches!(plan_step.kind, StepKind::Reboot { .. });
            let reissue = (error.kind == ErrorKind::NotRebooted && !itself)
                .then(|| self.lane(lane).awaited_reboot(&self.order, step))
                .flatten()
                .filter(|(_, reboot)| reboot.is_unverified())
                .map(|(reboot, _)| reboot)
                .or_else(|| (error.kind == ErrorKind::NotRebooted && itself).then_some(step));
            let due = at + delay;
            effects.push(Effect::Wake { at: due, timer: Timer::Retry { lane, step } });
            return Fact::RetryScheduled { lane, step, due, reissue };
        }
        let error = error.clone();
        match plan_step.on_failure {
            OnStepFailure::Ignore => Fact::StepIgnored { lane, step, error },
            OnStepFailure::Fail => Fact::StepFailed { lane, step, error },
        }
    }

    fn lane_failed(&self, lane: Lane, step: u32) -> Option<Fact> {
        let error = self.lane(lane).error.as_deref().cloned()?;
        match lane {
            Lane::Worker(target) => Some(match self.graph.plan.rollout.on_failure {
                OnFailure::Revert => Fact::RevertStarted { target },
                OnFailure::Halt => Fact::WorkerFailed { target, step: Some(step), error },
            }),
            Lane::Before | Lane::After => (self.halted.is_none())
                .then_some(Fact::Halted { reason: HaltReason::LaneFailed { lane, step, error } }),
        }
    }

    fn end_by_abort(&self, lane: Lane) -> Option<Fact> {
        let Lane::Worker(target) = lane else { return None };
        let state = self.lane(lane);
        if state.in_flight > 0 {
            return None;
        }
        Some(match self.aborted {
            Some(true) => Fact::RevertStarted { target },
            _ => Fact::WorkerCancelled { target },
        })
    }

    fn next_undo(&mut self, target: TargetIx, effects: &mut Vec<Effect>) -> Option<Fact> {
        let lane = Lane::Worker(target);
        let state = self.lane(lane);
        let revert = state.revert.as_deref()?;
        if revert.in_flight.is_some() {
            return None;
        }
        let Some(next) = revert.todo.front().cloned() else {
            // A reboot that was sent may still come: the worker is not as it was, and stays down.
            return Some(if state.has_unverified_reboot() {
                let message = "a reboot was sent and its new boot was never seen";
                Fact::RevertStuck { target, error: StepError::new(ErrorKind::Unverified, message) }
            } else {
                Fact::WorkerReverted { target }
            });
        };
        let attempts = self.step(lane, next.step).retries.attempts;
        let spent = revert.tries >= attempts || next.intent == Intent::UndoCommand;
        if let Some(error) = &revert.error {
            // Else it is tried again at once: a revert has nobody to wait for.
            if spent || error.kind.is_final() {
                return Some(Fact::RevertStuck { target, error: error.clone() });
            }
        }
        if next.intent == Intent::UndoEnable && state.has_unverified_reboot() {
            let message = "the new boot was never seen: it stays disabled";
            let error = StepError::new(ErrorKind::Unverified, message);
            return Some(Fact::RevertStuck { target, error });
        }
        if self.interrupted {
            return None;
        }
        if self.is_exclusive(lane, next.step, &next.intent) && self.rebooting.iter().any(|t| t != target) {
            self.blocked_catalog.insert(lane);
            return None;
        }
        Some(self.order(lane, next.step, next.intent, effects))
    }

    fn next_of_run(&mut self, at: Millis, effects: &mut Vec<Effect>) -> Option<Fact> {
        if self.aborted.is_some() {
            let idle = self.active.is_empty() && self.awaited.is_empty();
            return idle.then_some(Fact::RunFinished { end: RunEnd::Aborted });
        }
        let phase = self.chart.phase();
        if self.failures > self.allowed_failures
            && matches!(phase, RunPhase::Before | RunPhase::Rolling | RunPhase::Soaking)
        {
            let reason =
                HaltReason::TooManyFailures { failed: self.failures, allowed: self.allowed_failures };
            return Some(Fact::Halted { reason });
        }
        if self.interrupted {
            return None;
        }
        match phase {
            RunPhase::Before => self.before.all_satisfied().then_some(Fact::BeforeDone),
            RunPhase::Soaking => self.next_wave(at),
            RunPhase::Rolling => self.next_admission(at, effects),
            RunPhase::After => self.after.all_satisfied().then(|| Fact::RunFinished { end: self.end_now() }),
            RunPhase::Fresh | RunPhase::Preflight | RunPhase::Halted | RunPhase::Finished => None,
        }
    }

    fn next_wave(&mut self, at: Millis) -> Option<Fact> {
        let next = self.wave.map_or(0, |wave| wave + 1);
        if (next as usize) < self.graph.waves.len() {
            let now = self.paused.is_none() && at >= self.soak_until;
            return now.then_some(Fact::WaveStarted { wave: next });
        }
        None
    }

    /// How the run ends if it ends now.
    pub(super) fn end_now(&self) -> RunEnd {
        let well = self.targets.iter().all(|state| {
            (state.chart.state() == WorkerState::Succeeded || state.left_alone) && !state.is_left_disabled()
        });
        if well { RunEnd::Succeeded } else { RunEnd::Failed }
    }
}
