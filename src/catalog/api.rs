//! The catalog as a plan's steps and the command line see it.
//!
//! All calls block. What happened to one worker is never read from the exit code of the whole: each
//! report has an [`WorkerOutcome`] for each worker that took part.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CatalogError;
use crate::bucket::{Host, JobName};
use crate::ssh::Cancel;

/// Takes output lines as they come: the host where it is known, and the line.
pub type Output = Arc<dyn Fn(Option<&Host>, &str) + Send + Sync>;

/// What a call brings with it besides its request.
#[derive(Clone)]
pub struct Call {
    /// Begin nothing more; what runs on a worker is seen to its end.
    pub stopping: Cancel,
    /// Ends it early, and what runs on a worker, too.
    pub cancel: Cancel,
    /// It must have ended by then.
    pub until: Instant,
    /// Takes output lines as they come: the host where it is known, and the line.
    pub output: Output,
    /// Environment for every script: fencing (`MAAND_RUN`, `MAAND_EPOCH`) or nothing.
    pub fence: Option<Fence>,
    /// Ends it on single workers.
    pub cuts: Cuts,
}

/// Workers on which an operation is ended although it continues on the others: they have booted by themselves, and what
/// was begun there runs no more.
#[derive(Clone, Debug, Default)]
pub struct Cuts(Arc<Mutex<BTreeMap<Host, Cancel>>>);

impl Cuts {
    /// Ends what is under way on this worker, and all that is to come there.
    pub fn cut(&self, host: &Host) {
        self.all().entry(host.clone()).or_default().cancel();
    }

    /// What ends the operation on this worker: a cut, or the end of the `whole`.
    pub fn of(&self, host: &Host, whole: &Cancel) -> Cancel {
        self.all().entry(host.clone()).or_insert_with(|| whole.part()).clone()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Host, Cancel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which controller is acting; a worker refuses an epoch below the highest it has seen of that run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The id of the run.
    pub run: String,
    /// Goes up with each take-over.
    pub epoch: u64,
    /// The number and the hash of the run's newest fact, as the journal writes them. A worker keeps them, so that a
    /// journal that was put back from an older copy is recognised.
    pub mark: String,
}

/// What happened to one worker in an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum WorkerOutcome {
    /// All that was asked for it is so, with what was seen.
    Ok {
        /// One line for the operator, such as `2 started, 1 restarted`.
        evidence: String,
    },
    /// It is known that something went wrong.
    Failed {
        /// In one sentence.
        error: String,
        /// The last lines of output, where there was some.
        output: Option<String>,
    },
    /// Nothing was done: the operation was interrupted before its turn, or what it demands has failed.
    NotBegun {
        /// In one sentence.
        error: String,
    },
    /// It could not be reached; nothing was done there.
    Unreachable {
        /// The error of the connection.
        error: String,
    },
    /// Something was sent and the answer was lost.
    Unknown {
        /// What cut the answer off.
        why: String,
    },
}

impl WorkerOutcome {
    /// [`WorkerOutcome::NotBegun`] for this reason.
    pub fn not_begun(why: &str) -> Self {
        Self::NotBegun { error: format!("not begun: {why}") }
    }

    /// What was seen or went wrong, in one line.
    pub fn message(&self) -> &str {
        match self {
            Self::Ok { evidence } => evidence,
            Self::Failed { error, .. } | Self::NotBegun { error } | Self::Unreachable { error } => error,
            Self::Unknown { why } => why,
        }
    }

    /// Whether all that was asked for is so.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok { .. })
    }
}

/// What `deploy` is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeployRequest {
    /// `None`: all.
    pub jobs: Option<Vec<JobName>>,
    /// `None`: all.
    pub workers: Option<Vec<Host>>,
    /// Also what has not changed.
    pub force: bool,
}

/// What `job` is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    /// A Makefile target: `start`, `stop`, `restart`, `status`, or that of `job run`.
    pub target: String,
    /// Which jobs; empty: all enabled ones on the workers.
    pub jobs: Vec<JobName>,
    /// `None`: all enabled allocations of the jobs.
    pub workers: Option<Vec<Host>>,
}

/// What `health_check` is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthRequest {
    /// `None`: all.
    pub jobs: Option<Vec<JobName>>,
    /// `None`: all.
    pub workers: Option<Vec<Host>>,
    /// Try again until well (30 times at 1 s, or as the manifest says) or until the call's end.
    pub wait: bool,
}

/// What would happen, or has happened, to one allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    Start,
    Restart,
    Reload,
    Stop,
    Sync,
    Remove,
    Skip,
}

/// One allocation in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocationReport {
    /// Which job.
    pub job: JobName,
    /// On which worker.
    pub host: Host,
    /// What was (to be) done.
    pub action: Action,
    /// Why that was (to be) done, in one line.
    pub reason: String,
    /// How it went; `None` in a dry run and where nothing was to do.
    pub outcome: Option<WorkerOutcome>,
}

/// What an operation did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Each worker that took part.
    pub workers: BTreeMap<Host, WorkerOutcome>,
    /// Each allocation that took part.
    pub allocations: Vec<AllocationReport>,
}

impl Report {
    /// Whether nothing went wrong anywhere.
    pub fn all_ok(&self) -> bool {
        self.workers.values().all(WorkerOutcome::is_ok)
            && self.allocations.iter().all(|a| a.outcome.as_ref().is_none_or(WorkerOutcome::is_ok))
    }
}

/// Health of one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocationHealth {
    /// Which job.
    pub job: JobName,
    /// On which worker.
    pub host: Host,
    /// `Ok`, or what is wrong.
    pub outcome: WorkerOutcome,
    /// The job has no probes: the worker's answer was all that was looked at.
    pub without_probes: bool,
}

/// What a health check saw.
#[derive(Clone, Debug, Default)]
pub struct HealthReport {
    /// The SSH round trip to each worker.
    pub workers: BTreeMap<Host, WorkerOutcome>,
    /// The probes of each enabled allocation.
    pub allocations: Vec<AllocationHealth>,
}

/// One allocation as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogAllocation {
    /// Which job.
    pub job: JobName,
    /// On which worker.
    pub host: Host,
    /// It is disabled.
    pub disabled: bool,
    /// It is no longer selected and waits for its removal.
    pub removed: bool,
    /// Position in the order of deployment.
    pub deployment_seq: u32,
    /// What was last promoted; `None`: never deployed.
    pub current_hash: Option<String>,
    /// What the workspace has.
    pub new_hash: Option<String>,
    /// Version last promoted.
    pub current_version: Option<String>,
    /// Version in the workspace.
    pub new_version: Option<String>,
}

/// Numbers of ports by their names, of each job.
pub type AssignedPorts = BTreeMap<JobName, BTreeMap<String, u16>>;

/// What a caller has to know about an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Deploy, job and health_check contact every worker of the bucket and fail when one is down:
    /// such an operation and a worker that is down exclude each other.
    pub contacts_every_worker: bool,
}

/// The operations of an engine.
pub trait Catalog: Send + Sync {
    /// What a caller has to know.
    fn capabilities(&self) -> Capabilities;

    /// Reads the workspace, checks everything, brings the catalog up to date. No SSH.
    fn build(&self, call: &Call) -> Result<(), CatalogError>;

    /// Brings the workers to what the catalog says.
    fn deploy(&self, request: &DeployRequest, call: &Call) -> Result<Report, CatalogError>;

    /// What [`Catalog::deploy`] would do; contacts no worker, changes nothing, takes no lock.
    fn pending(&self, request: &DeployRequest) -> Result<Vec<AllocationReport>, CatalogError>;

    /// Runs a Makefile target on allocations, after the sync check.
    fn job(&self, request: &JobRequest, call: &Call) -> Result<Report, CatalogError>;

    /// Round trips and probes.
    fn health(&self, request: &HealthRequest, call: &Call) -> Result<HealthReport, CatalogError>;

    /// Whether `worker.json` on each of the workers agrees with the catalog.
    fn sync_check(&self, workers: &[Host], call: &Call) -> Result<Report, CatalogError>;

    /// All allocations.
    fn allocations(&self) -> Result<Vec<CatalogAllocation>, CatalogError>;
}
