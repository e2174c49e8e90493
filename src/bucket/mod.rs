//! The files of a bucket: `maand.conf`, `workers.json`, `disabled.json`, job manifests; read into
//! one immutable [`Fleet`], and edited with care.
//!
//! This room knows formats and the file system. It must not know plans (problems apart), graphs,
//! SSH or what an operation does.

mod check;
mod conf;
mod disabled;
mod fields;
mod files;
mod fleet;
mod hash;
mod json;
mod load;
mod manifest;
mod open;
mod settings;
mod tree;
mod units;
mod workers;

pub use fleet::*;
pub use open::{Bucket, Paths};
pub use settings::{HostKeyCheck, Settings};
pub use tree::{JobFile, JobFileKind, WORKERS_OWN, walk};
