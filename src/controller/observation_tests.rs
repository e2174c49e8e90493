//! What rounds of observation cost a journal.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::{Controller, Ended, Input, MemoryLedger, Output};
use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{
    Check, DoubtAnswers, ErrorKind, Fact, Options, Outcome, RunEnd, RunState, RunStatus, StepError,
};
use crate::graph::testing::{budget, command, compiled, fleet, located, plan, worker};
use crate::graph::{Lane, RolloutGraph};
use crate::plan::{Amount, BudgetBound, Concurrency, Targets};

/// Longer than an observation counts: each worker needs a round of its own.
const ATTEMPT_MS: i64 = 31_000;

/// Workers of which each tenth fails and stays down, two at a time, beside half as many that the plan leaves alone and that
/// are down all the time.
fn wide(workers: u32) -> Arc<RolloutGraph> {
    let away = workers / 2;
    let mut plan = plan();
    plan.steps = vec![command("upgrade")];
    plan.rollout.concurrency = located(Concurrency::AtMost(Amount::Count(2)));
    plan.rollout.max_failures = located(Amount::Percent(100));
    plan.rollout.budgets =
        vec![budget("api", BudgetBound::MaxUnavailable(Amount::Count(u64::from(away + workers / 10 + 2))))];
    plan.targets.exclude =
        Some(Box::new(Targets { labels: vec![located("away".to_owned())], ..Targets::default() }));
    let mut hosts: Vec<_> = (0..workers).map(|at| worker(&format!("w{at:04}"), &["api"], &[])).collect();
    hosts.extend((0..away).map(|at| worker(&format!("x{at:04}"), &["api", "away"], &[])));
    Arc::new(compiled(&plan, &fleet(hosts, &["api"])))
}

/// All facts of the run, carried out one attempt after the other.
fn carried_out(graph: &Arc<RolloutGraph>) -> Vec<Fact> {
    let workers = graph.targets.len() as u32;
    let run = RunState::new(Arc::clone(graph), Options::default());
    let mut controller = Controller::new(run, MemoryLedger::default(), false);
    let ready = |at| Check::Ready { boot_id: format!("boot-{at}"), state_dir: "/state".to_owned() };
    let facts = vec![
        Fact::RunStarted { workers, graph_hash: String::new(), seed: 1 },
        Fact::Preflight { checks: (0..workers).map(ready).collect() },
    ];
    let mut down: BTreeSet<WorkerIx> = (workers..workers + workers / 2).map(WorkerIx).collect();
    let mut inputs = VecDeque::from([Input::Begin { facts, in_doubt: DoubtAnswers::default() }]);
    let (mut now, mut ended) = (0, None);
    while ended.is_none() {
        let input = inputs.pop_front().unwrap_or_else(|| {
            now = now.max(controller.next_wake().expect("the run continues"));
            Input::Tick
        });
        if matches!(input, Input::Finished { .. }) {
            now += ATTEMPT_MS;
        }
        let mut outputs = Vec::new();
        controller.handle(now, input, &mut outputs).expect("a run in memory");
        for output in outputs {
            match output {
                Output::Execute(spec) => {
                    let Lane::Worker(target) = spec.lane else { panic!("the plan has no other lanes") };
                    let outcome = if target.0 % 10 == 7 {
                        down.insert(graph.target(target).worker);
                        Outcome::Failed { error: StepError::new(ErrorKind::Command, "exit code 1") }
                    } else {
                        Outcome::noted("done")
                    };
                    inputs.push_back(Input::Finished { attempt: spec.attempt, outcome });
                }
                Output::Observe { jobs, skip } => {
                    let skipped: BTreeSet<_> =
                        skip.iter().map(|target| graph.target(target).worker).collect();
                    let unavailable = down.difference(&skipped).map(|worker| (*worker, JobIx(0))).collect();
                    inputs.push_front(Input::Observed { jobs, unavailable });
                }
                Output::End(how) => ended = Some(how),
                Output::Measure { .. } | Output::GiveUp => {}
            }
        }
    }
    assert_eq!(ended, Some(Ended::Idle(RunStatus::Finished(RunEnd::Failed))));
    std::mem::take(&mut controller.ledger_mut().facts).into_iter().map(|(_, fact)| fact).collect()
}

#[test]
fn what_a_wide_run_with_budgets_stores_grows_with_what_happens_and_not_with_what_is_down() {
    let stored = |workers: u32| {
        let facts = carried_out(&wide(workers));
        let bytes = |fact: &Fact| serde_json::to_string(fact).expect("a fact").len();
        let is_round = |fact: &&Fact| matches!(fact, Fact::Observed { .. } | Fact::ObservedChanges { .. });
        let rounds = facts.iter().filter(is_round).count();
        assert!(rounds as u32 >= workers / 3, "{rounds} rounds for {workers} workers");
        (facts.iter().map(bytes).sum::<usize>(), facts.iter().filter(is_round).map(bytes).sum::<usize>())
    };
    let sizes = [200, 400, 800].map(stored);
    for pair in sizes.windows(2) {
        let twice = |one: usize, two: usize| two as f64 / one as f64;
        assert!(twice(pair[0].0, pair[1].0) < 2.2, "all facts: {sizes:?}");
        assert!(twice(pair[0].1, pair[1].1) < 2.2, "rounds: {sizes:?}");
    }
}
