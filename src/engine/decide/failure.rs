//! The part of `decide` that is about attempts that ended badly or were orphaned.

use super::super::backoff::{RECHECK_DELAY, delay_ms};
use super::super::state::{Ended, StepStatus};
use super::super::{ErrorKind, Fact, HaltReason, Intent, Millis, Resolution, Timer};
use super::Decide;
use crate::graph::{Lane, StepIx, StepRef};
use crate::plan::{OnFailure, OnStepFailure, StepKind};

impl Decide<'_> {
    /// Decides about steps whose attempt ended badly or was orphaned.
    pub(super) fn after_attempts(&mut self, lane: Lane) -> Option<Fact> {
        let run = self.run;
        for (step, state) in run.lanes.get(lane).steps() {
            let at = StepRef { lane, step };
            let repeatable = || run.setup.kind(at).traits().repeatable;
            match state.status() {
                StepStatus::Orphaned(attempt) => {
                    return Some(if run.may_be_repeated(at) {
                        Fact::InDoubtResolved { attempt: *attempt, how: Resolution::Repeat }
                    } else {
                        Fact::InDoubt { attempt: *attempt }
                    });
                }
                StepStatus::Ended(ended) if ended.unknown && !repeatable() => {
                    return Some(Fact::InDoubt { attempt: ended.attempt });
                }
                StepStatus::Ended(ended) => match self.after_failure(at, ended) {
                    None => {}
                    follows => return follows,
                },
                _ => {}
            }
        }
        None
    }

    /// `None`: it is held until the run is resumed.
    fn after_failure(&mut self, at: StepRef, ended: &Ended) -> Option<Fact> {
        let run = self.run;
        let plan_step = run.setup.step(at);
        let state = run.lanes.get(at.lane).step(at.step);
        let (lane, step, error) = (at.lane, at.step, &ended.error);
        let has_attempts = state.tries() < plan_step.retries.attempts;
        let recheck = ended.unknown && state.is_rechecked();
        if has_attempts && (recheck || !error.kind.is_final()) && !run.hold.is_aborted() {
            let delay = if ended.unknown {
                RECHECK_DELAY.as_millis() as Millis
            } else {
                delay_ms(&plan_step.retries, run.seed, at, state.tries())
            };
            let due = self.at + delay;
            self.wake(due, Timer::Retry { lane, step });
            let reissue = self.reboot_to_reissue(at, error.kind);
            return Some(Fact::RetryScheduled { lane, step, due, reissue });
        }
        if !run.hold.is_aborted()
            && let Some(boot_id) = run.forced_reset(at)
        {
            let boot_id = boot_id.to_owned();
            return run.may_step(lane).then(|| self.issue(at, Intent::PowerCycle { boot_id }));
        }
        let error = error.clone();
        Some(match plan_step.on_failure {
            OnStepFailure::Ignore => Fact::StepIgnored { lane, step, error },
            OnStepFailure::Fail => Fact::StepFailed { lane, step, error },
        })
    }

    /// The reboot that did not happen: the step itself, or the one that it waits for.
    fn reboot_to_reissue(&self, at: StepRef, kind: ErrorKind) -> Option<StepIx> {
        if kind != ErrorKind::NotRebooted {
            return None;
        }
        if matches!(self.run.setup.kind(at), StepKind::Reboot { .. }) {
            return Some(at.step);
        }
        let awaited = self.run.lanes.get(at.lane).awaited_reboot(self.run.setup.order(), at.step);
        awaited.filter(|(_, reboot)| reboot.is_unverified()).map(|(reboot, _)| reboot)
    }

    /// A step has failed for good, and nothing is in flight beside it.
    pub(super) fn after_failed_step(&self, lane: Lane, step: StepIx) -> Option<Fact> {
        let error = self.run.lanes.get(lane).error().cloned()?;
        let on_failure = self.run.setup.graph.plan.rollout.on_failure;
        match (lane, on_failure) {
            (Lane::Worker(target), OnFailure::Revert) => Some(Fact::RevertStarted { target }),
            (Lane::Worker(target), OnFailure::Halt) => {
                Some(Fact::WorkerFailed { target, step: Some(step), error })
            }
            (Lane::Before | Lane::After, _) => {
                let first = self.run.hold.halted().is_none();
                first.then_some(Fact::Halted { reason: HaltReason::LaneFailed { lane, step, error } })
            }
        }
    }
}
