//! Small fleets for the unit tests of this room.

use std::collections::BTreeMap;

use super::state::{AllocationKey, AllocationRow, JobRow, State, WorkerRow};
use crate::bucket::{Host, Job, JobName, Resources, RestartPolicy, Worker};

pub(crate) fn job(name: &str) -> Job {
    Job {
        name: JobName::parse(name).unwrap(),
        version: "1.0.0".into(),
        selectors: [name.to_owned()].into(),
        max_concurrent_starts: 0,
        max_concurrent_upgrades: 1,
        min_allocations_count: 0,
        restart_policy: RestartPolicy::Always,
        restart_globs: Vec::new(),
        resources: Resources::default(),
        health_check: None,
        demands: Default::default(),
        unsupported: Default::default(),
    }
}

pub(crate) fn worker(host: &str) -> Worker {
    Worker {
        host: Host::parse(host).unwrap(),
        labels: ["worker".to_owned()].into(),
        tags: BTreeMap::new(),
        position: 0,
        memory_mb: 0.0,
        cpu_mhz: 0.0,
        hostname: None,
        ssh_port: None,
        ssh_user: None,
    }
}

/// Every job on every worker, built and never deployed.
pub(crate) fn state(jobs: &[&str], hosts: &[&str]) -> State {
    let mut state = State { bucket_id: "bucket".into(), ..State::default() };
    for (n, host) in hosts.iter().enumerate() {
        let row = WorkerRow {
            worker_id: format!("id-{n}"),
            worker: worker(host),
            removed: false,
            sent_seq: 0,
            confirmed_seq: 0,
            out_of_sync: false,
        };
        state.workers.insert(row.worker.host.clone(), row);
    }
    for name in jobs {
        let job = job(name);
        for host in state.workers.keys() {
            let key = AllocationKey { host: host.clone(), job: job.name.clone() };
            state.allocations.insert(key, AllocationRow::default());
        }
        let row = JobRow {
            hash: format!("hash-of-{name}"),
            deployment_seq: 0,
            ports: BTreeMap::new(),
            removed: false,
            job,
        };
        state.jobs.insert(row.job.name.clone(), row);
    }
    state
}
