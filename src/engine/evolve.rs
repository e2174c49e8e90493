//! Which fact may follow which, and what it does to the state: one total function, used at run time
//! and at replay. Every check comes before the first change, so that a refused fact changes nothing.
//!
//! Facts come from files and from operators: a worker or a step that they name is looked up before it is
//! used, and from there on it is a [`StepRef`] that exists.

mod attempts;
mod gates;
mod operator;
mod power;
mod preparation;
mod run;
mod steps;
mod workers;

use super::known::Known;
use super::pending::Pending;
use super::state::{LaneState, RunEvent, WorkerEvent};
use super::{Fact, Millis, RuleViolation, Timer};
use crate::graph::{Lane, StepIx, StepRef, TargetIx};

impl Known {
    /// Takes one fact, or says which rule it breaks. What to look at because of it is noted in `pending`.
    pub(super) fn evolve(
        &mut self,
        at: Millis,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        if self.end.is_some() && !fact.may_follow_the_end() {
            return Err(RuleViolation::new("nothing follows the end of a run", fact));
        }
        match fact {
            Fact::RunStarted { workers, seed, .. } => self.start_run(*workers, *seed, fact),
            Fact::Preflight { checks } => self.preflight(checks, fact, pending),
            Fact::Observed { jobs, unavailable, took } => {
                self.admission.observed(jobs, unavailable, at - took);
                pending.observed();
                Ok(())
            }
            Fact::ObservedChanges { jobs, added, removed, took } => {
                self.admission.observed_changes(jobs, added, removed, at - took);
                pending.observed();
                Ok(())
            }
            Fact::BeforeDone => self.finish_before(fact),
            Fact::PrepareStarted { target } => self.start_preparing(*target, fact, pending),
            Fact::WorkerPrepared { target } => self.finish_preparing(*target, fact),
            Fact::WaveStarted { wave } => self.start_wave(at, *wave, fact),
            Fact::WaveFinished { wave, soak_until } => self.finish_wave(*wave, *soak_until, fact, pending),
            Fact::WorkerAdmitted { target } => self.admit(at, *target, fact, pending),
            Fact::Issued { attempt, lane, step, intent } => {
                let step = self.step_at(*lane, *step, fact)?;
                self.issue(at, *attempt, step, intent, fact, pending)
            }
            Fact::Finished { attempt, outcome } => self.finish(*attempt, outcome, fact, pending),
            Fact::RetryScheduled { lane, step, due, reissue } => {
                let step = self.step_at(*lane, *step, fact)?;
                self.schedule_retry(step, *due, *reissue, fact, pending)
            }
            Fact::GateClosed { lane, step, opens, expires } => {
                let step = self.step_at(*lane, *step, fact)?;
                self.close_gate(step, *opens, *expires, fact, pending)
            }
            Fact::Due { timer } => {
                self.timer(at, timer, pending);
                Ok(())
            }
            Fact::Approved { lane, step, .. } => {
                let step = self.step_at(*lane, *step, fact)?;
                self.approve(step, fact, pending)
            }
            Fact::StepIgnored { lane, step, .. } => {
                let step = self.step_at(*lane, *step, fact)?;
                self.ignore_failure(step, fact, pending)
            }
            Fact::StepFailed { lane, step, error } => {
                let step = self.step_at(*lane, *step, fact)?;
                self.fail_step(step, error, fact, pending)
            }
            Fact::InDoubt { attempt } => self.doubt(*attempt, fact, pending),
            Fact::InDoubtResolved { attempt, how } => self.resolve(*attempt, *how, fact, pending),
            Fact::WorkerSucceeded { target } => self.succeed(at, *target, fact, pending),
            Fact::WorkerFailed { target, step, error } => self.fail(*target, *step, error, fact, pending),
            Fact::RevertStarted { target } => self.start_revert(*target, fact, pending),
            Fact::WorkerReverted { target } => self.finish_revert(*target, fact, pending),
            Fact::RevertStuck { target, error } => self.fail_revert(*target, error, fact, pending),
            Fact::GateMeasured { place, standing, says } => {
                self.gate_measured(at, *place, *standing, says, fact)
            }
            Fact::Paused { reason, .. } => {
                self.hold.pause(reason);
                Ok(())
            }
            Fact::Interrupted { .. } => {
                self.interrupt(pending);
                Ok(())
            }
            Fact::Resumed { fresh_process, .. } => {
                self.resume(*fresh_process, pending);
                Ok(())
            }
            Fact::Halted { reason } => {
                let phase = self.phase();
                self.run_event(RunEvent::Halted, fact)?;
                self.hold.halt(reason, phase);
                Ok(())
            }
            Fact::Retried { target, .. } => self.retry(*target, fact, pending),
            Fact::Reopened { targets, enabled, .. } => self.reopen(targets, enabled, fact, pending),
            Fact::Skipped { target, .. } => self.skip(*target, fact, pending),
            Fact::Aborted { revert, .. } => self.abort(*revert, fact, pending),
            Fact::WorkerCancelled { target } => self.cancel(*target, fact, pending),
            Fact::Silence { target, .. } => self.worker(*target, fact).map(drop),
            Fact::RunFinished { end } => self.finish_run(*end, fact),
        }?;
        if matters_for_admission(fact) {
            pending.queue_has_changed();
        }
        self.last_at = self.last_at.max(at);
        Ok(())
    }

    /// A step that a fact speaks of.
    fn step_at(&self, lane: Lane, step: StepIx, fact: &Fact) -> Result<StepRef, RuleViolation> {
        if let Lane::Worker(target) = lane {
            self.worker(target, fact)?;
        }
        if self.lanes.get(lane).has_step(step) {
            Ok(StepRef { lane, step })
        } else {
            Err(RuleViolation::new("facts speak of steps of the plan", fact))
        }
    }

    /// A worker that a fact speaks of.
    fn worker(&self, target: TargetIx, fact: &Fact) -> Result<&LaneState, RuleViolation> {
        if self.lanes.has(target) {
            Ok(self.lanes.worker(target))
        } else {
            Err(RuleViolation::new("facts speak of selected workers", fact))
        }
    }

    fn run_event(&mut self, event: RunEvent, fact: &Fact) -> Result<(), RuleViolation> {
        if self.chart.handle(event) {
            Ok(())
        } else {
            Err(RuleViolation::new("the run is not in a phase for this", fact))
        }
    }

    fn worker_event(
        &mut self,
        target: TargetIx,
        event: WorkerEvent,
        fact: &Fact,
    ) -> Result<(), RuleViolation> {
        let lane = self.lanes.worker_mut(target);
        if lane.handle(event) {
            Ok(())
        } else {
            Err(RuleViolation::new("the worker is not in a state for this", fact))
        }
    }

    /// Brings the chart of a lane in line with what its steps are doing.
    fn settle(&mut self, lane: Lane, pending: &mut Pending) {
        self.lanes.get_mut(lane).settle(self.hold.is_interrupted());
        self.note_return(lane);
        pending.look_at(lane);
    }

    /// Keeps note of who is being enabled, for those who take turns with it.
    fn note_return(&mut self, lane: Lane) {
        if let Lane::Worker(target) = lane
            && self.setup.has_turns()
        {
            let (edit, deploy) = self.returns(target);
            self.exclusion.returns(target, edit, deploy);
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
            | Fact::Silence { .. }
            | Fact::Due { timer: Timer::Retry { .. } | Timer::Gate { .. } }
    )
}
