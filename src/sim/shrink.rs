//! Makes a failing run smaller: fewer workers, faults, crashes, operators, steps and settings, as long as
//! the same invariant breaks.

use super::config::SimConfig;
use super::plans;
use super::run::{Report, graph, run};

/// Each smaller candidate is tried with so many draws of faults, since fewer requests shift them.
const SALTS: u64 = 6;

/// A trace that is a little longer is worth more than one that nobody waits for.
const MOST_RUNS: u32 = 3000;

/// The smallest failing run that was found.
pub fn shrink(failing: Report) -> Report {
    let Some(broken) = failing.broken.clone() else { return failing };
    let mut best = failing;
    let mut runs = 0;
    loop {
        let better = candidates(&best.config).into_iter().find_map(|config| {
            (0..SALTS).find_map(|salt| {
                runs += 1;
                if runs > MOST_RUNS {
                    return None;
                }
                let config = SimConfig { salt: if salt == 0 { config.salt } else { salt }, ..config.clone() };
                let report = run(&config)?;
                let same = report.broken.as_ref().is_some_and(|b| b.invariant == broken.invariant);
                let smaller = report.journal.len() <= best.journal.len();
                (same && smaller).then_some(report)
            })
        });
        match better {
            Some(report) => best = report,
            None => return best,
        }
    }
}

fn candidates(config: &SimConfig) -> Vec<SimConfig> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut SimConfig)| {
        let mut smaller = config.clone();
        change(&mut smaller);
        if smaller != *config {
            all.push(smaller);
        }
    };
    for workers in [1, 2, config.workers / 2, config.workers.saturating_sub(1)] {
        if workers > 0 && workers < config.workers {
            add(&|k| k.workers = workers);
        }
    }
    add(&|k| k.jobs = 1);
    for count in [0, 1, config.faults / 2] {
        add(&|k| k.faults = k.faults.min(count));
    }
    for count in [0, 1] {
        add(&|k| k.crashes = k.crashes.min(count));
        add(&|k| k.operators = k.operators.min(count));
        add(&|k| k.resets = k.resets.min(count));
    }
    add(&|k| k.holds = false);
    add(&|k| k.operators /= 2);
    add(&|k| k.exclusive = false);
    add(&|k| k.stops = false);
    for at in 0..config.crash_at.len() {
        add(&|k| {
            k.crash_at.remove(at);
        });
    }
    let parts =
        graph(&SimConfig { without: 0, ..config.clone() }).map_or(64, |graph| plans::parts(&graph.plan));
    for bit in 0..parts.min(64) {
        add(&|k| k.without |= 1 << bit);
    }
    all
}
