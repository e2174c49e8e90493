//! The part of `evolve` that is about attempts: issued, and finished.

use super::super::known::Known;
use super::super::pending::Pending;
use super::super::state::{Awaited, Ended, StepStatus, Turn, WorkerState};
use super::super::{AttemptId, ErrorKind, Evidence, Fact, Intent, Millis, Outcome, RuleViolation, StepError};
use crate::graph::{Lane, StepRef};
use crate::plan::StepKind;

impl Known {
    pub(super) fn issue(
        &mut self,
        now: Millis,
        attempt: AttemptId,
        at: StepRef,
        intent: &Intent,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        self.check_issue(at, intent, fact)?;
        if attempt != self.attempts.next() {
            return Err(RuleViolation::new("attempts are numbered without gaps", fact));
        }
        if self.setup.is_exclusive(at, intent) {
            self.exclusion.operation_begins();
        }
        if self.drains(at, intent) {
            self.exclusion.drain_begins();
        }
        let disables = matches!(self.setup.kind(at), StepKind::Disable { .. });
        let lane = self.lanes.get_mut(at.lane);
        lane.issue(now, attempt, at.step, intent);
        if disables && !intent.is_undo() {
            lane.disabled_mut().issued();
        }
        if let (Intent::Reboot { .. }, Lane::Worker(target)) = (intent, at.lane) {
            self.exclusion.reboots(target);
        }
        if matches!(intent, Intent::PowerCycle { .. }) {
            self.power_cycle_issued(now, at);
        }
        self.attempts.issue(attempt, Awaited { at, intent: intent.clone() });
        self.settle(at.lane, pending);
        Ok(())
    }

    /// Whether it is an edit that drains a worker, where that is done in turns.
    fn drains(&self, at: StepRef, intent: &Intent) -> bool {
        !intent.is_undo() && self.setup.turn(at) == Turn::Drain
    }

    fn check_issue(&self, at: StepRef, intent: &Intent, fact: &Fact) -> Result<(), RuleViolation> {
        if !self.may_step(at.lane) {
            return Err(RuleViolation::new("steps are issued in an active lane of an open run", fact));
        }
        let lane = self.lanes.get(at.lane);
        let reverting = lane.state() == WorkerState::Reverting;
        if intent.is_undo() {
            let next = lane.revert().filter(|revert| !revert.is_in_flight()).and_then(|revert| revert.next());
            let fits = next.is_some_and(|undo| undo.step == at.step && undo.intent == *intent);
            if !reverting || !fits {
                return Err(RuleViolation::new("undos are issued one after the other", fact));
            }
            return Ok(());
        }
        if reverting || lane.failed().is_some() {
            return Err(RuleViolation::new("no step is issued after one has failed", fact));
        }
        if let Intent::PowerCycle { boot_id } = intent {
            let fits = self.needs_met(at) && self.forced_reset(at) == Some(boot_id);
            let rule = "a reset is forced once, of a worker that nobody has seen since its reboot";
            return if fits { Ok(()) } else { Err(RuleViolation::new(rule, fact)) };
        }
        let state = lane.step(at.step);
        if !self.is_its_turn(at) {
            return Err(RuleViolation::new("a worker that is being prepared begins no other step", fact));
        }
        if *state.status() != StepStatus::Pending || !self.needs_met(at) {
            return Err(RuleViolation::new("a step is issued after what it needs, and once", fact));
        }
        let fits = match (self.setup.kind(at), intent) {
            (StepKind::Reboot { .. }, Intent::ReadBootId) => {
                state.reboot().is_some_and(|reboot| reboot.boot_id().is_none())
            }
            (StepKind::Reboot { .. }, Intent::Reboot { boot_id, generation }) => {
                state.reboot().is_some_and(|reboot| {
                    reboot.boot_id() == Some(boot_id) && reboot.generation() == *generation
                })
            }
            (StepKind::WaitForSsh { .. }, Intent::AwaitBoot { .. }) => true,
            (StepKind::Reboot { .. } | StepKind::WaitForSsh { .. }, _) => false,
            (StepKind::Pause { .. } | StepKind::Approve { .. }, _) => false,
            (_, Intent::Do { .. }) => true,
            _ => false,
        };
        if !fits {
            return Err(RuleViolation::new("an intent fits its step, and compares with B0", fact));
        }
        let waits = matches!(intent, Intent::AwaitBoot { .. } | Intent::Reboot { .. });
        if !waits && lane.has_unverified_reboot() {
            return Err(RuleViolation::new("nothing follows a reboot before the new boot is seen", fact));
        }
        Ok(())
    }

    pub(super) fn finish(
        &mut self,
        attempt: AttemptId,
        outcome: &Outcome,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        if !self.attempts.was_issued(attempt) {
            return Err(RuleViolation::new("only what was issued can finish", fact));
        }
        if let (Some(awaited), Outcome::Ok { evidence }) = (self.attempts.awaited(attempt), outcome) {
            check_evidence(&awaited.intent, evidence, self.setup.kind(awaited.at), fact)?;
        }
        if let (Some(awaited), Outcome::Unexpected { boot_id, .. }) =
            (self.attempts.awaited(attempt), outcome)
        {
            let is_new =
                matches!(&awaited.intent, Intent::AwaitBoot { not: Some(before), .. } if before != boot_id);
            if !is_new || boot_id.is_empty() {
                return Err(RuleViolation::new("only a new boot can be another one than expected", fact));
            }
        }
        // Late: from a controller that was replaced, or after an operator's decision.
        let Some(Awaited { at, intent }) = self.attempts.answered(attempt) else { return Ok(()) };
        if self.setup.is_exclusive(at, &intent) {
            self.exclusion.operation_ends();
        }
        if self.drains(at, &intent) {
            self.exclusion.drain_ends();
        }
        let reached = matches!(outcome, Outcome::Ok { .. } | Outcome::Unexpected { .. })
            && self.reaches_worker(at, &intent);
        self.lanes.get_mut(at.lane).answered(reached);
        if intent.is_undo() {
            self.finish_undo(at.lane, &intent, outcome);
        } else {
            self.finish_step(attempt, at, &intent, outcome);
        }
        if let Lane::Worker(target) = at.lane
            && !self.lanes.worker(target).has_unverified_reboot()
        {
            self.exclusion.is_back(target);
        }
        self.settle(at.lane, pending);
        pending.wake_blocked();
        Ok(())
    }

    /// Whether a success of this attempt shows that the worker is there.
    fn reaches_worker(&self, at: StepRef, intent: &Intent) -> bool {
        match intent {
            Intent::UndoEnable | Intent::PowerCycle { .. } => false,
            Intent::UndoDeploy | Intent::UndoStop => true,
            _ => self.setup.kind(at).traits().reaches_worker,
        }
    }

    fn finish_step(&mut self, attempt: AttemptId, at: StepRef, intent: &Intent, outcome: &Outcome) {
        if matches!(intent, Intent::PowerCycle { .. }) && self.finish_power_cycle(at, outcome) {
            return;
        }
        let (error, unknown) = match outcome {
            Outcome::Ok { evidence } => return self.succeed_step(at, evidence),
            Outcome::NotDone { reason } => {
                self.hold.want_pause(reason);
                self.lanes.get_mut(at.lane).step_mut(at.step).set(StepStatus::Postponed);
                return;
            }
            Outcome::Failed { error } if self.may_have_departed(at, intent, error.kind) => {
                return self.succeed_step(at, &Evidence::Departed);
            }
            Outcome::Failed { error } => (error.clone(), false),
            Outcome::Unexpected { boot_id, error, .. } => {
                self.is_back(at, boot_id);
                (error.clone(), false)
            }
            Outcome::Unknown { why, .. } => (StepError::new(ErrorKind::Unknown, why.clone()), true),
            Outcome::TimedOut { after, doing } => {
                let seconds = *after as f64 / 1000.0;
                let message = format!("{doing}: no end within {seconds}s");
                let touches = self.setup.kind(at).traits().touches && *intent != Intent::ReadBootId;
                (StepError::new(ErrorKind::TimedOut, message), touches)
            }
        };
        let lost = matches!(outcome, Outcome::Unknown { .. });
        self.lanes.get_mut(at.lane).step_mut(at.step).end(Ended { attempt, error, unknown }, lost);
    }

    /// A reboot that was sent before finds the worker away: very likely it is on its way down or up.
    /// That is no reboot seen: only the wait behind it verifies one, and it enters the step again when
    /// the worker comes back as it was.
    fn may_have_departed(&self, at: StepRef, intent: &Intent, kind: ErrorKind) -> bool {
        let reboot = self.lanes.get(at.lane).step(at.step).reboot();
        let away = matches!(
            kind,
            ErrorKind::Refused
                | ErrorKind::Unreachable
                | ErrorKind::TimedOut
                | ErrorKind::Handshake
                | ErrorKind::NoLogin
                | ErrorKind::AuthRefused
        );
        matches!(intent, Intent::Reboot { .. })
            && reboot.is_some_and(|reboot| reboot.was_sent_before())
            && away
    }

    fn succeed_step(&mut self, at: StepRef, evidence: &Evidence) {
        let lane = self.lanes.get_mut(at.lane);
        let state = lane.step_mut(at.step);
        state.succeed();
        if state.reboot_mut().is_some_and(|reboot| reboot.saw(evidence)) {
            state.set(StepStatus::Pending);
        }
        match evidence {
            Evidence::Disabled { own, .. } => lane.disabled_mut().seen(own),
            Evidence::Back { boot_id, .. } => self.is_back(at, boot_id),
            _ => {}
        }
        if matches!(self.setup.kind(at), StepKind::Enable) {
            self.lanes.get_mut(at.lane).disabled_mut().removed();
        }
    }

    /// The wait at `at` has seen this boot.
    fn is_back(&mut self, at: StepRef, boot_id: &str) {
        let lane = self.lanes.get_mut(at.lane);
        let awaited = lane.awaited_reboot(self.setup.order(), at.step).map(|(reboot, _)| reboot);
        if let Some(reboot) = awaited.and_then(|reboot| lane.step_mut(reboot).reboot_mut()) {
            reboot.is_back(boot_id);
        }
    }

    fn finish_undo(&mut self, lane: Lane, intent: &Intent, outcome: &Outcome) {
        let lane = self.lanes.get_mut(lane);
        if let Some(revert) = lane.revert_mut() {
            revert.answered(outcome);
            if *intent == Intent::UndoEnable && matches!(outcome, Outcome::Ok { .. }) {
                lane.disabled_mut().removed();
            }
        }
    }
}

/// A success must have been seen, and must be the kind of thing that the intent asked for.
fn check_evidence(
    intent: &Intent,
    evidence: &Evidence,
    kind: &StepKind,
    fact: &Fact,
) -> Result<(), RuleViolation> {
    let fits = match (intent, evidence) {
        (Intent::ReadBootId, Evidence::BootId { boot_id, .. }) => !boot_id.is_empty(),
        (Intent::ReadBootId, _) => false,
        (Intent::Reboot { boot_id: before, .. }, Evidence::Rebooted { boot_id }) => {
            before != boot_id && !boot_id.is_empty()
        }
        (Intent::Reboot { .. }, Evidence::Departed | Evidence::NotNeeded { .. }) => true,
        (Intent::Reboot { .. }, _) => false,
        (Intent::AwaitBoot { not, .. }, Evidence::Back { boot_id, .. }) => {
            not.as_ref() != Some(boot_id) && !boot_id.is_empty()
        }
        (Intent::AwaitBoot { .. }, _) => false,
        (Intent::PowerCycle { .. }, Evidence::PowerCycled { .. } | Evidence::Answers { .. }) => true,
        (Intent::PowerCycle { .. }, _) => false,
        (Intent::Do { .. }, Evidence::Disabled { .. }) => matches!(kind, StepKind::Disable { .. }),
        (Intent::Do { .. }, Evidence::NotNeeded { .. }) => {
            matches!(kind, StepKind::Run(_) | StepKind::Local(_))
        }
        (Intent::Do { .. }, Evidence::Note { .. }) => !matches!(kind, StepKind::Disable { .. }),
        (Intent::Do { .. }, _) => false,
        (_, evidence) => matches!(evidence, Evidence::Note { .. } | Evidence::NotNeeded { .. }),
    };
    if fits { Ok(()) } else { Err(RuleViolation::new("a success is shown by what was seen", fact)) }
}
