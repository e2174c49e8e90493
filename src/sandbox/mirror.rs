//! What a sandbox is built from: generated workers with two demo jobs, or the likeness of a bucket.
//!
//! A likeness keeps what decides how a rollout goes (names, labels, tags, positions, jobs with their
//! selectors, ports, batches, probes or none, what is disabled) and nothing that could be executed.

use std::collections::{BTreeMap, BTreeSet};

use crate::bucket::{Disabled, Fleet, HealthCheck, Host, Job, JobName, Resources, RestartPolicy, Worker};

/// A worker to be made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MadeWorker {
    /// `None`: it is called as its address.
    pub(super) name: Option<Host>,
    pub(super) labels: BTreeSet<String>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) position: i64,
    pub(super) memory_mb: f64,
    pub(super) cpu_mhz: f64,
}

/// What a sandbox is built from.
#[derive(Clone, Debug, PartialEq)]
pub struct Blueprint {
    pub(super) workers: Vec<MadeWorker>,
    pub(super) jobs: Vec<Job>,
    pub(super) disabled: Disabled,
}

impl Blueprint {
    /// `workers` generated workers in the zones a, b and c, with the jobs `api` and `worker` on each.
    pub fn demo(workers: usize) -> Self {
        let made = |index: usize| MadeWorker {
            name: None,
            labels: BTreeSet::from(["api".to_owned()]),
            tags: BTreeMap::from([("zone".to_owned(), ["a", "b", "c"][index % 3].to_owned())]),
            position: index as i64,
            memory_mb: 0.0,
            cpu_mhz: 0.0,
        };
        let jobs = ["api", "worker"].into_iter().filter_map(|name| Some(demo_job(JobName::parse(name)?)));
        Self {
            workers: (0..workers).map(made).collect(),
            jobs: jobs.collect(),
            disabled: Disabled::default(),
        }
    }

    /// The likeness of a bucket.
    pub fn mirror(fleet: &Fleet) -> Self {
        let made = |worker: &Worker| MadeWorker {
            name: Some(worker.host.clone()),
            labels: worker.labels.as_ref().clone(),
            tags: worker.tags.as_ref().clone(),
            position: worker.position,
            memory_mb: worker.memory_mb,
            cpu_mhz: worker.cpu_mhz,
        };
        // Upstream's other features would only make the build refuse; the demo Makefile has none.
        let jobs = fleet.jobs.iter().cloned().map(|job| Job { unsupported: BTreeSet::new(), ..job });
        Self {
            workers: fleet.workers.iter().map(made).collect(),
            jobs: jobs.collect(),
            disabled: fleet.disabled.clone(),
        }
    }

    /// Of a synthetic fleet: its jobs are demo jobs with probes, the two usual ones on every worker
    /// where it has none.
    pub fn synthetic(fleet: &Fleet) -> Self {
        let mut like = Self::mirror(fleet);
        like.jobs =
            like.jobs.into_iter().map(|job| Job { selectors: job.selectors, ..demo_job(job.name) }).collect();
        like.or_demo_jobs()
    }

    /// With the demo jobs on every worker, where it has no jobs of its own.
    #[must_use]
    pub fn or_demo_jobs(mut self) -> Self {
        if self.jobs.is_empty() {
            let everywhere = BTreeSet::from(["worker".to_owned()]);
            let jobs = ["api", "worker"].into_iter().filter_map(JobName::parse).map(demo_job);
            self.jobs = jobs.map(|job| Job { selectors: everywhere.clone(), ..job }).collect();
        }
        self
    }

    /// How many workers.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }
}

fn demo_job(name: JobName) -> Job {
    Job {
        selectors: BTreeSet::from([name.as_str().to_owned()]),
        name,
        version: "1.0.0".into(),
        max_concurrent_starts: 0,
        max_concurrent_upgrades: 1,
        min_allocations_count: 0,
        restart_policy: RestartPolicy::Always,
        restart_globs: Vec::new(),
        resources: Resources { ports: BTreeMap::from([("http".to_owned(), None)]), ..Resources::default() },
        health_check: Some(HealthCheck {
            checks: Vec::new(),
            timeout_seconds: 5,
            wait_attempts: 30,
            wait_interval_seconds: 1,
        }),
        demands: BTreeSet::new(),
        unsupported: BTreeSet::new(),
    }
}
