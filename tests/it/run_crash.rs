//! The real binary is killed at its durability points, resumed, and must come to the end that an
//! undisturbed run comes to: each host booted exactly once more, jobs up, `disabled.json` as before.
//!
//! The points are the journal's commits (`MAAND_CRASH_AT`, `MAAND_CRASH_WHEN`). The suite takes every
//! point of a run over one worker, and every few of one over three. All points of three workers and a
//! sample of pairs of points (a crash, and another one in its resume):
//!
//! ```text
//! MAAND_CRASH_SWEEP=full cargo test --test it run_crash -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::run_bench::{RunBench, Watcher};
use crate::support::Fault;

/// Where to kill; the second is in the resume after the first.
#[derive(Clone, Copy, Debug)]
struct Crash {
    at: u64,
    before: bool,
    then: Option<u64>,
}

/// Enough for the longest run here; a run that ends undisturbed says where its points end.
const MOST: u64 = 400;

fn is_full() -> bool {
    std::env::var("MAAND_CRASH_SWEEP").is_ok_and(|value| value == "full")
}

/// Runs the program with a failpoint; `true`: it was killed there, `false`: it ended with code 0.
#[track_caller]
fn killed(bench: &RunBench, arguments: &[&str], at: Option<(u64, bool)>) -> bool {
    let mut command = bench.command(arguments);
    if let Some((at, before)) = at {
        command.env("MAAND_CRASH_AT", at.to_string());
        command.env("MAAND_CRASH_WHEN", if before { "before" } else { "after" });
    }
    let out = command.output().unwrap();
    if out.status.signal() == Some(9) {
        return true;
    }
    assert_eq!(
        out.status.code(),
        Some(0),
        "{arguments:?} with {at:?}\n{}\n{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    false
}

fn has_unfinished(bench: &RunBench) -> bool {
    let out = bench.maand(&["plan", "status", "--output", "json"]);
    serde_json::from_slice::<serde_json::Value>(&out.stdout).is_ok_and(|view| view["resumable"] == true)
}

/// One crash and what comes after it; `false`: the run has fewer points than that.
fn survive(bench: &Arc<RunBench>, plan: &str, crash: Crash) -> bool {
    let (boots, requests) = (bench.boots(), bench.requests());
    let watcher = Watcher::start(bench, 1);
    let what = format!("{crash:?}");
    let died = killed(bench, &["plan", "apply", plan, "--yes"], Some((crash.at, crash.before)));
    if died {
        if has_unfinished(bench) {
            let again = crash.then.map(|then| (then, crash.before));
            if killed(bench, &["plan", "resume"], again) {
                assert!(!killed(bench, &["plan", "resume"], None));
            }
        } else if boots == bench.boots() {
            // Nothing of the run was kept, and nothing was done.
            assert!(!killed(bench, &["plan", "apply", plan, "--yes"], None));
        }
    }
    bench.assert_rebooted_once(&boots, &what);
    let asked: Vec<usize> = requests.iter().map(|requests| requests + 1).collect();
    assert_eq!(bench.requests(), asked, "reboot commands: {what}");
    watcher.assert_nothing_seen(&what);
    // Replays every fact: the journal is legal.
    let view = bench.status();
    assert_eq!(view["state"], "succeeded", "{what}: {view}");
    assert_eq!(view["left_disabled"].as_array().unwrap().len(), 0);
    // A resume of a finished run has no effects.
    bench.expect(0, &["plan", "resume", view["run"].as_str().unwrap()]);
    assert_eq!(bench.requests(), asked, "after a needless resume: {what}");
    died
}

/// Works the crashes off on several fleets side by side; how many points there were.
fn sweep(workers: usize, fleets: usize, crashes: &[Crash]) {
    let next = AtomicUsize::new(0);
    let beyond = Mutex::new(BTreeSet::new());
    let survived = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..fleets {
            scope.spawn(|| {
                let Some(bench) = RunBench::new(workers) else { return };
                // A resume begins while the worker is still off.
                (0..workers).for_each(|i| bench.fleet.set(i, Fault::BootSecs(1)));
                let bench = Arc::new(bench);
                let plan = bench.plan("rolling-reboot.yaml");
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(crash) = crashes.get(at) else { return };
                    let known_end = beyond.lock().unwrap().first().copied();
                    if known_end.is_some_and(|end| crash.at >= end) {
                        continue;
                    }
                    if survive(&bench, &plan, *crash) {
                        survived.fetch_add(1, Ordering::Relaxed);
                    } else {
                        beyond.lock().unwrap().insert(crash.at);
                    }
                }
            });
        }
    });
    let survived = survived.load(Ordering::Relaxed);
    let end = beyond.lock().unwrap().first().copied();
    if let Some(end) = end {
        assert!(survived > 0);
        let mut out = std::io::stderr().lock();
        let _ = std::io::Write::write_fmt(
            &mut out,
            format_args!(
                "{workers} workers: {survived} crashes survived; a run has fewer than {end} commits\n"
            ),
        );
    }
}

fn points(from: u64, step: usize) -> Vec<Crash> {
    let both = |at| [true, false].map(|before| Crash { at, before, then: None });
    (from..MOST).step_by(step).flat_map(both).collect()
}

#[test]
fn one_worker_killed_at_every_commit() {
    sweep(1, 6, &points(1, 1));
}

#[test]
fn three_workers_killed_at_commits() {
    if is_full() {
        sweep(3, 6, &points(1, 1));
    } else {
        sweep(3, 2, &points(4, 9));
    }
}

#[test]
fn killed_again_in_the_resume() {
    // Co-prime strides, so that the pairs are spread.
    let pairs = |from: u64, step: usize| -> Vec<Crash> {
        (from..MOST)
            .step_by(step)
            .zip((1..).step_by(5))
            .map(|(at, then)| Crash { at, before: at % 2 == 0, then: Some(then % 17 + 1) })
            .collect()
    };
    if is_full() {
        sweep(3, 6, &pairs(2, 3));
    } else {
        sweep(1, 3, &pairs(2, 3));
    }
}
