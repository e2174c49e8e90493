//! Makes a failing run smaller: fewer workers, faults, crashes, people, steps and settings, as long as
//! the same invariant breaks.

use super::knobs::Knobs;
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
        let better = candidates(&best.knobs).into_iter().find_map(|knobs| {
            (0..SALTS).find_map(|salt| {
                runs += 1;
                if runs > MOST_RUNS {
                    return None;
                }
                let knobs = Knobs { salt: if salt == 0 { knobs.salt } else { salt }, ..knobs.clone() };
                let report = run(&knobs)?;
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

fn candidates(knobs: &Knobs) -> Vec<Knobs> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Knobs)| {
        let mut smaller = knobs.clone();
        change(&mut smaller);
        if smaller != *knobs {
            all.push(smaller);
        }
    };
    for workers in [1, 2, knobs.workers / 2, knobs.workers.saturating_sub(1)] {
        if workers > 0 && workers < knobs.workers {
            add(&|k| k.workers = workers);
        }
    }
    add(&|k| k.jobs = 1);
    for count in [0, 1, knobs.faults / 2] {
        add(&|k| k.faults = k.faults.min(count));
    }
    for count in [0, 1] {
        add(&|k| k.crashes = k.crashes.min(count));
        add(&|k| k.people = k.people.min(count));
    }
    add(&|k| k.people /= 2);
    add(&|k| k.exclusive = false);
    add(&|k| k.stops = false);
    for at in 0..knobs.crash_at.len() {
        add(&|k| {
            k.crash_at.remove(at);
        });
    }
    let parts = graph(&Knobs { without: 0, ..knobs.clone() }).map_or(64, |graph| plans::parts(&graph.plan));
    for bit in 0..parts.min(64) {
        add(&|k| k.without |= 1 << bit);
    }
    all
}
