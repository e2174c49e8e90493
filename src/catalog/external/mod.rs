//! The external engine: build, deploy, health and job control by an installed upstream program.
//!
//! ```text
//! request --session--> one command of the program, under our lock --> its exit code, its output
//!                                                                     |
//! data/maand.db before and after, worker.json over SSH --judge--------+--> outcome of each worker
//! ```
//!
//! While a command runs, other ones and the staging folder are watched; after a deploy the files on the workers are
//! verified.
//!
//! That program has no lock, contacts every worker in every command, and its exit code belongs to none of
//! them; this room knows that and nothing of runs. It never writes to the program's database.

mod database;
mod deploy;
mod engine;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod health;
mod identity;
mod job;
mod judge;
mod others;
mod pending;
mod process;
mod session;
mod start;
mod sync;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verify;
mod watch;
mod workspace;

pub use database::{KNOWN_SCHEMA, SchemaVersion, read_version};
pub use engine::{External, Say};
pub use identity::{DEPTH, Program, refuse_nested};
pub use others::at_work;
pub use pending::{pending_changes, pending_diffs};
pub use watch::{Beside, Watch};
pub use workspace::assigned_ports;
