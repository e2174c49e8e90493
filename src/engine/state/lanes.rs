//! All lanes of a run, and which workers are under way.

use super::LaneState;
use crate::graph::{Lane, RolloutGraph, StepRef, TargetIx, TargetSet};

/// `before`, the workers, `after`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Lanes {
    before: LaneState,
    after: LaneState,
    workers: Vec<LaneState>,
    /// Workers that are started and have not ended.
    active: TargetSet,
}

impl Lanes {
    pub(in crate::engine) fn new(graph: &RolloutGraph) -> Self {
        let plan = &graph.plan;
        let worker = |target: &crate::graph::Target| LaneState::new(&plan.steps, |step| target.applies[step]);
        Self {
            before: LaneState::new(&plan.before, |_| true),
            after: LaneState::new(&plan.after, |_| true),
            workers: graph.targets.iter().map(worker).collect(),
            active: TargetSet::default(),
        }
    }

    pub(in crate::engine) fn get(&self, lane: Lane) -> &LaneState {
        match lane {
            Lane::Before => &self.before,
            Lane::After => &self.after,
            Lane::Worker(target) => self.worker(target),
        }
    }

    pub(in crate::engine) fn get_mut(&mut self, lane: Lane) -> &mut LaneState {
        match lane {
            Lane::Before => &mut self.before,
            Lane::After => &mut self.after,
            Lane::Worker(target) => self.worker_mut(target),
        }
    }

    pub(in crate::engine) fn worker(&self, target: TargetIx) -> &LaneState {
        &self.workers[target.0 as usize]
    }

    pub(in crate::engine) fn worker_mut(&mut self, target: TargetIx) -> &mut LaneState {
        &mut self.workers[target.0 as usize]
    }

    pub(in crate::engine) fn workers(&self) -> &[LaneState] {
        &self.workers
    }

    pub(in crate::engine) fn has(&self, target: TargetIx) -> bool {
        (target.0 as usize) < self.workers.len()
    }

    pub(in crate::engine) fn active(&self) -> &TargetSet {
        &self.active
    }

    pub(in crate::engine) fn start(&mut self, target: TargetIx) {
        self.active.insert(target);
    }

    pub(in crate::engine) fn end(&mut self, target: TargetIx) {
        self.active.remove(target);
    }

    /// The lanes in which something may be under way.
    pub(in crate::engine) fn open(&self) -> impl Iterator<Item = Lane> + '_ {
        [Lane::Before, Lane::After].into_iter().chain(self.active.iter().map(Lane::Worker))
    }

    /// All steps of the open lanes.
    pub(in crate::engine) fn open_steps(&self) -> impl Iterator<Item = (StepRef, &super::StepState)> + '_ {
        self.open()
            .flat_map(|lane| self.get(lane).steps().map(move |(step, state)| (StepRef { lane, step }, state)))
    }
}
