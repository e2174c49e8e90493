//! Why a sandbox cannot start.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Why a sandbox cannot start. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The speed is not a number from 0.01 to 1000.
    #[error("the speed cannot be {0}")]
    Speed(f64),
    /// Fewer workers than one, or more than [`super::WORKERS_MAX`].
    #[error("a sandbox cannot have {0} workers")]
    Workers(usize),
    /// The demo jobs need `make`, and it is not on PATH.
    #[error("there is no `make` on this machine, which the demo jobs need")]
    NoMake,
    /// The path of the folder has bytes in it that are not plain text.
    #[error("the folder {} has a name that is not plain text", .0.display())]
    FolderName(PathBuf),
    /// The folder holds something else.
    #[error("the folder {} is not empty and is not a sandbox's", .0.display())]
    NotASandbox(PathBuf),
    /// The folder holds what an earlier sandbox has left there, to be looked at.
    #[error("the folder {} holds an earlier sandbox", .0.display())]
    Earlier(PathBuf),
    /// Another process has a sandbox there.
    #[error("a sandbox lives in {} (process {holder})", .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The number of the process; empty where it has not noted it yet.
        holder: String,
    },
    /// The folder cannot be made, emptied or written to.
    #[error("cannot {verb} {}: {source}", .path.display())]
    Folder {
        /// What was tried, such as `write to`.
        verb: &'static str,
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No net of 127.0.0.0/8 has a free address for each worker.
    #[error("no address below 127.0.0.0/8 could be listened on: {0}")]
    Listen(#[source] io::Error),
    /// A key, the threads, or a worker could not be made.
    #[error("the sandbox cannot start: {what}: {source}")]
    Start {
        /// What could not be made.
        what: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl SandboxError {
    /// Wraps what the system says about a folder.
    pub(super) fn folder(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Folder { verb, path, source }
    }

    /// Wraps why a part could not be made.
    pub(super) fn start<E: Into<Box<dyn Error + Send + Sync>>>(
        what: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Start { what, source: source.into() }
    }
}
