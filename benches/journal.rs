//! What the journal costs: one durable append, a write of output and a look for requests, for small and
//! large fleets; the replay of 10,000 workers x 7 steps; and what the engine costs with it.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use maand::engine::{
    AttemptId, AttemptSpec, Check, Effect, Evidence, Fact, Intent, Options, Outcome, RunState, Stamped,
};
use maand::graph::{CompileOptions, Lane, RolloutGraph, compile, synthetic_fleet};
use maand::journal::{Address, Journal, Mode, Output, OutputWriter, RunId};
use maand::plan::{Source, StepKind, parse};
use maand::report::{RunInfo, RunView};

#[path = "../tests/support/run_header.rs"]
mod run_header;
use run_header::run_header;

const WORKERS: u32 = 10_000;
const FLEETS: [u32; 3] = [3, 1_000, WORKERS];
/// Seven steps, as in the usual rolling reboot.
const PLAN: &str = "version: 1\nname: bench\nrollout: {concurrency: 100}\n\
    steps: [disable, deploy, reboot, wait_for_ssh, enable, deploy, health]\n";

fn main() {
    divan::main();
}

fn graph(workers: u32) -> Arc<RolloutGraph> {
    let plan = Arc::new(parse(&Source::new("bench.yaml", PLAN), &[]).unwrap());
    let fleet = Arc::new(synthetic_fleet(&plan, workers));
    Arc::new(compile(&plan, &fleet, &CompileOptions::default()).unwrap())
}

fn boot_id(worker: u32, boot: u32) -> String {
    format!("{worker:08x}-0000-4000-8000-{boot:012x}")
}

fn well(graph: &RolloutGraph, order: &AttemptSpec) -> Outcome {
    let said = Evidence::note("done");
    let evidence = match (order.lane, &order.intent) {
        (Lane::Worker(target), Intent::ReadBootId) => {
            Evidence::BootId { boot_id: boot_id(target.0, 0), kernel: None }
        }
        (_, Intent::Reboot { .. }) => Evidence::Departed,
        (Lane::Worker(target), Intent::AwaitBoot { .. }) => {
            Evidence::Back { boot_id: boot_id(target.0, 1), kernel: None }
        }
        (Lane::Worker(_), _) => match graph.plan.steps[order.step.index()].kind {
            StepKind::Disable { .. } => Evidence::Disabled { own: vec![None], others: vec![] },
            _ => said,
        },
        _ => said,
    };
    Outcome::Ok { evidence }
}

/// All facts of a run in which all goes well.
fn play(graph: &Arc<RolloutGraph>) -> Vec<Fact> {
    let workers = graph.targets.len() as u32;
    let checks =
        (0..workers).map(|n| Check::Ready { boot_id: boot_id(n, 0), state_dir: "/x".into() }).collect();
    let mut rollout = RunState::new(graph.clone(), Options::default());
    let started = Fact::RunStarted { workers, graph_hash: graph.hash(), seed: 1 };
    let mut todo = VecDeque::from([started, Fact::Preflight { checks }]);
    let mut facts = Vec::new();
    let mut at = 1_795_392_900_000;
    while let Some(fact) = todo.pop_front() {
        at += 1;
        let consequences = rollout.apply(at, fact).unwrap();
        facts.extend(consequences.facts);
        for effect in consequences.effects {
            todo.push_back(match effect {
                Effect::Execute(order) => {
                    Fact::Finished { attempt: order.attempt, outcome: well(graph, &order) }
                }
                Effect::Wake { timer, .. } => Fact::Due { timer },
                Effect::Observe { jobs } => Fact::Observed { jobs, unavailable: Vec::new(), took: 0 },
            });
        }
    }
    facts
}

/// A run that has just begun.
fn begun(graph: &RolloutGraph) -> (tempfile::TempDir, Journal, RunId) {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    let workers = graph.targets.len() as u32;
    let started = Fact::RunStarted { workers, graph_hash: graph.hash(), seed: 1 };
    let (run, _) =
        journal.create_run(&run_header(graph, PLAN, "anna@laptop", 1_795_392_900_000), &[started]).unwrap();
    (dir, journal, run)
}

/// A run with all its facts.
fn filled(graph: &Arc<RolloutGraph>) -> (tempfile::TempDir, Journal, RunId) {
    let (dir, journal, run) = begun(graph);
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    for some in play(graph)[1..].chunks(5_000) {
        writer.append(1_795_392_900_001, some, None).unwrap();
    }
    (dir, journal, run)
}

/// What the engine alone does with all facts of a run, and with what follows from them.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn apply(bencher: divan::Bencher<'_, '_>) {
    let graph = graph(WORKERS);
    let facts = play(&graph).len();
    bencher.counter(divan::counter::ItemsCount::new(facts)).bench_local(|| play(&graph).len());
}

/// One transaction of three facts with its sync: what the disk costs, mostly. It must not grow with the
/// fleet.
#[divan::bench(max_time = 3, sample_count = 2_000, args = FLEETS)]
fn append(bencher: divan::Bencher<'_, '_>, workers: u32) {
    let (_dir, journal, run) = begun(&graph(workers));
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    let facts = [Fact::BeforeDone, Fact::BeforeDone, Fact::BeforeDone];
    bencher.bench_local(|| writer.append(1, &facts, None).unwrap());
}

/// The same in the PostgreSQL that `MAAND_BENCH_LEDGER` names, each fleet in a schema of its own.
#[divan::bench(max_time = 3, sample_count = 2_000, args = FLEETS)]
fn append_postgres(bencher: divan::Bencher<'_, '_>, workers: u32) {
    let Ok(url) = std::env::var("MAAND_BENCH_LEDGER") else { return };
    let graph = graph(workers);
    let address = Address::parse(&url, &format!("bench{workers}")).unwrap();
    let mut journal = Journal::open_server(&address, Mode::ReadWrite).unwrap();
    let started = Fact::RunStarted { workers, graph_hash: graph.hash(), seed: 1 };
    let (run, _) =
        journal.create_run(&run_header(&graph, PLAN, "anna@laptop", 1_795_392_900_000), &[started]).unwrap();
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    let facts = [Fact::BeforeDone, Fact::BeforeDone, Fact::BeforeDone];
    bencher.bench_local(|| writer.append(1, &facts, None).unwrap());
}

/// The same while another thread writes output without a pause: an append must not starve.
#[divan::bench(max_time = 3, sample_count = 2_000)]
fn append_beside_output(bencher: divan::Bencher<'_, '_>) {
    let (_dir, journal, run) = begun(&graph(3));
    let mut output = OutputWriter::open(&journal, &run).unwrap();
    let flooding = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut all = Output::default();
            while flooding.load(Ordering::Relaxed) {
                all.push(&[b'x'; 65_536]);
                output.write(AttemptId(7), &[("w1", all.clone())]).unwrap();
            }
        });
        let mut writer = journal.writer(&run, 1, 1).unwrap();
        let facts = [Fact::BeforeDone, Fact::BeforeDone, Fact::BeforeDone];
        bencher.bench_local(|| writer.append(1, &facts, None).unwrap());
        flooding.store(false, Ordering::Relaxed);
    });
}

/// An attempt's whole output, beginning and end full.
#[divan::bench(max_time = 3, sample_count = 2_000, args = FLEETS)]
fn output(bencher: divan::Bencher<'_, '_>, workers: u32) {
    let (_dir, journal, run) = begun(&graph(workers));
    let mut writer = OutputWriter::open(&journal, &run).unwrap();
    let mut output = Output::default();
    output.push(&vec![b'x'; 1 << 20]);
    bencher.bench_local(|| {
        output.push(&[b'y'; 4096]);
        writer.write(AttemptId(7), &[("w1", output.clone())]).unwrap();
    });
}

/// What a flood of output costs where it is read, in pieces as they come out of a pipe.
#[divan::bench(max_time = 3)]
fn push(bencher: divan::Bencher<'_, '_>) {
    let piece = [b'x'; 65_536];
    let mut output = Output::default();
    bencher.counter(divan::counter::BytesCount::of_slice(&piece)).bench_local(|| output.push(&piece));
}

/// Looking for requests when there are none.
#[divan::bench(max_time = 1, args = FLEETS)]
fn poll(bencher: divan::Bencher<'_, '_>, workers: u32) {
    let (_dir, journal, run) = begun(&graph(workers));
    let writer = journal.writer(&run, 1, 1).unwrap();
    bencher.bench_local(|| writer.pending_requests().unwrap().len());
}

/// Reading and checking every fact.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn read(bencher: divan::Bencher<'_, '_>) {
    let graph = graph(WORKERS);
    let (_dir, journal, run) = filled(&graph);
    bencher.bench_local(|| journal.read(&run).unwrap().map(Result::unwrap).count());
}

/// What a resume does: reading, and the engine's state rebuilt.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn replay(bencher: divan::Bencher<'_, '_>) {
    let graph = graph(WORKERS);
    let (_dir, journal, run) = filled(&graph);
    bencher.bench_local(|| {
        let mut rollout = RunState::new(graph.clone(), Options::default());
        for stamped in journal.read(&run).unwrap() {
            let stamped = stamped.unwrap();
            rollout.replay(stamped.at, &stamped.fact).unwrap();
        }
        rollout.status()
    });
}

/// What a report does with each fact, less the reading.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn fold(bencher: divan::Bencher<'_, '_>) {
    let graph = graph(WORKERS);
    let facts: Vec<_> = (1..)
        .zip(play(&graph))
        .map(|(seq, fact)| Stamped { seq, at: 1_795_392_900_000 + seq as i64, epoch: 1, fact })
        .collect();
    bencher.bench_local(|| {
        let info = RunInfo { run: "bench".into(), started_at: 0 };
        let mut view = RunView::new(info, graph.clone());
        for stamped in &facts {
            view.fold(stamped).unwrap();
        }
        view.refresh(0);
        view.counts
    });
}
