//! A plan over real SSH on a throwaway fleet with faults, and a verdict on what came of it.
//!
//! The plan is carried out by child processes of the program itself (`plan apply`, and `plan resume` after a
//! kill), with the real engine, journal and transport: what is seen is what a real run shows. This process owns
//! the fleet, watches it from outside, and in the end judges by what the fleet says. The judges share nothing
//! with the engine that they judge.
//!
//! | part | what it does |
//! |---|---|
//! | [`Likeness`] | which fleet is started |
//! | [`Rehearsal`] | what is rehearsed, with which faults; carries it out |
//! | `controllers`, `child` | the processes that carry the run out, and are killed |
//! | `watcher` | what is seen from outside, all the time |
//! | `history` | what the workers have written down, put in order |
//! | `judge`, `reports`, `commands`, `boots` | each promise held against that |
//! | `refusal` | the same for a plan that was refused because of a fault |
//! | [`Verdict`] | all of it |
//!
//! This room must not know how a verdict or a run is shown.

mod boots;
mod bucket;
mod carry_out;
mod child;
mod commands;
mod controllers;
mod deploy;
mod error;
mod history;
mod judge;
mod likeness;
mod options;
mod prepared;
mod refusal;
mod reports;
mod verdict;
mod watcher;

pub use carry_out::{Rehearsal, Rehearsed};
pub use child::{follow_parent, is_rehearsed};
pub use controllers::Replacement;
pub use deploy::deploy_jobs;
pub use error::RehearsalError;
pub use likeness::Likeness;
pub use options::{Difference, RehearsalOptions, Stage, TIME_SCALE};
pub use verdict::{Down, Promise, Verdict, WorkerPart};
