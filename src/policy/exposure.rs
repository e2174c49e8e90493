//! How much may be down at once, whatever the order in which workers finish and fail: an upper bound for the run, each
//! job and each zone, with what binds it, and what is left when a zone or one more worker goes down meanwhile.
//!
//! The bounds are proven from what a plan allows, not found by trying: they follow from these rules of admission alone.
//! Of the workers that are down, at most `max_failures` have failed (or did not answer at the start) when the last one
//! was admitted, and the others held a place of its wave; a worker of a job with a budget, or of a failure domain, was
//! admitted only where the limit had room for it beside all that were down. Nothing goes down without being admitted.
//! What is not counted: operators who skip or retry failed workers, and what breaks without the run.

mod bound;

use std::collections::BTreeMap;

pub use bound::Binding;
use bound::Bounds;

use super::Limits;
use crate::bucket::{JobIx, WorkerIx};
use crate::graph::{RolloutGraph, TargetIx};

/// The tag whose values are taken for zones where the plan spreads over none.
const USUAL_TAG: &str = "zone";

/// For so many zones the loss is bounded closely, the largest first; beyond that roughly, which is never too low.
const ZONES_TRIED: usize = 32;

/// What a plan puts at stake on a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// So many failed workers are counted as staying down: the plan's `max_failures`.
    pub failures: u32,
    /// What is taken for a zone; `None`: the plan has no `spread`, and no worker has a tag `zone`.
    pub zones_by: Option<ZoneTag>,
    /// All workers.
    pub run: Stake,
    /// Jobs on workers that go down, by name.
    pub jobs: Vec<JobStake>,
    /// Zones with workers that go down, by name.
    pub zones: Vec<ZoneStake>,
}

/// The tag whose values are the zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneTag {
    /// Its key.
    pub tag: String,
    /// The plan's `spread` names it.
    pub of_spread: bool,
    /// Selected workers that lack it: they are in no zone.
    pub untagged: u32,
}

/// How many of something may be down at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stake {
    /// At most so many, by the run and by failures in it; what is disabled already does not count.
    pub down: u32,
    /// Out of so many: workers, or enabled allocations of a job, in the whole bucket.
    pub of: u32,
    /// So many more are disabled already, in `disabled.json`.
    pub disabled: u32,
    /// All limits that lead to this number and to no lower one.
    pub because: Vec<Binding>,
}

/// What may be down of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStake {
    /// The job.
    pub job: JobIx,
    /// Its allocations.
    pub stake: Stake,
    /// At least so many stay when one more worker with the job goes down meanwhile, whatever the reason.
    pub keeps_without_a_worker: u32,
    /// The same for a whole zone, the worst one; `None`: no allocation is in a zone.
    pub without_a_zone: Option<WithoutZone>,
}

/// What is left of a job without a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithoutZone {
    /// The zone.
    pub zone: String,
    /// At least so many allocations stay.
    pub keeps: u32,
}

/// What may be down of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneStake {
    /// The tag's value.
    pub zone: String,
    /// Its workers.
    pub stake: Stake,
}

impl Exposure {
    /// Of a compiled plan. The cost is that of a few looks at each allocation.
    pub fn of(graph: &RolloutGraph) -> Self {
        let limits = Limits::resolve(graph);
        let bounds = Bounds::new(graph, &limits);
        let zones = Zones::of(graph);
        let all: Vec<TargetIx> = graph.target_indices().collect();
        let out =
            |worker: &crate::bucket::Worker| graph.fleet.disabled.workers.contains(worker.host.as_str());
        let disabled = graph.fleet.workers.iter().filter(|worker| out(worker)).count();
        Self {
            failures: limits.max_failures,
            run: bounds.stake(&all, graph.fleet.workers.len() - disabled, disabled),
            jobs: jobs(graph, &limits, &bounds, zones.as_ref()),
            zones: zones.as_ref().map_or_else(Vec::new, |zones| zones.stakes(graph, &limits, &bounds)),
            zones_by: zones.map(|zones| zones.by),
        }
    }

    /// Of one job; `None`: no worker with it goes down.
    pub fn of_job(&self, job: JobIx) -> Option<&Stake> {
        self.jobs.iter().find(|one| one.job == job).map(|one| &one.stake)
    }

    /// Of one zone; `None`: none of its workers goes down.
    pub fn of_zone(&self, zone: &str) -> Option<&Stake> {
        self.zones.iter().find(|one| one.zone == zone).map(|one| &one.stake)
    }
}

/// Which worker is in which zone.
struct Zones {
    by: ZoneTag,
    names: Vec<String>,
    /// For each worker of the fleet.
    of: Vec<Option<u32>>,
}

impl Zones {
    fn of(graph: &RolloutGraph) -> Option<Self> {
        let workers = &graph.fleet.workers;
        let spread = graph.plan.rollout.spread.as_ref().map(|spread| spread.value.tag.to_lowercase());
        let (tag, of_spread) = spread.map_or_else(|| (USUAL_TAG.to_owned(), false), |tag| (tag, true));
        let mut numbers: BTreeMap<&str, u32> =
            workers.iter().filter_map(|worker| Some((worker.tags.get(&tag)?.as_str(), 0))).collect();
        if numbers.is_empty() {
            return None;
        }
        for (number, at) in numbers.values_mut().zip(0..) {
            *number = at;
        }
        let of: Vec<_> =
            workers.iter().map(|worker| Some(numbers[worker.tags.get(&tag)?.as_str()])).collect();
        let untagged = graph.targets.iter().filter(|target| of[target.worker.0 as usize].is_none()).count();
        let names = numbers.keys().map(|name| (*name).to_owned()).collect();
        Some(Self { by: ZoneTag { tag, of_spread, untagged: untagged as u32 }, names, of })
    }

    fn of_worker(&self, worker: WorkerIx) -> Option<u32> {
        self.of[worker.0 as usize]
    }

    fn stakes(&self, graph: &RolloutGraph, limits: &Limits, bounds: &Bounds<'_>) -> Vec<ZoneStake> {
        let mut members = vec![Vec::new(); self.names.len()];
        for target in graph.target_indices() {
            if let Some(zone) = self.of_worker(graph.target(target).worker) {
                members[zone as usize].push(target);
            }
        }
        let mut counts = vec![(0, 0); self.names.len()];
        for (worker, zone) in graph.fleet.workers.iter().zip(&self.of) {
            let Some(zone) = zone else { continue };
            let disabled = graph.fleet.disabled.workers.contains(worker.host.as_str());
            let (of, out) = &mut counts[*zone as usize];
            *if disabled { out } else { of } += 1;
        }
        let goes = |members: &[TargetIx]| members.iter().any(|target| limits.disturbs(*target));
        let all = self.names.iter().zip(&members).zip(counts).filter(|((_, members), _)| goes(members));
        all.map(|((name, members), (of, disabled))| ZoneStake {
            zone: name.clone(),
            stake: bounds.stake(members, of, disabled),
        })
        .collect()
    }
}

fn jobs(graph: &RolloutGraph, limits: &Limits, bounds: &Bounds<'_>, zones: Option<&Zones>) -> Vec<JobStake> {
    let count = graph.fleet.jobs.len();
    let mut members = vec![Vec::new(); count];
    let mut goes = vec![false; count];
    for target in graph.target_indices() {
        for job in &graph.target(target).jobs {
            members[job.0 as usize].push(target);
            goes[job.0 as usize] |= limits.disturbs(target);
        }
    }
    let mut workers = vec![Vec::new(); count];
    for allocation in graph.enabled_allocations() {
        workers[allocation.job.0 as usize].push(allocation.worker);
    }
    let mut disabled = vec![0; count];
    if !graph.fleet.disabled.workers.is_empty() || !graph.fleet.disabled.jobs.is_empty() {
        for allocation in graph.fleet.allocations().iter().filter(|allocation| allocation.disabled) {
            disabled[allocation.job.0 as usize] += 1;
        }
    }
    let one = |at: usize| {
        let of = workers[at].len() as u32;
        let stake = bounds.stake(&members[at], workers[at].len(), disabled[at]);
        JobStake {
            job: JobIx(at as u32),
            keeps_without_a_worker: of.saturating_sub(stake.down + 1),
            without_a_zone: zones.and_then(|zones| {
                without_a_zone(graph, bounds, zones, &members[at], &workers[at], stake.down)
            }),
            stake,
        }
    };
    (0..count).filter(|at| goes[*at]).map(one).collect()
}

/// The zone without which least of a job stays: all its allocations there are gone, and of the others as many as may be
/// down.
fn without_a_zone(
    graph: &RolloutGraph,
    bounds: &Bounds<'_>,
    zones: &Zones,
    members: &[TargetIx],
    workers: &[WorkerIx],
    down: u32,
) -> Option<WithoutZone> {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for zone in workers.iter().filter_map(|worker| zones.of_worker(*worker)) {
        *counts.entry(zone).or_default() += 1;
    }
    let mut largest: Vec<(u32, u32)> = counts.into_iter().collect();
    largest.sort_by_key(|(zone, count)| (std::cmp::Reverse(*count), *zone));
    let of = workers.len() as u32;
    let mut worst: Option<(u32, u32)> = None;
    for (tried, (zone, count)) in largest.into_iter().enumerate() {
        // No zone that is not larger can do more harm than this.
        let roughly = (count + down).min(of);
        if worst.is_some_and(|(lost, _)| lost >= roughly) {
            break;
        }
        let lost = if tried < ZONES_TRIED {
            let outside = |target: &TargetIx| zones.of_worker(graph.target(*target).worker) != Some(zone);
            let others: Vec<TargetIx> = members.iter().copied().filter(outside).collect();
            (count + bounds.worst(&others).0).min(of)
        } else {
            roughly
        };
        if worst.is_none_or(|(most, _)| lost > most) {
            worst = Some((lost, zone));
        }
    }
    worst.map(|(lost, zone)| WithoutZone { zone: zones.names[zone as usize].clone(), keeps: of - lost })
}

#[cfg(test)]
mod tests;
