//! Synthetic fleets. It must not know plans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::plans::OUTSIDE;
use super::rng::Rng;
use crate::bucket::{
    Disabled, Fleet, HealthCheck, Host, Job, JobName, Probe, Resources, RestartPolicy, Worker,
};

pub(super) const ZONES: &[&str] = &["a", "b", "c"];

/// `workers` hosts in up to three zones with up to `jobs` jobs, and an operator's entry now and then.
pub(super) fn random(rng: &mut Rng, workers: u32, jobs: u32) -> Fleet {
    let zones = 1 + rng.index(ZONES.len());
    let count = 1 + rng.index(jobs as usize);
    let mut fleet = plain(workers, count as u32, zones as u32);
    for worker in &mut fleet.workers {
        for job in &fleet.jobs {
            if rng.per_mille(250) {
                Arc::make_mut(&mut worker.labels).remove(job.name.as_str());
            }
        }
        if rng.per_mille(30) {
            worker.tags = Arc::default();
        }
        if rng.per_mille(300) {
            Arc::make_mut(&mut worker.labels).insert("gpu".to_owned());
        }
    }
    if workers > 2 && rng.per_mille(350) {
        let chosen = rng.index(workers as usize);
        Arc::make_mut(&mut fleet.workers[chosen].labels).insert(OUTSIDE.to_owned());
    }
    if workers > 2 && rng.per_mille(150) {
        let chosen = rng.index(workers as usize);
        fleet.disabled.workers.insert(fleet.workers[chosen].host.as_str().to_owned());
    }
    fleet
}

/// `workers` hosts in `zones` zones by turns, each with every one of `jobs` jobs.
pub(super) fn plain(workers: u32, jobs: u32, zones: u32) -> Fleet {
    let names: Vec<String> = (0..jobs).map(|job| format!("job{job}")).collect();
    let worker = |at: u32| {
        let host = format!("10.{}.{}.{}", at / 62_500, at / 250 % 250, at % 250 + 1);
        Host::parse(&host).map(|host| Worker {
            host,
            labels: Arc::new(names.iter().cloned().chain(["worker".to_owned()]).collect()),
            tags: Arc::new(BTreeMap::from([(
                "zone".to_owned(),
                ZONES[(at % zones.max(1)) as usize % ZONES.len()].to_owned(),
            )])),
            position: i64::from(at),
            memory_mb: 0.0,
            cpu_mhz: 0.0,
            hostname: None,
            ssh_port: None,
            ssh_user: None,
        })
    };
    let job = |(at, name): (usize, &String)| {
        JobName::parse(name).map(|name| Job {
            selectors: BTreeSet::from([name.as_str().to_owned()]),
            name,
            version: "1.0.0".to_owned(),
            max_concurrent_starts: 0,
            max_concurrent_upgrades: 1,
            min_allocations_count: 0,
            restart_policy: RestartPolicy::Always,
            restart_globs: Vec::new(),
            resources: Resources::default(),
            health_check: (at % 2 == 0).then(|| HealthCheck {
                checks: vec![Probe::Ssh { command: "true".to_owned() }],
                timeout_seconds: 5,
                wait_attempts: 10,
                wait_interval_seconds: 1,
            }),
            demands: BTreeSet::new(),
            unsupported: BTreeSet::new(),
        })
    };
    Fleet {
        bucket_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        workers: (0..workers).filter_map(worker).collect(),
        jobs: names.iter().enumerate().filter_map(job).collect(),
        disabled: Disabled::default(),
        synthetic: true,
    }
}
