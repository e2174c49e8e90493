//! What a run is given: the graph, the options, and what follows from them once and for all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Intent, Millis};
use crate::graph::{Lane, RolloutGraph, StepIx, StepRef};
use crate::plan::{Step, StepKind};

/// What a run needs to know besides its graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Catalog operations contact every worker and fail when one is down (the external engine): such
    /// an operation and a worker that is down exclude each other.
    pub exclusive_catalog: bool,
    /// Pauses and soaks are so many times shorter, for rehearsals; 0 counts as 1.
    pub time_scale: u32,
}

/// What never changes in a run.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Setup {
    pub(in crate::engine) graph: Arc<RolloutGraph>,
    options: Options,
    /// The plan's `steps` in an order in which each comes after what it needs.
    order: Vec<StepIx>,
    /// How many of them, from the first on, are steps of `prepare`.
    ahead: usize,
    /// For each of them its place among those that drain and enable.
    turns: Vec<Turn>,
}

/// What a step has to do with the turns in which workers are drained and enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Turn {
    /// An edit that drains: the next deploy stops jobs, before any reboot.
    Drain,
    /// An edit that enables, or the wait just before it: the next deploy starts jobs.
    Enable,
    /// The deploy that starts them.
    Start,
    /// Neither.
    None,
}

impl PartialEq for Setup {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.graph, &other.graph) && self.options == other.options
    }
}

impl Setup {
    pub(in crate::engine) fn new(graph: Arc<RolloutGraph>, options: Options) -> Self {
        let order = topological(&graph.plan.steps);
        let turns = turns(&graph.plan.steps, &order);
        Self { order, ahead: graph.plan.prepares(), turns, graph, options }
    }

    /// The place of a worker's step in the turns; without meaning where operations contact no other worker.
    pub(in crate::engine) fn turn(&self, at: StepRef) -> Turn {
        match at.lane {
            Lane::Worker(_) if self.options.exclusive_catalog => self.turns[at.step.index()],
            _ => Turn::None,
        }
    }

    /// Whether workers are drained and enabled in turns.
    pub(in crate::engine) fn has_turns(&self) -> bool {
        self.options.exclusive_catalog && self.turns.contains(&Turn::Start)
    }

    /// How many of a worker's steps, from the first on, are steps of `prepare`.
    pub(in crate::engine) fn ahead(&self) -> usize {
        self.ahead
    }

    pub(in crate::engine) fn order(&self) -> &[StepIx] {
        &self.order
    }

    pub(in crate::engine) fn step(&self, at: StepRef) -> &Step {
        self.graph.step(at)
    }

    pub(in crate::engine) fn kind(&self, at: StepRef) -> &StepKind {
        &self.graph.step(at).kind
    }

    pub(in crate::engine) fn catalog_is_exclusive(&self) -> bool {
        self.options.exclusive_catalog
    }

    /// Whether it is a catalog operation that excludes workers that are down.
    pub(in crate::engine) fn is_exclusive(&self, at: StepRef, intent: &Intent) -> bool {
        self.options.exclusive_catalog
            && match intent {
                Intent::UndoDeploy | Intent::UndoStop => true,
                Intent::Do { .. } => self.kind(at).traits().catalog_operation,
                _ => false,
            }
    }

    /// A duration of the plan in milliseconds, as short as the rehearsal wants it.
    pub(in crate::engine) fn scaled(&self, duration: Duration) -> Millis {
        duration.as_millis() as Millis / Millis::from(self.options.time_scale.max(1))
    }
}

/// Kahn's algorithm over the plan's list, lowest index first; steps on a cycle (a valid plan has none)
/// come last, in their order.
fn topological(steps: &[Step]) -> Vec<StepIx> {
    let mut order = Vec::with_capacity(steps.len());
    let mut placed = vec![false; steps.len()];
    while order.len() < steps.len() {
        let next = (0..steps.len())
            .find(|at| !placed[*at] && steps[*at].needs.iter().all(|need| placed[*need]))
            .or_else(|| placed.iter().position(|placed| !placed));
        let Some(next) = next else { break };
        placed[next] = true;
        order.push(StepIx(next as u32));
    }
    order
}

/// Which steps drain, enable, and start what was enabled. What an edit comes to is done by the next deploy behind it.
fn turns(steps: &[Step], order: &[StepIx]) -> Vec<Turn> {
    let kind = |at: usize| &steps[at].kind;
    // Edits that no deploy has carried out yet, step by step.
    let mut drained: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); steps.len()];
    let mut enabled = vec![false; steps.len()];
    let mut turns = vec![Turn::None; steps.len()];
    for at in order.iter().map(|step| step.index()) {
        for need in &steps[at].needs {
            match kind(*need) {
                StepKind::Disable { .. } => _ = drained[at].insert(*need),
                StepKind::Enable => enabled[at] = true,
                StepKind::Deploy { .. } => {}
                kind => {
                    enabled[at] |= enabled[*need];
                    // A worker that reboots as it is was not drained.
                    if !matches!(kind, StepKind::Reboot { .. }) {
                        let before = drained[*need].clone();
                        drained[at].extend(before);
                    }
                }
            }
        }
        match kind(at) {
            StepKind::Enable => {
                turns[at] = Turn::Enable;
                // A machine that was quick has another boot already, and only settles.
                let waits = |need: &&usize| matches!(kind(**need), StepKind::WaitForSsh { .. });
                steps[at].needs.iter().filter(waits).for_each(|wait| turns[*wait] = Turn::Enable);
            }
            StepKind::Deploy { .. } => {
                if enabled[at] {
                    turns[at] = Turn::Start;
                }
                for edit in std::mem::take(&mut drained[at]) {
                    turns[edit] = Turn::Drain;
                }
            }
            _ => {}
        }
    }
    turns
}
