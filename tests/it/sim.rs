//! The simulator as a test: fixed seeds, fresh seeds, and one seed again by name.

use maand::sim::{Knobs, run, shrink};

fn must_hold(knobs: &Knobs) -> Option<usize> {
    let report = run(knobs)?;
    if report.broken.is_some() {
        panic!("{}", shrink(report));
    }
    Some(report.journal.len())
}

fn runs() -> u64 {
    std::env::var("MAAND_SIM_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(300)
}

#[test]
fn random_runs_keep_the_invariants() {
    let first: u64 = std::env::var("MAAND_SIM_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let (mut facts, mut feasible) = (0, 0);
    for seed in first..first + runs() {
        if let Some(more) = must_hold(&Knobs::random(seed)) {
            facts += more;
            feasible += 1;
        }
    }
    println!("{feasible} of {} runs feasible, {facts} facts", runs());
    assert!(feasible * 4 > runs());
}

/// `MAAND_SIM_REPLAY='seed=..' cargo test --test it sim::replay -- --nocapture`
#[test]
fn replay() {
    let Ok(line) = std::env::var("MAAND_SIM_REPLAY") else { return };
    let report = run(&line.parse().unwrap()).expect("a feasible plan");
    println!("{report}");
    assert!(report.broken.is_none());
}
