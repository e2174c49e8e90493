//! Who is selected, why the number, and in which order they are taken.

use std::cmp::Ordering;

use serde::Serialize;

use super::matcher::{Candidate, Matcher};
use super::names::Names;
use crate::bucket::{Fleet, JobIx, WorkerIx};
use crate::plan::{Order, Plan, Problem, Problems, counted};

/// How the selection came about, for the summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Workers of the bucket.
    pub fleet: u32,
    /// Each part of `targets` that is given.
    pub parts: Vec<SelectionPart>,
    /// Workers that matched every part and were left out by `exclude`.
    pub excluded: u32,
    /// What the plan selects by itself.
    pub by_plan: u32,
    /// What is left of it after `--workers`; `None`: not narrowed.
    pub narrowed_to: Option<u32>,
}

/// One part of `targets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SelectionPart {
    /// In words: "label `worker`".
    pub what: String,
    /// Workers of the bucket that match this part alone.
    pub matching: u32,
}

/// The selected workers in the order in which they are taken.
pub(super) fn select(
    plan: &Plan,
    fleet: &Fleet,
    hosted: &[Box<[JobIx]>],
    narrow: Option<&[String]>,
    names: &Names<'_>,
    problems: &mut Problems,
) -> (Vec<WorkerIx>, Selection) {
    let before = problems.iter().count();
    let matcher = Matcher::targets(&plan.targets, names, problems);
    let exclude = plan.targets.exclude.as_ref().map(|targets| Matcher::targets(targets, names, problems));
    let named_all = problems.iter().count() == before;

    let mut selection = Selection { fleet: fleet.workers.len() as u32, ..Selection::default() };
    selection.parts = parts(plan, fleet, hosted, names);
    let mut chosen = Vec::new();
    for (at, (worker, jobs)) in fleet.workers.iter().zip(hosted).enumerate() {
        let candidate = Candidate { ix: WorkerIx(at as u32), worker, jobs };
        if !matcher.all(candidate) {
            continue;
        }
        if exclude.as_ref().is_some_and(|exclude| exclude.any(candidate)) {
            selection.excluded += 1;
        } else {
            chosen.push(candidate.ix);
        }
    }
    selection.by_plan = chosen.len() as u32;
    // A name that is not there explains an empty or unexpected selection by itself.
    if named_all {
        check_size(plan, &selection, problems);
    }
    if let Some(hosts) = narrow {
        chosen = narrow_to(&chosen, hosts, names, problems);
        selection.narrowed_to = Some(chosen.len() as u32);
    }
    (in_order(chosen, plan, fleet, names, problems), selection)
}

/// An empty selection is always an error; `expect` bounds what the plan selects by itself, so that
/// `--workers` may take fewer.
fn check_size(plan: &Plan, selection: &Selection, problems: &mut Problems) {
    let count = u64::from(selection.by_plan);
    if count == 0 {
        let mut why: Vec<_> =
            selection.parts.iter().map(|part| format!("{} matches {}", part.what, part.matching)).collect();
        if selection.excluded > 0 {
            why.push(format!("`exclude` leaves out {}", selection.excluded));
        }
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(", ")) };
        let message = format!("the plan selects none of the {} workers of the bucket", selection.fleet);
        let mut problem = Problem::error("maand::plan::empty_selection", message);
        if let Some(span) = first_span(plan) {
            problem = problem.at(&plan.source, span, "selects no worker");
        } else {
            problem = problem.in_file(&plan.source);
        }
        problems.push(problem.help(format!("a worker must match every part of `targets`{why}")));
    }
    let Some(expect) = &plan.targets.expect else { return };
    let outside =
        expect.value.min.is_some_and(|min| count < min) || expect.value.max.is_some_and(|max| count > max);
    if outside && count > 0 {
        let wanted = match (expect.value.min, expect.value.max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => String::new(),
        };
        let message = format!("the plan selects {} and expects {wanted}", counted(count as usize, "worker"));
        let problem = Problem::error("maand::plan::unexpected_selection", message);
        let problem = problem.at(&plan.source, expect.span.clone(), format!("selected: {count}"));
        problems
            .push(problem.help("check the selection with `maand plan show`; then fix `targets` or `expect`"));
    }
}

/// The place of the first thing that `targets` names.
fn first_span(plan: &Plan) -> Option<std::ops::Range<usize>> {
    let targets = &plan.targets;
    let hosts = targets.workers.iter().flatten().map(|host| &host.span);
    let tags = targets.tags.iter().map(|(key, _)| &key.span);
    let names = targets.labels.iter().chain(&targets.jobs).map(|name| &name.span);
    hosts.chain(names).chain(tags).min_by_key(|span| span.start).cloned()
}

fn parts(plan: &Plan, fleet: &Fleet, hosted: &[Box<[JobIx]>], names: &Names<'_>) -> Vec<SelectionPart> {
    // Problems with these names were reported when the whole was looked up.
    let mut known = Problems::new();
    let mut parts = Vec::new();
    let mut add = |what: String, matcher: Matcher| {
        let candidates = fleet.workers.iter().zip(hosted).enumerate();
        let matching = candidates
            .filter(|(at, (worker, jobs))| matcher.all(Candidate { ix: WorkerIx(*at as u32), worker, jobs }))
            .count() as u32;
        parts.push(SelectionPart { what, matching });
    };
    let one = crate::plan::Targets::default;
    let targets = &plan.targets;
    if let Some(hosts) = &targets.workers {
        let only = crate::plan::Targets { workers: Some(hosts.clone()), ..one() };
        add("named in `workers`".to_owned(), Matcher::targets(&only, names, &mut known));
    }
    for label in &targets.labels {
        let only = crate::plan::Targets { labels: vec![label.clone()], ..one() };
        add(format!("label `{}`", label.value), Matcher::targets(&only, names, &mut known));
    }
    for tag in &targets.tags {
        let values: Vec<_> = tag.1.iter().map(|value| value.value.as_str()).collect();
        let what = format!("tag `{}` is {}", tag.0.value, values.join(" or "));
        add(
            what,
            Matcher::targets(&crate::plan::Targets { tags: vec![tag.clone()], ..one() }, names, &mut known),
        );
    }
    if !targets.jobs.is_empty() {
        let jobs: Vec<_> = targets.jobs.iter().map(|job| format!("`{}`", job.value)).collect();
        let only = crate::plan::Targets { jobs: targets.jobs.clone(), ..one() };
        add(format!("hosts job {}", jobs.join(" or ")), Matcher::targets(&only, names, &mut known));
    }
    parts
}

fn narrow_to(
    chosen: &[WorkerIx],
    hosts: &[String],
    names: &Names<'_>,
    problems: &mut Problems,
) -> Vec<WorkerIx> {
    let mut wanted = Vec::new();
    for host in hosts {
        match names.host(host) {
            None => problems.push(names.unknown_worker(host)),
            // `chosen` is ascending here: the order is applied afterwards.
            Some(ix) if chosen.binary_search(&ix).is_ok() => wanted.push(ix),
            Some(_) => {
                let message = format!("`--workers` names `{host}`, which the plan does not select");
                let help = "`--workers` takes some of the plan's workers; to add one, change `targets`";
                problems.push(Problem::error("maand::plan::not_selected", message).help(help));
            }
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    if hosts.is_empty() {
        let problem = Problem::error("maand::plan::empty_selection", "`--workers` names no worker");
        problems.push(problem.help("give at least one host, or leave `--workers` out"));
    }
    wanted
}

fn in_order(
    mut chosen: Vec<WorkerIx>,
    plan: &Plan,
    fleet: &Fleet,
    names: &Names<'_>,
    problems: &mut Problems,
) -> Vec<WorkerIx> {
    match &plan.rollout.order {
        // The fleet's own order is by position, then host.
        Order::Position => {}
        Order::Reverse => chosen.reverse(),
        Order::Host => {
            chosen.sort_by(|a, b| natural(fleet.worker(*a).host.as_str(), fleet.worker(*b).host.as_str()));
        }
        Order::Explicit(hosts) => {
            let mut rank = vec![u32::MAX; fleet.workers.len()];
            for (at, host) in hosts.iter().enumerate() {
                if let Some(ix) = names.worker(host, problems) {
                    let rank = &mut rank[ix.0 as usize];
                    *rank = (*rank).min(at as u32);
                }
            }
            // Stable: those that are not named stay by position.
            chosen.sort_by_key(|ix| rank[ix.0 as usize]);
        }
    }
    chosen
}

/// Runs of digits compare by their value, so that `10.0.0.2` comes before `10.0.0.10`; hosts that
/// differ only in leading zeros compare as text.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (x, y) = (chunk(&mut left), chunk(&mut right));
        let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let ordering = if digits(x) && digits(y) {
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            x.cmp(y)
        };
        if ordering.is_ne() {
            return ordering;
        }
        if x.is_empty() && y.is_empty() {
            return a.cmp(b);
        }
    }
}

/// Cuts off the leading run of digits, or of anything else.
fn chunk<'a>(text: &mut &'a str) -> &'a str {
    let digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(text.len());
    let (head, tail) = text.split_at(end);
    *text = tail;
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_compare_by_the_value_of_their_numbers() {
        let mut hosts = vec!["b", "10.0.0.10", "10.0.0.2", "a10", "a9", "a09", "10.0.0.2:22"];
        hosts.sort_by(|a, b| natural(a, b));
        assert_eq!(hosts, ["10.0.0.2", "10.0.0.2:22", "10.0.0.10", "a09", "a9", "a10", "b"]);
    }
}
