//! Whole runs under virtual time: 1,000, 10,000 and 100,000 workers x 7 steps, one at a time, a tenth at
//! a time and by budgets; and small random ones with the checks. `cargo bench --bench sim`; items are facts.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use maand::engine::RunEnd;
use maand::sim::{Shape, SimConfig, graph, run, run_on};

#[global_allocator]
static MEMORY: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn play(bencher: Bencher<'_, '_>, config: &SimConfig) {
    let graph = graph(config).expect("a feasible plan");
    let report = run_on(config, &graph);
    assert_eq!(report.end, Some(RunEnd::Succeeded));
    bencher.counter(ItemsCount::new(report.journal.len())).bench(|| black_box(run_on(config, &graph)).events);
}

#[divan::bench(args = [1_000, 10_000, 100_000], sample_count = 3, sample_size = 1)]
fn pattern_a(bencher: Bencher<'_, '_>, workers: u32) {
    play(bencher, &SimConfig { check: false, ..SimConfig::pattern_a(workers) });
}

/// A tenth of the fleet at a time.
#[divan::bench(args = [1_000, 10_000, 100_000], sample_count = 3, sample_size = 1)]
fn wide(bencher: Bencher<'_, '_>, workers: u32) {
    play(bencher, &SimConfig { check: false, shape: Shape::Wide, ..SimConfig::pattern_a(workers) });
}

/// As many as the budgets of four jobs in three zones allow.
#[divan::bench(args = [1_000, 10_000, 100_000], sample_count = 3, sample_size = 1)]
fn auto_with_budgets(bencher: Bencher<'_, '_>, workers: u32) {
    play(bencher, &SimConfig { check: false, shape: Shape::Auto, jobs: 4, ..SimConfig::pattern_a(workers) });
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn random_runs_checked(bencher: Bencher<'_, '_>) {
    let all =
        || (1..200).filter_map(|seed| run(&SimConfig::random(seed))).map(|r| r.journal.len()).sum::<usize>();
    bencher.counter(ItemsCount::new(all())).bench(|| black_box(all()));
}
