//! A fleet that does not exist, for showing a plan without a bucket; [`Fleet::synthetic`] says that it is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bucket::{Disabled, Fleet, Host, Job, JobName, Worker};
use crate::plan::{Located, Order, Plan, StepKind, Targets, WaveSize};

/// Every worker has this label.
const EVERY_WORKER: &str = "worker";
/// The values of a tag of which the plan names only the key.
const VALUES: [&str; 3] = ["a", "b", "c"];

/// A fleet of `count` workers on which `plan` makes sense: the hosts that it names, then `worker-1`,
/// `worker-2`, ...; all labels that it wants; its tags' values in turn; the jobs that it names on
/// every worker. What `exclude` names is on every third worker. More hosts named than `count`: all of
/// them.
pub fn synthetic_fleet(plan: &Plan, count: u32) -> Fleet {
    let wanted = Wanted::of(plan);
    let mut hosts: Vec<Host> = wanted.hosts.iter().filter_map(|host| Host::parse(host)).collect();
    let taken: BTreeSet<Host> = hosts.iter().cloned().collect();
    let mut number = 0_u64;
    while hosts.len() < count as usize {
        number += 1;
        hosts.extend(Host::parse(&format!("worker-{number}")).filter(|host| !taken.contains(host)));
    }
    let worker = |(at, host): (usize, Host)| {
        let third = at % 3 == 2;
        let mut labels: BTreeSet<String> = wanted.labels.clone();
        labels.insert(EVERY_WORKER.to_owned());
        if third {
            labels.extend(wanted.labels_excluded.iter().cloned());
            labels.extend(wanted.jobs_excluded.iter().map(|job| selector(job)));
        }
        let tag = |(key, values): (&String, &Vec<String>)| (key.clone(), values[at % values.len()].clone());
        let tags = Arc::new(wanted.tags.iter().map(tag).collect());
        Worker { labels: Arc::new(labels), tags, position: at as i64, ..Worker::new(host) }
    };
    let everywhere = wanted.jobs.iter().map(|name| (name, EVERY_WORKER.to_owned()));
    let somewhere = wanted.jobs_excluded.difference(&wanted.jobs).map(|name| (name, selector(name)));
    let mut jobs: Vec<Job> = everywhere
        .chain(somewhere)
        .filter_map(|(name, label)| Some(Job::new(JobName::parse(name)?, label)))
        .collect();
    jobs.sort_by(|a, b| a.name.cmp(&b.name));
    Fleet {
        bucket_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        workers: hosts.into_iter().enumerate().map(worker).collect(),
        jobs,
        disabled: Disabled::default(),
        synthetic: true,
    }
}

/// The label that a job which `exclude` names selects by.
fn selector(job: &str) -> String {
    format!("hosts-{}", job.to_lowercase())
}

/// What a plan names.
#[derive(Default)]
struct Wanted {
    /// In the order of the plan.
    hosts: Vec<String>,
    labels: BTreeSet<String>,
    labels_excluded: BTreeSet<String>,
    /// Never an empty list of values.
    tags: BTreeMap<String, Vec<String>>,
    jobs: BTreeSet<String>,
    jobs_excluded: BTreeSet<String>,
}

impl Wanted {
    fn of(plan: &Plan) -> Self {
        let mut wanted = Self::default();
        let targets = &plan.targets;
        wanted.add_hosts(targets.workers.as_deref().unwrap_or_default());
        if let Order::Explicit(hosts) = &plan.rollout.order {
            wanted.add_hosts(hosts);
        }
        wanted.labels.extend(lower(&targets.labels));
        wanted.add_jobs(&targets.jobs);
        // What targets want comes first, so that a small fleet is not excluded as a whole.
        wanted.add_tags(&targets.tags);
        for step in plan.before.iter().chain(&plan.steps).chain(&plan.after) {
            wanted.labels.extend(lower(&step.when.labels));
            wanted.add_tags(&step.when.tags);
            wanted.add_jobs(&step.when.jobs);
            match &step.kind {
                StepKind::Disable { jobs }
                | StepKind::Deploy { jobs, .. }
                | StepKind::Job { jobs, .. }
                | StepKind::Health { jobs, .. } => wanted.add_jobs(jobs.as_deref().unwrap_or_default()),
                _ => {}
            }
        }
        for budget in &plan.rollout.budgets {
            if budget.value.job.value == "*" {
                continue;
            }
            wanted.jobs.insert(budget.value.job.value.clone());
        }
        if wanted.jobs.is_empty() {
            wanted.jobs.insert("app".to_owned());
        }
        if let Some(exclude) = &targets.exclude {
            wanted.exclude(exclude);
        }
        let spread = plan.rollout.spread.iter().map(|spread| &spread.value.tag);
        let covered = plan.rollout.waves.iter().flat_map(|size| match &size.value {
            WaveSize::Cover(cover) => cover.tags.as_slice(),
            WaveSize::Of(_) | WaveSize::Rest => &[],
        });
        for tag in spread.chain(covered.map(|tag| &tag.value)) {
            let values = wanted.tags.entry(tag.to_lowercase()).or_default();
            if values.is_empty() {
                values.extend(VALUES.map(str::to_owned));
            }
        }
        wanted
    }

    fn exclude(&mut self, exclude: &Targets) {
        self.add_hosts(exclude.workers.as_deref().unwrap_or_default());
        self.labels_excluded.extend(lower(&exclude.labels));
        self.jobs_excluded.extend(exclude.jobs.iter().map(|job| job.value.clone()));
        for (key, values) in &exclude.tags {
            let known = self.tags.entry(key.value.to_lowercase()).or_default();
            if known.is_empty() {
                known.extend(VALUES.map(str::to_owned));
            }
            add_new(known, lower(values));
        }
    }

    fn add_hosts(&mut self, hosts: &[Located<String>]) {
        add_new(&mut self.hosts, hosts.iter().map(|host| host.value.clone()));
    }

    fn add_jobs(&mut self, jobs: &[Located<String>]) {
        self.jobs.extend(jobs.iter().map(|job| job.value.clone()));
    }

    fn add_tags(&mut self, tags: &[(Located<String>, Vec<Located<String>>)]) {
        for (key, values) in tags.iter().filter(|(_, values)| !values.is_empty()) {
            add_new(self.tags.entry(key.value.to_lowercase()).or_default(), lower(values));
        }
    }
}

fn lower(names: &[Located<String>]) -> impl Iterator<Item = String> + '_ {
    names.iter().map(|name| name.value.to_lowercase())
}

fn add_new(list: &mut Vec<String>, names: impl Iterator<Item = String>) {
    let mut known: BTreeSet<String> = list.iter().cloned().collect();
    list.extend(names.filter(|name| known.insert(name.clone())));
}
