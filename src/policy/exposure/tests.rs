use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::graph::testing::{budget, compiled, fleet, located, plan, spread, worker};
use crate::plan::{Amount, BudgetBound, Concurrency, Plan, WaveSize};
use crate::policy::properties::graphs;
use crate::policy::{Admission, Conditions, Pick, Queue};

const ZONES: [&str; 3] = ["zone=a", "zone=b", "zone=c"];

/// `api` on the first six of nine workers, in three zones by turns; `db` on all.
fn at_stake(edit: impl FnOnce(&mut Plan)) -> (RolloutGraph, Exposure) {
    let labels = |at: usize| if at < 6 { vec!["api", "db"] } else { vec!["db"] };
    let workers = (0..9).map(|at| worker(&format!("w{at}"), &labels(at), &[ZONES[at % 3]])).collect();
    let mut plan = plan();
    edit(&mut plan);
    let graph = compiled(&plan, &fleet(workers, &["api", "db"]));
    let exposure = Exposure::of(&graph);
    (graph, exposure)
}

fn said(graph: &RolloutGraph, stake: &Stake) -> (u32, u32, String) {
    let because: Vec<_> = stake.because.iter().map(|binding| binding.describe(graph)).collect();
    (stake.down, stake.of, because.join("; "))
}

fn places(places: u64) -> crate::plan::Located<Concurrency> {
    located(Concurrency::AtMost(Amount::Count(places)))
}

#[test]
fn the_number_and_what_binds_it() {
    let api = JobIx(0);
    let of_api = |edit: &dyn Fn(&mut Plan)| {
        let (graph, exposure) = at_stake(edit);
        said(&graph, exposure.of_job(api).unwrap())
    };
    let two = |plan: &mut Plan| {
        plan.rollout.concurrency = places(2);
        plan.rollout.budgets = vec![budget("api", BudgetBound::MaxUnavailable(Amount::Count(2)))];
    };
    assert_eq!(of_api(&two), (2, 6, "concurrency 2; budget api max_unavailable 2".to_owned()));
    let failing = |plan: &mut Plan| {
        two(plan);
        plan.rollout.max_failures = located(Amount::Count(3));
        plan.rollout.budgets.clear();
    };
    let because = "concurrency 2 and max_failures 3, as failed workers stay down".to_owned();
    assert_eq!(of_api(&failing), (5, 6, because));
    let auto = |plan: &mut Plan| plan.rollout.concurrency = located(Concurrency::Auto);
    assert_eq!(of_api(&auto), (6, 6, "no limit keeps them from being down together".to_owned()));
    let in_a_zone = |plan: &mut Plan| {
        auto(plan);
        plan.rollout.spread = spread("zone", 1);
    };
    assert_eq!(of_api(&in_a_zone), (2, 6, "spread at most 1 zone".to_owned()));
    let in_waves = |plan: &mut Plan| {
        auto(plan);
        plan.rollout.waves = vec![located(WaveSize::Of(Amount::Count(3)))];
    };
    assert_eq!(of_api(&in_waves), (3, 6, "no wave has more than 3 of them".to_owned()));
    let none = |plan: &mut Plan| {
        plan.rollout.budgets = vec![budget("api", BudgetBound::MaxUnavailable(Amount::Count(0)))];
    };
    assert_eq!(of_api(&none), (0, 6, "no step takes one down, or a budget lets none go".to_owned()));
}

#[test]
fn one_failure_more_takes_a_worker_or_a_zone() {
    let (graph, exposure) = at_stake(|plan| {
        plan.rollout.concurrency = places(3);
        plan.rollout.spread = spread("zone", 1);
        plan.rollout.budgets = vec![budget("api", BudgetBound::MinAvailable(Amount::Percent(70)))];
    });
    assert_eq!(graph.numbers().budgets[0].wants, 5);
    let api = &exposure.jobs[0];
    assert_eq!((api.stake.down, api.keeps_without_a_worker), (1, 4));
    // Two are in each zone, and one of another zone is down.
    assert_eq!(api.without_a_zone, Some(WithoutZone { zone: "a".to_owned(), keeps: 3 }));
    // Of three workers in a zone two have the job with the budget, of which one may be down.
    assert_eq!(exposure.zones.iter().map(|zone| zone.stake.down).collect::<Vec<_>>(), [2, 2, 2]);
    let by = exposure.zones_by.unwrap();
    assert_eq!((by.tag.as_str(), by.of_spread, by.untagged), ("zone", true, 0));
    // In zone `a` are those that go down themselves.
    let (_, exposure) =
        at_stake(|plan| plan.targets.workers = Some(crate::graph::testing::names(&["w0", "w3"])));
    let api = &exposure.jobs[0];
    assert_eq!((api.stake.down, api.stake.of), (1, 6));
    assert_eq!(api.without_a_zone, Some(WithoutZone { zone: "b".to_owned(), keeps: 3 }));
    assert_eq!(exposure.zones.len(), 1, "no worker of the others goes down");
}

#[test]
fn without_tags_there_are_no_zones_and_what_is_disabled_is_not_counted_twice() {
    let workers = (0..4).map(|at| worker(&format!("w{at}"), &["api"], &[])).collect();
    let mut fleet = fleet(workers, &["api"]);
    fleet.disabled.workers.insert("w3".to_owned());
    let mut plan = plan();
    plan.rollout.concurrency = located(Concurrency::Auto);
    let exposure = Exposure::of(&compiled(&plan, &fleet));
    assert_eq!((exposure.zones_by, exposure.zones), (None, Vec::new()));
    let run = exposure.run;
    assert_eq!((run.down, run.of, run.disabled), (3, 3, 1));
    let api = &exposure.jobs[0];
    assert_eq!((api.stake.down, api.stake.of, api.stake.disabled, &api.without_a_zone), (3, 3, 1, &None));
}

/// Some of the fleet, and the most of it that may be down.
struct Part {
    members: BTreeSet<TargetIx>,
    most: u32,
    /// One of them was admitted.
    begun: bool,
}

fn parts(graph: &RolloutGraph, exposure: &Exposure) -> Vec<Part> {
    let part = |stake: &Stake, has: &dyn Fn(TargetIx) -> bool| Part {
        members: graph.target_indices().filter(|target| has(*target)).collect(),
        most: stake.down,
        begun: false,
    };
    let zone = |target: TargetIx| &graph.fleet.worker(graph.target(target).worker).tags["zone"];
    let mut parts = vec![part(&exposure.run, &|_| true)];
    for job in &exposure.jobs {
        let has = |target: TargetIx| graph.target(target).jobs.contains(&job.job);
        parts.push(part(&job.stake, &has));
        // What the sentence about a zone that goes down says of the other zones.
        if let Some(without) = &job.without_a_zone {
            let of_zone = |one: &&crate::bucket::Allocation| {
                one.job == job.job && graph.fleet.worker(one.worker).tags["zone"] == without.zone
            };
            let gone = graph.enabled_allocations().iter().filter(of_zone).count() as u32;
            let mut others = part(&job.stake, &|target| has(target) && *zone(target) != without.zone);
            others.most = job.stake.of - without.keeps - gone.min(job.stake.of - without.keeps);
            parts.push(others);
        }
    }
    parts.extend(exposure.zones.iter().map(|one| part(&one.stake, &|target| *zone(target) == one.zone)));
    parts
}

/// Admits, ends and fails workers by draws, from a start at which some do not answer; the ledger halts it as in a run.
fn roll_out(graph: &RolloutGraph, away: &[usize], draws: &[(u8, bool)]) {
    let exposure = Exposure::of(graph);
    let mut parts = parts(graph, &exposure);
    let mut admission = Admission::new(graph);
    let mut queue = Queue::new(graph, &admission);
    let (mut failed, mut active, mut down) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    for at in away {
        let target = TargetIx((at % graph.targets.len()) as u32);
        if queue.remove(target) {
            admission.unreachable(target);
            failed.insert(target);
            down.insert(target);
        }
    }
    let jobs: Vec<_> = graph.numbers().budgets.iter().map(|budget| budget.job).collect();
    let allocations = graph.enabled_allocations();
    for (draw, fails) in draws {
        // Now and then one is sick.
        let sick = allocations.get(*draw as usize).map(|one| (one.worker, one.job));
        admission.observed(&jobs, sick.as_slice(), 0);
        let open = |target: &TargetIx| queue.contains(*target) || active.contains(target);
        let wave = graph.target_indices().filter(open).map(|target| graph.target(target).wave).min();
        let conditions = Conditions {
            current_wave: wave.unwrap_or(0),
            failures: failed.len() as u32,
            ..Conditions::default()
        };
        while let Pick::Admit(target) = queue.pick(&admission, 0, &conditions) {
            admission.admitted(target);
            active.push(target);
            if graph.target(target).applies[0] {
                down.insert(target);
                for part in parts.iter_mut().filter(|part| part.members.contains(&target)) {
                    part.begun = true;
                }
            }
            for part in parts.iter().filter(|part| part.begun) {
                let now = part.members.intersection(&down).count() as u32;
                assert!(now <= part.most, "{now} of {:?} are down, and at most {}", part.members, part.most);
            }
        }
        if active.is_empty() {
            break;
        }
        let target = active.swap_remove(*draw as usize % active.len());
        // Once it has halted, more may fail than are allowed.
        let still_down = *fails && graph.target(target).applies[0];
        admission.failed(target, still_down);
        if *fails {
            failed.insert(target);
        }
        if !still_down {
            down.remove(&target);
        }
    }
}

proptest! {
    #[test]
    fn no_order_of_ends_and_failures_goes_beyond_the_bound(
        graph in graphs(),
        failures in 0_u64..5,
        away in prop::collection::vec(0_usize..14, 0..4),
        draws in prop::collection::vec((any::<u8>(), prop::bool::weighted(0.3)), 1..40),
    ) {
        let mut plan = Plan::clone(&graph.plan);
        plan.rollout.max_failures = located(Amount::Count(failures));
        roll_out(&compiled(&plan, &graph.fleet), &away, &draws);
    }
}
