//! How a rehearsal ends before its end: signals, a kill, a reader that goes away.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::{Stage, shipped, side_by_side, text};
use crate::wait_until;

fn signal(child: &std::process::Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

#[test]
fn one_signal_finishes_what_is_in_flight_and_leaves_nothing() {
    side_by_side(&[Signal::INT, Signal::TERM], 2, |which| {
        let stage = Stage::new();
        let child = stage.begun(&shipped("rolling-reboot.yaml"), &[]);
        signal(&child, *which);
        let output = child.wait_with_output().unwrap();
        let (said, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(5), "{said}{stderr}");
        let name = if *which == Signal::INT { "SIGINT" } else { "SIGTERM" };
        assert!(said.contains(&format!("stopping ({name}): steps in flight are finished first")), "{said}");
        // Its bucket is gone: whatever is typed afterwards finds nothing.
        assert!(!(said + &stderr).contains("maand plan"), "{stderr}");
        let said = text(&output.stdout);
        assert!(said.contains("There is nothing to resume") && !said.contains("BROKEN"), "{said}{stderr}");
        stage.assert_empty();
    });
}

/// The step in flight waits for a worker that never comes back: for a quarter of an hour.
#[test]
fn a_second_signal_stops_at_once() {
    side_by_side(&[Signal::INT, Signal::TERM], 2, |which| {
        let stage = Stage::new();
        let plan = shipped("rolling-reboot.yaml");
        let mut child = stage.begun(&plan, &["--fault", "worker-1:never_returns"]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut until = |words: &str| {
            let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains(words));
            assert!(line.is_some(), "it never said `{words}`");
        };
        until("wait_for_ssh: started");
        signal(&child, *which);
        until("steps in flight are finished first");
        let second = Instant::now();
        signal(&child, *which);
        let status = child.wait().unwrap();
        // A bound that only tells a stop from the fifteen minutes of the step.
        assert!(second.elapsed().as_secs() < 120);
        assert_eq!(status.code(), Some(5));
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        assert!(rest.join("\n").contains("There is nothing to resume"), "{rest:#?}");
        stage.assert_empty();
    });
}

#[test]
fn a_signal_while_the_fleet_is_made_leaves_nothing() {
    let stage = Stage::new();
    let mut command = stage.command(&shipped("rolling-reboot.yaml"), &["--workers", "12"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the fleet is being made", || !stage.left().is_empty());
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    stage.assert_empty();
}

/// Every process that has to do with this folder, but those that are ending.
fn processes_of(folder: &Path) -> Vec<String> {
    let name = folder.display().to_string();
    let of_it = |pid: &Path| {
        let read = |file| text(&std::fs::read(pid.join(file)).unwrap_or_default());
        read("cmdline").contains(&name)
            || read("environ").contains(&name)
            || std::fs::read_link(pid.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let own = |pid: &Path| pid.ends_with(std::process::id().to_string()) || pid.ends_with("self");
    let found = all.filter(|pid| !own(pid) && pid.join("exe").exists() && of_it(pid));
    found
        .map(|pid| {
            format!("{}: {}", pid.display(), text(&std::fs::read(pid.join("cmdline")).unwrap_or_default()))
        })
        .collect()
}

#[test]
fn killed_it_takes_its_run_and_its_fleet_with_it() {
    let stage = Stage::new();
    let plan = stage.write(
        "plan.yaml",
        "version: 1\nname: x\nsteps:\n  - disable\n  - local: {command: 'cd \"$TMPDIR\" && sleep 1000', undo: none}\n    timeout: 1h\n  - enable\n  - deploy\n",
    );
    let mut child = stage.begun(&plan, &["--execute"]);
    let folder = stage.left().pop().unwrap();
    wait_until("the command runs", || {
        processes_of(&stage.temporary()).iter().any(|line| line.contains("1000"))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("every process of it has ended", || processes_of(&stage.temporary()).is_empty());
    // Only its folder is left.
    assert_eq!(stage.left(), [folder]);
}

#[test]
fn a_reader_that_goes_away_ends_nothing() {
    side_by_side(&[&["--output", "json"][..], &[]], 2, |more| {
        let stage = Stage::new();
        let mut command = stage.command(&shipped("ssh-only.yaml"), more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        // The reader is dropped here, as `head -1` would be.
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{stderr}");
        assert!(!line.is_empty() && !stderr.contains("panicked"), "{stderr}");
        stage.assert_empty();
    });
}
