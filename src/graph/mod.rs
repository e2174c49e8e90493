//! Compiles a valid plan and a fleet into a petgraph DAG of (worker, step), barriers and gates.
//!
//! Plan x fleet in, [`RolloutGraph`] or problems out; deterministic, byte for byte. This room must
//! not know time, execution, SSH or files.

mod model;

pub use model::*;
