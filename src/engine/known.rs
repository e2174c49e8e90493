//! What the facts of a run say: the whole of its state. `evolve` is the only thing that changes it.

use std::sync::Arc;

use super::state::{
    Attempts, Exclusion, FailureLedger, Gates, Hold, Lanes, Median, Options, Preparation, RunChart, RunPhase,
    Setup, StepStatus, Turn, Waves, WorkerState,
};
use super::{Millis, RunEnd};
use crate::graph::{Lane, RolloutGraph, StepRef, TargetIx};
use crate::policy::{Admission, Conditions};

/// Everything that is known of a run. Two are equal when the same facts made them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) setup: Setup,
    pub(super) chart: RunChart,
    /// Jitter is drawn from it.
    pub(super) seed: u64,
    pub(super) attempts: Attempts,
    pub(super) lanes: Lanes,
    pub(super) preparation: Preparation,
    pub(super) waves: Waves,
    pub(super) failures: FailureLedger,
    pub(super) hold: Hold,
    pub(super) gates: Gates,
    pub(super) exclusion: Exclusion,
    pub(super) admission: Admission,
    /// How long workers take.
    pub(super) median: Median,
    pub(super) end: Option<RunEnd>,
    /// The latest time of a fact; 0 before the first.
    pub(super) last_at: Millis,
}

impl Known {
    pub(super) fn new(graph: Arc<RolloutGraph>, options: Options) -> Self {
        let admission = Admission::new(&graph);
        Self {
            chart: RunChart::new(),
            seed: 0,
            attempts: Attempts::default(),
            lanes: Lanes::new(&graph),
            preparation: Preparation::new(&graph),
            waves: Waves::new(&graph),
            failures: FailureLedger::new(admission.limits().max_failures),
            hold: Hold::default(),
            gates: Gates::default(),
            exclusion: Exclusion::default(),
            admission,
            median: Median::default(),
            end: None,
            last_at: 0,
            setup: Setup::new(graph, options),
        }
    }

    pub(super) fn phase(&self) -> RunPhase {
        self.chart.phase()
    }

    /// Whether steps of this lane may be issued now.
    pub(super) fn may_step(&self, lane: Lane) -> bool {
        if self.hold.is_interrupted() {
            return false;
        }
        match lane {
            Lane::Before => self.phase() == RunPhase::Before && !self.hold.is_aborted(),
            Lane::After => self.phase() == RunPhase::After && !self.hold.is_aborted(),
            Lane::Worker(target) => {
                let state = self.lanes.worker(target).state();
                state.is_active() && (!self.hold.is_aborted() || state == WorkerState::Reverting)
            }
        }
    }

    /// Whether an attempt of a step that nobody hears of any more is simply followed by another one: it may be repeated, or has
    /// only read the boot id.
    pub(super) fn may_be_repeated(&self, at: StepRef) -> bool {
        self.setup.kind(at).traits().repeatable || !self.lanes.get(at.lane).step(at.step).was_issued()
    }

    /// Whether what a step needs has ended. A step that is skipped here hands on what it needs itself:
    /// else the steps behind it would run beside those before it.
    pub(super) fn needs_met(&self, at: StepRef) -> bool {
        let lane = self.lanes.get(at.lane);
        let steps = self.setup.graph.steps(at.lane);
        let mut skipped: Vec<usize> = Vec::new();
        let mut next = Some(at.step.index());
        let mut looked_at = 0;
        while let Some(at) = next {
            for need in &steps[at].needs {
                let status = lane.step(crate::graph::StepIx(*need as u32)).status();
                if !status.satisfies() {
                    return false;
                }
                if *status == StepStatus::Skipped && !skipped.contains(need) {
                    skipped.push(*need);
                }
            }
            next = skipped.get(looked_at).copied();
            looked_at += 1;
        }
        true
    }

    /// What of a worker's return is under way: the edit that enables it, the deploy behind that.
    pub(super) fn returns(&self, target: TargetIx) -> (bool, bool) {
        let lane = self.lanes.worker(target);
        let steps = lane.state().is_active()
            && lane.state() != WorkerState::Reverting
            && lane.failed().is_none()
            && !lane.has_unverified_reboot();
        let is_under_way = |wanted: Turn| {
            lane.steps().any(|(step, state)| {
                let at = StepRef { lane: Lane::Worker(target), step };
                self.setup.turn(at) == wanted
                    && match state.status() {
                        StepStatus::InFlight(_) => true,
                        StepStatus::Pending => self.needs_met(at),
                        _ => false,
                    }
            })
        };
        (steps && is_under_way(Turn::Enable), steps && is_under_way(Turn::Start))
    }

    /// Whether a step that takes the worker down was issued.
    pub(super) fn was_disturbed(&self, target: TargetIx) -> bool {
        let steps = &self.setup.graph.plan.steps;
        let of = self.lanes.worker(target).steps();
        of.zip(steps).any(|((_, state), step)| state.was_issued() && step.kind.traits().disturbs)
    }

    /// What the run as a whole is like, for admission.
    pub(super) fn conditions(&self) -> Conditions {
        Conditions {
            current_wave: self.waves.current().unwrap_or(0),
            paused: self.hold.paused().is_some(),
            failures: self.failures.failed(),
            median_worker_ms: self.median.get(),
        }
    }
}
