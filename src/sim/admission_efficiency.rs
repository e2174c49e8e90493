//! How near admission comes to the shortest time that a plan's limits allow, on random fleets.

use std::sync::Arc;

use super::config::SimConfig;
use super::drive::Sim;
use super::lower_bound::over_lower_bound;
use super::plans;
use super::rng::{Rng, Stream};
use super::{fleets, plans::located};
use crate::graph::{CompileOptions, compile};
use crate::plan::{Amount, Budget, BudgetBound, Concurrency, Spread};
use crate::policy::feasibility;

/// The time of a rollout with `concurrency: auto` over a lower bound for it, on a random fleet of 12 to
/// 120 workers with 2 to 8 jobs, budgets and at times failure domains; 1 is the best there is. `None`:
/// the draws make no feasible plan.
pub fn admission_efficiency(seed: u64) -> Option<f64> {
    let mut rng = Rng::new(seed, Stream::Fleet);
    let workers = rng.between(12, 120) as u32;
    let zones = rng.between(2, 3) as u32;
    let mut fleet = fleets::plain(workers, rng.between(2, 8) as u32, zones);
    let shares: Vec<u32> = fleet.jobs.iter().map(|_| [150, 300, 500, 900][rng.index(4)]).collect();
    for worker in &mut fleet.workers {
        for (job, share) in fleet.jobs.iter().zip(&shares) {
            if !rng.per_mille(*share) {
                Arc::make_mut(&mut worker.labels).remove(job.name.as_str());
            }
        }
    }
    let mut plan = plans::pattern_a();
    plan.rollout.concurrency.value = Concurrency::Auto;
    for job in &fleet.jobs {
        let amount = match rng.below(5) {
            few @ 0..=2 => Amount::Count(few + 1),
            many => Amount::Percent(10 * many as u8 - 10),
        };
        let job = located(job.name.as_str().to_owned());
        plan.rollout.budgets.push(located(Budget { job, bound: BudgetBound::MaxUnavailable(amount) }));
    }
    if rng.coin() {
        plan.rollout.spread = Some(located(Spread { tag: "zone".to_owned(), at_most: 1 + rng.below(2) }));
    }
    let graph = compile(&Arc::new(plan), &Arc::new(fleet), &CompileOptions::default()).ok()?;
    if feasibility(&graph).has_errors() {
        return None;
    }
    let graph = Arc::new(graph);
    let mut sim = Sim::new(SimConfig { seed, check: false, ..SimConfig::pattern_a(1) }, Arc::clone(&graph));
    sim.run();
    over_lower_bound(&graph, &sim.into_facts())
}
