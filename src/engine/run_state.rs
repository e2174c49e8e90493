//! A run, rebuilt from its facts and from nothing else.
//!
//! [`RunState::replay`] takes a stored fact; [`RunState::apply`] takes a new one and adds what follows
//! from it. Both go through the same `evolve` (which change is legal, and what it does to the state);
//! what follows is decided in `decide`, from the state alone. Replay never decides: a journal stays
//! readable when the rules of admission change between two versions.

use std::sync::Arc;

use super::decide::Decide;
use super::known::Known;
use super::pending::Pending;
use super::state::Options;
use super::{ApplyError, Effect, Fact, Millis, RuleViolation};
use crate::bucket::{JobIx, WorkerIx};
use crate::graph::RolloutGraph;

/// What follows from a fact.
#[derive(Debug, Default, PartialEq)]
#[must_use = "facts that are not made durable and effects that are not dispatched are lost"]
pub struct Decision {
    /// To be made durable in one transaction, in this order; the applied fact is the first.
    pub facts: Vec<Fact>,
    /// To be dispatched after that, and only then.
    pub effects: Vec<Effect>,
}

/// A run in this process: what the facts say, and what this process still has to do.
///
/// Two are equal when their facts say the same, whatever the processes have asked for already: after each
/// [`RunState::apply`] the state equals that of a replay of all facts, over the same graph (the same [`Arc`]).
#[derive(Clone, Debug)]
pub struct RunState {
    pub(super) known: Known,
    pub(super) pending: Pending,
}

impl PartialEq for RunState {
    fn eq(&self, other: &Self) -> bool {
        self.known == other.known
    }
}

impl RunState {
    /// A run of which no fact is known.
    pub fn new(graph: Arc<RolloutGraph>, options: Options) -> Self {
        let known = Known::new(graph, options);
        Self { pending: Pending::new(&known.setup.graph, &known.admission), known }
    }

    /// Takes a stored fact. State only: nothing is decided, no effect is asked for.
    ///
    /// # Errors
    /// The fact may not follow the ones before it, and the state is as it was.
    pub fn replay(&mut self, at: Millis, fact: &Fact) -> Result<(), RuleViolation> {
        // As `apply` took it: the journal has the clock's time, which may have been set back.
        self.known.evolve(at.max(self.known.last_at), fact, &mut self.pending)?;
        self.pending.clear_agenda();
        Ok(())
    }

    /// The fact of a round of observation that has just ended: how it differs from the last rounds of these jobs, or
    /// its whole list where that is shorter. `unavailable` and `took` are as in [`Fact::Observed`].
    pub fn observation(
        &self,
        jobs: Vec<JobIx>,
        mut unavailable: Vec<(WorkerIx, JobIx)>,
        took: Millis,
    ) -> Fact {
        unavailable.sort_unstable();
        unavailable.dedup();
        let (added, removed) = self.known.admission.changes(&jobs, &unavailable);
        if unavailable.len() < added.len() + removed.len() {
            return Fact::Observed { jobs, unavailable, took };
        }
        Fact::ObservedChanges { jobs, added, removed, took }
    }

    /// Takes a new fact, and answers with all facts and effects that follow from it.
    ///
    /// # Errors
    /// [`ApplyError::Refused`]: the fact may not follow, and the state is as it was.
    /// [`ApplyError::Broken`]: a consequence may not, which is a bug; the state must not be used any more.
    pub fn apply(&mut self, at: Millis, fact: Fact) -> Result<Decision, ApplyError> {
        // A clock that was set back does not turn time back: no duration is negative.
        let at = at.max(self.known.last_at);
        self.known.evolve(at, &fact, &mut self.pending).map_err(ApplyError::Refused)?;
        let mut decision = Decision::default();
        if matches!(fact, Fact::Resumed { fresh_process: true, .. }) {
            self.ask_for_timers(&mut decision.effects);
        }
        decision.facts.push(fact);
        while let Some(fact) =
            Decide::new(&self.known, &mut self.pending, at, &mut decision.effects).next_fact()
        {
            self.known.evolve(at, &fact, &mut self.pending).map_err(ApplyError::Broken)?;
            decision.facts.push(fact);
        }
        Ok(decision)
    }
}
