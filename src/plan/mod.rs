//! The plan language: source text with spans, the model of a valid plan, and problems.
//!
//! This room turns text into a [`Plan`] or into [`Problems`]. It knows nothing of buckets, hosts,
//! graphs or execution, and it does no I/O: the caller hands it text.

mod model;
mod problem;

pub use model::*;
pub use problem::{Problem, Problems, Severity, Source};
