//! Every number of a plan once more, from the plan and the fleet: who is selected and in which order,
//! waves, `when`, limits. It must not ask the compiler. It knows what the generator makes.

use crate::bucket::WorkerIx;
use crate::graph::{RolloutGraph, TargetIx};
use crate::plan::{Amount, BudgetBound, Concurrency, Order, WaveSize};

fn down(amount: Amount, of: u64) -> u64 {
    match amount {
        Amount::Count(count) => count,
        Amount::Percent(percent) => u64::from(percent) * of / 100,
    }
}

fn up(amount: Amount, of: u64) -> u64 {
    match amount {
        Amount::Count(count) => count,
        Amount::Percent(percent) => (u64::from(percent) * of).div_ceil(100),
    }
}

/// What is not as the plan says.
pub(super) fn differ(graph: &RolloutGraph) -> Option<String> {
    let (plan, fleet) = (&graph.plan, &graph.fleet);
    let rollout = &plan.rollout;
    let out: Vec<&str> =
        plan.targets.exclude.iter().flat_map(|e| &e.labels).map(|label| label.value.as_str()).collect();
    let selected = |w: &usize| !out.iter().any(|label| fleet.workers[*w].labels.contains(*label));
    let mut chosen: Vec<usize> = (0..fleet.workers.len()).filter(selected).collect();
    match &rollout.order {
        Order::Reverse => chosen.reverse(),
        // Hosts are made in the order of their numbers.
        Order::Position | Order::Host => {}
        Order::Explicit(_) => return None,
    }
    // Canaries are moved to the front; which, is checked where they are chosen.
    if rollout.waves.iter().any(|size| matches!(size.value, WaveSize::Cover(_))) {
        return None;
    }
    let is: Vec<usize> = graph.targets.iter().map(|target| target.worker.0 as usize).collect();
    if is != chosen {
        return Some(format!("the plan selects {chosen:?}, and the run has {is:?}"));
    }
    let count = chosen.len() as u64;
    let mut waves: Vec<u64> = Vec::new();
    let mut at = 0;
    while (waves.len() as u64) < count {
        let size = rollout.waves.get(at).or(rollout.waves.last()).map(|size| &size.value);
        let size = match size {
            Some(WaveSize::Of(amount)) => down(*amount, count).max(1),
            Some(WaveSize::Rest | WaveSize::Cover(_)) | None => count,
        };
        waves.extend((0..size.min(count - waves.len() as u64)).map(|_| at as u64));
        at += 1;
    }
    for (target, wave) in graph.target_indices().zip(&waves) {
        if u64::from(graph.target(target).wave) != *wave {
            return Some(format!("{target:?} is in wave {}, not {wave}", graph.target(target).wave));
        }
        if let Some(step) =
            (0..plan.steps.len()).find(|at| applies(graph, target, *at) != graph.target(target).applies[*at])
        {
            return Some(format!("{target:?}: `when` of step {step}"));
        }
    }
    let at_once = match rollout.concurrency.value {
        Concurrency::Auto => None,
        Concurrency::AtMost(amount) => Some(down(amount, count).max(1)),
    };
    let numbers = graph.numbers();
    if numbers.concurrency.as_ref().map(|limit| u64::from(limit.value)) != at_once {
        return Some(format!("{at_once:?} at once, not {:?}", numbers.concurrency));
    }
    let may_fail = down(rollout.max_failures.value, count);
    if u64::from(numbers.max_failures.value) != may_fail {
        return Some(format!("{may_fail} may fail, not {:?}", numbers.max_failures));
    }
    for (j, job) in fleet.jobs.iter().enumerate() {
        let hosts = |w: &usize| {
            let worker = &fleet.workers[*w];
            job.selectors.iter().all(|label| worker.labels.contains(label))
                && !fleet.disabled.workers.contains(worker.host.as_str())
        };
        let of = (0..fleet.workers.len()).filter(hosts).count() as u64;
        let is_own = |own: bool| {
            let name = if own { job.name.as_str() } else { "*" };
            let of_job = rollout.budgets.iter().filter(move |b| b.value.job.value == name);
            of_job.map(|b| b.value.bound).collect::<Vec<_>>()
        };
        let own = is_own(true);
        let bounds = if own.is_empty() { is_own(false) } else { own };
        let wants = bounds.into_iter().map(|bound| match bound {
            BudgetBound::MinAvailable(amount) => up(amount, of),
            BudgetBound::MaxUnavailable(amount) => of.saturating_sub(down(amount, of)),
        });
        let wants = wants.max().filter(|_| of > 0).map(|wants| (wants, of));
        let said = numbers.budgets.iter().find(|budget| budget.job.0 as usize == j);
        let said = said.map(|budget| (u64::from(budget.wants), u64::from(budget.of)));
        if said != wants {
            return Some(format!("job {j} (wants, of): {said:?}, not {wants:?}"));
        }
    }
    None
}

fn applies(graph: &RolloutGraph, target: TargetIx, step: usize) -> bool {
    let WorkerIx(worker) = graph.target(target).worker;
    let tags = &graph.fleet.workers[worker as usize].tags;
    graph.plan.steps[step].when.tags.iter().all(|(key, values)| {
        tags.get(&key.value).is_some_and(|tag| values.iter().any(|value| value.value == *tag))
    })
}
