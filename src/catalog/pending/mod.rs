//! What is pending in a bucket, told from its files and its catalog alone: no worker is contacted, nothing is written.
//!
//! Two gaps are kept apart: what the workers have and what a deploy would bring them ([`PendingChanges::jobs`]), and
//! what the last build saw and what the workspace says now ([`PendingChanges::unbuilt`]).

mod changes;
mod compare;
mod diff;
mod secret;
mod words;

pub use crate::bucket::Changed;
pub use changes::{
    FILES_LISTED, FileChange, FileState, Files, JobChange, JobVersion, PendingChanges, Unbuilt, UnbuiltJob,
    WorkerChange,
};
pub(crate) use compare::{AllocationChange, Seen, SeenJob, grouped, unbuilt};
pub use diff::{FileDiff, NotShown};
pub(crate) use diff::{LONGEST, diffs, text_of};
pub(crate) use secret::{is_secret_path, is_secret_text};
