//! Build, deploy, health and job control: the operations that rollouts stand on.
//!
//! The [`Catalog`] trait with two engines: the built-in one, and one that drives an installed
//! upstream program. This room knows buckets and SSH; it must not know plans, graphs or runs.

mod api;
mod builtin;
pub mod command;
mod error;
pub mod external;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod locking;
mod pending;
mod same_machine;

pub use api::*;
pub use builtin::{
    Builtin, MAKE_TIMEOUT, action_name, assigned_ports, built_workers, doubt_all_workers, pending_changes,
    pending_diffs,
};
pub use error::{BrokenCatalog, CatalogError};
pub use external::External;
pub use pending::*;
pub(crate) use pending::{AllocationChange, Seen, SeenJob, grouped, unbuilt};
