//! The compiled graph: the selected workers in the order in which they are taken, their waves, and
//! the DAG whose nodes are steps, barriers and gates.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use serde::{Deserialize, Serialize};

use super::{Coverage, Numbers, Selection};
use crate::bucket::{Allocation, Fleet, JobIx, WorkerIx};
use crate::calendar::Busy;
use crate::plan::{Plan, Problems, Step};

/// Index of a selected worker in [`RolloutGraph::targets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TargetIx(pub u32);

/// Index of a step in its lane's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepIx(pub u32);

impl StepIx {
    /// As an index into a list of steps.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The number, counted from 0.
impl fmt::Display for StepIx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One step of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepRef {
    /// Whose.
    pub lane: Lane,
    /// Which of the lane's steps.
    pub step: StepIx,
}

/// Whose steps: the run's own, once, or those of one selected worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// `before:`, once.
    Before,
    /// `steps:`, for this worker.
    Worker(TargetIx),
    /// `after:`, once.
    After,
}

/// A selected worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which worker of the fleet.
    pub worker: WorkerIx,
    /// Index of its wave.
    pub wave: u32,
    /// For each of the plan's `steps`: whether its `when` holds here.
    pub applies: Box<[bool]>,
    /// The worker's enabled allocations.
    pub jobs: Box<[JobIx]>,
    /// The whole worker stands in `disabled.json` already: an operator drained it.
    pub already_disabled: bool,
}

/// A node of the DAG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// One step of one lane.
    Step {
        /// Whose.
        lane: Lane,
        /// Index into the plan's list of that lane.
        step: u32,
    },
    /// All workers are prepared, as far as they could be; only in a plan with `prepare`.
    Prepared,
    /// All of this wave may begin.
    WaveStart(u32),
    /// All of this wave has ended (and has soaked).
    WaveEnd(u32),
}

/// A compiled plan.
#[derive(Clone, Debug)]
pub struct RolloutGraph {
    /// What was compiled.
    pub plan: Arc<Plan>,
    /// For which fleet.
    pub fleet: Arc<Fleet>,
    /// The selected workers in the order in which they are taken.
    pub targets: Vec<Target>,
    /// The waves: consecutive, non-empty ranges of indices into `targets`.
    pub waves: Vec<Range<u32>>,
    /// What is doubtful and yet accepted, the plan's own warnings included.
    pub warnings: Problems,
    /// When no worker is started, by the plan's freeze, in order; these times may overlap.
    pub frozen: Vec<Busy>,
    pub(super) selection: Selection,
    pub(super) numbers: Numbers,
    pub(super) coverage: Vec<Coverage>,
    /// All enabled allocations of the bucket, by worker, then job.
    pub(super) enabled: Vec<Allocation>,
    pub(super) dag: DiGraph<Node, ()>,
    /// Node of step 0 of target 0; the steps of a target are consecutive.
    pub(super) first_target_node: u32,
}

impl RolloutGraph {
    /// The DAG; an edge goes from what must come first.
    pub fn dag(&self) -> &DiGraph<Node, ()> {
        &self.dag
    }

    /// Workers may not be started at all times: the plan has windows, or is frozen at times.
    pub fn waits_for_times(&self) -> bool {
        !self.plan.rollout.windows.is_empty() || !self.frozen.is_empty()
    }

    /// The same without the plan's windows and its freeze.
    #[must_use]
    pub fn without_window(&self) -> Self {
        let mut plan = Plan::clone(&self.plan);
        plan.rollout.windows.clear();
        plan.rollout.freeze = None;
        Self { plan: Arc::new(plan), frozen: Vec::new(), ..self.clone() }
    }

    /// The plan's steps of a lane.
    pub fn steps(&self, lane: Lane) -> &[Step] {
        match lane {
            Lane::Before => &self.plan.before,
            Lane::Worker(_) => &self.plan.steps,
            Lane::After => &self.plan.after,
        }
    }

    /// One step of the plan.
    pub fn step(&self, at: StepRef) -> &Step {
        &self.steps(at.lane)[at.step.index()]
    }

    /// Whether a worker's step is one of `prepare`.
    pub fn prepares(&self, lane: Lane, step: StepIx) -> bool {
        matches!(lane, Lane::Worker(_)) && self.plan.steps.get(step.index()).is_some_and(|step| step.prepares)
    }

    /// The name in the plan of the list in which a step of this lane stands.
    pub fn list(&self, lane: Lane, step: StepIx) -> &'static str {
        match lane {
            Lane::Before => "before",
            Lane::Worker(_) if self.prepares(lane, step) => "prepare",
            Lane::Worker(_) => "steps",
            Lane::After => "after",
        }
    }

    /// Whether a step runs in this lane (its `when` holds); a step that does not is skipped.
    pub fn applies(&self, lane: Lane, step: usize) -> bool {
        match lane {
            Lane::Worker(target) => self.target(target).applies[step],
            Lane::Before | Lane::After => true,
        }
    }

    /// The selected worker with this index.
    pub fn target(&self, ix: TargetIx) -> &Target {
        &self.targets[ix.0 as usize]
    }

    /// The DAG node of a worker's step.
    pub fn node_of(&self, target: TargetIx, step: usize) -> NodeIndex {
        NodeIndex::new(self.first_target_node as usize + target.0 as usize * self.plan.steps.len() + step)
    }

    /// What the steps of a worker need, from the DAG: indices of steps of the same worker that must
    /// have finished (or been skipped) first, ascending.
    pub fn needs(&self, target: TargetIx, step: usize) -> impl Iterator<Item = usize> + '_ {
        self.lane_needs(self.node_of(target, step))
    }

    /// Indices, within the same lane, of the steps that must come before the step at `node`.
    pub fn lane_needs(&self, node: NodeIndex) -> impl Iterator<Item = usize> + '_ {
        let own = match self.dag[node] {
            Node::Step { lane, .. } => Some(lane),
            Node::Prepared | Node::WaveStart(_) | Node::WaveEnd(_) => None,
        };
        self.dag.neighbors_directed(node, Direction::Incoming).filter_map(move |before| {
            match self.dag[before] {
                Node::Step { lane, step } if Some(lane) == own => Some(step as usize),
                _ => None,
            }
        })
    }

    /// Every percentage as a number, with the way it was rounded.
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// What each of the plan's waves of canaries covers, in order.
    pub fn coverage(&self) -> &[Coverage] {
        &self.coverage
    }

    /// How the selection came about.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// All enabled allocations of the bucket, those on workers that are not selected included; by
    /// worker, then job. Budgets are counted over these.
    pub fn enabled_allocations(&self) -> &[Allocation] {
        &self.enabled
    }

    /// The host of a selected worker.
    pub fn host(&self, target: TargetIx) -> &str {
        self.fleet.worker(self.target(target).worker).host.as_str()
    }

    /// All selected workers' indices, in order.
    pub fn target_indices(&self) -> impl ExactSizeIterator<Item = TargetIx> + use<> {
        (0..self.targets.len() as u32).map(TargetIx)
    }
}
