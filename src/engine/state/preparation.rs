//! Who has still to be prepared, before the first wave.

use crate::graph::{RolloutGraph, TargetIx, TargetSet};

/// Queued workers that have not gone through the plan's `prepare`. Empty where the plan has none.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Preparation {
    waiting: TargetSet,
}

impl Preparation {
    pub(in crate::engine) fn new(graph: &RolloutGraph) -> Self {
        let ahead = graph.plan.prepares();
        let mut waiting = TargetSet::default();
        for target in graph.target_indices() {
            if graph.target(target).applies[..ahead].contains(&true) {
                waiting.insert(target);
            }
        }
        Self { waiting }
    }

    /// It is queued and not prepared.
    pub(in crate::engine) fn wants(&self, target: TargetIx) -> bool {
        self.waiting.contains(target)
    }

    /// The first in the order of the graph.
    pub(in crate::engine) fn next(&self) -> Option<TargetIx> {
        self.waiting.iter().next()
    }

    pub(in crate::engine) fn waiting(&self) -> u32 {
        self.waiting.len() as u32
    }

    /// It is being prepared, or takes no part any more.
    pub(in crate::engine) fn leaves(&mut self, target: TargetIx) {
        self.waiting.remove(target);
    }

    /// It is queued again without having been prepared.
    pub(in crate::engine) fn returns(&mut self, target: TargetIx) {
        self.waiting.insert(target);
    }
}
