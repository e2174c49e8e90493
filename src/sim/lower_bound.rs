//! The shortest time that a plan's limits allow. It must not know how admission decides.

use std::collections::BTreeMap;

use super::estimate::waves;
use crate::engine::{Fact, Millis};
use crate::graph::{RolloutGraph, TargetIx};
use crate::policy::Limits;

/// The time of the rollout over a bound that no order of the workers can beat: for each wave the
/// longest worker, the work over `concurrency`, for each job the work of its holders over what may be
/// down of it, and for failure domains the same of each, all of them over how many may be disturbed.
pub(super) fn over_lower_bound(graph: &RolloutGraph, journal: &[(Millis, Fact)]) -> Option<f64> {
    let mut admitted: BTreeMap<TargetIx, Millis> = BTreeMap::new();
    let mut took: BTreeMap<TargetIx, f64> = BTreeMap::new();
    for (at, fact) in journal {
        match fact {
            Fact::WorkerAdmitted { target } => {
                admitted.insert(*target, *at);
            }
            Fact::WorkerSucceeded { target } => {
                took.insert(*target, (at - admitted.get(target)?) as f64);
            }
            _ => {}
        }
    }
    let limits = Limits::resolve(graph);
    let soaks = graph.waves.len().saturating_sub(1) as f64;
    let mut bound = soaks * graph.plan.rollout.soak.as_millis() as f64;
    for wave in &graph.waves {
        let of_wave: Vec<(TargetIx, f64)> =
            wave.clone().filter_map(|t| Some((TargetIx(t), *took.get(&TargetIx(t))?))).collect();
        let mut least = of_wave.iter().map(|(_, took)| *took).fold(0.0, f64::max);
        if let Some(limit) = limits.concurrency {
            least = least.max(of_wave.iter().map(|(_, took)| took).sum::<f64>() / f64::from(limit.max(1)));
        }
        let disturbed: Vec<(TargetIx, f64)> =
            of_wave.into_iter().filter(|(target, _)| limits.disturbs(*target)).collect();
        least = least.max(by_budgets(graph, &disturbed));
        if let Some(spread) = &graph.plan.rollout.spread {
            let mut domains: BTreeMap<Option<&String>, Vec<(TargetIx, f64)>> = BTreeMap::new();
            for (target, took) in &disturbed {
                let tags = &graph.fleet.worker(graph.target(*target).worker).tags;
                domains.entry(tags.get(&spread.value.tag)).or_default().push((*target, *took));
            }
            let held: f64 = domains.values().map(|of_domain| by_budgets(graph, of_domain)).sum();
            least = least.max(held / spread.value.at_most as f64);
        }
        bound += least;
    }
    let times = waves(journal);
    let spent = times.last()?.ended_ms - times.first()?.began_ms;
    (bound > 0.0 && took.len() == graph.targets.len()).then(|| spent as f64 / bound)
}

/// The longest of these workers, or the work of a job over what may be down of it.
fn by_budgets(graph: &RolloutGraph, workers: &[(TargetIx, f64)]) -> f64 {
    let longest = workers.iter().map(|(_, took)| *took).fold(0.0, f64::max);
    let of_job = |budget: &crate::graph::JobBudget| {
        let holders = workers.iter().filter(|(target, _)| graph.target(*target).jobs.contains(&budget.job));
        let may = f64::from(budget.of.saturating_sub(budget.wants).max(1));
        holders.map(|(_, took)| took).sum::<f64>() / may
    };
    graph.numbers().budgets.iter().map(of_job).fold(longest, f64::max)
}
