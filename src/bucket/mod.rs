//! The files of a bucket: `maand.conf`, `workers.json`, `disabled.json`, job manifests; read into
//! one immutable [`Fleet`], and edited with care.
//!
//! This room knows formats and the file system. It must not know plans (problems apart), graphs,
//! SSH or what an operation does.

mod fleet;

pub use fleet::*;
