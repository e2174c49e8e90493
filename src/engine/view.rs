//! What others may know of a run: whether anything is left to wait for, and the state of each worker.

use crate::graph::{Lane, TargetIx, TargetSet};
use crate::policy::Verdict;

use super::chart::WorkerState;
use super::lane::Status;
use super::run_chart::RunPhase;
use super::run_state::RunState;
use super::{AttemptId, Effect, HaltReason, Millis, RunEnd, StepError, Timer};

/// Whether a controller still has something to wait for.
#[derive(Clone, Debug, PartialEq)]
pub enum RunStatus {
    /// Attempts are in flight, timers are set, or looks are under way.
    Busy,
    /// The last fact is there.
    Finished(RunEnd),
    /// It can not go on by itself.
    Halted(HaltReason),
    /// A signal held it.
    Interrupted,
    /// Somebody or something paused it.
    Paused(String),
    /// Only people can go on: gates to approve, attempts in doubt.
    WaitsForPeople {
        /// Gates that wait for an approval.
        gates: Vec<(Lane, u32)>,
        /// Attempts that a person has to decide about.
        undecided: Vec<(AttemptId, Lane, u32)>,
    },
}

impl RunState {
    /// What there is to wait for.
    pub fn status(&self) -> RunStatus {
        if let Some(end) = self.end {
            return RunStatus::Finished(end);
        }
        if !self.awaited.is_empty() || self.observing {
            return RunStatus::Busy;
        }
        if self.interrupted {
            return RunStatus::Interrupted;
        }
        let (mut gates, mut undecided, mut timed) = (Vec::new(), Vec::new(), false);
        for lane in self.open_lanes() {
            for (step, slot) in self.lane(lane).steps.iter().enumerate() {
                match &slot.status {
                    Status::Gated(gate) if gate.opens.is_none() => {
                        gates.push((lane, step as u32));
                        timed |= gate.expires.is_some();
                    }
                    Status::Gated(_) | Status::BackingOff { .. } => timed = true,
                    Status::InDoubt(attempt) => undecided.push((*attempt, lane, step as u32)),
                    _ => {}
                }
            }
        }
        if timed {
            return RunStatus::Busy;
        }
        if let Some(reason) = &self.paused {
            return RunStatus::Paused(reason.clone());
        }
        let soaking = self.chart.phase() == RunPhase::Soaking;
        if soaking || self.admission_due.is_some() {
            return RunStatus::Busy;
        }
        if let Some((reason, _)) = &self.halted {
            return RunStatus::Halted(reason.clone());
        }
        if gates.is_empty() && undecided.is_empty() {
            RunStatus::Busy
        } else {
            RunStatus::WaitsForPeople { gates, undecided }
        }
    }

    /// Timers of facts that were replayed: a new process has set none yet.
    pub(super) fn ask_for_timers(&self, effects: &mut Vec<Effect>) {
        for lane in self.open_lanes() {
            for (step, slot) in self.lane(lane).steps.iter().enumerate() {
                let step = step as u32;
                match &slot.status {
                    Status::BackingOff { due } => {
                        effects.push(Effect::Wake { at: *due, timer: Timer::Retry { lane, step } });
                    }
                    Status::Gated(gate) => {
                        if let Some(at) = gate.opens.or(gate.expires) {
                            effects.push(Effect::Wake { at, timer: Timer::Gate { lane, step } });
                        }
                    }
                    _ => {}
                }
            }
        }
        if let (RunPhase::Soaking, Some(wave)) = (self.chart.phase(), self.wave) {
            effects.push(Effect::Wake { at: self.soak_until, timer: Timer::Soak { wave } });
        }
    }

    fn open_lanes(&self) -> impl Iterator<Item = Lane> + '_ {
        [Lane::Before, Lane::After].into_iter().chain(self.active.iter().map(Lane::Worker))
    }

    /// Attempts that a person has to decide about.
    pub fn undecided(&self) -> Vec<AttemptId> {
        let in_doubt = |status: &Status| match status {
            Status::InDoubt(attempt) => Some(*attempt),
            _ => None,
        };
        self.open_lanes()
            .flat_map(|lane| self.lane(lane).steps.iter().filter_map(|slot| in_doubt(&slot.status)))
            .collect()
    }

    /// Gates that wait for a person.
    pub fn closed_gates(&self) -> Vec<(Lane, u32)> {
        let mut gates = Vec::new();
        for lane in self.open_lanes() {
            for (step, slot) in self.lane(lane).steps.iter().enumerate() {
                if slot.status.waits_for_a_person().is_some() {
                    gates.push((lane, step as u32));
                }
            }
        }
        gates
    }

    /// The latest time of a fact; 0 before the first.
    pub fn last_at(&self) -> Millis {
        self.last_at
    }

    /// Where the run is.
    pub fn phase(&self) -> RunPhase {
        self.chart.phase()
    }

    /// The state of a worker.
    pub fn worker_state(&self, target: TargetIx) -> WorkerState {
        self.targets[target.0 as usize].chart.state()
    }

    /// Why a worker failed.
    pub fn error(&self, target: TargetIx) -> Option<&StepError> {
        self.targets[target.0 as usize].error.as_deref()
    }

    /// Workers that are started and have not ended.
    pub fn active(&self) -> &TargetSet {
        &self.active
    }

    /// Entries of `disabled.json` that are this run's own: the worker itself (`None`), or jobs on it.
    pub fn own_disabled(&self, target: TargetIx) -> &[Option<String>] {
        &self.targets[target.0 as usize].own_disabled
    }

    /// Workers that this run has, or may have, left in `disabled.json`.
    pub fn left_disabled(&self) -> Vec<TargetIx> {
        self.graph
            .target_indices()
            .filter(|target| self.targets[target.0 as usize].is_left_disabled())
            .collect()
    }

    /// Whether a worker takes no part because a person had disabled it.
    pub fn is_left_alone(&self, target: TargetIx) -> bool {
        self.targets[target.0 as usize].left_alone
    }

    /// Workers in the failure ledger, and how many the plan allows.
    pub fn failures(&self) -> (u32, u32) {
        (self.failures, self.allowed_failures)
    }

    /// The wave that is open or was last open.
    pub fn wave(&self) -> Option<u32> {
        self.wave
    }

    /// Why nobody is admitted, where somebody or something paused the run.
    pub fn paused(&self) -> Option<&str> {
        self.paused.as_deref()
    }

    /// Whether the run was aborted.
    pub fn is_aborted(&self) -> bool {
        self.aborted.is_some()
    }

    /// What admission says about a worker now; `None` when it is not queued.
    pub fn verdict(&self, target: TargetIx, at: Millis) -> Option<Verdict> {
        (self.worker_state(target) == WorkerState::Queued)
            .then(|| self.admission.verdict(target, at, &self.conditions()))
    }

    /// Each step of a lane in words: what it is doing.
    pub fn step_words(&self, lane: Lane) -> Vec<&'static str> {
        let words = |status: &Status| match status {
            Status::Pending => "not started",
            Status::InFlight(_) => "in progress",
            Status::Ended(_) => "failed, not decided yet",
            Status::Orphaned(_) => "answer lost",
            Status::InDoubt(_) => "in doubt: a person has to decide",
            Status::BackingOff { .. } => "waits for its next attempt",
            Status::Gated(gate) if gate.opens.is_none() => "waits for an approval",
            Status::Gated(_) => "waits",
            Status::Postponed => "held until the run is resumed",
            Status::Done => "done",
            Status::Skipped => "skipped",
            Status::Ignored => "failed, ignored",
            Status::Failed => "failed",
        };
        self.lane(lane).steps.iter().map(|slot| words(&slot.status)).collect()
    }
}
