//! Which fact may follow which, and what it does to the state: one total function, used at run time
//! and at replay. Every check comes before the first change, so that a refused fact changes nothing.

use crate::graph::{Lane, TargetIx};
use crate::plan::StepKind;

use super::chart::{Event, WorkerState};
use super::lane::{self, Gate, Status};
use super::run_chart::{RunEvent, RunPhase};
use super::run_state::{Awaited, RunState};
use super::{Check, ErrorKind, Fact, Intent, Millis, RuleViolation, Timer};

impl RunState {
    /// Takes one fact, or says which rule it breaks.
    pub(super) fn evolve(&mut self, at: Millis, fact: &Fact) -> Result<(), RuleViolation> {
        if self.end.is_some() && !matches!(fact, Fact::Finished { .. }) {
            return Err(RuleViolation::new("nothing follows the end of a run", fact));
        }
        match fact {
            Fact::RunStarted { workers, seed, .. } => {
                if *workers as usize != self.targets.len() {
                    return Err(RuleViolation::new("a run has the workers of its graph", fact));
                }
                self.run_event(RunEvent::Started, fact)?;
                self.seed = *seed;
            }
            Fact::Preflight { checks } => self.preflight(checks, fact)?,
            Fact::Observed { jobs, unavailable, took } => {
                self.admission.observed(jobs, unavailable, at - took)
            }
            Fact::BeforeDone => {
                if !self.before.all_satisfied() {
                    return Err(RuleViolation::new("the rollout begins after all of `before`", fact));
                }
                self.run_event(RunEvent::BeforeDone, fact)?;
            }
            Fact::WaveStarted { wave } => {
                let expected = self.wave.map_or(0, |wave| wave + 1);
                if *wave != expected || *wave as usize >= self.graph.waves.len() {
                    return Err(RuleViolation::new("waves begin one after the other", fact));
                }
                if at < self.soak_until {
                    return Err(RuleViolation::new("a wave begins after the soak", fact));
                }
                self.run_event(RunEvent::WaveStarted, fact)?;
                self.wave = Some(*wave);
            }
            Fact::WaveFinished { wave, soak_until } => {
                let left = self.wave_left.get(*wave as usize).copied();
                if self.wave != Some(*wave) || left != Some(0) || !self.active.is_empty() {
                    return Err(RuleViolation::new("a wave ends when all its workers have", fact));
                }
                self.run_event(RunEvent::WaveFinished, fact)?;
                self.soak_until = *soak_until;
                if *wave as usize + 1 == self.graph.waves.len() {
                    self.run_event(RunEvent::RolloutDone, fact)?;
                    self.agenda.push_back(Lane::After);
                }
            }
            Fact::WorkerAdmitted { target } => self.admit(at, *target, fact)?,
            Fact::Issued { attempt, lane, step, intent } => {
                self.check_issue(*lane, *step, intent, fact)?;
                if attempt.0 != self.last_attempt + 1 {
                    return Err(RuleViolation::new("attempts are numbered without gaps", fact));
                }
                self.last_attempt = attempt.0;
                let awaited = Awaited { lane: *lane, step: *step, intent: intent.clone() };
                self.issue(at, *attempt, awaited);
            }
            Fact::Finished { attempt, outcome } => self.finish(at, *attempt, outcome, fact)?,
            Fact::RetryScheduled { lane, step, due, reissue } => {
                let Status::Ended(_) = self.checked_step(*lane, *step, fact)?.status else {
                    return Err(RuleViolation::new("a retry follows a failed attempt", fact));
                };
                if *reissue == Some(*step) {
                    self.next_generation(*lane, *step);
                } else if let Some(reboot) = reissue {
                    self.reissue_reboot(*lane, *reboot, fact)?;
                }
                *self.status_mut(*lane, *step) = Status::BackingOff { due: *due };
                self.settle(*lane);
            }
            Fact::GateClosed { lane, step, opens, expires } => {
                let pending = self.checked_step(*lane, *step, fact)?.status == Status::Pending;
                let gate =
                    matches!(self.step(*lane, *step).kind, StepKind::Pause { .. } | StepKind::Approve { .. });
                if !pending || !gate || !self.needs_met(*lane, *step) || !self.may_step(*lane) {
                    return Err(RuleViolation::new("a gate closes when its step's turn comes", fact));
                }
                *self.status_mut(*lane, *step) =
                    Status::Gated(Box::new(Gate { opens: *opens, expires: *expires }));
                self.settle(*lane);
            }
            Fact::Due { timer } => self.timer(at, timer),
            Fact::Approved { lane, step, .. } => {
                let status = &self.checked_step(*lane, *step, fact)?.status;
                if status.waits_for_a_person().is_none() {
                    return Err(RuleViolation::new("only what waits for a person is approved", fact));
                }
                *self.status_mut(*lane, *step) = Status::Done;
                self.settle(*lane);
            }
            Fact::StepIgnored { lane, step, .. } => {
                self.ended(*lane, *step, fact)?;
                *self.status_mut(*lane, *step) = Status::Ignored;
                self.settle(*lane);
            }
            Fact::StepFailed { lane, step, error } => {
                self.ended(*lane, *step, fact)?;
                *self.status_mut(*lane, *step) = Status::Failed;
                let state = self.lane_mut(*lane);
                if state.failed.is_none() {
                    state.failed = Some((*step, error.kind));
                    state.error = Some(Box::new(error.clone()));
                }
                self.settle(*lane);
            }
            Fact::InDoubt { attempt } => self.doubt(*attempt, fact)?,
            Fact::InDoubtResolved { attempt, how } => self.resolve(*attempt, *how, fact)?,
            Fact::WorkerSucceeded { target } => {
                if !self.targets[self.index(*target, fact)?].all_satisfied() {
                    return Err(RuleViolation::new("a worker succeeds after all its steps", fact));
                }
                self.worker_event(*target, Event::Succeeded, fact)?;
                let state = &self.targets[target.0 as usize];
                if let Some(admitted) = state.admitted_at.filter(|_| !state.retried) {
                    self.median.add(at - admitted);
                }
                self.admission.succeeded(*target);
                self.worker_ended(*target);
            }
            Fact::WorkerFailed { target, step, error } => {
                let state = &self.targets[self.index(*target, fact)?];
                let with_a_step = state.failed.is_some() || error.kind == ErrorKind::Unverified;
                if !with_a_step || state.in_flight > 0 {
                    return Err(RuleViolation::new("a worker fails with a step, and at rest", fact));
                }
                self.worker_event(*target, Event::Failed, fact)?;
                let state = &mut self.targets[target.0 as usize];
                state.error = Some(Box::new(error.clone()));
                state.failed = state.failed.or(step.map(|step| (step, error.kind)));
                self.worker_failed(*target, true);
            }
            Fact::RevertStarted { target } => self.start_revert(*target, fact)?,
            Fact::WorkerReverted { target } => {
                let state = &self.targets[self.index(*target, fact)?];
                let done = state.revert.as_ref().is_some_and(|r| r.todo.is_empty());
                if !done {
                    return Err(RuleViolation::new("a revert ends when all is undone", fact));
                }
                self.worker_event(*target, Event::Reverted, fact)?;
                self.worker_failed(*target, false);
            }
            Fact::RevertStuck { target, error } => {
                let state = &self.targets[self.index(*target, fact)?];
                if state.in_flight > 0 {
                    return Err(RuleViolation::new("a revert is stuck at rest", fact));
                }
                self.worker_event(*target, Event::Stuck, fact)?;
                self.targets[target.0 as usize].error = Some(Box::new(error.clone()));
                self.worker_failed(*target, true);
            }
            Fact::Paused { reason, .. } => {
                self.paused = Some(reason.clone());
                self.pause_wanted = None;
            }
            Fact::Interrupted { .. } => {
                self.interrupted = true;
                for target in self.active.iter().collect::<Vec<_>>() {
                    self.settle(Lane::Worker(target));
                }
            }
            Fact::Resumed { fresh_process, .. } => self.resume(*fresh_process),
            Fact::Halted { reason } => {
                let phase = self.chart.phase();
                self.run_event(RunEvent::Halted, fact)?;
                self.halted = Some((reason.clone(), phase));
            }
            Fact::Retried { target, .. } => self.retry(*target, fact)?,
            Fact::Skipped { target, .. } => self.skip(*target, fact)?,
            Fact::Aborted { revert, .. } => {
                if self.aborted.is_some() {
                    return Err(RuleViolation::new("a run is aborted once", fact));
                }
                self.aborted = Some(*revert);
                self.agenda.extend(self.active.iter().map(Lane::Worker));
            }
            Fact::WorkerCancelled { target } => {
                let state = &self.targets[self.index(*target, fact)?];
                if self.aborted.is_none() || state.in_flight > 0 {
                    return Err(RuleViolation::new("workers are cancelled by an abort, at rest", fact));
                }
                self.worker_event(*target, Event::Cancelled, fact)?;
                self.worker_ended(*target);
            }
            Fact::RunFinished { end } => {
                if !self.active.is_empty() || !self.awaited.is_empty() {
                    return Err(RuleViolation::new("a run ends when nothing is under way", fact));
                }
                self.run_event(RunEvent::Finished, fact)?;
                self.end = Some(*end);
            }
        }
        if matters_for_admission(fact) {
            self.queue_checked_at = None;
        }
        self.last_at = self.last_at.max(at);
        Ok(())
    }

    fn preflight(&mut self, checks: &[Check], fact: &Fact) -> Result<(), RuleViolation> {
        if checks.len() != self.targets.len() {
            return Err(RuleViolation::new("preflight looks at every worker", fact));
        }
        self.run_event(RunEvent::PreflightDone, fact)?;
        for (at, check) in checks.iter().enumerate() {
            let target = TargetIx(at as u32);
            let event = match check {
                Check::Ready { .. } => continue,
                Check::Unreachable { error } => {
                    self.targets[at].unreachable = true;
                    self.targets[at].error = Some(Box::new(error.clone()));
                    self.targets[at].counted_failed = true;
                    self.failures += 1;
                    self.admission.unreachable(target);
                    Event::Failed
                }
                Check::LeftAlone { .. } => {
                    self.targets[at].left_alone = true;
                    Event::Skipped
                }
            };
            self.worker_event(target, event, fact)?;
            self.queue.remove(target);
            self.worker_ended(target);
        }
        self.agenda.push_back(Lane::Before);
        Ok(())
    }

    fn admit(&mut self, at: Millis, target: TargetIx, fact: &Fact) -> Result<(), RuleViolation> {
        let index = self.index(target, fact)?;
        if self.paused.is_some() || self.interrupted || self.aborted.is_some() {
            return Err(RuleViolation::new("nobody is admitted while a run is paused or ending", fact));
        }
        if self.failures > self.allowed_failures {
            return Err(RuleViolation::new("nobody is admitted after too many failures", fact));
        }
        if self.chart.phase() != RunPhase::Rolling || Some(self.graph.targets[index].wave) > self.wave {
            return Err(RuleViolation::new("workers are admitted when their wave is open", fact));
        }
        self.worker_event(target, Event::Admitted, fact)?;
        self.targets[index].admitted_at = Some(at);
        self.admission.admitted(target);
        self.queue.remove(target);
        self.active.insert(target);
        if self.targets[index].has_unverified_reboot() {
            // Taken up again by a person: it may still be away.
            self.rebooting.insert(target);
        }
        self.agenda.push_back(Lane::Worker(target));
        Ok(())
    }

    /// Whether steps of this lane may be issued now.
    pub(super) fn may_step(&self, lane: Lane) -> bool {
        if self.interrupted {
            return false;
        }
        match lane {
            Lane::Before => self.chart.phase() == RunPhase::Before && self.aborted.is_none(),
            Lane::After => self.chart.phase() == RunPhase::After && self.aborted.is_none(),
            Lane::Worker(target) => {
                let life = self.targets[target.0 as usize].chart.state();
                life.is_active() && (self.aborted.is_none() || life == WorkerState::Reverting)
            }
        }
    }

    fn check_issue(&self, lane: Lane, step: u32, intent: &Intent, fact: &Fact) -> Result<(), RuleViolation> {
        let state = self.checked_step(lane, step, fact)?;
        if !self.may_step(lane) {
            return Err(RuleViolation::new("steps are issued in an active lane of an open run", fact));
        }
        let all = self.lane(lane);
        if intent.is_undo() {
            let next = all.revert.as_ref().filter(|revert| revert.in_flight.is_none());
            let fits = next
                .and_then(|revert| revert.todo.front())
                .is_some_and(|undo| undo.step == step && undo.intent == *intent);
            if all.chart.state() != WorkerState::Reverting || !fits {
                return Err(RuleViolation::new("undos are issued one after the other", fact));
            }
            return Ok(());
        }
        if all.chart.state() == WorkerState::Reverting || all.failed.is_some() {
            return Err(RuleViolation::new("no step is issued after one has failed", fact));
        }
        if state.status != Status::Pending || !self.needs_met(lane, step) {
            return Err(RuleViolation::new("a step is issued after what it needs, and once", fact));
        }
        let kind = &self.step(lane, step).kind;
        let fits = match (kind, intent) {
            (StepKind::Reboot { .. }, Intent::ReadBootId) => {
                state.reboot.as_ref().is_some_and(|reboot| reboot.boot_id.is_none())
            }
            (StepKind::Reboot { .. }, Intent::Reboot { boot_id, generation }) => {
                state.reboot.as_ref().is_some_and(|reboot| {
                    reboot.boot_id.as_ref() == Some(boot_id) && reboot.generation == *generation
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
        if !waits && all.has_unverified_reboot() {
            return Err(RuleViolation::new("nothing follows a reboot before the new boot is seen", fact));
        }
        Ok(())
    }

    fn ended(&self, lane: Lane, step: u32, fact: &Fact) -> Result<(), RuleViolation> {
        match self.checked_step(lane, step, fact)?.status {
            Status::Ended(_) => Ok(()),
            _ => Err(RuleViolation::new("a step fails with an attempt", fact)),
        }
    }

    pub(super) fn checked_step(
        &self,
        lane: Lane,
        step: u32,
        fact: &Fact,
    ) -> Result<&lane::StepState, RuleViolation> {
        if let Lane::Worker(target) = lane {
            self.index(target, fact)?;
        }
        self.lane(lane)
            .steps
            .get(step as usize)
            .ok_or_else(|| RuleViolation::new("facts speak of steps of the plan", fact))
    }

    pub(super) fn index(&self, target: TargetIx, fact: &Fact) -> Result<usize, RuleViolation> {
        let index = target.0 as usize;
        if index < self.targets.len() {
            Ok(index)
        } else {
            Err(RuleViolation::new("facts speak of selected workers", fact))
        }
    }

    pub(super) fn run_event(&mut self, event: RunEvent, fact: &Fact) -> Result<(), RuleViolation> {
        if self.chart.handle(event) {
            Ok(())
        } else {
            Err(RuleViolation::new("the run is not in a phase for this", (fact, self.chart.phase())))
        }
    }

    pub(super) fn worker_event(
        &mut self,
        target: TargetIx,
        event: Event,
        fact: &Fact,
    ) -> Result<(), RuleViolation> {
        let state = &mut self.targets[target.0 as usize];
        if state.chart.handle(event) {
            Ok(())
        } else {
            Err(RuleViolation::new("the worker is not in a state for this", (fact, state.chart.state())))
        }
    }
}

/// Whether the queue may answer otherwise after this fact: all but what happens within a lane.
fn matters_for_admission(fact: &Fact) -> bool {
    !matches!(
        fact,
        Fact::Issued { .. }
            | Fact::Finished { .. }
            | Fact::RetryScheduled { .. }
            | Fact::GateClosed { .. }
            | Fact::Approved { .. }
            | Fact::StepIgnored { .. }
            | Fact::StepFailed { .. }
            | Fact::InDoubt { .. }
            | Fact::InDoubtResolved { .. }
            | Fact::Due { timer: Timer::Retry { .. } | Timer::Gate { .. } }
    )
}
