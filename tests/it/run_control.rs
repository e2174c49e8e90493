//! Runs that something outside interferes with: `before` steps that fail, peers that are gone
//! when a deploy serves several, readers of the output that go away, and what a cut run leaves behind.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::run_bench::RunBench;
use crate::run_faults::end;
use crate::support::wait_until;

fn states(view: &Value) -> Vec<&str> {
    view["workers"].as_array().unwrap().iter().map(|worker| worker["state"].as_str().unwrap()).collect()
}

#[test]
fn a_before_step_that_fails_keeps_every_worker_from_being_touched() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = bench.own_plan(
        "version: 1\nname: own\nbefore:\n  - local: {command: 'echo not today; test -e go'}\n\
         steps:\n  - disable\n  - deploy\n  - reboot: {down_within: 20s}\n  - wait_for_ssh: {settle: 0s}\n  - enable\n  - deploy\n",
    );
    let boots = bench.boots();
    let (stdout, stderr) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(stdout.contains("not today") || stdout.contains("exit code 1"), "{stdout}{stderr}");
    assert_eq!(states(&bench.status()), ["queued", "queued"]);
    assert_eq!(bench.boots(), boots);
    assert!(!bench.path("workspace/disabled.json").exists());
    // Ended for good, it lets the next one begin.
    bench.expect(0, &["plan", "abort"]);
    bench.write("go", "");
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    bench.assert_rebooted_once(&boots, "the next run");
    assert!(!bench.path("workspace/disabled.json").exists(), "it was not there before");
}

#[test]
fn a_peer_that_is_gone_fails_alone_when_a_deploy_serves_both() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = bench.own_plan(
        "version: 1\nname: own\nrollout: {concurrency: 2, max_failures: 1}\n\
         before:\n  - local: {command: 'touch begun; while [ ! -e go ]; do sleep 0.1; done'}\n    timeout: 50s\n\
         steps:\n  - disable\n  - deploy\n  - enable\n  - deploy\n  - health\n",
    );
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    wait_until("preflight is over", || bench.path("begun").exists());
    bench.fleet.unplug(1);
    bench.write("go", "");
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    let status = bench.status();
    assert_eq!(states(&status), ["succeeded", "failed"], "{stdout}{stderr}");
    assert_eq!(status["left_disabled"], serde_json::json!([bench.host(1)]));
    assert!(bench.is_up(0));
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_run() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = bench.plan("rolling-reboot.yaml");
    let boots = bench.boots();
    for more in [&["--output", "json"][..], &[]] {
        let before = bench.boots();
        let mut child = bench.spawn(&[&["plan", "apply", &plan, "--yes"], more].concat());
        drop(child.stdout.take());
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{more:?}");
        bench.assert_rebooted_once(&before, "no reader");
    }
    assert_eq!(bench.boots(), [boots[0] + 2]);
}

#[test]
fn a_cut_run_leaves_no_command_running() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = bench.own_plan(
        "version: 1\nname: own\nsteps:\n  - run: {command: 'touch /run/begun; sleep 98765; touch /run/over', undo: none}\n",
    );
    let mut child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    wait_until("the command runs", || bench.fleet.sh(0, "test -e /run/begun").status.success());
    // One would wait for the command.
    wait_until("the run is cut", || {
        let _ = kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::INT);
        child.try_wait().unwrap().is_some()
    });
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(5), "{stdout}{stderr}");
    wait_until("the command has ended", || {
        !bench
            .fleet
            .sh(0, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q '[s]leep 98765'")
            .status
            .success()
    });
    // Whether it ran is not known: an operator decides, and it is not run again by itself.
    bench.fleet.sh_ok(0, "rm /run/begun");
    let (stdout, stderr) = bench.expect(5, &["plan", "resume"]);
    assert!(format!("{stdout}{stderr}").contains("in-doubt"), "{stdout}{stderr}");
    assert!(!bench.fleet.sh(0, "test -e /run/begun").status.success());
    bench.expect(0, &["plan", "resume", "--in-doubt", "done"]);
}
