//! How each worker is, by facts alone: what the engine and the policy believe is not looked at.

use crate::engine::{Check, Fact, Intent};
use crate::graph::{Lane, RolloutGraph, TargetIx};

/// How one worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Queued,
    Active,
    Succeeded,
    /// It counts as failed; `true`: it is down.
    Failed(bool),
    /// It did not answer at the start: failed, and down.
    Away,
    /// Disabled before: it takes no part.
    LeftAlone,
}

/// All workers.
#[derive(Clone, Debug)]
pub(super) struct Books {
    pub(super) lives: Vec<Life>,
    /// A step that takes it down was issued.
    touched: Vec<bool>,
}

impl Books {
    pub(super) fn new(graph: &RolloutGraph) -> Self {
        let count = graph.targets.len();
        Self { lives: vec![Life::Queued; count], touched: vec![false; count] }
    }

    /// Notes a fact.
    pub(super) fn note(&mut self, graph: &RolloutGraph, fact: &Fact) {
        match fact {
            Fact::Preflight { checks } => {
                for (life, check) in self.lives.iter_mut().zip(checks) {
                    match check {
                        Check::Ready { .. } => {}
                        Check::Unreachable { .. } => *life = Life::Away,
                        Check::LeftAlone { .. } => *life = Life::LeftAlone,
                    }
                }
            }
            Fact::WorkerAdmitted { target } => self.set(*target, Life::Active),
            Fact::Issued { lane: Lane::Worker(target), step, intent, .. } => {
                let disturbs = graph.plan.steps[step.index()].kind.traits().disturbs;
                self.touched[target.0 as usize] |=
                    disturbs && *intent != Intent::ReadBootId && !intent.is_undo();
            }
            Fact::WorkerSucceeded { target } => self.set(*target, Life::Succeeded),
            Fact::WorkerFailed { target, .. } | Fact::RevertStuck { target, .. } => {
                self.set(*target, Life::Failed(self.touched[target.0 as usize]));
            }
            Fact::WorkerReverted { target } => self.set(*target, Life::Failed(false)),
            _ => {}
        }
    }

    fn set(&mut self, target: TargetIx, life: Life) {
        self.lives[target.0 as usize] = life;
    }

    pub(super) fn life(&self, target: TargetIx) -> Life {
        self.lives[target.0 as usize]
    }

    /// Failed workers, those that did not answer included.
    pub(super) fn failures(&self) -> u32 {
        self.lives.iter().filter(|life| matches!(life, Life::Failed(_) | Life::Away)).count() as u32
    }
}
