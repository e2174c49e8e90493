use std::sync::Arc;

use super::*;
use crate::graph::RolloutGraph;
use crate::graph::testing::{budget, command, compiled, fleet, located, plan, prepared, spread, worker};
use crate::plan::{Amount, BudgetBound, Concurrency, Plan};

const ZONES: [&str; 3] = ["zone=a", "zone=b", "zone=c"];

/// Workers in three zones by turns, all with the job `api` and every second one with `db`.
fn case(workers: usize, edit: impl FnOnce(&mut Plan)) -> Arc<RolloutGraph> {
    let labels = |at: usize| if at.is_multiple_of(2) { vec!["api", "db"] } else { vec!["api"] };
    let workers =
        (0..workers).map(|at| worker(&format!("w{}", at + 1), &labels(at), &[ZONES[at % 3]])).collect();
    let mut plan = plan();
    edit(&mut plan);
    Arc::new(compiled(&plan, &fleet(workers, &["api", "db"])))
}

fn options(failures: u32) -> Options {
    Options { failures, states: 1_000_000, bytes: 1 << 30 }
}

fn proven(graph: &Arc<RolloutGraph>, failures: u32) -> Checked {
    let checked = check(graph, graph, options(failures), &mut |_| false).unwrap();
    assert_eq!(checked.cut_short, None);
    assert_eq!(checked.broken, None);
    checked
}

/// With the engine of a broken plan.
fn broken(engine: &Arc<RolloutGraph>, promised: &RolloutGraph, failures: u32) -> (Promise, Vec<String>) {
    let checked = check(engine, promised, options(failures), &mut |_| false).unwrap();
    let broken = checked.broken.unwrap();
    (broken.promise, broken.story.iter().map(|event| event.describe(promised)).collect())
}

fn limited(plan: &mut Plan) {
    plan.rollout.concurrency = located(Concurrency::AtMost(Amount::Count(3)));
    plan.rollout.budgets = vec![budget("api", BudgetBound::MaxUnavailable(Amount::Count(2)))];
}

#[test]
fn a_sound_plan_is_proven_and_its_bounds_are_reached() {
    let graph = case(6, limited);
    let checked = proven(&graph, 1);
    assert!(checked.any_failures && checked.states > 10, "{checked:?}");
    assert_eq!(checked.exposure.jobs[0].stake.down, 2);
    assert_eq!(checked.reached.jobs[0], 2);
    assert_eq!(checked.reached.run, checked.exposure.run.down);
}

#[test]
fn a_policy_without_a_budget_is_found_out_by_the_shortest_story() {
    let promised = case(6, limited);
    let engine = case(6, |plan| {
        limited(plan);
        plan.rollout.budgets.clear();
    });
    let (promise, story) = broken(&engine, &promised, 1);
    assert_eq!(promise, Promise::Budget);
    assert_eq!(story, ["w1 starts", "w2 starts", "w3 starts"]);
}

#[test]
fn a_policy_without_a_spread_is_found_out() {
    let spreads = |plan: &mut Plan| {
        plan.rollout.concurrency = located(Concurrency::AtMost(Amount::Count(2)));
        plan.rollout.spread = spread("zone", 1);
    };
    let promised = case(6, spreads);
    proven(&promised, 1);
    let engine = case(6, |plan| {
        spreads(plan);
        plan.rollout.spread = None;
    });
    assert_eq!(
        broken(&engine, &promised, 1),
        (Promise::Spread, vec!["w1 starts".to_owned(), "w2 starts".to_owned()])
    );
}

#[test]
fn a_worker_that_starts_before_all_are_prepared_is_found_out() {
    let prepares = |plan: &mut Plan| {
        plan.rollout.concurrency = located(Concurrency::AtMost(Amount::Count(2)));
        plan.rollout.max_failures = located(Amount::Count(1));
        prepared(plan, 2, vec![command("fetch")]);
    };
    let promised = case(4, prepares);
    let checked = proven(&promised, 2);
    assert_eq!(
        (checked.exposure.run.down, checked.reached.run),
        (3, 3),
        "two under way beside one that is down"
    );
    let engine = case(4, |plan| {
        prepares(plan);
        plan.prepare = None;
        plan.steps.iter_mut().for_each(|step| step.prepares = false);
    });
    let (promise, story) = broken(&engine, &promised, 1);
    assert_eq!((promise, story), (Promise::Prepared, vec!["w1 starts".to_owned()]));
}

#[test]
fn a_failure_too_many_is_found_out() {
    let one =
        |failures: u64| move |plan: &mut Plan| plan.rollout.max_failures = located(Amount::Count(failures));
    let (promised, engine) = (case(4, one(0)), case(4, one(1)));
    proven(&promised, 1);
    let (promise, story) = broken(&engine, &promised, 1);
    assert_eq!(promise, Promise::Failures);
    assert_eq!(story, ["w1 does not answer at the start", "w2 starts"]);
}

#[test]
fn failed_workers_that_fill_a_budget_stop_the_rollout_and_it_is_told() {
    let graph = case(3, |plan| {
        plan.rollout.max_failures = located(Amount::Count(1));
        plan.rollout.budgets = vec![budget("api", BudgetBound::MaxUnavailable(Amount::Count(1)))];
    });
    let (promise, story) = broken(&graph, &graph, 2);
    assert_eq!(promise, Promise::Ends);
    assert_eq!(story, ["w1 does not answer at the start"]);
}

#[test]
fn what_was_not_looked_at_is_not_proven() {
    let graph = case(6, limited);
    let few = Options { states: 5, ..options(1) };
    let checked = check(&graph, &graph, few, &mut |_| false).unwrap();
    assert_eq!((checked.cut_short, checked.states), (Some(CutShort::States), 5));
    let checked = check(&graph, &graph, options(1), &mut |_| true).unwrap();
    assert_eq!(checked.cut_short, Some(CutShort::Stopped));
    let tight = Options { bytes: 10_000, ..options(1) };
    let checked = check(&graph, &graph, tight, &mut |_| false).unwrap();
    assert_eq!(checked.cut_short, Some(CutShort::Memory));
}

#[test]
fn twelve_workers_in_three_zones_with_two_jobs() {
    let graph = case(12, |plan| {
        plan.rollout.concurrency = located(Concurrency::AtMost(Amount::Count(3)));
        plan.rollout.budgets = vec![budget("*", BudgetBound::MaxUnavailable(Amount::Count(2)))];
        plan.rollout.spread = spread("zone", 2);
    });
    let checked = proven(&graph, 1);
    assert_eq!((checked.exposure.run.down, checked.reached.run), (2, 2), "both jobs' budgets allow two");
    assert_eq!(checked.reached.zones, [2, 2, 2]);
}
