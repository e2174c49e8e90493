//! What `maand plan report` costs, measured on the command itself: wall time, memory and the size of the page, for runs
//! with failures, retries, an approval, pauses and a controller that died.
//!
//!   cargo bench --bench report [-- WORKERS ..]      default: 3 30 1000 10000
//!
//! `MAAND_BENCH_KEEP=DIR` keeps the buckets and the pages there, to be looked at.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "a benchmark prints what it has measured")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use maand::bucket::Fleet;
use maand::engine::{
    AttemptSpec, Check, Effect, ErrorKind, Evidence, Fact, Intent, Millis, Options, Outcome, RunState,
    RunStatus, StepError,
};
use maand::graph::{CompileOptions, Lane, RolloutGraph, compile, synthetic_fleet};
use maand::journal::{Journal, Mode};
use maand::plan::{Source, StepKind, parse};

#[path = "../tests/support/run_header.rs"]
mod run_header;
use run_header::run_header;

const START: Millis = 1_795_392_900_000;
/// Facts of so many milliseconds are one transaction.
const TICK: Millis = 2_000;

fn main() {
    let asked: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if asked.is_empty() { vec![3, 30, 1_000, 10_000] } else { asked };
    println!("workers    facts   wall      rss       page");
    for workers in sizes {
        let temporary = tempfile::tempdir().unwrap();
        let root = std::env::var_os("MAAND_BENCH_KEEP").map_or(temporary.path().to_owned(), PathBuf::from);
        let bucket = root.join(format!("bench-{workers}"));
        let facts = fill(&bucket, workers);
        let page = bucket.join("run.html");
        let (took, rss) = measured(&bucket, &page);
        let bytes = std::fs::metadata(&page).unwrap().len();
        println!(
            "{workers:>7}  {facts:>7}  {:>5.2} s  {:>5.1} MB  {:>6.2} MB",
            took.as_secs_f64(),
            rss as f64 / 1024.0,
            bytes as f64 / 1e6
        );
    }
}

/// The shortest of three runs of the command, and the most memory of any, in KiB.
fn measured(bucket: &Path, page: &Path) -> (Duration, u64) {
    let once = || {
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_maand"))
            .args(["-q", "-C"])
            .arg(bucket)
            .args(["plan", "report", "--out"])
            .arg(page)
            .spawn()
            .unwrap();
        let mut rss = 0;
        loop {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            rss = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(rss);
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success());
                return (began.elapsed(), rss);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let runs = [once(), once(), once()];
    (runs.iter().map(|run| run.0).min().unwrap(), runs.iter().map(|run| run.1).max().unwrap())
}

/// A bucket with one run; says how many facts it has.
fn fill(bucket: &Path, workers: u32) -> usize {
    if bucket.exists() {
        std::fs::remove_dir_all(bucket).unwrap();
    }
    std::fs::create_dir_all(bucket).unwrap();
    let init =
        Command::new(env!("CARGO_BIN_EXE_maand")).arg("-q").arg("init").current_dir(bucket).output().unwrap();
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let text = format!(
        "version: 1\nname: kernel-2026-11\ndescription: Reboot every worker into the new kernel.\n\
         rollout: {{waves: [1, 10%, rest], soak: 5m, concurrency: {}, max_failures: 10%}}\n\
         before:\n  - health: {{wait: false}}\n  - approve: {{message: All is well. Begin?}}\n\
         steps:\n  - disable\n  - deploy: {{}}\n    retries: {{attempts: 3, delay: 20s}}\n  - reboot\n  - wait_for_ssh\n  - enable\n  - deploy\n  - health\n\
         after: [health]\n",
        (workers / 20).clamp(1, 200)
    );
    let plan = Arc::new(parse(&Source::new("bench.yaml", text.as_str()), &[]).unwrap());
    let mut fleet = synthetic_fleet(&plan, workers);
    with_zones(&mut fleet);
    let graph = Arc::new(compile(&plan, &Arc::new(fleet), &CompileOptions::default()).unwrap());
    let facts = play(&graph);
    let mut journal = Journal::open(&bucket.join("data"), Mode::ReadWrite).unwrap();
    let (run, _) =
        journal.create_run(&run_header(&graph, &text, "anna@laptop", START), &[facts[0].1.clone()]).unwrap();
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    for some in facts[1..].chunk_by(|a, b| a.0 == b.0) {
        let list: Vec<Fact> = some.iter().map(|(_, fact)| fact.clone()).collect();
        writer.append(some[0].0, &list, None).unwrap();
    }
    facts.len()
}

fn with_zones(fleet: &mut Fleet) {
    for (at, worker) in fleet.workers.iter_mut().enumerate() {
        let zone = ["eu-central-1a", "eu-central-1b", "eu-central-1c"][at % 3];
        worker.tags = Arc::new(BTreeMap::from([("zone".to_owned(), zone.to_owned())]));
    }
}

fn boot_id(worker: u32, boot: u32) -> String {
    format!("{worker:08x}-0000-4000-8000-{boot:012x}")
}

/// What is to come, by time.
type Queue = BinaryHeap<Reverse<(Millis, u64)>>;

/// A run under a clock of its own.
struct World {
    queue: Queue,
    coming: HashMap<u64, Fact>,
    number: u64,
    dice: u64,
}

impl World {
    fn comes(&mut self, at: Millis, fact: Fact) {
        self.number += 1;
        self.queue.push(Reverse((at.div_euclid(TICK) * TICK + TICK, self.number)));
        self.coming.insert(self.number, fact);
    }

    /// A number below `n`.
    fn draw(&mut self, n: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % n
    }

    /// How long an attempt takes, and what comes of it.
    fn outcome(&mut self, graph: &RolloutGraph, spec: &AttemptSpec) -> (Millis, Outcome) {
        let said = Evidence::note("done");
        let failed = |kind, message: &str| {
            let output = Some("ssh: connect to host: Connection timed out\n[exit code 255]\n".into());
            Outcome::Failed { error: StepError { kind, message: message.into(), output } }
        };
        let Lane::Worker(target) = spec.lane else { return (3_000, Outcome::Ok { evidence: said }) };
        let slow = self.draw(20_000) as Millis;
        let kind = &graph.plan.steps[spec.step.index()].kind;
        match &spec.intent {
            Intent::ReadBootId => (
                500,
                Outcome::Ok { evidence: Evidence::BootId { boot_id: boot_id(target.0, 0), kernel: None } },
            ),
            Intent::Reboot { .. } => (4_000 + slow / 4, Outcome::Ok { evidence: Evidence::Departed }),
            Intent::AwaitBoot { .. } if self.draw(50) == 0 => {
                (300_000, failed(ErrorKind::TimedOut, "it has not come back within 5m"))
            }
            Intent::AwaitBoot { .. } => (
                40_000 + 3 * slow,
                Outcome::Ok { evidence: Evidence::Back { boot_id: boot_id(target.0, 1), kernel: None } },
            ),
            _ if matches!(kind, StepKind::Deploy { .. }) && self.draw(40) == 0 => {
                (8_000, failed(ErrorKind::Catalog, "`make start` ended with exit code 2"))
            }
            _ if matches!(kind, StepKind::Disable { .. }) => {
                (300, Outcome::Ok { evidence: Evidence::Disabled { own: vec![None], others: vec![] } })
            }
            _ => (2_000 + slow / 2, Outcome::Ok { evidence: said }),
        }
    }
}

/// All facts of a run, with their times.
fn play(graph: &Arc<RolloutGraph>) -> Vec<(Millis, Fact)> {
    let workers = graph.targets.len() as u32;
    let checks =
        (0..workers).map(|n| Check::Ready { boot_id: boot_id(n, 0), state_dir: "/x".into() }).collect();
    let mut run = RunState::new(graph.clone(), Options::default());
    let mut world = World { queue: BinaryHeap::new(), coming: HashMap::new(), number: 0, dice: 7 };
    world.comes(START - TICK, Fact::RunStarted { workers, graph_hash: graph.hash(), seed: 1 });
    world.comes(START, Fact::Preflight { checks });
    let by = || "bert@laptop".to_owned();
    let expected = START + 600_000 + Millis::from(workers) * 6_000;
    world.comes(
        START + (expected - START) / 3,
        Fact::Paused { by: by(), reason: "a look at the dashboards".into() },
    );
    world.comes(START + (expected - START) / 3 + 120_000, resumed(false));
    world.comes(START + (expected - START) / 2, resumed(true));
    let mut facts = Vec::new();
    while let Some(Reverse((mut at, number))) = world.queue.pop() {
        let Some(fact) = world.coming.remove(&number) else { continue };
        if matches!(fact, Fact::Resumed { fresh_process: true, .. }) {
            // The one before died with all that it had under way, and nobody noticed for ten minutes.
            world.coming.retain(|_, fact| !matches!(fact, Fact::Finished { .. }));
            at += 600_000;
        }
        let at = at.max(facts.last().map_or(0, |(at, _)| *at));
        let Ok(decision) = run.apply(at, fact) else { continue };
        for fact in decision.facts {
            if let Fact::GateClosed { lane, step, opens: None, .. } = fact {
                world.comes(at + 90_000, Fact::Approved { lane, step, by: by() });
            }
            facts.push((at, fact));
        }
        for effect in decision.effects {
            match effect {
                Effect::Execute(spec) => {
                    let (took, outcome) = world.outcome(graph, &spec);
                    world.comes(at + took, Fact::Finished { attempt: spec.attempt, outcome });
                }
                Effect::Wake { at, timer } => world.comes(at, Fact::Due { timer }),
                Effect::Observe { jobs } => {
                    world.comes(at + 1_000, Fact::Observed { jobs, unavailable: Vec::new(), took: 0 });
                }
            }
        }
        if matches!(run.status(), RunStatus::Finished(_)) {
            break;
        }
    }
    facts
}

fn resumed(fresh_process: bool) -> Fact {
    Fact::Resumed { by: "bert@laptop".to_owned(), fresh_process, bundle: None }
}
