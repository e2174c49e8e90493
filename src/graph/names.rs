//! Looks up what a plan names in a fleet, and says what it does not find.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};

use crate::bucket::{Fleet, Host, JobIx, WorkerIx};
use crate::plan::suggest::suggest as nearest;
use crate::plan::{Located, Problem, Problems, Source};

/// The names of a fleet.
pub(super) struct Names<'a> {
    fleet: &'a Fleet,
    source: &'a Source,
    jobs: HashMap<&'a str, JobIx>,
    /// Only built where a plan names hosts.
    hosts: OnceCell<HashMap<&'a str, WorkerIx>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(fleet: &'a Fleet, source: &'a Source) -> Self {
        let jobs = fleet.jobs.iter().enumerate();
        let jobs = jobs.map(|(at, job)| (job.name.as_str(), JobIx(at as u32))).collect();
        Self { fleet, source, jobs, hosts: OnceCell::new() }
    }

    /// The worker with this host.
    pub(super) fn host(&self, host: &str) -> Option<WorkerIx> {
        let hosts = self.hosts.get_or_init(|| {
            let workers = self.fleet.workers.iter().enumerate();
            workers.map(|(at, worker)| (worker.host.as_str(), WorkerIx(at as u32))).collect()
        });
        hosts.get(Host::bare(host)).copied()
    }

    /// The worker that the plan names here.
    pub(super) fn worker(&self, host: &Located<String>, problems: &mut Problems) -> Option<WorkerIx> {
        let found = self.host(&host.value);
        if found.is_none() {
            problems.push(self.unknown_worker(&host.value).at(
                self.source,
                host.span.clone(),
                "not in this bucket",
            ));
        }
        found
    }

    /// A worker that is not there, without a place in the plan.
    pub(super) fn unknown_worker(&self, host: &str) -> Problem {
        let hosts = self.fleet.workers.iter().map(|worker| worker.host.as_str());
        let help = help(nearest(host, hosts), "hosts are written as in workspace/workers.json");
        Problem::error("maand::plan::unknown_worker", format!("there is no worker `{host}`")).help(help)
    }

    /// The job that the plan names here.
    pub(super) fn job(&self, name: &Located<String>, problems: &mut Problems) -> Option<JobIx> {
        let found = self.jobs.get(name.value.as_str()).copied();
        if found.is_none() {
            let near = nearest(&name.value, self.fleet.jobs.iter().map(|job| job.name.as_str()));
            let problem =
                Problem::error("maand::plan::unknown_job", format!("there is no job `{}`", name.value));
            let problem = problem.at(self.source, name.span.clone(), "not in this bucket");
            problems.push(problem.help(help(near, "jobs are the folders below workspace/jobs")));
        }
        found
    }

    /// The label that the plan names here, lower-cased as labels are.
    pub(super) fn label(&self, label: &Located<String>, problems: &mut Problems) -> String {
        let lower = label.value.to_lowercase();
        if !self.fleet.workers.iter().any(|worker| worker.labels.contains(&lower)) {
            let all: BTreeSet<_> =
                self.fleet.workers.iter().flat_map(|worker| worker.labels.iter()).collect();
            let near = nearest(&lower, all.iter().map(|label| label.as_str()));
            let message = format!("no worker carries the label `{}`", label.value);
            let problem = Problem::error("maand::plan::unknown_label", message);
            let problem = problem.at(self.source, label.span.clone(), "on no worker");
            problems
                .push(problem.help(help(near, &listed("labels", all.iter().map(|label| label.as_str())))));
        }
        lower
    }

    /// The tag and its values that the plan names here, lower-cased as tags are.
    pub(super) fn tag(
        &self,
        (key, values): &(Located<String>, Vec<Located<String>>),
        problems: &mut Problems,
    ) -> (String, Vec<String>) {
        let lower = key.value.to_lowercase();
        let lower_values: Vec<_> = values.iter().map(|value| value.value.to_lowercase()).collect();
        if !self.tag_key(&key.value, key.span.clone(), problems) {
            return (lower, lower_values);
        }
        for (value, lower_value) in values.iter().zip(&lower_values) {
            let mut there = self.fleet.workers.iter().filter_map(|worker| worker.tags.get(&lower));
            if there.any(|found| found == lower_value) {
                continue;
            }
            let all: BTreeSet<_> =
                self.fleet.workers.iter().filter_map(|worker| worker.tags.get(&lower)).collect();
            let near = nearest(lower_value, all.iter().map(|value| value.as_str()));
            let message = format!("no worker has `{}` as its tag `{}`", value.value, key.value);
            let problem = Problem::error("maand::plan::unknown_tag_value", message);
            let problem = problem.at(self.source, value.span.clone(), "on no worker");
            let all = listed("values", all.iter().map(|value| value.as_str()));
            problems.push(problem.help(help(near, &all)));
        }
        (lower, lower_values)
    }

    /// Whether any worker has this tag; if not, that is a problem.
    pub(super) fn tag_key(&self, key: &str, span: std::ops::Range<usize>, problems: &mut Problems) -> bool {
        let lower = key.to_lowercase();
        let known = self.fleet.workers.iter().any(|worker| worker.tags.contains_key(&lower));
        if !known {
            let all: BTreeSet<_> = self.fleet.workers.iter().flat_map(|worker| worker.tags.keys()).collect();
            let near = nearest(&lower, all.iter().map(|key| key.as_str()));
            let problem =
                Problem::error("maand::plan::unknown_tag_key", format!("no worker has a tag `{key}`"));
            let problem = problem.at(self.source, span, "on no worker");
            problems.push(problem.help(help(near, &listed("tags", all.iter().map(|key| key.as_str())))));
        }
        known
    }
}

fn help(near: Option<&str>, otherwise: &str) -> String {
    near.map_or_else(|| otherwise.to_owned(), |near| format!("did you mean `{near}`?"))
}

/// "there are the labels `a`, `b` and 3 more".
fn listed<'a>(what: &str, names: impl ExactSizeIterator<Item = &'a str>) -> String {
    /// Maximum number of names that a hint lists.
    const SHOWN: usize = 8;
    let count = names.len();
    if count == 0 {
        return format!("no worker has any {what}");
    }
    let mut text = names.take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if count > SHOWN {
        text = format!("{text} and {} more", count - SHOWN);
    }
    format!("there are the {what} {text}")
}
