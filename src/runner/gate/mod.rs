//! Gates: what is measured outside of the run, by a Prometheus, an Alertmanager, some server or a command of this machine.
//!
//! Answers come from outside and may be anything. The rule for all of them: a value beyond its limit fails, a value within
//! it passes, and whatever else comes (nothing, an error, no data, something that cannot be read, a part of an answer)
//! says nothing, and is never taken for a pass.

mod alertmanager;
mod down;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod measure;
mod prometheus;
mod step;

pub(super) use down::DownWorkers;
pub use down::Returns;
#[cfg(any(test, fuzzing))]
pub(super) use fuzzing::judged;
pub(super) use measure::{Measurement, Measuring};
pub(super) use step::hold;
