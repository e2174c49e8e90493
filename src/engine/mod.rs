//! Facts in, effects out: the pure heart of a run.
//!
//! [`RunState::apply`] takes one new fact and answers with the facts that follow from it and the
//! effects to carry out; [`RunState::replay`] takes stored facts and only rebuilds state. No I/O, no
//! clock (the time is in the fact), no threads: a real run, a resume, a rehearsal and a simulation
//! are this code with something else behind the effects.

mod attempts;
mod backoff;
mod decide;
mod effect;
mod error;
mod evolve;
mod fact;
mod gates;
mod intent;
mod known;
mod mask;
mod outcome;
mod pending;
mod public;
mod request;
mod rule_violation;
#[cfg(test)]
mod rules;
mod run_state;
mod state;
mod status;

pub use attempts::AttemptMap;
pub use effect::*;
pub use error::{ErrorKind, StepError};
pub use fact::*;
pub use gates::{GatePlace, GateStanding};
pub use intent::*;
pub use outcome::*;
pub use public::{PublicRunState, PublicWorkerState};
pub use request::{Control, Request, describe_refusal, facts_of};
pub use rule_violation::{ApplyError, RuleViolation};
pub use run_state::{Decision, RunState};
pub use state::{Options, RunPhase, WorkerState};
pub use status::{LaneWait, RunStatus};
