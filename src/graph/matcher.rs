//! Decides for one worker whether a part of a plan (`targets`, `exclude`, `when`) speaks of it.

use super::names::Names;
use crate::bucket::{JobIx, Worker, WorkerIx};
use crate::plan::{Located, Problems, Targets, When};

/// Labels, tags, jobs and hosts, looked up once.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    /// Sorted; `None`: not given.
    workers: Option<Vec<WorkerIx>>,
    labels: Vec<String>,
    tags: Vec<(String, Vec<String>)>,
    jobs: Option<Vec<JobIx>>,
}

/// What one worker is measured by.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) ix: WorkerIx,
    pub(super) worker: &'a Worker,
    /// Its enabled allocations.
    pub(super) jobs: &'a [JobIx],
}

impl Matcher {
    pub(super) fn targets(targets: &Targets, names: &Names<'_>, problems: &mut Problems) -> Self {
        let mut matcher = Self::parts(&targets.labels, &targets.tags, &targets.jobs, names, problems);
        matcher.workers = targets.workers.as_ref().map(|hosts| {
            let mut found: Vec<_> = hosts.iter().filter_map(|host| names.worker(host, problems)).collect();
            found.sort_unstable();
            found.dedup();
            found
        });
        matcher
    }

    pub(super) fn when(when: &When, names: &Names<'_>, problems: &mut Problems) -> Self {
        Self::parts(&when.labels, &when.tags, &when.jobs, names, problems)
    }

    fn parts(
        labels: &[Located<String>],
        tags: &[(Located<String>, Vec<Located<String>>)],
        jobs: &[Located<String>],
        names: &Names<'_>,
        problems: &mut Problems,
    ) -> Self {
        let labels = labels.iter().map(|label| names.label(label, problems)).collect();
        let tags = tags.iter().map(|tag| names.tag(tag, problems)).collect();
        let found: Vec<_> = jobs.iter().filter_map(|job| names.job(job, problems)).collect();
        Self { workers: None, labels, tags, jobs: (!jobs.is_empty()).then_some(found) }
    }

    /// Whether every part that is given matches; nothing given matches every worker.
    pub(super) fn all(&self, candidate: Candidate<'_>) -> bool {
        self.workers.as_ref().is_none_or(|hosts| hosts.binary_search(&candidate.ix).is_ok())
            && self.labels.iter().all(|label| candidate.worker.labels.contains(label))
            && self.tags.iter().all(|tag| has_tag(candidate.worker, tag))
            && self.jobs.as_ref().is_none_or(|jobs| hosts_one(candidate.jobs, jobs))
    }

    /// Whether any part that is given matches; nothing given matches no worker.
    pub(super) fn any(&self, candidate: Candidate<'_>) -> bool {
        self.workers.as_ref().is_some_and(|hosts| hosts.binary_search(&candidate.ix).is_ok())
            || self.labels.iter().any(|label| candidate.worker.labels.contains(label))
            || self.tags.iter().any(|tag| has_tag(candidate.worker, tag))
            || self.jobs.as_ref().is_some_and(|jobs| hosts_one(candidate.jobs, jobs))
    }
}

fn has_tag(worker: &Worker, (key, values): &(String, Vec<String>)) -> bool {
    worker.tags.get(key).is_some_and(|value| values.contains(value))
}

fn hosts_one(hosted: &[JobIx], wanted: &[JobIx]) -> bool {
    wanted.iter().any(|job| hosted.contains(job))
}
