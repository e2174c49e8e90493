//! The fleet: one immutable snapshot of what a bucket's files say.
//!
//! Everything downstream (graph, policy, catalog, runner) works on this and never reads the files again by
//! itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DisabledEntry;
use crate::plan;

/// The address of a worker: a name, or an address of IPv4 or IPv6 (`::1`, `fe80::1%eth0`), always without brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Host(Arc<str>);

impl Host {
    /// `None` when it is not a host name that is safe to hand to anything.
    pub fn parse(text: &str) -> Option<Self> {
        let text = plan::bare_host(text);
        plan::is_host_name(text).then(|| Self(text.into()))
    }

    /// A host as it is compared with others: see [`plan::bare_host`].
    pub fn bare(text: &str) -> &str {
        plan::bare_host(text)
    }

    /// Whether it is an address of IPv6, perhaps with a zone. Where a port or a path follows it, it stands in brackets.
    pub fn is_ipv6(&self) -> bool {
        plan::is_ipv6(&self.0)
    }

    /// Its name where a colon would end a name: in `PATH`, and in what ssh and rsync are given. No other host has it, as
    /// none has a `+`.
    pub fn without_colons(&self) -> String {
        self.0.replace(':', "+")
    }

    /// The same for all spellings of it: in lower case, and an address of IPv6 in its shortest form.
    pub fn folded(&self) -> String {
        self.0.parse::<Ipv6Addr>().map_or_else(|_| self.0.to_lowercase(), |address| address.to_string())
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a job: its folder below `workspace/jobs`; `[A-Za-z0-9_][A-Za-z0-9._-]*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct JobName(Arc<str>);

impl JobName {
    /// `None` when it cannot be a job's name.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let first = bytes.next()?;
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        ((first.is_ascii_alphanumeric() || first == b'_') && bytes.all(rest) && text.len() <= 128)
            .then(|| Self(text.into()))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One entry of `workers.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Worker {
    /// Unique within the bucket.
    pub host: Host,
    // Workers that have the same share them: a fleet of 40,000 would need most of its memory for copies.
    /// Lower-cased; every worker has `worker`.
    pub labels: Arc<BTreeSet<String>>,
    /// Keys and values lower-cased.
    pub tags: Arc<BTreeMap<String, String>>,
    /// Order among the workers; the index in the array when the file does not say.
    pub position: i64,
    /// Memory that jobs may reserve, in MiB; 0: not stated.
    pub memory_mb: f64,
    /// CPU that jobs may reserve, in MHz; 0: not stated.
    pub cpu_mhz: f64,
    /// A descriptive name; nothing connects to it.
    pub hostname: Option<String>,
    /// Our extension: overrides `ssh_port` of `maand.conf`.
    pub ssh_port: Option<u16>,
    /// Our extension: overrides `ssh_user` of `maand.conf`.
    pub ssh_user: Option<String>,
}

/// A folder below `workspace/jobs`, described by its `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// The folder's name.
    pub name: JobName,
    /// `version`, default `0.0.0`.
    pub version: String,
    /// A worker must carry all of these labels (lower-cased); default: the job's name.
    pub selectors: BTreeSet<String>,
    /// How many allocations start at once; 0: all.
    pub max_concurrent_starts: u32,
    /// How many allocations restart at once; at least 1.
    pub max_concurrent_upgrades: u32,
    /// Fewer matching workers than this are an error at build.
    pub min_allocations_count: u32,
    /// What a changed allocation does.
    pub restart_policy: RestartPolicy,
    /// With `reload`: a changed path that matches means restart.
    pub restart_globs: Vec<String>,
    /// What one allocation reserves.
    pub resources: Resources,
    /// Its probes; `None`: it has none.
    pub health_check: Option<HealthCheck>,
    /// Jobs that must be deployed before this one.
    pub demands: BTreeSet<JobName>,
    /// Features of upstream that the built-in engine refuses at build, by name.
    pub unsupported: BTreeSet<String>,
}

impl Worker {
    /// A worker with the label that all carry, and nothing else stated.
    pub fn new(host: Host) -> Self {
        Self {
            host,
            labels: Arc::new(BTreeSet::from(["worker".to_owned()])),
            tags: Arc::default(),
            position: 0,
            memory_mb: 0.0,
            cpu_mhz: 0.0,
            hostname: None,
            ssh_port: None,
            ssh_user: None,
        }
    }
}

impl Job {
    /// A job on the workers that carry the label `selector`, with everything else as where its manifest is `{}`.
    pub fn new(name: JobName, selector: String) -> Self {
        Self {
            name,
            version: "0.0.0".to_owned(),
            selectors: BTreeSet::from([selector]),
            max_concurrent_starts: 0,
            max_concurrent_upgrades: 1,
            min_allocations_count: 0,
            restart_policy: RestartPolicy::default(),
            restart_globs: Vec::new(),
            resources: Resources::default(),
            health_check: None,
            demands: BTreeSet::new(),
            unsupported: BTreeSet::new(),
        }
    }
}

/// `restart_policy` of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RestartPolicy {
    /// `make restart`.
    #[default]
    Always,
    /// `make reload`, or restart where `restart_globs` match.
    Reload,
    /// Files only.
    Never,
}

/// `resources` of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Lower bound of the memory that may be reserved, in MiB (`min`).
    pub memory_min_mb: f64,
    /// Upper bound in MiB (`max`); 0: none.
    pub memory_max_mb: f64,
    /// What is reserved of a worker's memory, in MiB: that of `bucket.jobs.conf`, else the upper bound.
    #[serde(default)]
    pub memory_reserved_mb: f64,
    /// Lower bound of the CPU that may be reserved, in MHz (`min`).
    pub cpu_min_mhz: f64,
    /// Upper bound in MHz (`max`); 0: none.
    pub cpu_max_mhz: f64,
    /// What is reserved of a worker's CPU, in MHz: that of `bucket.jobs.conf`, else the upper bound.
    #[serde(default)]
    pub cpu_reserved_mhz: f64,
    /// Named ports; `None`: assigned at build from the bucket's range.
    pub ports: BTreeMap<String, Option<u16>>,
}

/// `health_check` of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheck {
    /// All must pass.
    pub checks: Vec<Probe>,
    /// Bound of one probe, in seconds.
    pub timeout_seconds: u32,
    /// Tries with `--wait`.
    pub wait_attempts: u32,
    /// Seconds between them.
    pub wait_interval_seconds: u32,
}

/// One probe of a health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum Probe {
    /// A TCP connection from this machine.
    Tcp {
        /// A number, or a port by its name in `resources.ports`.
        port: PortRef,
    },
    /// An HTTP request from this machine.
    Http {
        /// A number, or a port by its name in `resources.ports`.
        port: PortRef,
        /// Starts with `/`.
        path: String,
        /// The status codes that pass; empty: 200 to 399.
        expect_status: Vec<u16>,
        /// `http` or `https`.
        scheme: String,
    },
    /// A command on the worker; exit 0 is well.
    Ssh {
        /// Shell text.
        command: String,
    },
}

/// A port by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PortRef {
    /// This one.
    Number(u16),
    /// The one that the job has under this name.
    Name(String),
}

/// What `disabled.json` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disabled {
    /// Every allocation on these hosts.
    pub workers: BTreeSet<String>,
    /// Per job: empty means the whole job, else the hosts.
    pub jobs: BTreeMap<String, BTreeSet<String>>,
}

impl Disabled {
    /// Whether this very thing is disabled, by an entry of its own or by one that covers it.
    pub fn has(&self, entry: &DisabledEntry) -> bool {
        match entry {
            DisabledEntry::Worker(host) => self.workers.contains(host.as_str()),
            DisabledEntry::Allocation(job, host) => self.covers(job, host),
        }
    }

    /// Whether the allocation of `job` on `host` is disabled.
    pub fn covers(&self, job: &JobName, host: &Host) -> bool {
        self.workers.contains(host.as_str())
            || self
                .jobs
                .get(job.as_str())
                .is_some_and(|hosts| hosts.is_empty() || hosts.contains(host.as_str()))
    }
}

/// Index of a worker in [`Fleet::workers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerIx(pub u32);

/// Index of a job in [`Fleet::jobs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobIx(pub u32);

/// One job on one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Allocation {
    /// The job that runs there.
    pub job: JobIx,
    /// The worker that it runs on.
    pub worker: WorkerIx,
    /// `disabled.json` covers it.
    pub disabled: bool,
}

/// One snapshot of a bucket; serialisable, so that a run can keep the one it started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fleet {
    /// A UUID.
    pub bucket_id: String,
    /// In the order of `position`, then host.
    pub workers: Vec<Worker>,
    /// In the order of their names.
    pub jobs: Vec<Job>,
    /// What is disabled.
    pub disabled: Disabled,
    /// Synthetic (`--workers N` without a bucket): nothing of it exists.
    #[serde(rename = "made_up")]
    pub synthetic: bool,
}

impl Fleet {
    /// All allocations in the order of worker, then job: each job on each worker that carries all of
    /// its selectors.
    pub fn allocations(&self) -> Vec<Allocation> {
        let mut all = Vec::new();
        for (w, worker) in self.workers.iter().enumerate() {
            for (j, job) in self.jobs.iter().enumerate() {
                if job.selectors.is_subset(&worker.labels) {
                    all.push(Allocation {
                        job: JobIx(j as u32),
                        worker: WorkerIx(w as u32),
                        disabled: self.disabled.covers(&job.name, &worker.host),
                    });
                }
            }
        }
        all
    }

    /// The worker with this index.
    pub fn worker(&self, ix: WorkerIx) -> &Worker {
        &self.workers[ix.0 as usize]
    }

    /// The job with this index.
    pub fn job(&self, ix: JobIx) -> &Job {
        &self.jobs[ix.0 as usize]
    }
}
