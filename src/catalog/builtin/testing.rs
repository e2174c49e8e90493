//! Small fleets for the unit tests of this room.

use std::collections::BTreeMap;

use super::state::{AllocationKey, AllocationRow, JobRow, State, WorkerRow};
use crate::bucket::{Host, Job, JobName, Worker};

pub(crate) fn job(name: &str) -> Job {
    Job { version: "1.0.0".into(), ..Job::new(JobName::parse(name).unwrap(), name.to_owned()) }
}

pub(crate) fn worker(host: &str) -> Worker {
    Worker::new(Host::parse(host).unwrap())
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
