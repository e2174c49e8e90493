//! The built-in engine: the operations that upstream documents, done with care.
//!
//! ```text
//! workspace --build--> State in catalog.db --planning--> actions --rollout--> workers
//!                            ^                                        |
//!                            +---- attempts before, outcomes after ---+
//! ```
//!
//! `order`, `ports`, `planning` and most of `tree` are pure. Scripts on workers leave receipts, so that
//! what was done and not heard of is not done twice.

mod build;
mod content;
mod deploy;
mod deploy_execution;
mod engine;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod health;
mod job;
mod order;
mod pending;
mod planning;
mod ports;
mod probe;
mod reading;
mod rows;
mod scripts;
mod state;
mod store;
mod sync;
#[cfg(test)]
mod testing;
mod tree;
mod wire;

pub use content::pending_diffs;
pub use engine::{Builtin, MAKE_TIMEOUT, assigned_ports, built_workers, doubt_all_workers};
pub use pending::pending_changes;
pub use rows::action_name;
