//! Facts in, effects out: the pure heart of a run.
//!
//! [`RunState::apply`] takes one new fact and answers with the facts that follow from it and the
//! effects to carry out; [`RunState::replay`] takes stored facts and only rebuilds state. No I/O, no
//! clock (the time is in the fact), no threads: a real run, a resume, a rehearsal and a simulation
//! are this code with something else behind the effects.

mod attempts;
mod backoff;
mod chart;
mod decide;
mod decide_admission;
mod effect;
mod error;
mod evolve;
mod evolve_attempt;
mod evolve_control;
mod fact;
mod lane;
mod mask;
mod median;
mod request;
mod rule_violation;
mod run_chart;
mod run_state;
mod view;

pub use attempts::AttemptMap;
pub use chart::WorkerState;
pub use effect::*;
pub use error::{ErrorKind, StepError};
pub use fact::*;
pub use request::{Control, Request, facts_of};
pub use rule_violation::{ApplyError, RuleViolation};
pub use run_chart::RunPhase;
pub use run_state::{Decision, Options, RunState};
pub use view::RunStatus;
