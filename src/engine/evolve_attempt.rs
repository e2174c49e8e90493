//! The part of `evolve` that is about attempts: issued, finished, lost, settled.

use crate::graph::Lane;
use crate::plan::StepKind;

use super::backoff::RECHECKS;
use super::lane::{self, Ended, Gate, RebootSeen, Status};
use super::run_state::{Awaited, RunState};
use super::{
    AttemptId, ErrorKind, Evidence, Fact, Intent, Millis, Outcome, Resolution, RuleViolation, StepError,
    Timer,
};

impl RunState {
    pub(super) fn issue(&mut self, at: Millis, attempt: AttemptId, awaited: Awaited) {
        let (lane, step) = (awaited.lane, awaited.step);
        if self.is_exclusive(lane, step, &awaited.intent) {
            self.catalog_in_flight += 1;
        }
        let disables = matches!(self.step(lane, step).kind, StepKind::Disable { .. });
        let state = self.lane_mut(lane);
        state.in_flight += 1;
        if awaited.intent.is_undo() {
            if let Some(revert) = &mut state.revert {
                revert.in_flight = Some(attempt);
                revert.error = None;
            }
        } else {
            let slot = &mut state.steps[step as usize];
            slot.status = Status::InFlight(attempt);
            slot.was_issued |= awaited.intent != Intent::ReadBootId;
            if let (Intent::Reboot { .. }, Some(reboot)) = (&awaited.intent, &mut slot.reboot) {
                reboot.issued_at = Some(at);
                reboot.issues += 1;
            }
            state.maybe_disabled |= disables;
        }
        if let (Intent::Reboot { .. }, Lane::Worker(target)) = (&awaited.intent, lane) {
            self.rebooting.insert(target);
        }
        self.awaited.insert(attempt, awaited);
        self.settle(lane);
    }

    pub(super) fn finish(
        &mut self,
        at: Millis,
        attempt: AttemptId,
        outcome: &Outcome,
        fact: &Fact,
    ) -> Result<(), RuleViolation> {
        if attempt.0 == 0 || attempt.0 > self.last_attempt {
            return Err(RuleViolation::new("only what was issued can finish", fact));
        }
        let Some(awaited) = self.awaited.get(&attempt) else {
            // Stale: a controller that was replaced, or an answer after a person's decision.
            return Ok(());
        };
        let (lane, step) = (awaited.lane, awaited.step);
        if let Outcome::Ok { evidence } = outcome {
            check_evidence(&awaited.intent, evidence, &self.step(lane, step).kind, fact)?;
        }
        let Some(awaited) = self.awaited.remove(&attempt) else { return Ok(()) };
        if self.is_exclusive(lane, step, &awaited.intent) {
            self.catalog_in_flight -= 1;
        }
        let reached = matches!(outcome, Outcome::Ok { .. })
            && lane::reaches_worker(&self.step(lane, step).kind, &awaited.intent);
        let state = self.lane_mut(lane);
        state.in_flight -= 1;
        state.answered |= reached;
        if awaited.intent.is_undo() {
            self.finish_undo(lane, &awaited.intent, outcome);
        } else {
            self.finish_step(at, attempt, &awaited, outcome);
        }
        if let Lane::Worker(target) = lane
            && !self.targets[target.0 as usize].has_unverified_reboot()
        {
            self.rebooting.remove(target);
        }
        self.settle(lane);
        self.wake_blocked();
        Ok(())
    }

    fn finish_step(&mut self, _at: Millis, attempt: AttemptId, awaited: &Awaited, outcome: &Outcome) {
        let (lane, step) = (awaited.lane, awaited.step);
        let kind = &self.step(lane, step).kind;
        let touches = lane::touches(kind) && awaited.intent != Intent::ReadBootId;
        let (error, unknown) = match outcome {
            Outcome::Ok { evidence } => {
                self.succeed(lane, step, awaited, evidence);
                return;
            }
            Outcome::NotDone { reason } => {
                self.pause_wanted = Some(reason.clone());
                *self.status_mut(lane, step) = Status::Postponed;
                return;
            }
            Outcome::Failed { error } if self.may_have_departed(lane, step, awaited, error.kind) => {
                self.succeed(lane, step, awaited, &Evidence::Departed);
                return;
            }
            Outcome::Failed { error } => (error.clone(), false),
            Outcome::Unknown { why } => (StepError::new(ErrorKind::Unknown, why.clone()), true),
            Outcome::TimedOut { after, doing } => {
                let seconds = *after as f64 / 1000.0;
                let message = format!("{doing}: no end within {seconds} s");
                (StepError::new(ErrorKind::TimedOut, message), touches)
            }
        };
        let slot = &mut self.lane_mut(lane).steps[step as usize];
        if unknown && matches!(outcome, Outcome::Unknown { .. }) && slot.rechecks < RECHECKS {
            slot.rechecks += 1;
        } else {
            slot.tries += 1;
        }
        slot.status = Status::Ended(Box::new(Ended { attempt, error, unknown }));
    }

    /// A reboot that was sent before finds the worker away: very likely it is on its way down or up.
    /// That is no reboot seen: only the wait behind it verifies one, and it enters the step again when
    /// the worker comes back as it was.
    fn may_have_departed(&self, lane: Lane, step: u32, awaited: &Awaited, kind: ErrorKind) -> bool {
        let sent_before = self.lane(lane).steps[step as usize].reboot.as_ref().is_some_and(|r| r.issues > 1);
        let away = matches!(
            kind,
            ErrorKind::Refused
                | ErrorKind::Unreachable
                | ErrorKind::TimedOut
                | ErrorKind::Handshake
                | ErrorKind::NoLogin
                | ErrorKind::AuthRefused
        );
        matches!(awaited.intent, Intent::Reboot { .. }) && sent_before && away
    }

    fn succeed(&mut self, lane: Lane, step: u32, awaited: &Awaited, evidence: &Evidence) {
        let is_enable = matches!(self.step(lane, step).kind, StepKind::Enable);
        let awaited_reboot = self.lane(lane).awaited_reboot(&self.order, step).map(|(at, _)| at);
        let state = self.lane_mut(lane);
        let slot = &mut state.steps[step as usize];
        slot.status = Status::Done;
        slot.rechecks = 0;
        match (evidence, &mut slot.reboot) {
            (Evidence::BootId { boot_id }, Some(reboot)) => {
                reboot.boot_id = Some(boot_id.clone());
                slot.status = Status::Pending;
            }
            (Evidence::NotNeeded, Some(reboot)) => reboot.seen = RebootSeen::NotNeeded,
            (Evidence::Departed, Some(reboot)) => reboot.seen = RebootSeen::Departed,
            (Evidence::Rebooted { boot_id }, Some(reboot)) => {
                reboot.seen = RebootSeen::Verified(boot_id.clone());
            }
            (Evidence::Disabled { own, .. }, _) => {
                state.maybe_disabled = false;
                for entry in own {
                    if !state.own_disabled.contains(entry) {
                        state.own_disabled.push(entry.clone());
                    }
                }
            }
            (Evidence::Back { boot_id }, _) => {
                let reboot = awaited_reboot.and_then(|at| state.steps[at as usize].reboot.as_mut());
                if let Some(reboot) = reboot
                    && reboot.is_unverified()
                    && reboot.boot_id.as_ref() != Some(boot_id)
                {
                    reboot.seen = RebootSeen::Verified(boot_id.clone());
                }
            }
            _ => {}
        }
        if is_enable && awaited.intent != Intent::ReadBootId {
            state.own_disabled.clear();
            state.maybe_disabled = false;
        }
    }

    fn finish_undo(&mut self, lane: Lane, intent: &Intent, outcome: &Outcome) {
        let state = self.lane_mut(lane);
        let Some(revert) = &mut state.revert else { return };
        revert.in_flight = None;
        match outcome {
            Outcome::Ok { .. } => {
                revert.todo.pop_front();
                revert.tries = 0;
                if *intent == Intent::UndoEnable {
                    state.own_disabled.clear();
                    state.maybe_disabled = false;
                }
            }
            Outcome::Failed { error } => {
                revert.tries += 1;
                revert.error = Some(error.clone());
            }
            Outcome::Unknown { why } | Outcome::NotDone { reason: why } => {
                revert.tries += 1;
                revert.error = Some(StepError::new(ErrorKind::Unknown, why.clone()));
            }
            Outcome::TimedOut { doing, .. } => {
                revert.tries += 1;
                revert.error = Some(StepError::new(ErrorKind::TimedOut, doing.clone()));
            }
        }
    }

    /// A reboot that did not happen is entered again, with the same B0; receipts become void.
    pub(super) fn reissue_reboot(&mut self, lane: Lane, step: u32, fact: &Fact) -> Result<(), RuleViolation> {
        let state = self.checked_step(lane, step, fact)?;
        let rebooted = state.reboot.as_ref().is_none_or(|reboot| !reboot.is_unverified());
        if state.status != Status::Done || rebooted {
            return Err(RuleViolation::new("only a reboot that nobody saw is entered again", fact));
        }
        self.lane_mut(lane).steps[step as usize].status = Status::Pending;
        self.next_generation(lane, step);
        Ok(())
    }

    /// The receipt of the attempt before is void: else the worker would only say that it is pending.
    pub(super) fn next_generation(&mut self, lane: Lane, step: u32) {
        if let Some(reboot) = &mut self.lane_mut(lane).steps[step as usize].reboot {
            reboot.generation += 1;
            reboot.seen = RebootSeen::Nothing;
        }
    }

    pub(super) fn timer(&mut self, at: Millis, timer: &Timer) {
        match timer {
            Timer::Retry { lane, step } => {
                if let Some(Status::BackingOff { due }) = self.status_of(*lane, *step)
                    && at >= due
                {
                    *self.status_mut(*lane, *step) = Status::Pending;
                    self.settle(*lane);
                }
            }
            Timer::Gate { lane, step } => {
                if let Some(Status::Gated(gate)) = self.status_of(*lane, *step) {
                    let Gate { opens, expires } = *gate;
                    if opens.is_some_and(|opens| at >= opens) {
                        *self.status_mut(*lane, *step) = Status::Done;
                    } else if expires.is_some_and(|expires| at >= expires) {
                        let message = "nobody approved it in time";
                        let error = StepError::new(ErrorKind::NotApproved, message);
                        let ended = Ended { attempt: AttemptId(0), error, unknown: false };
                        *self.status_mut(*lane, *step) = Status::Ended(Box::new(ended));
                    }
                    self.settle(*lane);
                }
            }
            Timer::Soak { .. } => {}
            Timer::Admission => self.admission_due = None,
        }
    }

    fn status_of(&self, lane: Lane, step: u32) -> Option<Status> {
        let known = !matches!(lane, Lane::Worker(target) if target.0 as usize >= self.targets.len());
        known.then(|| self.lane(lane).steps.get(step as usize).map(|slot| slot.status.clone()))?
    }

    pub(super) fn doubt(&mut self, attempt: AttemptId, fact: &Fact) -> Result<(), RuleViolation> {
        let (lane, step) = self.find_attempt(attempt, fact)?;
        if lane::may_repeat(&self.step(lane, step).kind) {
            return Err(RuleViolation::new("a person decides only what looking can not", fact));
        }
        *self.status_mut(lane, step) = Status::InDoubt(attempt);
        self.settle(lane);
        Ok(())
    }

    pub(super) fn resolve(
        &mut self,
        attempt: AttemptId,
        how: Resolution,
        fact: &Fact,
    ) -> Result<(), RuleViolation> {
        let (lane, step) = self.find_attempt(attempt, fact)?;
        let status = &self.lane(lane).steps[step as usize].status;
        let person_decides = matches!(status, Status::InDoubt(_));
        if person_decides == (how == Resolution::Repeat) {
            return Err(RuleViolation::new("a person decides what is in doubt, and nothing else", fact));
        }
        *self.status_mut(lane, step) = match how {
            Resolution::Repeat | Resolution::Rerun => Status::Pending,
            Resolution::Done => Status::Done,
            Resolution::Skip => Status::Skipped,
        };
        self.settle(lane);
        Ok(())
    }

    /// The step whose attempt is lost, in doubt, or has ended unknown. Only active lanes can have one.
    fn find_attempt(&self, attempt: AttemptId, fact: &Fact) -> Result<(Lane, u32), RuleViolation> {
        let lanes = [Lane::Before, Lane::After].into_iter().chain(self.active.iter().map(Lane::Worker));
        for lane in lanes {
            for (step, slot) in self.lane(lane).steps.iter().enumerate() {
                let found = match &slot.status {
                    Status::Orphaned(id) | Status::InDoubt(id) => *id == attempt,
                    Status::Ended(ended) => ended.unknown && ended.attempt == attempt,
                    _ => false,
                };
                if found {
                    return Ok((lane, step as u32));
                }
            }
        }
        Err(RuleViolation::new("only an attempt without an answer is in doubt", fact))
    }

    /// Whether it is a catalog operation that excludes workers that are down.
    pub(super) fn is_exclusive(&self, lane: Lane, step: u32, intent: &Intent) -> bool {
        self.options.exclusive_catalog
            && match intent {
                Intent::UndoDeploy | Intent::UndoStop => true,
                Intent::Do { .. } => lane::is_catalog_operation(&self.step(lane, step).kind),
                _ => false,
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
        (Intent::ReadBootId, Evidence::BootId { boot_id }) => !boot_id.is_empty(),
        (Intent::ReadBootId, _) => false,
        (Intent::Reboot { boot_id: before, .. }, Evidence::Rebooted { boot_id }) => {
            before != boot_id && !boot_id.is_empty()
        }
        (Intent::Reboot { .. }, Evidence::Departed | Evidence::NotNeeded) => true,
        (Intent::Reboot { .. }, _) => false,
        (Intent::AwaitBoot { not, .. }, Evidence::Back { boot_id }) => {
            not.as_ref() != Some(boot_id) && !boot_id.is_empty()
        }
        (Intent::AwaitBoot { .. }, _) => false,
        (Intent::Do { .. }, Evidence::Disabled { .. }) => matches!(kind, StepKind::Disable { .. }),
        (Intent::Do { .. }, Evidence::NotNeeded) => {
            matches!(kind, StepKind::Run(_) | StepKind::Local(_))
        }
        (Intent::Do { .. }, Evidence::Said { .. }) => !matches!(kind, StepKind::Disable { .. }),
        (Intent::Do { .. }, _) => false,
        (_, evidence) => matches!(evidence, Evidence::Said { .. } | Evidence::NotNeeded),
    };
    if fits { Ok(()) } else { Err(RuleViolation::new("a success is shown by what was seen", fact)) }
}
