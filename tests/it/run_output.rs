//! Output without end, of a command on this machine and of one on a worker: it costs the controller bounded memory,
//! and stands before no signal.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use maand::engine::Fact;
use maand::journal::{Journal, Mode};
use rustix::process::{Pid, Signal, kill_process};

use crate::run_bench::RunBench;
use crate::run_faults::end;
use crate::support::wait_until;

/// Far above what a controller of one worker needs, and far below what it is told in a few seconds.
const MOST_KIB: u64 = 100 * 1024;

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

/// The most memory that the process has ever had, in KiB.
fn peak(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn plan(bench: &RunBench, step: &str) -> String {
    bench.own_plan(&format!(
        "version: 1\nname: flood\nsteps:\n  - id: flood\n    {step}\n    timeout: 10m\n  - id: never\n    local: {{command: 'true'}}\n"
    ))
}

/// How many bytes the journal knows of; nothing as long as there is no run.
fn written(bench: &RunBench) -> u64 {
    let out = bench.maand(&["plan", "logs", "--step", "flood", "--output", "json"]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let total = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        value["output"][0]["total_bytes"].as_u64()
    };
    text.lines().filter_map(total).max().unwrap_or(0)
}

fn is_bounded_and_interruptible(step: &str, much: u64) {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = plan(&bench, step);
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    wait_until("the flood is stored", || written(&bench) > much);
    // The first signal lets the step in flight finish, which never does; the second ends the process.
    signal(&child, Signal::INT);
    wait_until("the first signal is in the journal", || {
        let journal = Journal::open(&bench.path("data"), Mode::ReadOnly).unwrap();
        let run = journal.unfinished().unwrap().unwrap();
        journal.read(&run).unwrap().any(|fact| matches!(fact.unwrap().fact, Fact::Interrupted { .. }))
    });
    let peak = peak(&child);
    let began = Instant::now();
    signal(&child, Signal::INT);
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(5), "{stdout}{stderr}");
    assert!(stderr.contains("`flood` on"), "{stderr}");
    assert!(peak < MOST_KIB, "the controller had {peak} KiB");
    // A bound that only a flood in front of the signal breaks: it lasts for minutes.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn a_flood_of_a_command_on_this_machine_is_bounded_and_interruptible() {
    is_bounded_and_interruptible("local: {command: yes}", 500 << 20);
}

#[test]
fn a_flood_of_a_command_on_a_worker_is_bounded_and_interruptible() {
    is_bounded_and_interruptible("run: {command: yes, disturbs: false}", 20 << 20);
}
