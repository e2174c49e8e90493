//! What the loop is told, and what it hands out.

use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{
    AttemptId, AttemptSpec, DoubtAnswers, Fact, GatePlace, Outcome, RuleViolation, RunStatus, SilenceEvent,
};
use crate::graph::{Lane, StepIx, TargetIx, TargetSet};
use crate::plan::Reading;

/// What the loop is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// The process begins: what it has learnt so far, and how attempts in doubt are to be settled, where the
    /// operator has said so.
    Begin {
        /// Facts, in order.
        facts: Vec<Fact>,
        /// What to do with attempts in doubt.
        in_doubt: DoubtAnswers,
    },
    /// An attempt has ended.
    Finished {
        /// Its number, from [`Output::Execute`].
        attempt: AttemptId,
        /// What is known of it.
        outcome: Outcome,
    },
    /// A round of observation has ended.
    Observed {
        /// As in [`Output::Observe`].
        jobs: Vec<JobIx>,
        /// What was not well, or could not be seen.
        unavailable: Vec<(WorkerIx, JobIx)>,
    },
    /// A measurement has ended.
    Measured {
        /// Its number, from [`Output::Measure`].
        id: u64,
        /// What it says.
        reading: Reading,
        /// The same in words, one line.
        says: String,
    },
    /// What became of a worker's silence.
    Silence {
        /// The worker.
        target: TargetIx,
        /// What is known.
        event: SilenceEvent,
    },
    /// A signal has arrived.
    Signal {
        /// Its name, such as `SIGINT`.
        name: &'static str,
    },
    /// Time has passed: timers may be due.
    Tick,
    /// Operators may have asked for something.
    Requests,
}

/// What is to be done after the input was taken. Everything in it is durable already.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Output {
    /// Carry out an attempt, and answer with exactly one [`Input::Finished`].
    Execute(AttemptSpec),
    /// Look at these jobs, and answer with [`Input::Observed`].
    Observe {
        /// All enabled allocations of these.
        jobs: Vec<JobIx>,
        /// Workers that are down by this run: they count as such and are not looked at.
        skip: TargetSet,
    },
    /// Measure a gate of the rollout once, and answer with [`Input::Measured`].
    Measure {
        /// Counts them.
        id: u64,
        /// Where the gate stands.
        place: GatePlace,
        /// Its place in the list there.
        gate: u32,
        /// The wave that is open, or that it is for, from 0.
        wave: Option<u32>,
    },
    /// Give up all that is in flight, at once.
    GiveUp,
    /// This process has nothing more to do.
    End(Ended),
}

/// How a controller came to its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The run is in a state in which this process has nothing more to do.
    Idle(RunStatus),
    /// A second signal: these attempts were in flight, and a resume will look.
    ForcedStop(Vec<(Lane, StepIx)>),
}

/// Why a controller has to stop before it does anything more.
#[derive(Debug)]
pub enum ControllerError<E> {
    /// The ledger did not take what follows from the input.
    Ledger(E),
    /// The engine has refused a fact of the controller's own, or derived one that breaks a rule: a bug.
    Broken(RuleViolation),
}
