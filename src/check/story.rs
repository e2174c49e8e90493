//! What happened on the way to a state, in the words of an operator.

use std::fmt;

use crate::engine::Fact;
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};

/// One thing that happens to one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The worker.
    pub target: TargetIx,
    /// What happens to it.
    pub what: Happening,
}

/// What happens to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It does not answer at the start: it counts as failed and down.
    DoesNotAnswer,
    /// It is admitted, and from then on counts as down where a step takes it down.
    Starts,
    /// All its steps ended well.
    Succeeds,
    /// It fails, and stays as it is.
    Fails(Option<StepIx>),
    /// It has failed and is put back.
    IsReverted,
    /// It has failed, and could not be put back.
    IsStuck,
}

impl Event {
    /// What a fact means for its worker; `None`: nothing that a story tells.
    pub(super) fn of(fact: &Fact) -> Option<Self> {
        let (target, what) = match fact {
            Fact::WorkerAdmitted { target } => (target, Happening::Starts),
            Fact::WorkerSucceeded { target } => (target, Happening::Succeeds),
            // The end of a worker that is put back comes later, and so does its failure where it is not.
            Fact::WorkerFailed { target, step, .. } => (target, Happening::Fails(*step)),
            Fact::WorkerReverted { target } => (target, Happening::IsReverted),
            Fact::RevertStuck { target, .. } => (target, Happening::IsStuck),
            _ => return None,
        };
        Some(Self { target: *target, what })
    }

    /// `w1 fails at reboot`.
    pub fn describe(&self, graph: &RolloutGraph) -> String {
        let step = |step: StepIx| graph.steps(Lane::Worker(self.target))[step.index()].id.as_str();
        let what: &dyn fmt::Display = match self.what {
            Happening::DoesNotAnswer => &"does not answer at the start",
            Happening::Starts => &"starts",
            Happening::Succeeds => &"succeeds",
            Happening::Fails(Some(at)) => &format!("fails at {}", step(at)),
            Happening::Fails(None) => &"fails",
            Happening::IsReverted => &"fails and is put back",
            Happening::IsStuck => &"fails and cannot be put back",
        };
        format!("{} {what}", graph.host(self.target))
    }
}
