//! Facts in, effects out: the pure heart of a run.
//!
//! [`Rollout::apply`] takes one new fact and answers with the facts that follow from it and the
//! effects to carry out; [`Rollout::replay`] takes stored facts and only rebuilds state. No I/O, no
//! clock (the time is in the fact), no threads: a real run, a resume, a rehearsal and a simulation
//! are this code with something else behind the effects.

mod effect;
mod fact;

pub use effect::*;
pub use fact::*;
