//! Why a rehearsal did not come to a verdict.

use std::io;
use std::path::PathBuf;

use crate::plan::Problems;
use crate::run::RunError;
use crate::sandbox::{SandboxError, WORKERS_MAX};

/// Why there is no verdict. Nothing of the fleet is left.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The plan, the bucket or a fault is wrong.
    #[error("{0}")]
    Input(#[from] Problems),
    /// The bucket has more workers than a sandbox can have.
    #[error("the bucket has {0} workers, a rehearsal at most {WORKERS_MAX}")]
    TooManyWorkers(usize),
    /// A script of the plan is not below the plan's folder, so that it has no place in the rehearsal's own.
    #[error("the script `{0}` is not below the plan's folder")]
    ScriptOutside(String),
    /// The fleet cannot be started.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The demo jobs cannot be deployed.
    #[error("the demo jobs cannot be deployed: {0}")]
    Deploy(String),
    /// It was interrupted before the run began.
    #[error("interrupted before the rehearsal began")]
    Interrupted,
    /// A file of the rehearsal's own bucket cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Folder {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The process that carries the run out cannot be started or waited for.
    #[error("{} cannot be run: {source}", .program.display())]
    Child {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The machine has no thread for the watcher.
    #[error("the watcher cannot be started: {0}")]
    Watcher(#[source] io::Error),
    /// The run did not begin; what kept it was shown by the process that was to carry it out.
    #[error("the rehearsal's run did not begin")]
    NoRun,
    /// The stored run cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
}
