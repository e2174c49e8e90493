//! The files of a bucket: `maand.conf`, `workers.json`, `disabled.json`, job manifests; read into
//! one immutable [`Fleet`], and edited with care.
//!
//! This room knows formats and the file system. It must not know plans (problems apart), graphs,
//! SSH or what an operation does.

mod check;
mod conf;
mod disabled;
mod disabled_file;
mod edit;
mod edit_workers;
mod failpoint;
mod fields;
mod files;
mod fleet;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod globs;
mod hash;
mod init;
mod json;
mod load;
pub mod lock;
mod manifest;
mod open;
mod power;
mod record;
mod rewrite;
mod secrets;
mod settings;
mod tree;
mod units;
mod upstream;
mod variables;
mod workers;
mod workers_file;
mod workspace_files;

pub use disabled_file::{DisabledChange, DisabledError, DisabledFile, Fence, no_fence};
pub use edit::{DisabledEntry, edited_disabled};
pub use edit_workers::{EditedWorkers, LeftThere, UnknownKeys, WorkerEntry, edited_workers, worker_entries};
pub use fleet::*;
pub use globs::{PathGlobs, path_globs};
pub use init::{Initialised, init};
pub use manifest::port_variable;
pub use open::{Bucket, Paths, bucket_around, is_strangers};
pub use power::PowerSettings;
pub use secrets::new_key;
pub use settings::{HostKeyCheck, Settings, is_user, shorter_timeout};
pub use tree::{JobFile, JobFileKind, WORKERS_OWN, walk};
pub use upstream::{database_uri, read_upstream};
pub use workers_file::WorkersError;
pub use workspace_files::{Changed, WorkspaceDifference, WorkspaceFiles};
