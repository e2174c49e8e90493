//! Compiling and showing plans of 1,000, 10,000 and 100,000 workers x 7 steps: time, and the most memory
//! in use. `cargo bench --bench graph`; that it grows linearly is seen by comparing the rows.

use std::hint::black_box;
use std::sync::Arc;

use divan::{AllocProfiler, Bencher};
use maand::bucket::Fleet;
use maand::graph::{self, CompileOptions, RolloutGraph};
use maand::plan::{self, Plan, Source};
use maand::policy::{Admission, Conditions, Forecast, Pick, Queue};

#[global_allocator]
static MEMORY: AllocProfiler = AllocProfiler::system();

const SIZES: [u32; 3] = [1_000, 10_000, 100_000];

const PLAN: &str = "
version: 1
name: bench
targets: {labels: [worker], tags: {zone: [a, b, c]}}
rollout:
  concurrency: auto
  waves: [1, 10%, rest]
  spread: {tag: zone, at_most: 1}
  budgets:
    - {job: api, min_available: 50%}
    - {job: '*', max_unavailable: 10%}
steps:
  - disable
  - deploy
  - reboot
  - wait_for_ssh
  - enable
  - deploy
  - health: {jobs: [api, db, cache], wait: true}
";

fn main() {
    divan::main();
}

fn parsed() -> Arc<Plan> {
    Arc::new(
        plan::parse(&Source::new("bench.yaml", PLAN), &[]).unwrap_or_else(|problems| panic!("{problems:?}")),
    )
}

fn fleet(plan: &Plan, workers: u32) -> Arc<Fleet> {
    Arc::new(graph::synthetic_fleet(plan, workers))
}

fn compiled(plan: &Arc<Plan>, fleet: &Arc<Fleet>) -> RolloutGraph {
    graph::compile(plan, fleet, &CompileOptions::default()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[divan::bench(args = SIZES, sample_count = 5)]
fn compile(bencher: Bencher<'_, '_>, workers: u32) {
    let plan = parsed();
    let fleet = fleet(&plan, workers);
    bencher.bench_local(|| compiled(black_box(&plan), black_box(&fleet)));
}

/// What `plan show --workers N` does besides printing: the fleet, the graph, its hash, what could
/// never be, and the rollout on paper.
#[divan::bench(args = SIZES, sample_count = 5)]
fn show(bencher: Bencher<'_, '_>, workers: u32) {
    bencher.bench_local(|| {
        let plan = parsed();
        let graph = compiled(&plan, &fleet(&plan, workers));
        black_box((graph.hash(), maand::policy::feasibility(&graph), Forecast::of(&graph)))
    });
}

/// Admits a whole fleet, one place at a time: each row ten times the work of the one before.
#[divan::bench(args = SIZES, sample_count = 3)]
fn admit_all(bencher: Bencher<'_, '_>, workers: u32) {
    let plan = parsed();
    let graph = compiled(&plan, &fleet(&plan, workers));
    let jobs: Vec<_> = graph.numbers().budgets.iter().map(|budget| budget.job).collect();
    let conditions = Conditions { current_wave: u32::MAX, ..Conditions::default() };
    bencher.bench_local(|| {
        let mut admission = Admission::new(&graph);
        let mut queue = Queue::new(&graph, &admission);
        let mut admitted = 0_u32;
        while !queue.is_empty() {
            admission.observed(&jobs, &[], 0);
            let Pick::Admit(target) = queue.pick(&admission, 0, &conditions) else { break };
            admission.admitted(target);
            admission.succeeded(target);
            admitted += 1;
        }
        assert_eq!(admitted, workers);
    });
}
