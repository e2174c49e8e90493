//! `build`: the workspace as it is now becomes the catalog's wanted state.
//!
//! What was deployed is carried over; what is gone is marked for removal, or forgotten when it was
//! never deployed. The state is worked out as a whole and saved in one transaction, so a failed build
//! changes nothing. It contacts no worker.

use std::collections::{BTreeMap, BTreeSet};

use super::order::deployment_seq;
use super::ports::{self, Ports};
use super::reading::Reading;
use super::state::{AllocationKey, AllocationRow, JobRow, State, WorkerRow};
use super::tree::Tree;
use crate::bucket::{Bucket, Fleet, Job, JobName, Probe};
use crate::catalog::CatalogError;
use crate::plan::{Problem, Problems, Source};

/// What a build makes.
pub(crate) struct Built {
    /// The state to be saved.
    pub(crate) state: State,
    /// The file list of each content hash.
    pub(crate) trees: Vec<(String, Tree)>,
    /// What the operator should know.
    pub(crate) warnings: Problems,
}

/// Reads and checks the workspace; `old` is what the catalog had.
pub(crate) fn build(bucket: &Bucket, old: &State, reading: &mut Reading<'_>) -> Result<Built, CatalogError> {
    refuse_upstream(bucket)?;
    let (fleet, warnings) = bucket.load_for_build().map_err(CatalogError::Invalid)?;
    let mut problems = warnings;
    if !old.bucket_id.is_empty() && old.bucket_id != fleet.bucket_id {
        problems.push(other_bucket(bucket, &old.bucket_id, &fleet.bucket_id));
    }
    for job in &fleet.jobs {
        unsupported(bucket, job, &mut problems);
    }
    let seq = deployment_seq(&fleet.jobs).unwrap_or_else(|circles| {
        circles.into_iter().for_each(|circle| problems.push(circular(bucket, &circle)));
        BTreeMap::new()
    });
    let range = bucket.port_range().map_err(CatalogError::Invalid)?;
    let ports = ports::assign(&fleet.jobs, &old.ports(), range.clone()).unwrap_or_else(|missing| {
        for out in missing {
            problems.push(
                Problem::error(
                    "maand::catalog::out_of_ports",
                    format!("no port is left for `{}` of job {}", out.name, out.job),
                )
                .in_file(&bucket.manifest(&out.job))
                .help(format!(
                    "ports {} to {} are all taken: widen port_min and port_max in workspace/bucket.conf",
                    range.start(),
                    range.end()
                )),
            );
        }
        Ports::new()
    });
    let mut trees = Vec::new();
    for job in &fleet.jobs {
        match read_tree(bucket, &job.name, reading) {
            Ok(tree) => trees.push(tree),
            Err(unreadable) => {
                trees.push(Tree::default());
                problems.extend(unreadable);
            }
        }
    }
    reading.check()?;
    problems.sort();
    let warnings = problems.into_result().map_err(CatalogError::Invalid)?;
    let hashed: Vec<(String, Tree)> = fleet
        .jobs
        .iter()
        .zip(trees)
        .map(|(job, tree)| (tree.hash(&ports_text(ports.get(&job.name))), tree))
        .collect();
    let state = next_state(old, &fleet, &seq, &ports, &hashed);
    Ok(Built { state, trees: hashed, warnings })
}

/// A bucket of upstream's: its jobs would be started a second time under another id.
pub(crate) fn refuse_upstream(bucket: &Bucket) -> Result<(), CatalogError> {
    if !bucket.is_upstream() {
        return Ok(());
    }
    Err(CatalogError::UpstreamsBucket { database: bucket.paths().upstream_db.clone() })
}

/// The files of a job as they are now.
pub(crate) fn read_tree(bucket: &Bucket, job: &JobName, reading: &mut Reading<'_>) -> Result<Tree, Problems> {
    Tree::read(&bucket.paths().jobs.join(job.as_str()), &mut |bytes| reading.more(job.as_str(), bytes))
}

/// What of a job's ports goes into its content hash.
pub(crate) fn ports_text(ports: Option<&BTreeMap<String, u16>>) -> String {
    let ports = ports.into_iter().flatten().map(|(name, port)| format!("{name}={port}"));
    ports.collect::<Vec<_>>().join(",")
}

/// Workers, jobs and allocations as the fleet has them, with what is known of the old ones.
fn next_state(
    old: &State,
    fleet: &Fleet,
    seq: &BTreeMap<JobName, u32>,
    ports: &Ports,
    hashed: &[(String, Tree)],
) -> State {
    let mut state =
        State { bucket_id: fleet.bucket_id.clone(), update_seq: old.update_seq, ..State::default() };
    for worker in &fleet.workers {
        let known = old.workers.get(&worker.host);
        let row = WorkerRow {
            worker_id: known.map_or_else(|| uuid::Uuid::new_v4().to_string(), |row| row.worker_id.clone()),
            worker: worker.clone(),
            removed: false,
            sent_seq: known.map_or(0, |row| row.sent_seq),
            confirmed_seq: known.map_or(0, |row| row.confirmed_seq),
            out_of_sync: known.is_some_and(|row| row.out_of_sync),
        };
        state.workers.insert(worker.host.clone(), row);
    }
    for (job, (hash, _)) in fleet.jobs.iter().zip(hashed) {
        let row = JobRow {
            job: job.clone(),
            hash: hash.clone(),
            deployment_seq: seq.get(&job.name).copied().unwrap_or(0),
            ports: ports.get(&job.name).cloned().unwrap_or_default(),
            removed: false,
        };
        state.jobs.insert(job.name.clone(), row);
    }
    let mut rows = Vec::new();
    for allocation in fleet.allocations() {
        let key = AllocationKey {
            host: fleet.worker(allocation.worker).host.clone(),
            job: fleet.job(allocation.job).name.clone(),
        };
        let row = old.allocations.get(&key).cloned().unwrap_or_default();
        rows.push((key, AllocationRow { disabled: allocation.disabled, removed: false, ..row }));
    }
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    state.allocations = rows.into_iter().collect();
    // What is gone and was never deployed is forgotten; the rest waits for its removal.
    let gone: Vec<_> = old
        .allocations
        .iter()
        .filter(|(key, row)| {
            !state.allocations.contains_key(*key) && (row.current_hash.is_some() || row.attempt.is_some())
        })
        .map(|(key, row)| (key.clone(), AllocationRow { removed: true, disabled: false, ..row.clone() }))
        .collect();
    let hosts: BTreeSet<_> = gone.iter().map(|(key, _)| key.host.clone()).collect();
    for host in hosts {
        if let Some(row) = old.workers.get(&host) {
            state.workers.entry(host).or_insert_with(|| WorkerRow { removed: true, ..row.clone() });
        }
    }
    let jobs: BTreeSet<_> = gone.iter().map(|(key, _)| key.job.clone()).collect();
    for job in jobs {
        if let Some(row) = old.jobs.get(&job) {
            state.jobs.entry(job).or_insert_with(|| JobRow { removed: true, ..row.clone() });
        }
    }
    state.allocations.extend(gone);
    state
}

/// Takes out what nothing refers to any more, after a removal has been done.
pub(crate) fn forget_removed(state: &mut State) {
    let hosts: BTreeSet<_> = state.allocations.keys().map(|key| key.host.clone()).collect();
    let jobs: BTreeSet<_> = state.allocations.keys().map(|key| key.job.clone()).collect();
    state.workers.retain(|host, row| !row.removed || hosts.contains(host));
    state.jobs.retain(|job, row| !row.removed || jobs.contains(job));
}

fn unsupported(bucket: &Bucket, job: &Job, problems: &mut Problems) {
    let mut refuse = |feature: &str| {
        problems.push(
            Problem::error(
                "maand::catalog::unsupported",
                format!("job {} uses {feature}, which the built-in engine does not do", job.name),
            )
            .in_file(&bucket.manifest(&job.name))
            .help("use an installed upstream maand with --engine external, or take it out of the job"),
        );
    };
    job.unsupported.iter().for_each(|feature| refuse(feature));
    let https = |probe: &Probe| matches!(probe, Probe::Http { scheme, .. } if scheme == "https");
    if job.health_check.as_ref().is_some_and(|check| check.checks.iter().any(https)) {
        refuse("a health check over https (an ssh probe with curl does it)");
    }
}

fn circular(bucket: &Bucket, circle: &[JobName]) -> Problem {
    let names: Vec<_> = circle.iter().chain(circle.first()).map(JobName::as_str).collect();
    let problem = Problem::error(
        "maand::catalog::circular_demands",
        format!("jobs demand each other in a circle: {}", names.join(" -> ")),
    )
    .help("take one of these demands out: no order of deployment fits all of them");
    match circle.first() {
        Some(first) => problem.in_file(&bucket.manifest(first)),
        None => problem,
    }
}

fn other_bucket(bucket: &Bucket, old: &str, new: &str) -> Problem {
    Problem::error(
        "maand::catalog::bucket_id_changed",
        format!("maand.conf has bucket_id {new}, the catalog was built for {old}"),
    )
    .in_file(&Source::new(bucket.paths().maand_conf.display().to_string(), ""))
    .help(
        "put the old id back; or, when it shall be a new bucket: stop the jobs of the old one, remove \
         data/catalog.db and build again",
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{job, worker};
    use super::*;
    use crate::bucket::{Disabled, Host};

    fn fleet(jobs: &[&str], hosts: &[&str]) -> Fleet {
        Fleet {
            bucket_id: "b".into(),
            workers: hosts.iter().map(|host| worker(host)).collect(),
            jobs: jobs
                .iter()
                .map(|name| Job { selectors: ["worker".to_owned()].into(), ..job(name) })
                .collect(),
            disabled: Disabled::default(),
            synthetic: false,
        }
    }

    fn next(old: &State, fleet: &Fleet) -> State {
        let hashed: Vec<_> =
            fleet.jobs.iter().map(|job| (format!("h-{}", job.name), Tree::default())).collect();
        next_state(old, fleet, &BTreeMap::new(), &Ports::new(), &hashed)
    }

    fn key(host: &str, job: &str) -> AllocationKey {
        AllocationKey { host: Host::parse(host).unwrap(), job: JobName::parse(job).unwrap() }
    }

    #[test]
    fn what_was_never_deployed_is_forgotten_and_the_rest_waits() {
        let mut state = next(&State::default(), &fleet(&["a", "b"], &["1", "2"]));
        if let Some(row) = state.allocations.get_mut(&key("1", "a")) {
            row.current_hash = Some("h-a".into());
        }
        let mut smaller = next(&state, &fleet(&["b"], &["2"]));
        assert_eq!(smaller.allocations.keys().cloned().collect::<Vec<_>>(), [key("1", "a"), key("2", "b")]);
        assert!(smaller.allocations[&key("1", "a")].removed);
        assert!(smaller.workers[&Host::parse("1").unwrap()].removed);
        assert!(smaller.jobs[&JobName::parse("a").unwrap()].removed);
        // It comes back: what was deployed is still known.
        let back = next(&smaller, &fleet(&["a", "b"], &["1", "2"]));
        assert_eq!(back, state);
        // It was removed there.
        smaller.allocations.remove(&key("1", "a"));
        forget_removed(&mut smaller);
        assert_eq!((smaller.workers.len(), smaller.jobs.len()), (1, 1));
    }

    #[test]
    fn a_worker_keeps_its_id() {
        let one = next(&State::default(), &fleet(&["a"], &["1"]));
        assert_eq!(next(&one, &fleet(&["a"], &["1"])), one);
    }
}
