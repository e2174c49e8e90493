//! Effects: what the engine asks the world to do. Data, nothing else.

use crate::bucket::JobIx;
use crate::graph::{Lane, StepIx};

use super::{AttemptId, Intent, Millis, Timer};

/// Something to do after the facts of the same answer are durable.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Effect {
    /// Carry out an attempt; its `Issued` fact is among the facts of the same answer. Exactly one
    /// `Finished` with this number is awaited.
    Execute(AttemptSpec),
    /// Apply [`super::Fact::Due`] at that time, or as soon after it as possible.
    Wake {
        /// The time of the fact, by the controller's clock.
        at: Millis,
        /// What the fact is about.
        timer: Timer,
    },
    /// Look at all enabled allocations of these jobs and apply [`super::Fact::Observed`]. Read-only,
    /// and therefore not issued.
    Observe {
        /// The jobs to look at, on all workers that are not down by the run.
        jobs: Vec<JobIx>,
    },
}

/// One attempt to carry out.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptSpec {
    /// The number by which its outcome refers to it.
    pub attempt: AttemptId,
    /// The run's own steps, or those of one worker.
    pub lane: Lane,
    /// Index of the step in its lane's list.
    pub step: StepIx,
    /// What is to be done, with everything that a repeat must do alike.
    pub intent: Intent,
}
