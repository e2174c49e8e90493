//! Compiles a valid plan and a fleet into a petgraph DAG of (worker, step), barriers and gates.
//!
//! Plan x fleet in, [`RolloutGraph`] or problems out; deterministic, byte for byte. This room must
//! not know time, execution, SSH or files.

mod compile;
mod cover;
mod dag;
mod freeze;
mod hash;
mod matcher;
mod model;
mod names;
mod numbers;
mod render;
mod select;
mod silence;
mod synthetic;
mod target_set;
#[cfg(test)]
pub(crate) mod testing;
mod waves;

pub use compile::{CompileOptions, compile};
pub use cover::{Coverage, NotCovered, TagCoverage, TagValue, Uncovered};
pub use model::*;
pub use numbers::{JobBudget, Numbers, Resolved};
pub use render::{dot, mermaid};
pub use select::{Selection, SelectionPart};
pub use synthetic::synthetic_fleet;
pub use target_set::{IndexSet, TargetSet, WorkerSet};
