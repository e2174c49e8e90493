//! Whole runs under virtual time: 1,000, 10,000 and 100,000 workers x 7 steps, without and (the small
//! one) with the checks. `cargo bench --bench sim`; items are facts.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use maand::sim::{Knobs, graph, run, run_on};

#[global_allocator]
static MEMORY: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = [1_000, 10_000, 100_000], sample_count = 3, sample_size = 1)]
fn pattern_a(bencher: Bencher<'_, '_>, workers: u32) {
    let knobs = Knobs { check: false, ..Knobs::pattern_a(workers) };
    let graph = graph(&knobs).expect("a feasible plan");
    let facts = run_on(&knobs, &graph).journal.len();
    bencher.counter(ItemsCount::new(facts)).bench(|| black_box(run_on(&knobs, &graph)).events);
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn random_runs_checked(bencher: Bencher<'_, '_>) {
    let all =
        || (1..200).filter_map(|seed| run(&Knobs::random(seed))).map(|r| r.journal.len()).sum::<usize>();
    bencher.counter(ItemsCount::new(all())).bench(|| black_box(all()));
}
