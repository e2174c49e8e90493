//! What two plans would do, compared: who is added or left out, order and waves, steps, limits with their numbers,
//! variables, jobs that are touched, and the expected time.
//!
//! An [`Outline`] says what one plan would do; [`Diff::between`] compares two. Where a plan, a run or a reviewed file
//! comes from, and how the answer is shown, is not known here.

mod diff;
mod fields;
mod headline;
mod hosts;
mod lines;
mod outline;
mod settings;
mod steps;
#[cfg(test)]
mod tests;
mod workers;

pub use diff::{Change, Diff, Effect};
pub use fields::{gate_options, step_options};
pub use headline::Headline;
pub use hosts::ranges;
pub use lines::{Line, line_diff};
pub use outline::{OnFleet, Outline, StakeOutline, Times};
pub use settings::{Setting, plan_options, variables};
pub use steps::{StepChange, StepHow, StepOutline};
pub use workers::{JobOutline, WaveChange, WorkerChange, WorkerOutline, Workers};
