//! What the catalog knows: workers, jobs and allocations as they were built, and what was last seen
//! to be so on the workers.
//!
//! Plain data. The store loads and saves it, planning reads it; neither must be needed to make one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ports::Ports;
use crate::bucket::{Host, Job, JobName, Worker};
use crate::catalog::Action;

/// All of `catalog.db` except the file lists of the trees.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// A UUID.
    pub(crate) bucket_id: String,
    /// Goes up by one with each deploy that has something to do.
    pub(crate) update_seq: u64,
    /// By host.
    pub(crate) workers: BTreeMap<Host, WorkerRow>,
    /// By name.
    pub(crate) jobs: BTreeMap<JobName, JobRow>,
    /// By host first, as workers are visited.
    pub(crate) allocations: BTreeMap<AllocationKey, AllocationRow>,
}

/// Which job on which worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AllocationKey {
    /// On which worker.
    pub(crate) host: Host,
    /// Which job.
    pub(crate) job: JobName,
}

/// One worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkerRow {
    /// A UUID that the worker keeps as long as it is in the bucket.
    pub(crate) worker_id: String,
    /// As in `workers.json`.
    pub(crate) worker: Worker,
    /// It is no longer in `workers.json`; kept while allocations of it wait for their removal.
    pub(crate) removed: bool,
    /// The `update_seq` that was last sent there.
    pub(crate) sent_seq: u64,
    /// The `update_seq` that is known to be there.
    pub(crate) confirmed_seq: u64,
    /// A sync check saw something else there (another number, or nothing): the next deploy writes it
    /// again and looks at every job's receipt.
    pub(crate) out_of_sync: bool,
}

/// One job.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JobRow {
    /// As in its manifest.
    pub(crate) job: Job,
    /// Content hash of its tree and ports.
    pub(crate) hash: String,
    /// Order of deployment.
    pub(crate) deployment_seq: u32,
    /// Its ports by name, written and assigned.
    pub(crate) ports: BTreeMap<String, u16>,
    /// Its folder is gone; kept while allocations of it wait for their removal.
    pub(crate) removed: bool,
}

/// One allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AllocationRow {
    /// `disabled.json` covers it.
    pub(crate) disabled: bool,
    /// No longer selected: to be stopped and removed.
    pub(crate) removed: bool,
    /// What was last promoted.
    pub(crate) current_hash: Option<String>,
    /// Its version.
    pub(crate) current_version: Option<String>,
    /// What was promoted before that.
    pub(crate) previous_hash: Option<String>,
    /// The last thing that is known to have been done was a stop.
    pub(crate) stopped: bool,
    /// What was begun and is not known to have ended well.
    pub(crate) attempt: Option<Attempt>,
}

/// Something that was begun on an allocation and is not known to have ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Which deploy; the receipt on the worker carries the same.
    pub(crate) deploy_id: String,
    /// What was to be done.
    pub(crate) action: Action,
    /// With which tree.
    pub(crate) hash: String,
    /// `true`: it is known to have failed. `false`: nothing is known.
    pub(crate) failed: bool,
}

/// `worker.json` on a worker: who it is, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkerJson {
    /// The bucket.
    pub(crate) bucket_id: String,
    /// The worker's UUID.
    pub(crate) worker_id: String,
    /// Its host as in `workers.json`.
    pub(crate) worker_ip: String,
    /// Its labels.
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    /// The deploy that wrote it.
    pub(crate) update_seq: u64,
}

/// One entry of `jobs.json` on a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobsJsonEntry {
    /// Which job.
    pub(crate) job: String,
    /// 0 or 1.
    pub(crate) disabled: u8,
}

impl State {
    /// Ports of all jobs, for the next build.
    pub(crate) fn ports(&self) -> Ports {
        self.jobs.iter().map(|(name, row)| (name.clone(), row.ports.clone())).collect()
    }

    /// The `worker.json` that belongs there with this number.
    pub(crate) fn worker_json(&self, host: &Host, update_seq: u64) -> Option<WorkerJson> {
        let row = self.workers.get(host)?;
        Some(WorkerJson {
            bucket_id: self.bucket_id.clone(),
            worker_id: row.worker_id.clone(),
            worker_ip: host.to_string(),
            labels: row.worker.labels.iter().cloned().collect(),
            update_seq,
        })
    }

    /// The `jobs.json` that belongs there.
    pub(crate) fn jobs_json(&self, host: &Host) -> Vec<JobsJsonEntry> {
        self.allocations_of(host)
            .filter(|(_, row)| !row.removed)
            .map(|(key, row)| JobsJsonEntry { job: key.job.to_string(), disabled: row.disabled.into() })
            .collect()
    }

    /// The allocations of one worker.
    pub(crate) fn allocations_of(
        &self,
        host: &Host,
    ) -> impl Iterator<Item = (&AllocationKey, &AllocationRow)> {
        self.allocations.iter().filter(move |(key, _)| key.host == *host)
    }
}
