//! Who may start now: waves, concurrency, budgets, failure domains, windows.
//!
//! Pure and incremental: the engine tells what has happened and asks for a [`Verdict`]; time comes in
//! as a value. This room must not know steps' meaning beyond "disturbs", effects, or I/O.

mod admission;
mod ahead;
mod describe;
mod exposure;
mod feasibility;
mod forecast;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod limits;
mod queue;
mod verdict;
pub mod window;

pub use admission::{Admission, Conditions, JobNow, OBSERVATION_FRESH_MS};
pub use ahead::PrepareLimit;
pub use describe::local_time;
pub use exposure::{Binding, Exposure, JobStake, Stake, WithoutZone, ZoneStake, ZoneTag};
pub use feasibility::feasibility;
pub use forecast::{Forecast, longest};
pub use limits::{Limits, SpreadLimit};
pub use queue::{PASSED_OVER_LIMIT, Pick, Queue};
pub use verdict::*;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod verdicts;
