//! A run played through by the real engine without a world, and kept in a journal of a real bucket.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maand::bucket::Fleet;
use maand::engine::{
    AttemptSpec, Check, Effect, ErrorKind, Evidence, Fact, Intent, Options, Outcome, RunState, StepError,
};
use maand::graph::{CompileOptions, Lane, RolloutGraph, compile};
use maand::journal::{Journal, Mode, Output, OutputWriter, RunHeader, RunId, StepKinds};
use maand::plan::{Source, StepKind, parse};

use super::support::{header, worker};

const PLAN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/plans/rolling-reboot.yaml"));

/// A folder that is a bucket as far as stored runs need one.
pub(crate) fn bucket() -> assert_fs::TempDir {
    let dir = assert_fs::TempDir::new().unwrap();
    let conf = "bucket_id = \"7d3c7f5e-0000-4000-8000-000000000000\"\n";
    std::fs::write(dir.path().join("maand.conf"), conf).unwrap();
    dir
}

pub(crate) fn data(bucket: &Path) -> PathBuf {
    bucket.join("data")
}

pub(crate) fn graph(hosts: &[&str]) -> Arc<RolloutGraph> {
    let plan = Arc::new(parse(&Source::new("rolling-reboot.yaml", PLAN), &[]).unwrap());
    let fleet = Fleet { workers: hosts.iter().map(|host| worker(host)).collect(), ..header(0).fleet };
    Arc::new(compile(&plan, &Arc::new(fleet), &CompileOptions::default()).unwrap())
}

pub(crate) fn header_of(graph: &RolloutGraph) -> RunHeader {
    let keywords = |steps: &[maand::plan::Step]| {
        steps.iter().map(|step| step.kind.keyword().to_owned()).collect::<Vec<_>>()
    };
    RunHeader {
        plan: graph.plan.name.clone(),
        plan_file: "rolling-reboot.yaml".into(),
        plan_text: PLAN.into(),
        overrides: Vec::new(),
        fleet: (*graph.fleet).clone(),
        graph_hash: graph.hash(),
        hosts: graph.target_indices().map(|target| graph.host(target).to_owned()).collect(),
        scripts: BTreeMap::new(),
        kinds: StepKinds {
            before: keywords(&graph.plan.before),
            steps: keywords(&graph.plan.steps),
            after: keywords(&graph.plan.after),
        },
        ..header(0)
    }
}

pub(crate) fn boot_id(worker: u32, boot: u32) -> String {
    format!("{worker:08x}-0000-4000-8000-{boot:012x}")
}

/// What the world says; the second worker of `w2` never comes back.
fn answer(graph: &RolloutGraph, order: &AttemptSpec) -> Outcome {
    let Lane::Worker(target) = order.lane else {
        return Outcome::Ok { evidence: Evidence::note("3 jobs are well") };
    };
    let evidence = match &order.intent {
        Intent::ReadBootId => Evidence::BootId { boot_id: boot_id(target.0, 0), kernel: None },
        Intent::Reboot { .. } => Evidence::Departed,
        Intent::AwaitBoot { .. } if graph.host(target) == "w2" => {
            let error = StepError {
                kind: ErrorKind::TimedOut,
                message: "w2 has not come back within 15m".into(),
                output: Some("ssh: connect to host w2: Connection timed out\n".into()),
            };
            return Outcome::Failed { error };
        }
        Intent::AwaitBoot { .. } => Evidence::Back { boot_id: boot_id(target.0, 1), kernel: None },
        _ if matches!(graph.plan.steps[order.step.index()].kind, StepKind::Disable { .. }) => {
            Evidence::Disabled { own: vec![None], others: vec![] }
        }
        _ => Evidence::note("done"),
    };
    Outcome::Ok { evidence }
}

/// The facts of a whole run, as they are appended: one list for each answer of the engine.
pub(crate) fn play(graph: &Arc<RolloutGraph>) -> Vec<Vec<Fact>> {
    let workers = graph.targets.len() as u32;
    let checks = (0..workers)
        .map(|n| Check::Ready { boot_id: boot_id(n, 0), state_dir: "/var/lib/maand/x".into() })
        .collect();
    let mut rollout = RunState::new(graph.clone(), Options::default());
    let started = Fact::RunStarted { workers, graph_hash: graph.hash(), seed: 1 };
    let mut todo = VecDeque::from([started, Fact::Preflight { checks }]);
    let mut appends = Vec::new();
    let mut at = header(0).started_at;
    while let Some(fact) = todo.pop_front() {
        at += 1000;
        let consequences = rollout.apply(at, fact).unwrap();
        appends.push(consequences.facts);
        for effect in consequences.effects {
            todo.push_back(match effect {
                Effect::Execute(order) => {
                    Fact::Finished { attempt: order.attempt, outcome: answer(graph, &order) }
                }
                Effect::Wake { at: due, timer } => {
                    at = at.max(due);
                    Fact::Due { timer }
                }
                Effect::Observe { jobs } => Fact::Observed { jobs, unavailable: Vec::new(), took: 0 },
            });
        }
    }
    appends
}

/// A bucket with that run in its journal.
pub(crate) fn stored(hosts: &[&str]) -> (assert_fs::TempDir, RunId) {
    let dir = bucket();
    let graph = graph(hosts);
    let mut appends = play(&graph).into_iter();
    let mut journal = Journal::open(&data(dir.path()), Mode::ReadWrite).unwrap();
    let first = appends.next().unwrap();
    let (run, _) = journal.create_run(&header_of(&graph), &first).unwrap();
    let mut writer = journal.writer(&run, 1, first.len() as u64).unwrap();
    let mut output = OutputWriter::open(&journal, &run).unwrap();
    let mut at = header(0).started_at;
    for facts in appends {
        at += 1000;
        for fact in &facts {
            if let Fact::Finished { attempt, outcome: Outcome::Failed { .. } } = fact {
                let mut printed = Output::default();
                printed.push(b"ssh: connect to host w2: refused\n");
                output.write(*attempt, &[("w2", printed)]).unwrap();
            }
        }
        writer.append(at, &facts, None).unwrap();
    }
    (dir, run)
}
