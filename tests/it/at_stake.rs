//! What is said to be at stake, against the simulator: no simulated run, whatever happens in it, has more down at once
//! than `plan show` says, than `plan check` proves, or than its search has seen.
#![expect(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use maand::check::{Checked, Options, check};
use maand::engine::{Check, Fact, Intent};
use maand::graph::{CompileOptions, Lane, RolloutGraph, TargetIx, compile, synthetic_fleet};
use maand::plan::Source;
use maand::policy::Exposure;
use maand::sim::{Report, SimConfig, graph, run_on};

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The most that was down at once when a worker went down: of the run, of each job, of each zone.
#[derive(Default, Debug)]
struct Most {
    run: u32,
    jobs: BTreeMap<String, u32>,
    zones: BTreeMap<String, u32>,
}

fn raise(most: &mut BTreeMap<String, u32>, name: &str, now: usize) {
    let known = most.entry(name.to_owned()).or_default();
    *known = (*known).max(now as u32);
}

/// By the facts of a run alone, until an operator takes a failed worker up again or out.
fn seen(graph: &RolloutGraph, report: &Report, most: &mut Most) {
    let steps = &graph.plan.steps;
    let goes = |target: TargetIx| {
        let applies = &graph.target(target).applies;
        steps.iter().zip(applies).any(|(step, applies)| *applies && step.kind.traits().disturbs)
    };
    let zone = |target: TargetIx| graph.fleet.worker(graph.target(target).worker).tags.get("zone");
    let mut down: BTreeSet<TargetIx> = BTreeSet::new();
    let mut touched: BTreeSet<TargetIx> = BTreeSet::new();
    for (_, fact) in &report.journal {
        match fact {
            Fact::Preflight { checks } => {
                for (target, check) in graph.target_indices().zip(checks) {
                    if matches!(check, Check::Unreachable { .. }) {
                        down.insert(target);
                    }
                }
            }
            Fact::WorkerAdmitted { target } if goes(*target) => {
                down.insert(*target);
                most.run = most.run.max(down.len() as u32);
                for job in &graph.target(*target).jobs {
                    let now = down.iter().filter(|one| graph.target(**one).jobs.contains(job)).count();
                    raise(&mut most.jobs, graph.fleet.job(*job).name.as_str(), now);
                }
                if let Some(own) = zone(*target) {
                    raise(&mut most.zones, own, down.iter().filter(|one| zone(**one) == Some(own)).count());
                }
            }
            Fact::Issued { lane: Lane::Worker(target), step, intent, .. }
                if *intent != Intent::ReadBootId && !intent.is_undo() =>
            {
                if steps[step.index()].kind.traits().disturbs {
                    touched.insert(*target);
                }
            }
            Fact::WorkerSucceeded { target } | Fact::WorkerReverted { target } => _ = down.remove(target),
            Fact::WorkerFailed { target, .. } if !touched.contains(target) => _ = down.remove(target),
            // From here on there may be more failures than the plan allows.
            Fact::Skipped { .. } | Fact::Retried { .. } | Fact::Reopened { .. } => return,
            _ => {}
        }
    }
}

/// What a run had down is within what was said, and within what the search has seen where it has seen all.
fn compare(
    graph: &RolloutGraph,
    exposure: &Exposure,
    checked: Option<&Checked>,
    most: &Most,
    config: &SimConfig,
) {
    let within = |now: u32, said: u32, reached: Option<u32>, what: &str| {
        assert!(now <= said, "{what}: {now} were down, and at most {said} are promised: {config}");
        let reached = reached.unwrap_or(u32::MAX);
        assert!(now <= reached, "{what}: {now} were down, and the search has seen {reached}: {config}");
    };
    let reached = checked.map(|checked| &checked.reached);
    within(most.run, exposure.run.down, reached.map(|reached| reached.run), "workers");
    for (name, now) in &most.jobs {
        let at = exposure.jobs.iter().position(|job| graph.fleet.job(job.job).name.as_str() == name).unwrap();
        within(*now, exposure.jobs[at].stake.down, reached.map(|reached| reached.jobs[at]), name);
    }
    for (name, now) in &most.zones {
        let Some(at) = exposure.zones.iter().position(|zone| zone.zone == *name) else { continue };
        within(*now, exposure.zones[at].stake.down, reached.map(|reached| reached.zones[at]), name);
    }
}

/// Every order, if there are not too many; a promise that is broken is printed.
fn checked(graph: &Arc<RolloutGraph>, states: usize) -> Option<Checked> {
    let failures = graph.numbers().max_failures.value + 1;
    let options = Options { failures, states, bytes: 1 << 30 };
    let checked = check(graph, graph, options, &mut |_| false).unwrap();
    // Where failed workers fill a budget the search ends, and has not seen all.
    (checked.cut_short.is_none() && checked.broken.is_none()).then_some(checked)
}

/// `MAAND_SIM_RUNS=100000 cargo test --profile sim --test it at_stake -- --nocapture` for many.
#[test]
fn no_simulated_run_has_more_down_than_is_said() {
    let seeds = number("MAAND_SIM_RUNS").unwrap_or(120);
    let first = number("MAAND_SIM_SEED").unwrap_or(1);
    let (mut feasible, mut exhausted, mut reached) = (0, 0, 0);
    for seed in first..first + seeds {
        let config = SimConfig { operators: 0, ..SimConfig::random(seed) };
        let Some(graph) = graph(&config) else { continue };
        let exposure = Exposure::of(&graph);
        let open = Arc::new(graph.without_window());
        let checked = checked(&open, 3_000);
        let mut most = Most::default();
        seen(&graph, &run_on(&config, &graph), &mut most);
        compare(&graph, &exposure, checked.as_ref(), &most, &config);
        feasible += 1;
        exhausted += u32::from(checked.is_some());
        reached += u32::from(most.run == exposure.run.down);
    }
    println!(
        "{feasible} runs of {seeds} seeds: {exhausted} plans were searched to the end, and {reached} runs reached the bound"
    );
    assert!(exhausted * 4 > feasible && reached * 4 > feasible, "{feasible} {exhausted} {reached}");
}

/// Twelve workers in three zones with two jobs, three at a time.
fn twelve(max_failures: u32) -> Arc<RolloutGraph> {
    let text = format!(
        "version: 1
name: twelve
rollout:
  concurrency: 3
  max_failures: {max_failures}
  spread: {{tag: zone, at_most: 2}}
  budgets:
    - {{job: api, max_unavailable: 3}}
    - {{job: db, min_available: 8}}
steps:
  - disable
  - deploy
  - reboot
  - wait_for_ssh
  - enable
  - {{id: back, deploy: {{}}}}
  - health
"
    );
    let plan = Arc::new(maand::plan::parse(&Source::new("twelve.yaml", &text), &[]).unwrap());
    let fleet = Arc::new(synthetic_fleet(&plan, 12));
    Arc::new(compile(&plan, &fleet, &CompileOptions::default()).unwrap())
}

/// The time is measured by hand: `cargo test --profile sim --test it at_stake -- --nocapture`.
#[test]
fn twelve_workers_with_a_failure_are_searched_to_the_end_and_bound_every_seed() {
    let seeds = number("MAAND_SIM_RUNS").unwrap_or(60);
    for max_failures in [0, 1] {
        let graph = twelve(max_failures);
        let began = Instant::now();
        let checked = checked(&graph, 1_000_000).unwrap();
        let took = began.elapsed();
        println!(
            "max_failures {max_failures}: {} states, {} moves in {took:?}",
            checked.states, checked.moves
        );
        assert!(checked.any_failures);
        let mut most = Most::default();
        for seed in 1..=seeds {
            let config = SimConfig { operators: 0, ..SimConfig::random(seed) };
            seen(&graph, &run_on(&config, &graph), &mut most);
            compare(&graph, &checked.exposure, Some(&checked), &most, &config);
        }
        println!("{seeds} seeds: {most:?}, of {:?} by the search", checked.reached);
    }
}
