//! What a plan allows, resolved over a fleet: the fixed half of admission.

use std::collections::BTreeMap;

use super::PrepareLimit;
use super::window::Schedule;
use crate::bucket::WorkerIx;
use crate::graph::{JobBudget, RolloutGraph, TargetIx};

/// `spread`, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct SpreadLimit {
    /// The tag whose values are the failure domains.
    pub tag: String,
    /// Maximum number of its values that are disturbed at a time.
    pub at_most: u64,
    /// Its values on the targets; the last may be the one of the workers that lack the tag.
    pub domains: Vec<String>,
}

/// What a plan allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// How many at a time; `None`: as many as fit.
    pub concurrency: Option<u32>,
    /// Of workers that are prepared; `None`: the plan prepares nobody.
    pub prepare: Option<PrepareLimit>,
    /// Maximum number of failed workers.
    pub max_failures: u32,
    /// Per job, in the order of jobs.
    pub budgets: Vec<JobBudget>,
    /// Over failure domains.
    pub spread: Option<SpreadLimit>,
    /// `None`: always open.
    pub window: Option<Schedule>,
    /// The plan has a window whose time zone is not known here: never open.
    pub window_unknown: bool,
    pub(super) constraints: Vec<Constraint>,
    /// For each budget the workers with an enabled allocation, ascending.
    pub(super) holders: Vec<Vec<WorkerIx>>,
}

/// What one target is bound by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Constraint {
    pub(super) wave: u32,
    /// One of its steps takes it down; else it never waits for its domain or its budgets.
    pub(super) disturbs: bool,
    /// Index into the domains; held while the worker is down, whatever took it down.
    pub(super) domain: Option<u32>,
    /// Indices into `budgets`, ascending; counted while the worker is down.
    pub(super) budgets: Box<[u32]>,
}

impl Limits {
    /// Resolves a compiled plan. Linear in targets and allocations.
    pub fn resolve(graph: &RolloutGraph) -> Self {
        let numbers = graph.numbers();
        let mut budget_of = vec![None; graph.fleet.jobs.len()];
        for (at, budget) in numbers.budgets.iter().enumerate() {
            budget_of[budget.job.0 as usize] = Some(at as u32);
        }
        let mut holders = vec![Vec::new(); numbers.budgets.len()];
        for allocation in graph.enabled_allocations() {
            if let Some(budget) = budget_of[allocation.job.0 as usize] {
                holders[budget as usize].push(allocation.worker);
            }
        }
        let (spread, domain_of) = resolve_spread(graph);
        let disturbing: Vec<bool> = graph.plan.steps.iter().map(|step| step.kind.traits().disturbs).collect();
        let constraint = |ix: TargetIx| {
            let target = graph.target(ix);
            let disturbs =
                target.applies.iter().zip(&disturbing).any(|(applies, disturbs)| *applies && *disturbs);
            let budgets = target.jobs.iter().filter_map(|job| budget_of[job.0 as usize]).collect();
            Constraint { wave: target.wave, disturbs, domain: domain_of.get(ix.0 as usize).copied(), budgets }
        };
        let schedule = Schedule::of(graph);
        Self {
            concurrency: numbers.concurrency.as_ref().map(|resolved| resolved.value),
            prepare: PrepareLimit::resolve(graph),
            max_failures: numbers.max_failures.value,
            budgets: numbers.budgets.clone(),
            spread,
            window_unknown: matches!(schedule, Some(Err(_))),
            window: schedule.and_then(Result::ok),
            constraints: graph.target_indices().map(constraint).collect(),
            holders,
        }
    }

    /// Whether one of the steps that apply to a target takes it down.
    pub fn disturbs(&self, target: TargetIx) -> bool {
        self.constraints[target.0 as usize].disturbs
    }

    pub(super) fn constraint(&self, target: TargetIx) -> &Constraint {
        &self.constraints[target.0 as usize]
    }
}

/// The domains in alphabetical order, and that of each target. Workers without the tag share one.
fn resolve_spread(graph: &RolloutGraph) -> (Option<SpreadLimit>, Vec<u32>) {
    let Some(spread) = &graph.plan.rollout.spread else { return (None, Vec::new()) };
    let tag = spread.value.tag.to_lowercase();
    let value = |ix: TargetIx| graph.fleet.worker(graph.target(ix).worker).tags.get(&tag);
    // `None` last: a value that is there sorts before one that is not.
    let key = |ix: TargetIx| (value(ix).is_none(), value(ix));
    let mut numbers: BTreeMap<_, u32> = graph.target_indices().map(|ix| (key(ix), 0)).collect();
    for (number, at) in numbers.values_mut().zip(0..) {
        *number = at;
    }
    let name = |(_, value): &(bool, Option<&String>)| {
        value.map_or_else(|| format!("(no tag `{tag}`)"), |value| value.clone())
    };
    let domains = numbers.keys().map(name).collect();
    let domain_of = graph.target_indices().map(|ix| numbers[&key(ix)]).collect();
    (Some(SpreadLimit { tag, at_most: spread.value.at_most, domains }), domain_of)
}
