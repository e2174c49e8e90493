//! Facts in, effects out: the pure heart of a run.
//!
//! [`Rollout::apply`] takes one new fact and answers with the facts that follow from it and the
//! effects to carry out; [`Rollout::replay`] takes stored facts and only rebuilds state. No I/O, no
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
mod illegal;
mod lane;
mod mask;
mod median;
mod rollout;
mod run_chart;
mod view;

pub use attempts::AttemptMap;
pub use chart::Life;
pub use effect::*;
pub use error::{ErrorKind, StepError};
pub use fact::*;
pub use illegal::Illegal;
pub use rollout::{Consequences, Options, Rollout};
pub use run_chart::Phase;
pub use view::Standing;
