//! Why a run was not prepared, started, resumed or controlled, or why it stopped.
//!
//! What to do about it, and with which exit code a program ends, is decided by whoever shows it.

use std::io;
use std::path::PathBuf;

use crate::catalog::CatalogError;
use crate::engine::{ErrorKind, RuleViolation, RunEnd, StepError};
use crate::journal::{Holder, JournalError, LockError, RunId};
use crate::plan::{Problem, Problems, counted};
use crate::runner::LoopError;

use super::{Change, NotTaken};

/// Why an operation of this room did not take place, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The plan or the bucket is wrong, or the plan cannot be carried out on this bucket: nothing was touched.
    #[error("{0}")]
    Input(#[from] Problems),
    /// A setting of the bucket, its key, its lock file or the upstream program is missing or unusable: nothing was
    /// touched.
    #[error(transparent)]
    Setting(#[from] Problem),
    /// The journal cannot be opened, read or written, or it does not have the run that is asked for.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another process holds the run lock.
    #[error("another operation is under way: {}", .0.describe())]
    Locked(Box<Holder>),
    /// The file of the run lock cannot be opened or written: nothing was touched.
    #[error(transparent)]
    LockFile(LockError),
    /// The bucket has a run that has not finished; there is at most one.
    #[error("run {run} of this bucket has not finished")]
    Unfinished {
        /// The run's name.
        run: RunId,
        /// It has halted, or something else stands against continuing it as it is.
        halted: bool,
    },
    /// The run that was to be resumed has its end already: nothing was done.
    #[error("run {run} has already finished")]
    Finished {
        /// The run's name.
        run: RunId,
        /// How it ended.
        end: RunEnd,
        /// So many of its workers have failed, and can be retried.
        failed: usize,
    },
    /// There is nothing to stand by for: the runs of this bucket are in a file of this machine.
    #[error("no other machine carries out runs of this bucket: they are in a file here")]
    NotShared,
    /// Something in the run goes on when its controller is cut off: only an operator may take it over.
    #[error("run {run} is taken over by an operator only: {} cannot be fenced", .what.join(", "))]
    NotFenced {
        /// The run's name.
        run: RunId,
        /// Steps, in words.
        what: Vec<String>,
    },
    /// More workers have failed than the plan allows: one has to be retried or skipped first.
    #[error("run {run} has halted: {} failed (max_failures: {allowed})", counted(*.failed as usize, "worker"))]
    Halted {
        /// The run's name.
        run: RunId,
        /// Workers in the failure ledger.
        failed: u32,
        /// `max_failures`, resolved.
        allowed: u32,
    },
    /// Too many workers cannot take part, or another run has claimed one: nothing was touched.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// A run is not taken from a bundle, as another controller may drive it or knows more of it.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// The journal here has more facts of the run than the bundle: nothing was touched.
    #[error("the journal here has {here} facts of run {run}, and the bundle {there}: it is newer here")]
    NewerHere {
        /// The run's name.
        run: RunId,
        /// Facts in the journal.
        here: u64,
        /// Facts in the bundle.
        there: u64,
    },
    /// The journal here and the bundle have continued the run in two ways: nothing was touched.
    #[error(
        "run {run} was continued in two ways: from fact {seq} on the journal here is another one than the bundle"
    )]
    OtherHere {
        /// The run's name.
        run: RunId,
        /// The first fact that differs.
        seq: u64,
    },
    /// The workspace is no longer the one that the run began with, and the operator has not accepted that. The other
    /// changes since then are named as well.
    #[error(
        "the workspace has changed since the run began: deploys would bring the change to the remaining workers"
    )]
    WorkspaceChanged {
        /// The run's name.
        run: RunId,
        /// All that has changed, the workspace included.
        changes: Vec<Change>,
    },
    /// A plan was reviewed, and something that it was compiled from has changed since: nothing was touched.
    #[error("the reviewed plan is stale: {} changed since", if .changes.len() == 1 { "one thing has".to_owned() } else { format!("{} things have", .changes.len()) })]
    Stale {
        /// Each change, in an operator's words.
        changes: Vec<String>,
    },
    /// The very file that was reviewed was carried out already: nothing was touched.
    #[error("run {run} has carried out this reviewed plan already")]
    CarriedOut {
        /// The run's name.
        run: RunId,
    },
    /// A reviewed plan cannot be written as JSON: a bug.
    #[error("the reviewed plan cannot be written as JSON: {0}")]
    Encode(#[source] serde_json::Error),
    /// Every selected worker was disabled by an operator.
    #[error("nothing to do: all selected workers are left alone ({})", .reasons.iter().take(3).cloned().collect::<Vec<_>>().join("; "))]
    AllLeftAlone {
        /// Of each worker, why it is left alone.
        reasons: Vec<String>,
    },
    /// A file of the bucket cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The catalog could not say what is pending.
    #[error(transparent)]
    Catalog(CatalogError),
    /// This program compiles the stored plan to another graph than the one that the run began with.
    #[error("this version of maand ({}) compiles the run's plan to another graph than {program} did", env!("CARGO_PKG_VERSION"))]
    OtherVersion {
        /// The version that began the run.
        program: String,
    },
    /// A stored fact breaks a rule of the engine. The journal's own checks have passed: another version wrote
    /// it, or the engine has a bug.
    #[error("fact {seq} of run {run} breaks a rule: {violation}: {}", .violation.detail)]
    IllegalFact {
        /// The run's name.
        run: RunId,
        /// The fact's number.
        seq: u64,
        /// The rule that it breaks.
        #[source]
        violation: RuleViolation,
    },
    /// What an operator asked for is not possible now: nothing has changed.
    #[error("not possible now: {0}")]
    Refused(String),
    /// The process that carries the run out has not taken the request; it takes it when it wakes up.
    #[error("timed out waiting for the controller of run {0} to take the request")]
    NoAnswer(RunId),
    /// What was asked for has to be carried out, and no process carries the run out: nothing has changed.
    #[error("no process carries run {0} out now")]
    NoController(RunId),
    /// No selected worker has this name.
    #[error("{host} is not a worker of run {run}")]
    UnknownWorker {
        /// The run's name.
        run: RunId,
        /// The host as it was given.
        host: String,
    },
    /// The bucket has no worker of this name.
    #[error("there is no worker `{0}`")]
    NoSuchWorker(String),
    /// The worker could not be reached.
    #[error("{}", .0.message)]
    Unreachable(StepError),
    /// Commands on this machine that an earlier controller of the run has started are still there: nothing was begun.
    #[error("run {run} has commands on this machine that do not end: {}", .left.join(", "))]
    LeftRunning {
        /// The run's name.
        run: RunId,
        /// Each with its number and name.
        left: Vec<String>,
    },
    /// SIGINT, SIGTERM and SIGHUP cannot be watched.
    #[error("signals cannot be watched: {0}")]
    Signals(#[source] io::Error),
    /// The controller had to stop: the journal cannot be written, another controller has the run now, or the engine has a bug. The run is as the journal has it.
    #[error(transparent)]
    Stopped(#[from] LoopError),
}

impl From<LockError> for RunError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Held(holder) => Self::Locked(holder),
            LockError::Server(error) => Self::Journal(error),
            error @ LockError::Failed { .. } => Self::LockFile(error),
        }
    }
}

/// Why a run cannot start with the workers as they are.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} of {} cannot take part (max_failures: {allowed}): nothing was touched",
    .refused.len(),
    counted(*.workers, "worker")
)]
pub struct NotReady {
    /// Each worker that cannot take part, and why.
    pub refused: Vec<(String, StepError)>,
    /// How many were selected.
    pub workers: usize,
    /// `max_failures`, resolved.
    pub allowed: u32,
}

impl NotReady {
    /// Another run has claimed one of them.
    pub fn is_claimed(&self) -> bool {
        self.refused.iter().any(|(_, error)| error.kind == ErrorKind::Claimed)
    }
}
