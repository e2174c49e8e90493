//! The state of a run, rebuilt from its facts and from nothing else.
//!
//! [`RunState::replay`] takes a stored fact; [`RunState::apply`] takes a new one and adds what follows
//! from it. Both go through the same `evolve` (which change is legal, and what it does to the state);
//! what follows is decided in `decide`, from the state alone. Replay never decides: a journal stays
//! readable when the rules of admission change between two versions.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::graph::{Lane, RolloutGraph, TargetSet};
use crate::plan::Step;
use crate::policy::{Admission, Queue};

use super::attempts::AttemptMap;
use super::chart::Event;
use super::lane::{LaneState, Status};
use super::median::Median;
use super::run_chart::{RunChart, RunPhase};
use super::{ApplyError, Effect, Fact, HaltReason, Intent, Millis, RuleViolation, RunEnd};

/// What a run needs to know besides its graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Catalog operations contact every worker and fail when one is down (the external engine): such
    /// an operation and a worker that is down exclude each other.
    pub exclusive_catalog: bool,
    /// Pauses and soaks are so many times shorter, for rehearsals; 0 counts as 1.
    pub time_scale: u32,
}

/// What follows from a fact.
#[derive(Debug, Default, PartialEq)]
#[must_use = "facts that are not made durable and effects that are not dispatched are lost"]
pub struct Decision {
    /// To be made durable in one transaction, in this order; the applied fact is the first.
    pub facts: Vec<Fact>,
    /// To be dispatched after that, and only then.
    pub effects: Vec<Effect>,
}

/// An attempt that is awaited.
#[derive(Clone, Debug)]
pub(super) struct Awaited {
    pub(super) lane: Lane,
    pub(super) step: u32,
    pub(super) intent: Intent,
}

/// A run.
pub struct RunState {
    pub(super) graph: Arc<RolloutGraph>,
    pub(super) options: Options,
    pub(super) chart: RunChart,
    pub(super) admission: Admission,
    pub(super) queue: Queue,
    /// `Before`, `After`, then the targets.
    pub(super) before: LaneState,
    pub(super) after: LaneState,
    pub(super) targets: Vec<LaneState>,
    /// The plan's `steps` in an order in which each comes after what it needs.
    pub(super) order: Vec<u32>,
    pub(super) seed: u64,
    pub(super) awaited: AttemptMap<Awaited>,
    pub(super) last_attempt: u64,
    pub(super) active: TargetSet,
    /// Workers in the failure ledger.
    pub(super) failures: u32,
    pub(super) allowed_failures: u32,
    /// The wave that is open or was last open.
    pub(super) wave: Option<u32>,
    /// Workers of each wave that have not ended.
    pub(super) wave_left: Vec<u32>,
    pub(super) soak_until: Millis,
    pub(super) paused: Option<String>,
    /// A step ended as not done: the run pauses.
    pub(super) pause_wanted: Option<String>,
    pub(super) interrupted: bool,
    /// `Some(revert)`.
    pub(super) aborted: Option<bool>,
    pub(super) halted: Option<(HaltReason, RunPhase)>,
    pub(super) end: Option<RunEnd>,
    pub(super) median: Median,
    pub(super) last_at: Millis,
    /// Workers between the issue of a reboot and the end of its wait.
    pub(super) rebooting: TargetSet,
    /// Catalog operations in flight.
    pub(super) catalog_in_flight: u32,
    pub(super) blocked_catalog: BTreeSet<Lane>,
    pub(super) blocked_reboot: BTreeSet<Lane>,
    /// Lanes to look at again; not part of the state, only of what is decided next.
    pub(super) agenda: VecDeque<Lane>,
    /// An observation is under way in this process.
    pub(super) observing: bool,
    /// The admission timer that is set in this process.
    pub(super) admission_due: Option<Millis>,
    /// When the queue was last asked and had nobody to start, and nothing that it looks at has changed
    /// since. In a wide rollout most facts change nothing for those who wait.
    pub(super) queue_checked_at: Option<Millis>,
    /// Since when nobody is active and nobody can be admitted, by this process's knowledge.
    pub(super) blocked_since: Option<Millis>,
}

impl RunState {
    /// A run of which no fact is known.
    pub fn new(graph: Arc<RolloutGraph>, options: Options) -> Self {
        let plan = &graph.plan;
        let targets: Vec<_> = graph
            .targets
            .iter()
            .map(|target| LaneState::new(&plan.steps, |step| target.applies[step]))
            .collect();
        let wave_left = graph.waves.iter().map(|wave| wave.end - wave.start).collect();
        let admission = Admission::new(&graph);
        Self {
            chart: RunChart::new(),
            queue: Queue::new(&graph, &admission),
            before: LaneState::new(&plan.before, |_| true),
            after: LaneState::new(&plan.after, |_| true),
            targets,
            order: topological(&plan.steps),
            seed: 0,
            awaited: AttemptMap::default(),
            last_attempt: 0,
            active: TargetSet::default(),
            failures: 0,
            allowed_failures: admission.limits().max_failures,
            wave: None,
            wave_left,
            soak_until: 0,
            paused: None,
            pause_wanted: None,
            interrupted: false,
            aborted: None,
            halted: None,
            end: None,
            median: Median::default(),
            last_at: 0,
            rebooting: TargetSet::default(),
            catalog_in_flight: 0,
            blocked_catalog: BTreeSet::new(),
            blocked_reboot: BTreeSet::new(),
            agenda: VecDeque::new(),
            observing: false,
            admission_due: None,
            queue_checked_at: None,
            blocked_since: None,
            admission,
            graph,
            options,
        }
    }

    /// Takes a stored fact. State only: nothing is decided, no effect is asked for.
    pub fn replay(&mut self, at: Millis, fact: &Fact) -> Result<(), RuleViolation> {
        // As `apply` took it: the journal has the clock's time, which may have been set back.
        self.evolve(at.max(self.last_at), fact)?;
        self.agenda.clear();
        Ok(())
    }

    /// Takes a new fact, and answers with all facts and effects that follow from it.
    ///
    /// # Errors
    /// [`ApplyError::Refused`]: the fact may not follow, and the state is as it was.
    /// [`ApplyError::Broken`]: a consequence may not, which is a bug; the state must not be used any more.
    pub fn apply(&mut self, at: Millis, fact: Fact) -> Result<Decision, ApplyError> {
        // A clock that was set back does not make the past: durations stay at least 0.
        let at = at.max(self.last_at);
        self.evolve(at, &fact).map_err(ApplyError::Refused)?;
        let mut decision = Decision::default();
        match &fact {
            Fact::Resumed { fresh_process: true, .. } => self.ask_for_timers(&mut decision.effects),
            Fact::Observed { .. } => self.observing = false,
            _ => {}
        }
        decision.facts.push(fact);
        while let Some(fact) = self.next_fact(at, &mut decision.effects) {
            self.evolve(at, &fact).map_err(ApplyError::Broken)?;
            decision.facts.push(fact);
        }
        Ok(decision)
    }

    /// The compiled plan.
    pub fn graph(&self) -> &Arc<RolloutGraph> {
        &self.graph
    }

    pub(super) fn lane(&self, lane: Lane) -> &LaneState {
        match lane {
            Lane::Before => &self.before,
            Lane::After => &self.after,
            Lane::Worker(target) => &self.targets[target.0 as usize],
        }
    }

    pub(super) fn lane_mut(&mut self, lane: Lane) -> &mut LaneState {
        match lane {
            Lane::Before => &mut self.before,
            Lane::After => &mut self.after,
            Lane::Worker(target) => &mut self.targets[target.0 as usize],
        }
    }

    pub(super) fn status_mut(&mut self, lane: Lane, step: u32) -> &mut Status {
        &mut self.lane_mut(lane).steps[step as usize].status
    }

    pub(super) fn step(&self, lane: Lane, step: u32) -> &Step {
        &self.graph.steps(lane)[step as usize]
    }

    /// Whether what a step needs has ended. A step that is skipped here hands on what it needs itself:
    /// else the steps behind it would run beside those before it.
    pub(super) fn needs_met(&self, lane: Lane, step: u32) -> bool {
        let steps = &self.lane(lane).steps;
        let mut skipped: Vec<usize> = Vec::new();
        let mut next = Some(step as usize);
        let mut looked_at = 0;
        while let Some(at) = next {
            for need in &self.graph.steps(lane)[at].needs {
                let status = &steps[*need].status;
                if !status.satisfies() {
                    return false;
                }
                if *status == Status::Skipped && !skipped.contains(need) {
                    skipped.push(*need);
                }
            }
            next = skipped.get(looked_at).copied();
            looked_at += 1;
        }
        true
    }

    /// A duration of the plan in milliseconds, shorter where the run is in a time_scale.
    pub(super) fn scaled(&self, duration: std::time::Duration) -> Millis {
        duration.as_millis() as Millis / Millis::from(self.options.time_scale.max(1))
    }

    /// Brings the chart of a lane in line with what its steps are doing.
    pub(super) fn settle(&mut self, lane: Lane) {
        let interrupted = self.interrupted;
        let state = self.lane_mut(lane);
        if state.chart.state().is_active() {
            let event =
                if interrupted && state.in_flight == 0 { Event::Held } else { Event::Now(state.activity()) };
            // Every active state takes both.
            let taken = state.chart.handle(event);
            debug_assert!(taken, "an active lane takes {event:?}");
        }
        self.agenda.push_back(lane);
    }
}

/// Kahn's algorithm over the plan's list, lowest index first; steps on a cycle (a valid plan has none)
/// come last, in their order.
fn topological(steps: &[Step]) -> Vec<u32> {
    let mut order = Vec::with_capacity(steps.len());
    let mut placed = vec![false; steps.len()];
    while order.len() < steps.len() {
        let next = (0..steps.len())
            .find(|at| !placed[*at] && steps[*at].needs.iter().all(|need| placed[*need]))
            .or_else(|| placed.iter().position(|placed| !placed));
        let Some(next) = next else { break };
        placed[next] = true;
        order.push(next as u32);
    }
    order
}
