//! [`PendingChanges`]: one value that is shown, stored with a reviewed plan, and compared later.
//!
//! Two values are equal when the same deploys would bring the same content to the same workers. Everything is sorted,
//! so that the same bucket has the same value whoever looks at it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bucket::{Changed, Host, JobName};
use crate::catalog::Action;

/// At most this many files are listed of one change; [`JobVersion::hash`] tells of the others.
pub const FILES_LISTED: usize = 200;

/// What is pending in a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PendingChanges {
    /// The bucket was built at least once.
    pub built: bool,
    /// What deploys would do to workers: by job, then by the versions that it goes from and to.
    pub jobs: Vec<JobChange>,
    /// What the workspace has that the last build has not seen.
    pub unbuilt: Unbuilt,
    /// What could not be found out, and why; one sentence each.
    pub unknown: Vec<String>,
}

/// One thing that happens to a job on some workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobChange {
    /// The job.
    pub job: JobName,
    /// What happens to it there.
    pub action: Action,
    /// What is deployed there; `null`: it never was.
    pub from: Option<JobVersion>,
    /// What is deployed there afterwards; `null`: it is stopped or removed.
    pub to: Option<JobVersion>,
    /// Why, where another content is not the reason, or not the only one.
    pub why: Option<String>,
    /// On which workers, in order.
    pub workers: Vec<Host>,
    /// What differs between the two contents; empty where only one of them exists.
    pub files: Files,
}

/// A job as it was, is, or will be deployed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct JobVersion {
    /// As its manifest states it.
    pub version: String,
    /// Hash of all its files with their modes, and of its ports.
    pub hash: String,
}

/// Files that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Files {
    /// Which files they are is not known: their list was not kept, or another program has it.
    #[serde(default)]
    pub unknown: bool,
    /// The first of them, by path.
    pub changes: Vec<FileChange>,
    /// Number of further ones.
    pub more: u64,
}

impl Files {
    /// All that differ, also those that are not listed.
    pub fn count(&self) -> usize {
        self.changes.len() + usize::try_from(self.more).unwrap_or(usize::MAX)
    }
}

/// One file that differs. A folder is one only where nothing in it differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileChange {
    /// Below the job's folder, with `/`.
    pub path: String,
    /// In short.
    pub change: Changed,
    /// `null`: there was none.
    pub before: Option<FileState>,
    /// `null`: there is none any more.
    pub after: Option<FileState>,
}

/// What stands at a path of a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FileState {
    /// A plain file.
    File {
        /// SHA-256 of its content; `null`: it is too long for the upstream program's database to be asked for it.
        sha256: Option<String>,
        /// Others may not read it: its content is never shown.
        private: bool,
    },
    /// A symbolic link.
    Link {
        /// Where it points.
        target: String,
    },
    /// A folder.
    Folder {
        /// Others may not look into it.
        private: bool,
    },
}

/// What the workspace has that the last build has not seen. The next `maand build` takes it up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unbuilt {
    /// By name.
    pub jobs: Vec<UnbuiltJob>,
    /// By host.
    pub workers: Vec<WorkerChange>,
}

impl Unbuilt {
    /// The last build has seen everything.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.workers.is_empty()
    }

    /// A line for each; of more than `most` the first, and how many there are more.
    pub fn lines(&self, most: usize) -> Vec<String> {
        let all = self.jobs.len() + self.workers.len();
        let jobs = self.jobs.iter().map(UnbuiltJob::line);
        let mut lines: Vec<String> =
            jobs.chain(self.workers.iter().map(WorkerChange::line)).take(most).collect();
        if all > most {
            lines.push(format!("... {} more", all - most));
        }
        lines
    }
}

/// A job that is not as it was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnbuiltJob {
    /// The job.
    pub job: JobName,
    /// In short.
    pub change: Changed,
    /// As it was built; `null`: it was not.
    pub from: Option<JobVersion>,
    /// As it would be built; `null`: its folder is gone.
    pub to: Option<JobVersion>,
    /// What differs between the two.
    pub files: Files,
    /// Workers that get it.
    pub joins: Vec<Host>,
    /// Workers that it leaves.
    pub leaves: Vec<Host>,
    /// Workers on which it gets disabled.
    pub disabled: Vec<Host>,
    /// Workers on which it gets enabled.
    pub enabled: Vec<Host>,
    /// It gets other ports.
    pub other_ports: bool,
    /// What `bucket.jobs.conf` says of it differs.
    pub other_settings: bool,
}

/// A worker that is not as it was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerChange {
    /// The worker.
    pub host: Host,
    /// Its entry in `workers.json` was added, removed, or says something else.
    pub change: Changed,
}

impl PendingChanges {
    /// A deploy would do nothing, and the last build has seen everything.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.unbuilt.is_empty() && self.unknown.is_empty()
    }
}
