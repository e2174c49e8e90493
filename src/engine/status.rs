//! What others may know of a run: whether anything is left to wait for, and how each worker is.

use std::sync::Arc;

use super::run_state::RunState;
use super::state::{Held, RunPhase, StepState, StepStatus, WorkerState};
use super::{AttemptId, Effect, HaltReason, Intent, Millis, RunEnd, StepError, Timer};
use crate::bucket::JobIx;
use crate::graph::{Lane, RolloutGraph, StepIx, StepRef, TargetIx, TargetSet};
use crate::policy::{JobNow, Reason, Verdict};

/// Whether a controller still has something to wait for.
#[derive(Clone, Debug, PartialEq)]
pub enum RunStatus {
    /// Attempts are in flight, timers are set, or observations are under way.
    Busy,
    /// The last fact is there.
    Finished(RunEnd),
    /// It cannot continue by itself.
    Halted(HaltReason),
    /// A signal held it.
    Interrupted,
    /// An operator or the run itself paused it.
    Paused(String),
    /// Only an operator can make it continue: gates to approve, attempts in doubt.
    WaitsForOperator {
        /// Gates that wait for an approval.
        gates: Vec<(Lane, StepIx)>,
        /// Attempts that an operator has to decide about.
        undecided: Vec<(AttemptId, Lane, StepIx)>,
    },
}

/// What a lane waits for, where it is not the end of something in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneWait {
    /// The time of the next attempt.
    Retry {
        /// The step that is tried again.
        step: StepIx,
        /// When the next attempt is due.
        due: Millis,
    },
    /// A gate.
    Gate {
        /// The step that waits.
        step: StepIx,
        /// When it opens by itself; `None`: an operator opens it.
        opens: Option<Millis>,
        /// When the step fails if it was not opened before; `None`: never.
        expires: Option<Millis>,
    },
    /// An operator has to say whether a step was carried out.
    Decision {
        /// The step in doubt.
        step: StepIx,
    },
}

impl RunState {
    /// What a lane waits for: an operator first, then what is due first.
    pub fn lane_wait(&self, lane: Lane) -> Option<LaneWait> {
        let waits = self.known.lanes.get(lane).steps().filter_map(|(step, state)| match state.status() {
            StepStatus::InDoubt(_) => Some((0, LaneWait::Decision { step })),
            StepStatus::Gated(gate) => {
                let wait = LaneWait::Gate { step, opens: gate.opens, expires: gate.expires };
                Some((gate.opens.unwrap_or(1), wait))
            }
            StepStatus::BackingOff { due } => Some((*due, LaneWait::Retry { step, due: *due })),
            _ => None,
        });
        waits.min_by_key(|(at, _)| *at).map(|(_, wait)| wait)
    }

    /// Whether an attempt of this lane was issued and has not ended, as far as facts tell.
    pub fn is_in_flight(&self, lane: Lane) -> bool {
        !self.known.lanes.get(lane).is_at_rest()
    }

    /// Whether only an operator can tell what became of what is under way there, if nobody hears the answer. All else is looked
    /// at, and done again where that is needed.
    pub fn leaves_doubt(&self, lane: Lane, step: StepIx) -> bool {
        let of_lane = self.known.lanes.get(lane);
        match of_lane.revert().filter(|revert| revert.is_in_flight()).and_then(|revert| revert.next()) {
            Some(undo) => undo.intent == Intent::UndoCommand,
            None => !self.known.may_be_repeated(StepRef { lane, step }),
        }
    }

    /// How many steps of a lane have ended and let those behind them begin, and how many it has.
    pub fn steps_done(&self, lane: Lane) -> (u32, u32) {
        let all = self.known.lanes.get(lane).steps();
        let applying = all.filter(|(step, _)| self.graph().applies(lane, step.index()));
        applying.fold((0, 0), |(done, of), (_, state)| (done + u32::from(state.status().satisfies()), of + 1))
    }

    /// When the soak between two waves ends; `None`: no wave has just ended.
    pub fn soaks_until(&self) -> Option<Millis> {
        let waves = &self.known.waves;
        let between =
            self.phase() == RunPhase::Soaking && waves.current().is_some() && waves.next().is_some();
        between.then(|| waves.soak_until())
    }

    /// What there is to wait for.
    pub fn status(&self) -> RunStatus {
        if let Some(end) = self.known.end {
            return RunStatus::Finished(end);
        }
        if !self.known.attempts.are_settled() || self.pending.is_observing() {
            return RunStatus::Busy;
        }
        let held = self.known.hold.strongest();
        if held == Some(Held::Interrupted) {
            return RunStatus::Interrupted;
        }
        let (mut gates, mut undecided, mut timed) = (Vec::new(), Vec::new(), false);
        for (StepRef { lane, step }, state) in self.known.lanes.open_steps() {
            match state.status() {
                StepStatus::Gated(gate) if gate.opens.is_none() => {
                    gates.push((lane, step));
                    timed |= gate.expires.is_some();
                }
                StepStatus::Gated(_) | StepStatus::BackingOff { .. } => timed = true,
                StepStatus::InDoubt(attempt) => undecided.push((*attempt, lane, step)),
                _ => {}
            }
        }
        if timed {
            return RunStatus::Busy;
        }
        if let Some(Held::Paused(reason)) = held {
            return RunStatus::Paused(reason.to_owned());
        }
        if self.phase() == RunPhase::Soaking || self.pending.admission_timer_is_set() {
            return RunStatus::Busy;
        }
        if let Some(Held::Halted(reason)) = held {
            return RunStatus::Halted(reason.clone());
        }
        if gates.is_empty() && undecided.is_empty() {
            RunStatus::Busy
        } else {
            RunStatus::WaitsForOperator { gates, undecided }
        }
    }

    /// Timers of facts that were replayed: a new process has set none yet.
    pub(super) fn ask_for_timers(&self, effects: &mut Vec<Effect>) {
        for (StepRef { lane, step }, state) in self.known.lanes.open_steps() {
            match state.status() {
                StepStatus::BackingOff { due } => {
                    effects.push(Effect::Wake { at: *due, timer: Timer::Retry { lane, step } });
                }
                StepStatus::Gated(gate) => {
                    if let Some(at) = gate.opens.or(gate.expires) {
                        effects.push(Effect::Wake { at, timer: Timer::Gate { lane, step } });
                    }
                }
                _ => {}
            }
        }
        if let (RunPhase::Soaking, Some(wave)) = (self.phase(), self.known.waves.current()) {
            effects.push(Effect::Wake { at: self.known.waves.soak_until(), timer: Timer::Soak { wave } });
        }
    }

    /// The compiled plan.
    pub fn graph(&self) -> &Arc<RolloutGraph> {
        &self.known.setup.graph
    }

    /// Attempts that an operator has to decide about, each with its lane.
    pub fn undecided(&self) -> Vec<(AttemptId, Lane)> {
        let in_doubt = |(at, state): (StepRef, &StepState)| match state.status() {
            StepStatus::InDoubt(attempt) => Some((*attempt, at.lane)),
            _ => None,
        };
        self.known.lanes.open_steps().filter_map(in_doubt).collect()
    }

    /// Gates that wait for an operator.
    pub fn closed_gates(&self) -> Vec<(Lane, StepIx)> {
        let closed = |(_, state): &(StepRef, &StepState)| state.status().approval().is_some();
        self.known.lanes.open_steps().filter(closed).map(|(at, _)| (at.lane, at.step)).collect()
    }

    /// The last wave has ended and nothing more of the run is under way: its workers are retried by reopening it.
    pub fn rollout_is_over(&self) -> bool {
        self.known.rollout_is_over()
    }

    /// Why a worker cannot be taken up again, by itself; `None`: it can.
    pub fn objection_to_retry(&self, target: TargetIx) -> Option<&'static str> {
        self.known.objection_to_retry(target)
    }

    /// The latest time of a fact; 0 before the first.
    pub fn last_at(&self) -> Millis {
        self.known.last_at
    }

    /// Where the run is.
    pub fn phase(&self) -> RunPhase {
        self.known.phase()
    }

    /// The state of a worker.
    pub fn worker_state(&self, target: TargetIx) -> WorkerState {
        self.known.lanes.worker(target).state()
    }

    /// Why a worker failed.
    pub fn error(&self, target: TargetIx) -> Option<&StepError> {
        self.known.lanes.worker(target).error()
    }

    /// The step at which a worker has failed, and has not been retried since.
    pub fn failed_step(&self, target: TargetIx) -> Option<StepIx> {
        self.known.lanes.worker(target).failed().map(|(step, _)| step)
    }

    /// Whether a worker has failed, or was put back after it had, at a step of `prepare`, with none of the others begun.
    pub fn failed_to_prepare(&self, target: TargetIx) -> bool {
        let (lane, ahead) = (self.known.lanes.worker(target), self.known.setup.ahead());
        let at = lane.failed().map(|(step, _)| step);
        at.is_some_and(|step| step.index() < ahead)
            && !lane.steps().skip(ahead).any(|(_, state)| state.was_issued())
    }

    /// Whether a worker is active with the steps of `prepare` alone.
    pub fn is_preparing(&self, target: TargetIx) -> bool {
        self.known.lanes.worker(target).is_preparing()
    }

    /// Workers that are started and have not ended.
    pub fn active(&self) -> &TargetSet {
        self.known.lanes.active()
    }

    /// Workers that are down, or may be: they count against budgets.
    pub fn down(&self) -> &TargetSet {
        self.known.admission.down_now()
    }

    /// Of those, the workers that a step of this run has taken down: not those that are under way and still as they were,
    /// and not those that were down before.
    pub fn taken_down(&self) -> impl Iterator<Item = TargetIx> + '_ {
        self.down().iter().filter(|target| self.known.was_disturbed(*target))
    }

    /// Whether a reboot was sent to the worker whose new boot nobody has seen.
    pub fn has_unverified_reboot(&self, target: TargetIx) -> bool {
        self.known.lanes.worker(target).has_unverified_reboot()
    }

    /// Entries of `disabled.json` that are this run's own: the worker itself (`None`), or jobs on it.
    pub fn own_disabled(&self, target: TargetIx) -> &[Option<String>] {
        self.known.lanes.worker(target).disabled().own()
    }

    /// Workers that this run has, or may have, left in `disabled.json`.
    pub fn left_disabled(&self) -> Vec<TargetIx> {
        let is_left = |target: &TargetIx| self.known.lanes.worker(*target).disabled().are_left();
        self.graph().target_indices().filter(is_left).collect()
    }

    /// Workers in the failure ledger, and how many the plan allows.
    pub fn failures(&self) -> (u32, u32) {
        (self.known.failures.failed(), self.known.failures.allowed())
    }

    /// The wave that is open or was last open.
    pub fn wave(&self) -> Option<u32> {
        self.known.waves.current()
    }

    /// Why nobody is admitted, where an operator or the run itself paused it.
    pub fn paused(&self) -> Option<&str> {
        self.known.hold.paused()
    }

    /// Whether a signal or an operator stops the run: no step is issued until it is resumed.
    pub fn is_interrupted(&self) -> bool {
        self.known.hold.is_interrupted()
    }

    /// Whether the run was aborted.
    pub fn is_aborted(&self) -> bool {
        self.known.hold.is_aborted()
    }

    /// What admission says about a worker now; `None` when it is not queued.
    pub fn verdict(&self, target: TargetIx, at: Millis) -> Option<Verdict> {
        if self.worker_state(target) != WorkerState::Queued {
            return None;
        }
        let (known, conditions) = (&self.known, self.known.conditions());
        if self.phase() != RunPhase::Preparing || known.all_are_prepared() {
            return Some(known.admission.verdict(target, at, &conditions));
        }
        let (under_way, waiting) = (known.lanes.active().len() as u32, known.preparation.waiting());
        Some(if known.preparation.wants(target) {
            known.admission.may_prepare(under_way, at, &conditions)
        } else {
            Verdict::Wait(Reason::Preparation { under_way, waiting })
        })
    }

    /// What is known of a job that has a budget.
    pub fn job_now(&self, job: JobIx, at: Millis) -> Option<JobNow> {
        self.known.admission.job_now(job, at)
    }

    /// See [`crate::policy::Queue::passed_over`].
    pub fn passed_over(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        self.pending.passed_over()
    }

    /// What each step of a lane is doing, in the order of the plan.
    pub fn describe_steps(&self, lane: Lane) -> Vec<&'static str> {
        self.known.lanes.get(lane).steps().map(|(_, state)| state.status().describe()).collect()
    }
}
