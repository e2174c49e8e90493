//! Commands on this machine: they end with the controller, whatever ends that, none runs beside one of a controller
//! before, and what they leave behind holds nothing up.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::run_bench::RunBench;
use crate::run_faults::end;
use crate::support::wait_until;

fn signal(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal);
}

/// The numbers that a plan's commands have written into a file, once there are so many.
pub(crate) fn pids(file: &Path, count: usize) -> Vec<u32> {
    let read = || -> Vec<u32> {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    };
    wait_until("the commands run", || read().len() >= count);
    read()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    state.is_some_and(|state| state.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z")))
}

pub(crate) fn parent_of(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// One step on this machine: it writes numbers of processes into `pids`.
fn plan(bench: &RunBench, command: &str, more: &str) -> String {
    bench.own_plan(&format!(
        "version: 1\nname: own\nsteps:\n  - id: here\n    local:\n      command: |\n{}\n      idempotent: true\n{more}",
        command.lines().map(|line| format!("        {line}\n")).collect::<String>()
    ))
}

/// In the group, in a session of its own, left by its parent, deaf to SIGTERM, and without our environment.
const FAMILY: &str = "\
echo $$ >> pids
sleep 600 & echo $! >> pids
setsid sh -c 'echo $$ >> pids; exec sleep 600' &
(setsid sh -c 'echo $$ >> pids; exec env -i /bin/sleep 600' &)
nohup sh -c 'trap \"\" TERM HUP; echo $$ >> pids; while :; do sleep 1; done' >/dev/null 2>&1 &
wait";

fn started(bench: &RunBench, command: &str, count: usize) -> (Child, Vec<u32>) {
    let plan = plan(bench, command, "");
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    let pids = pids(&bench.path("pids"), count);
    (child, pids)
}

#[test]
fn nothing_outlives_a_controller_that_is_killed() {
    let Some(bench) = RunBench::new(1) else { return };
    let (mut child, family) = started(&bench, FAMILY, 5);
    assert!(family.iter().all(|pid| is_alive(*pid)));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("all have ended", || !family.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn nothing_outlives_a_command_that_is_given_up() {
    let Some(bench) = RunBench::new(1) else { return };
    let (child, family) = started(&bench, FAMILY, 5);
    for _ in 0..2 {
        signal(child.id(), Signal::TERM);
        std::thread::sleep(Duration::from_millis(100));
    }
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(5), "{stdout}{stderr}");
    wait_until("all have ended", || !family.iter().any(|pid| is_alive(*pid)));
    // The same by its own time-out, which comes in time.
    fs::remove_file(bench.path("pids")).unwrap();
    let plan = plan(&bench, FAMILY, "    timeout: 2s\n");
    bench.expect(0, &["plan", "abort"]);
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(stdout.contains("2s"), "{stdout}");
    assert!(!pids(&bench.path("pids"), 5).into_iter().any(is_alive));
}

#[test]
fn a_resumed_run_never_runs_beside_a_command_of_the_controller_before() {
    let Some(bench) = RunBench::new(1) else { return };
    // The second time it looks for the first one, and ends.
    let command = "\
if [ -s pids ]; then
  case $(cat /proc/$(cat pids)/stat 2>/dev/null) in '' | *') Z '*) ;; *) echo beside > beside ;; esac
  exit 0
fi
echo $$ >> pids
exec sleep 600";
    // Whatever has killed the controller has killed the guard as well.
    let (mut child, ours) = started(&bench, command, 1);
    let guard = parent_of(ours[0]);
    signal(child.id(), Signal::STOP);
    signal(guard, Signal::KILL);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_alive(ours[0]), "nobody is left to end it");
    bench.expect(0, &["plan", "resume"]);
    assert!(!is_alive(ours[0]) && !bench.path("beside").exists());
    // A controller that is stopped, and taken over from, has its guards alive.
    fs::remove_file(bench.path("pids")).unwrap();
    let (child, ours) = started(&bench, command, 1);
    signal(child.id(), Signal::STOP);
    bench.expect(0, &["plan", "resume", "--take-over"]);
    assert!(!is_alive(ours[0]) && !bench.path("beside").exists());
    signal(child.id(), Signal::CONT);
    assert_ne!(end(child).0, Some(0));
}

#[test]
fn a_daemon_holds_no_step_and_ends_with_the_run() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = bench.own_plan(
        "version: 1
name: daemon
steps:
  - id: starts
    local: {command: \"setsid sh -c 'echo $$ >> pids; exec sleep 600' & until [ -s pids ]; do sleep 0.1; done; echo up\"}
    timeout: 5m
  - id: uses
    local: {command: kill -0 $(cat pids)}
  - id: on_worker
    run: {command: \"setsid sleep 600 & echo up\", disturbs: false}
    timeout: 5m
",
    );
    let began = Instant::now();
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    // A bound that only a step which waits for its time-out breaks.
    assert!(began.elapsed() < Duration::from_secs(240), "{:?}", began.elapsed());
    let daemon = pids(&bench.path("pids"), 1)[0];
    wait_until("the daemon has ended", || !is_alive(daemon));
    let (logs, _) = bench.expect(0, &["plan", "logs"]);
    assert_eq!(logs.matches("| up").count(), 2, "{logs}");
}

#[test]
fn the_environment_of_a_command_is_not_that_of_its_guard() {
    let Some(bench) = RunBench::new(1) else { return };
    // As much as a plan may give it.
    let large = "x".repeat(64 * 1024);
    let plan = bench.own_plan(&format!(
        "version: 1\nname: large\nsteps:\n  - id: large\n    local:\n      command: printf %s \"$A$B$C\" | wc -c\n      \
         env: {{A: {large}, B: {large}, C: {large}}}\n  - id: there\n    run:\n      \
         command: printf %s \"$A$B$C\" | wc -c\n      disturbs: false\n      env: {{A: {large}, B: {large}, C: {large}}}\n"
    ));
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    let (logs, _) = bench.expect(0, &["plan", "logs"]);
    assert_eq!(logs.matches("| 196608").count(), 2, "{logs}");
    // Libraries with which no program can be started.
    for name in ["libc.so.6", "libssl.so.3", "libcrypto.so.3", "libgcc_s.so.1"] {
        bench.write(&format!("nowhere/{name}"), "no library");
    }
    let nowhere = bench.path("nowhere");
    let plan = bench.own_plan(&format!(
        "version: 1\nname: odd\nsteps:\n  - local: {{command: echo, env: {{LD_LIBRARY_PATH: {}}}}}\n",
        nowhere.display()
    ));
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    // The end of the shell, not that of a guard.
    assert!(stdout.contains("exit code 127"), "{stdout}");
}
