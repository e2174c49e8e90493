//! What only the files together show: clashing ports, demands, counts and capacity. It works on what
//! was read and reads nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::fields::Doc;
use super::fleet::{Fleet, Job, JobName, Worker};
use super::manifest;
use crate::plan::{Problem, Source, suggest};

/// A job with the text of its manifest.
pub(super) struct Checked {
    pub(super) placed: manifest::Placed,
    pub(super) source: Source,
    pub(super) has_makefile: bool,
}

/// Takes a reservation of `bucket.jobs.conf` if it is inside of the manifest's bounds; without bounds
/// it is the bounds.
pub(super) fn reserve(
    doc: &mut Doc<'_>,
    (value, span): (f64, Range<usize>),
    (min, max): (&mut f64, &mut f64),
    reserved: &mut f64,
    unit: &str,
) {
    if *max > 0.0 && !(*min..=*max).contains(&value) {
        doc.error(
            "maand::bucket::out_of_bounds",
            format!("{value} {unit} is outside of what the manifest allows"),
            &span,
            "this",
            format!("the manifest says {min} to {max} {unit}"),
        );
        return;
    }
    if *max == 0.0 {
        (*min, *max) = (value, value);
    }
    *reserved = value;
}

/// All that a build refuses. `workers` are the places of `fleet.workers`, in the same order.
pub(super) fn all(fleet: &Fleet, jobs: &[Checked], workers: &[(Source, Range<usize>)]) -> Vec<Problem> {
    let mut found = Vec::new();
    for job in jobs.iter().filter(|job| !job.has_makefile) {
        let name = &job.placed.job.name;
        found.push(
            Problem::error("maand::bucket::no_makefile", format!("the job {name} has no Makefile"))
                .in_file(&job.source)
                .help("write one beside the manifest with the targets start, stop and restart"),
        );
    }
    ports(fleet, jobs, &mut found);
    demands(jobs, &mut found);
    counts(fleet, jobs, &mut found);
    capacity(fleet, workers, &mut found);
    found
}

/// Problems of the files together that are listed.
const MAX_PROBLEMS: usize = 100;

/// The first of them, and how many more there are.
pub(super) fn some(mut found: Vec<Problem>) -> Vec<Problem> {
    if found.len() > MAX_PROBLEMS {
        let message = format!("the workspace has {} more problems", found.len() - MAX_PROBLEMS);
        found.truncate(MAX_PROBLEMS);
        found.push(Problem::error("maand::bucket::more_problems", message));
    }
    found
}

fn runs_on(job: &Job, worker: &Worker) -> bool {
    job.selectors.is_subset(&worker.labels)
}

/// The same fixed port twice on one worker.
fn ports(fleet: &Fleet, jobs: &[Checked], found: &mut Vec<Problem>) {
    let mut users: BTreeMap<u16, Vec<(&Checked, &str)>> = BTreeMap::new();
    for job in jobs {
        for (name, port) in &job.placed.job.resources.ports {
            let Some(port) = port else { continue };
            let others = users.entry(*port).or_default();
            let clash = others.iter().find_map(|(other, other_name)| {
                let (a, b) = (&other.placed.job, &job.placed.job);
                let both = |worker: &&Worker| runs_on(a, worker) && runs_on(b, worker);
                // Twice in one job needs no worker to be wrong.
                if a.name == b.name {
                    return Some((other, other_name, String::new()));
                }
                let worker = fleet.workers.iter().find(both)?;
                Some((other, other_name, format!(", and {} runs both", worker.host)))
            });
            if let Some((other, other_name, both)) = clash {
                let other = &other.placed.job.name;
                let message =
                    format!("port {port} is `{name}` here and `{other_name}` of the job {other}{both}");
                let span = job.placed.ports.get(name).cloned().unwrap_or_default();
                found.push(
                    Problem::error("maand::bucket::port_clash", message)
                        .at(&job.source, span, "taken")
                        .help("choose another port, or {} and the build assigns one"),
                );
            }
            others.push((job, name));
        }
    }
}

/// Demanded jobs that are not there, and demands in a circle.
fn demands(jobs: &[Checked], found: &mut Vec<Problem>) {
    let by_name: BTreeMap<&JobName, &Checked> = jobs.iter().map(|job| (&job.placed.job.name, job)).collect();
    for job in jobs {
        for (name, span) in &job.placed.demands {
            if !by_name.contains_key(name) {
                let message = format!("the job {} demands {name}, which is not there", job.placed.job.name);
                found.push(
                    Problem::error("maand::bucket::unknown_job", message)
                        .at(&job.source, span.clone(), "no such job")
                        .help("correct the name, or remove the demand"),
                );
            }
        }
    }
    let mut done: BTreeSet<&JobName> = BTreeSet::new();
    for job in jobs {
        let Some(circle) = circle_from(&job.placed.job.name, &by_name, &mut done) else { continue };
        let text: Vec<&str> = circle.iter().map(|name| name.as_str()).collect();
        let at = by_name[circle[0]];
        let next = circle[1];
        let span = at.placed.demands.iter().find(|(name, _)| name == next).map(|(_, span)| span.clone());
        found.push(
            Problem::error(
                "maand::bucket::circular_demands",
                format!("jobs demand each other: {}", text.join(" -> ")),
            )
            .at(&at.source, span.unwrap_or_default(), "a part of the circle")
            .help("remove one of these demands: the first to be deployed can demand none of the others"),
        );
    }
}

/// A circle of demands that can be reached from `start`, as `a, b, .., a`. What was walked is noted in
/// `done`, so that each job is walked once. No recursion: a chain of demands may be long.
fn circle_from<'a>(
    start: &'a JobName,
    jobs: &BTreeMap<&'a JobName, &'a Checked>,
    done: &mut BTreeSet<&'a JobName>,
) -> Option<Vec<&'a JobName>> {
    let mut path: Vec<(&JobName, Vec<&JobName>)> = Vec::new();
    let open = |name: &'a JobName| -> Vec<&'a JobName> {
        jobs.get(name).map(|job| job.placed.job.demands.iter().collect()).unwrap_or_default()
    };
    if done.insert(start) {
        path.push((start, open(start)));
    }
    let mut circle = None;
    while let Some((name, rest)) = path.last_mut() {
        let name = *name;
        match rest.pop() {
            None => {
                path.pop();
            }
            Some(next) => {
                if let Some(at) = path.iter().position(|(on_path, _)| *on_path == next) {
                    let mut names: Vec<&JobName> = path[at..].iter().map(|(name, _)| *name).collect();
                    names.push(next);
                    circle.get_or_insert(names);
                } else if next != name && done.insert(next) {
                    path.push((next, open(next)));
                }
            }
        }
    }
    circle
}

fn counts(fleet: &Fleet, jobs: &[Checked], found: &mut Vec<Problem>) {
    for job in jobs {
        let wanted = job.placed.job.min_allocations_count;
        let there = fleet.workers.iter().filter(|worker| runs_on(&job.placed.job, worker)).count();
        if there == 0 && wanted == 0 && !fleet.workers.is_empty() {
            found.push(nowhere(fleet, job));
        }
        if there < wanted as usize {
            let labels: Vec<&str> = job.placed.job.selectors.iter().map(String::as_str).collect();
            let message = format!(
                "the job {} wants {wanted} workers and {there} carry the labels {}",
                job.placed.job.name,
                labels.join(", ")
            );
            found.push(
                Problem::error("maand::bucket::too_few_allocations", message)
                    .at(&job.source, job.placed.min_allocations.clone().unwrap_or_default(), "not reached")
                    .help("label more workers in workers.json, or lower the number"),
            );
        }
    }
}

/// A job that no worker carries the labels of: a slip of the fingers, or a job that waits for its workers.
/// Where it was deployed the next deploy removes it.
fn nowhere(fleet: &Fleet, job: &Checked) -> Problem {
    let selectors = &job.placed.job.selectors;
    let unknown: Vec<&str> = selectors
        .iter()
        .filter(|label| !fleet.workers.iter().any(|worker| worker.labels.contains(*label)))
        .map(String::as_str)
        .collect();
    let name = &job.placed.job.name;
    let message = match unknown.as_slice() {
        [] => format!("the job {name} is nowhere: no worker carries all the labels that it selects"),
        unknown => format!("the job {name} is nowhere: no worker carries the label {}", unknown.join(", ")),
    };
    let labels = fleet.workers.iter().flat_map(|worker| worker.labels.iter()).map(String::as_str);
    let near = unknown.first().and_then(|unknown| suggest::suggest(unknown, labels));
    let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    let problem = Problem::warning("maand::bucket::job_nowhere", message);
    let problem = match &job.placed.selectors {
        Some(span) => problem.at(&job.source, span.clone(), "carried by no worker"),
        None => problem.in_file(&job.source),
    };
    problem.help(format!("{near}where it was deployed, the next deploy removes it"))
}

/// Maximum number of workers that are too small and named one by one.
const NAMED: usize = 20;

/// What the enabled allocations of a worker reserve must fit into it. A worker that states nothing is
/// not checked; upstream refuses it, so it is warned of.
fn capacity(fleet: &Fleet, workers: &[(Source, Range<usize>)], found: &mut Vec<Problem>) {
    let (mut small, mut silent) = (Vec::new(), Vec::new());
    for (worker, place) in fleet.workers.iter().zip(workers) {
        let (mut memory, mut cpu) = (0.0, 0.0);
        for job in &fleet.jobs {
            if runs_on(job, worker) && !fleet.disabled.covers(&job.name, &worker.host) {
                memory += job.resources.memory_reserved_mb;
                cpu += job.resources.cpu_reserved_mhz;
            }
        }
        let pairs = [("memory", memory, worker.memory_mb, "MiB"), ("cpu", cpu, worker.cpu_mhz, "MHz")];
        for (what, wanted, has, unit) in pairs {
            if wanted > 0.0 && has == 0.0 {
                silent.push((worker, what, place));
            } else if wanted > has {
                small.push((
                    worker,
                    format!("{has} {unit} of {what}, and its jobs reserve {wanted} {unit}"),
                    place,
                ));
            }
        }
    }
    let more = small.len().saturating_sub(NAMED);
    for (at, (worker, text, (source, span))) in small.into_iter().take(NAMED).enumerate() {
        let others =
            if more > 0 && at == NAMED - 1 { format!(" ({more} more are too small)") } else { String::new() };
        let message = format!("{} has {text}{others}", worker.host);
        found.push(
            Problem::error("maand::bucket::worker_too_small", message)
                .at(source, span.clone(), "too small")
                .help("raise it, lower a reservation in bucket.jobs.conf, or move a job by its selectors"),
        );
    }
    for what in ["memory", "cpu"] {
        let mut all = silent.iter().filter(|(_, stated, _)| *stated == what);
        let Some((worker, _, (source, span))) = all.next() else { continue };
        let others = match all.count() {
            0 => String::new(),
            n => format!(" (nor do {n} more)"),
        };
        let message = format!("{} states no `{what}`{others}, and its jobs reserve some", worker.host);
        found.push(
            Problem::warning("maand::bucket::no_capacity", message)
                .at(source, span.clone(), "not checked")
                .help(format!("add `{what}` to the worker")),
        );
    }
}
