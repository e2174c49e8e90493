//! The selected workers of two plans: who is added and left out, in which order and in which waves.

use std::collections::{BTreeMap, HashMap, HashSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::graph::RolloutGraph;
use crate::policy::Limits;

/// A selected worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerOutline {
    /// Its host.
    pub host: String,
    /// Its wave, counted from 1.
    pub wave: u32,
    /// Its enabled jobs.
    pub jobs: Vec<String>,
    /// Ids of steps that are skipped on it because of their `when`.
    pub skips: Vec<String>,
    /// An operator had disabled it: the run skips it.
    pub already_disabled: bool,
}

/// A job on workers that go down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOutline {
    /// Its name.
    pub job: String,
    /// Its enabled allocations in the whole bucket.
    pub allocations: u32,
    /// Those on workers that go down.
    pub on_targets: u32,
}

pub(super) fn workers_of(graph: &RolloutGraph) -> Vec<WorkerOutline> {
    let one = |ix| {
        let target = graph.target(ix);
        let skipped = graph.plan.steps.iter().zip(&target.applies).filter(|(_, applies)| !**applies);
        WorkerOutline {
            host: graph.host(ix).to_owned(),
            wave: target.wave + 1,
            jobs: target.jobs.iter().map(|job| graph.fleet.job(*job).name.to_string()).collect(),
            skips: skipped.map(|(step, _)| step.id.clone()).collect(),
            already_disabled: target.already_disabled,
        }
    };
    graph.target_indices().map(one).collect()
}

pub(super) fn jobs_of(graph: &RolloutGraph, limits: &Limits) -> Vec<JobOutline> {
    let mut counts = vec![(0, 0); graph.fleet.jobs.len()];
    for target in graph.target_indices().filter(|target| limits.disturbs(*target)) {
        for job in &graph.target(target).jobs {
            counts[job.0 as usize].0 += 1;
        }
    }
    for allocation in graph.enabled_allocations() {
        counts[allocation.job.0 as usize].1 += 1;
    }
    let touched = graph.fleet.jobs.iter().zip(counts).filter(|(_, (on_targets, _))| *on_targets > 0);
    touched
        .map(|(job, (on_targets, allocations))| JobOutline {
            job: job.name.to_string(),
            allocations,
            on_targets,
        })
        .collect()
}

/// What has changed about the selected workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Workers {
    /// Number of the old plan's.
    pub old: u32,
    /// Number of the new plan's.
    pub new: u32,
    /// Only in the new plan, in its order.
    pub added: Vec<String>,
    /// Only in the old plan, in its order.
    pub removed: Vec<String>,
    /// The fewest workers of both plans whose place among the others has to change to get from the old order to the
    /// new one; in the new order.
    pub moved: Vec<String>,
    /// What else has changed for workers of both plans.
    pub changed: Vec<WorkerChange>,
    /// Waves whose size is not the same.
    pub waves: Vec<WaveChange>,
}

/// The same change of several workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkerChange {
    /// `wave`, `jobs`, `skips` (steps that are skipped because of their `when`) or `already_disabled`.
    pub what: &'static str,
    /// In the old plan.
    pub old: String,
    /// In the new plan.
    pub new: String,
    /// Whose, in the new order.
    pub hosts: Vec<String>,
}

/// A wave whose size is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaveChange {
    /// Counted from 1.
    pub number: u32,
    /// Its workers in the old plan; `null`: it has no such wave.
    pub old: Option<u32>,
    /// Its workers in the new plan; `null`: it has no such wave.
    pub new: Option<u32>,
}

impl Workers {
    /// Nothing has changed.
    pub fn are_the_same(&self) -> bool {
        let Self { old: _, new: _, added, removed, moved, changed, waves } = self;
        added.is_empty() && removed.is_empty() && moved.is_empty() && changed.is_empty() && waves.is_empty()
    }

    pub(super) fn between(old: &[WorkerOutline], new: &[WorkerOutline]) -> Self {
        let place: HashMap<&str, usize> =
            old.iter().enumerate().map(|(at, one)| (one.host.as_str(), at)).collect();
        let is_new: HashSet<&str> = new.iter().map(|one| one.host.as_str()).collect();
        let hosts = |workers: &mut dyn Iterator<Item = &WorkerOutline>| -> Vec<String> {
            workers.map(|one| one.host.clone()).collect()
        };
        let both: Vec<(usize, &WorkerOutline)> =
            new.iter().filter_map(|one| place.get(one.host.as_str()).map(|at| (*at, one))).collect();
        let places: Vec<usize> = both.iter().map(|(at, _)| *at).collect();
        let mut groups: BTreeMap<(&'static str, String, String), Vec<String>> = BTreeMap::new();
        for (at, after) in &both {
            let before = &old[*at];
            for (what, text) in DETAILS {
                let (old, new) = (text(before), text(after));
                if old != new {
                    groups.entry((what, old, new)).or_default().push(after.host.clone());
                }
            }
        }
        let change = |((what, old, new), hosts)| WorkerChange { what, old, new, hosts };
        Self {
            old: old.len() as u32,
            new: new.len() as u32,
            added: hosts(&mut new.iter().filter(|one| !place.contains_key(one.host.as_str()))),
            removed: hosts(&mut old.iter().filter(|one| !is_new.contains(one.host.as_str()))),
            moved: moved(&places).into_iter().map(|at| both[at].1.host.clone()).collect(),
            changed: groups.into_iter().map(change).collect(),
            waves: Vec::new(),
        }
    }
}

/// What is compared of a worker beside its place.
const DETAILS: [(&str, fn(&WorkerOutline) -> String); 4] = [
    ("wave", |worker| worker.wave.to_string()),
    ("jobs", |worker| or_none(&worker.jobs)),
    ("skips", |worker| or_none(&worker.skips)),
    ("already_disabled", |worker| worker.already_disabled.to_string()),
];

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Sizes that are not the same, by number.
pub(super) fn waves_between(old: &[u32], new: &[u32]) -> Vec<WaveChange> {
    let change = |at: usize| WaveChange {
        number: at as u32 + 1,
        old: old.get(at).copied(),
        new: new.get(at).copied(),
    };
    (0..old.len().max(new.len())).map(change).filter(|wave| wave.old != wave.new).collect()
}

/// The fewest indices of `places` without which it is ascending.
pub(super) fn moved(places: &[usize]) -> Vec<usize> {
    // The longest ascending part, by the least last place of each length.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(places.len());
    for (at, place) in places.iter().enumerate() {
        let length = ends.partition_point(|end| places[*end] < *place);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut stays = vec![false; places.len()];
    let mut next = ends.last().copied();
    while let Some(at) = next {
        stays[at] = true;
        next = before[at];
    }
    (0..places.len()).filter(|at| !stays[*at]).collect()
}
