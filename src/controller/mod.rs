//! The loop of a run as a machine: an input at a time becomes a fact, the facts that follow are made durable,
//! and only then is anything handed out to be carried out.
//!
//! [`Controller::handle`] is synchronous and owns no thread, no channel, no socket and no clock: the time comes
//! with the input, the [`Ledger`] is a trait, and what is to be done is returned as [`Output`]. A real run
//! ([`crate::runner`]) is a thin shell of threads, signals and SQLite around it; the simulator drives the same
//! machine with a ledger in memory. This room must not know either of them.

mod batches;
mod ends;
mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gauges;
mod io;
mod ledger;
mod machine;
#[cfg(test)]
mod machine_tests;
#[cfg(test)]
mod observation_tests;
mod offline;
mod proof;
mod timers;

pub use batches::{Batch, Batches, Ticket};
pub use ends::{booted_by_itself, reboot_outcome, return_outcome};
pub use fault::LoopFault;
pub use io::{ControllerError, Ended, Input, Output};
pub use ledger::{Ledger, MemoryLedger};
pub use machine::{Controller, MAX_OBSERVATION_AGE};
pub use offline::{apply_offline, offline_facts};
pub use proof::proven_outcome;
