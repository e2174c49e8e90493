//! What is pending in a bucket, told from its files and its catalog alone: no worker is contacted, nothing is written.
//!
//! Two gaps are kept apart: what the workers have and what a deploy would bring them ([`PendingChanges::jobs`]), and
//! what the last build saw and what the workspace says now ([`PendingChanges::unbuilt`]).

mod changes;
mod words;

pub use changes::{
    Changed, FILES_LISTED, FileChange, FileState, Files, JobChange, JobVersion, PendingChanges, Unbuilt,
    UnbuiltJob, WorkerChange,
};
