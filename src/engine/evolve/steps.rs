//! The part of `evolve` that is about steps between two attempts: retries, gates, timers, doubt, failure.

use super::super::known::Known;
use super::super::pending::Pending;
use super::super::state::{Ended, Gate, StepStatus};
use super::super::{AttemptId, ErrorKind, Fact, Millis, Resolution, RuleViolation, StepError, Timer};
use crate::graph::{Lane, StepIx, StepRef};
use crate::plan::StepKind;

impl Known {
    fn status(&self, at: StepRef) -> &StepStatus {
        self.lanes.get(at.lane).step(at.step).status()
    }

    fn set_status(&mut self, at: StepRef, status: StepStatus, pending: &mut Pending) {
        self.lanes.get_mut(at.lane).step_mut(at.step).set(status);
        self.settle(at.lane, pending);
    }

    pub(super) fn schedule_retry(
        &mut self,
        at: StepRef,
        due: Millis,
        reissue: Option<StepIx>,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        if !matches!(self.status(at), StepStatus::Ended(_)) {
            return Err(RuleViolation::new("a retry follows a failed attempt", fact));
        }
        match reissue {
            Some(itself) if itself == at.step => {
                self.lanes.get_mut(at.lane).step_mut(itself).void_receipt();
            }
            Some(reboot) => self.reissue_reboot(self.step_at(at.lane, reboot, fact)?, fact)?,
            None => {}
        }
        self.set_status(at, StepStatus::BackingOff { due }, pending);
        Ok(())
    }

    /// A reboot that did not happen is entered again, with the same B0; receipts become void.
    fn reissue_reboot(&mut self, at: StepRef, fact: &Fact) -> Result<(), RuleViolation> {
        let state = self.lanes.get_mut(at.lane).step_mut(at.step);
        let unverified = state.reboot().is_some_and(|reboot| reboot.is_unverified());
        if *state.status() != StepStatus::Done || !unverified {
            return Err(RuleViolation::new("only a reboot that nobody saw is entered again", fact));
        }
        state.enter_reboot_again();
        Ok(())
    }

    pub(super) fn close_gate(
        &mut self,
        at: StepRef,
        opens: Option<Millis>,
        expires: Option<Millis>,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        let is_gate = matches!(self.setup.kind(at), StepKind::Pause { .. } | StepKind::Approve { .. });
        let is_pending = *self.status(at) == StepStatus::Pending;
        if !is_pending || !is_gate || !self.needs_met(at) || !self.may_step(at.lane) || !self.is_its_turn(at)
        {
            return Err(RuleViolation::new("a gate closes when its step's turn comes", fact));
        }
        self.set_status(at, StepStatus::Gated(Box::new(Gate { opens, expires })), pending);
        Ok(())
    }

    pub(super) fn approve(
        &mut self,
        at: StepRef,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        if self.status(at).approval().is_none() {
            return Err(RuleViolation::new("only what waits for an operator is approved", fact));
        }
        self.set_status(at, StepStatus::Done, pending);
        Ok(())
    }

    fn check_ended(&self, at: StepRef, fact: &Fact) -> Result<(), RuleViolation> {
        match self.status(at) {
            StepStatus::Ended(_) => Ok(()),
            _ => Err(RuleViolation::new("a step fails with an attempt", fact)),
        }
    }

    pub(super) fn ignore_failure(
        &mut self,
        at: StepRef,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        self.check_ended(at, fact)?;
        self.set_status(at, StepStatus::Ignored, pending);
        Ok(())
    }

    pub(super) fn fail_step(
        &mut self,
        at: StepRef,
        error: &StepError,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        self.check_ended(at, fact)?;
        self.lanes.get_mut(at.lane).fail_step(at.step, error);
        self.settle(at.lane, pending);
        Ok(())
    }

    /// A timer of a step that waits no more, or not yet long enough, changes nothing.
    pub(super) fn timer(&mut self, now: Millis, timer: &Timer, pending: &mut Pending) {
        match timer {
            Timer::Retry { lane, step } => {
                if let Some((at, StepStatus::BackingOff { due })) = self.find_step(*lane, *step)
                    && now >= *due
                {
                    self.set_status(at, StepStatus::Pending, pending);
                }
            }
            Timer::Gate { lane, step } => {
                if let Some((at, StepStatus::Gated(gate))) = self.find_step(*lane, *step) {
                    let Gate { opens, expires } = **gate;
                    if opens.is_some_and(|opens| now >= opens) {
                        self.set_status(at, StepStatus::Done, pending);
                    } else if expires.is_some_and(|expires| now >= expires) {
                        let error =
                            StepError::new(ErrorKind::NotApproved, "timed out waiting for an approval");
                        let ended = Ended { attempt: AttemptId(0), error, unknown: false };
                        self.set_status(at, StepStatus::Ended(Box::new(ended)), pending);
                    } else {
                        self.settle(at.lane, pending);
                    }
                }
            }
            Timer::Soak { .. } => {}
            Timer::Admission => pending.admission_timer_fired(),
        }
    }

    fn find_step(&self, lane: Lane, step: StepIx) -> Option<(StepRef, &StepStatus)> {
        if matches!(lane, Lane::Worker(target) if !self.lanes.has(target)) {
            return None;
        }
        let at = StepRef { lane, step };
        self.lanes.get(lane).has_step(step).then(|| (at, self.status(at)))
    }

    pub(super) fn doubt(
        &mut self,
        attempt: AttemptId,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        let at = self.find_attempt(attempt, fact)?;
        if self.setup.kind(at).traits().repeatable {
            return Err(RuleViolation::new("an operator decides only what looking cannot", fact));
        }
        self.set_status(at, StepStatus::InDoubt(attempt), pending);
        Ok(())
    }

    pub(super) fn resolve(
        &mut self,
        attempt: AttemptId,
        how: Resolution,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        let at = self.find_attempt(attempt, fact)?;
        let operator_decides = matches!(self.status(at), StepStatus::InDoubt(_));
        if operator_decides == (how == Resolution::Repeat) {
            return Err(RuleViolation::new("an operator decides what is in doubt, and nothing else", fact));
        }
        let status = match how {
            Resolution::Repeat | Resolution::Rerun => StepStatus::Pending,
            Resolution::Done => StepStatus::Done,
            Resolution::Skip => StepStatus::Skipped,
        };
        self.set_status(at, status, pending);
        Ok(())
    }

    /// The step whose attempt is orphaned, in doubt, or has ended unknown. Only open lanes can have one.
    fn find_attempt(&self, attempt: AttemptId, fact: &Fact) -> Result<StepRef, RuleViolation> {
        let is_it = |status: &StepStatus| match status {
            StepStatus::Orphaned(id) | StepStatus::InDoubt(id) => *id == attempt,
            StepStatus::Ended(ended) => ended.unknown && ended.attempt == attempt,
            _ => false,
        };
        let mut steps = self.lanes.open_steps();
        steps
            .find_map(|(at, state)| is_it(state.status()).then_some(at))
            .ok_or_else(|| RuleViolation::new("only an attempt without an answer is in doubt", fact))
    }
}
