//! A fleet as it is written: of a worker only what is stated, as most of a file are its workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bucket::{Disabled, Fleet, Host, Job, Worker};

/// The snapshot of a bucket.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FleetRows {
    /// A UUID.
    bucket_id: String,
    /// In the order of `position`, then host.
    workers: Vec<WorkerRow>,
    /// In the order of their names.
    jobs: Vec<Job>,
    /// What is disabled.
    disabled: Disabled,
}

/// One entry of `workers.json`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WorkerRow {
    /// Unique within the bucket.
    host: Host,
    /// Lower-cased; every worker has `worker`.
    labels: Arc<BTreeSet<String>>,
    /// Keys and values lower-cased.
    tags: Arc<BTreeMap<String, String>>,
    /// Order among the workers.
    position: i64,
    /// Memory that jobs may reserve, in MiB; missing: not stated.
    #[serde(default, skip_serializing_if = "is_unstated")]
    memory_mb: f64,
    /// CPU that jobs may reserve, in MHz; missing: not stated.
    #[serde(default, skip_serializing_if = "is_unstated")]
    cpu_mhz: f64,
    /// A descriptive name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    /// Overrides `ssh_port` of `maand.conf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ssh_port: Option<u16>,
    /// Overrides `ssh_user` of `maand.conf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ssh_user: Option<String>,
}

fn is_unstated(size: &f64) -> bool {
    *size == 0.0
}

// Both take fleets and workers apart: what they gain has to be written, too, or this does not compile.

pub(super) fn serialize<S: Serializer>(fleet: &Arc<Fleet>, serializer: S) -> Result<S::Ok, S::Error> {
    // A file of a fleet that is made up is never written.
    let Fleet { bucket_id, workers, jobs, disabled, synthetic: _ } = fleet.as_ref();
    let row = |worker: &Worker| {
        let Worker { host, labels, tags, position, memory_mb, cpu_mhz, hostname, ssh_port, ssh_user } =
            worker.clone();
        WorkerRow { host, labels, tags, position, memory_mb, cpu_mhz, hostname, ssh_port, ssh_user }
    };
    let rows = FleetRows {
        bucket_id: bucket_id.clone(),
        workers: workers.iter().map(row).collect(),
        jobs: jobs.clone(),
        disabled: disabled.clone(),
    };
    rows.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Fleet>, D::Error> {
    let FleetRows { bucket_id, workers, jobs, disabled } = FleetRows::deserialize(deserializer)?;
    let worker = |row: WorkerRow| {
        let WorkerRow { host, labels, tags, position, memory_mb, cpu_mhz, hostname, ssh_port, ssh_user } =
            row;
        Worker { host, labels, tags, position, memory_mb, cpu_mhz, hostname, ssh_port, ssh_user }
    };
    let workers = workers.into_iter().map(worker).collect();
    Ok(Arc::new(Fleet { bucket_id, workers, jobs, disabled, synthetic: false }))
}
