//! Reviewed plan files of 1,000, 10,000 and 100,000 workers: writing, reading (which compiles again) and comparing; time,
//! and the most memory in use. The size of each file is printed first. `cargo bench --bench reviewed`; the goals for
//! 10,000 workers are 1 s, 150 MB and 3 MB.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use divan::{AllocProfiler, Bencher};
use maand::bucket::{Host, Worker};
use maand::graph::{self, CompileOptions, RolloutGraph};
use maand::plan::{self, Plan, Source};
use maand::review::{
    CatalogRow, Content, EngineUsed, Inputs, PlanPart, Reviewed, Workspace, WorkspaceFile, changes,
};

#[global_allocator]
static MEMORY: AllocProfiler = AllocProfiler::system();

const SIZES: [u32; 3] = [1_000, 10_000, 100_000];

const PLAN: &str = "
version: 1
name: bench
targets: {labels: [worker], tags: {zone: [a, b, c], model: [x, y]}}
rollout:
  concurrency: auto
  waves: [1, 10%, rest]
  spread: {tag: zone, at_most: 1}
  budgets: [{job: api, min_available: 50%}, {job: '*', max_unavailable: 10%}]
steps: [disable, deploy, reboot, wait_for_ssh, enable, deploy, health: {jobs: [api, db, cache], wait: true}]
";

fn main() {
    for workers in SIZES {
        let (plan, inputs) = inputs(workers);
        let (_, bytes) = Reviewed::new(inputs.clone(), compiled(&plan, &inputs)).unwrap();
        println!("{workers} workers: {:.2} MB", bytes.len() as f64 / 1e6);
    }
    divan::main();
}

/// Workers as a fleet has them: an address, a rack and a kernel besides what the plan names, and 200 files of jobs.
fn inputs(workers: u32) -> (Arc<Plan>, Inputs) {
    let plan = Arc::new(plan::parse(&Source::new("bench.yaml", PLAN), &[]).unwrap());
    let mut fleet = graph::synthetic_fleet(&plan, workers);
    fleet.synthetic = false;
    for (n, worker) in (0..).zip(&mut fleet.workers) {
        let mut tags = BTreeMap::clone(&worker.tags);
        tags.insert("rack".to_owned(), format!("r{}", n / 40));
        tags.insert("kernel".to_owned(), format!("6.1.0-{}-amd64", n % 3));
        let host = Host::parse(&format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)).unwrap();
        let labels = Arc::clone(&worker.labels);
        *worker = Worker { labels, tags: Arc::new(tags), position: n, ..Worker::new(host) };
    }
    let hash = || "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned();
    let content = |version: &str| Content { version: Some(version.to_owned()), hash: Some(hash()) };
    let row = |job: &str| CatalogRow {
        job: job.to_owned(),
        built: content("1.1.0"),
        deployed: content("1.0.0"),
        disabled: false,
        removed: false,
        deployment_seq: 0,
        workers: fleet.workers.iter().map(|worker| worker.host.to_string()).collect(),
    };
    let file = |n: u32| WorkspaceFile {
        path: format!("jobs/job{}/templates/file{n}.tpl", n / 10),
        kind: "file".to_owned(),
        sha256: Some(hash()),
    };
    let inputs = Inputs {
        program: "0.1.0".to_owned(),
        engine: EngineUsed { kind: "builtin".to_owned(), program_sha256: None },
        newest_run: None,
        plan: PlanPart::of(&plan, Vec::new(), None),
        scripts: BTreeMap::new(),
        settings: BTreeMap::new(),
        pending: None,
        catalog: Some(["api", "cache", "db"].map(row).into()),
        workspace: Workspace { hash: hash(), files: (0..200).map(file).collect() },
        fleet: Arc::new(fleet),
    };
    (plan, inputs)
}

fn compiled(plan: &Arc<Plan>, inputs: &Inputs) -> Arc<RolloutGraph> {
    Arc::new(graph::compile(plan, &inputs.fleet, &CompileOptions::default()).unwrap())
}

#[divan::bench(args = SIZES, sample_count = 5)]
fn write(bencher: Bencher<'_, '_>, workers: u32) {
    let (plan, inputs) = inputs(workers);
    let graph = compiled(&plan, &inputs);
    bencher.bench_local(|| Reviewed::new(black_box(&inputs).clone(), Arc::clone(&graph)).unwrap().1.len());
}

#[divan::bench(args = SIZES, sample_count = 5)]
fn read(bencher: Bencher<'_, '_>, workers: u32) {
    let (plan, inputs) = inputs(workers);
    let (_, bytes) = Reviewed::new(inputs.clone(), compiled(&plan, &inputs)).unwrap();
    bencher.bench_local(|| Reviewed::read(black_box(&bytes).clone()).unwrap());
}

/// With a worker gone: all waves behind it are others.
#[divan::bench(args = SIZES, sample_count = 5)]
fn compare(bencher: Bencher<'_, '_>, workers: u32) {
    let (plan, mut inputs) = inputs(workers);
    let (reviewed, _) = Reviewed::new(inputs.clone(), compiled(&plan, &inputs)).unwrap();
    let mut fleet = inputs.fleet.as_ref().clone();
    fleet.workers.remove(0);
    inputs.fleet = Arc::new(fleet);
    let (now, _) = Reviewed::new(inputs.clone(), compiled(&plan, &inputs)).unwrap();
    bencher.bench_local(|| changes(reviewed.document(), &inputs, Ok(&now.document().rollout)).len());
}
