//! What the facts of a run say, one concept a file: each part keeps its fields to itself and says in a few
//! methods what may happen to it. Which fact may follow which is decided in `evolve`, what follows in `decide`.
//!
//! Hot: with tens of thousands of workers under way, every fact looks at all steps of its lane, and the cost
//! of that is the number of cache lines. What is rare is boxed.

mod attempts;
mod disabled;
mod exclusion;
mod failures;
mod gates;
mod hold;
mod lane;
mod lanes;
mod median;
mod preparation;
mod reboot;
mod revert;
mod run_chart;
mod setup;
mod step;
mod waves;
mod worker_chart;

pub(super) use attempts::{Attempts, Awaited};
pub(super) use exclusion::Exclusion;
pub(super) use failures::FailureLedger;
pub(super) use gates::Gates;
pub(super) use hold::{Held, Hold};
pub(super) use lane::{LaneState, Presence};
pub(super) use lanes::Lanes;
pub(super) use median::Median;
pub(super) use preparation::Preparation;
pub(super) use reboot::RebootState;
pub(super) use revert::{Revert, Undo};
pub use run_chart::RunPhase;
pub(super) use run_chart::{RunChart, RunEvent};
pub use setup::Options;
pub(super) use setup::{Setup, Turn};
pub(super) use step::{Ended, Gate, StepState, StepStatus};
pub(super) use waves::Waves;
pub use worker_chart::WorkerState;
pub(super) use worker_chart::{Activity, WorkerChart, WorkerEvent};
