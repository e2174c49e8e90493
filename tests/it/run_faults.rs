//! What goes wrong on workers and in the network during a run over real hosts: each
//! has to give the right report and exit code, and nothing worse.

use std::fs;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::run_apply::view_of;
use crate::run_bench::RunBench;
use crate::support::{Fault, wait_until};

/// Pattern A with short bounds; a plan allows `failures`.
pub(crate) fn plan(bench: &RunBench, failures: u32) -> String {
    plan_with(bench, failures, "5s", "20s")
}

pub(crate) fn plan_with(bench: &RunBench, failures: u32, down_within: &str, back_within: &str) -> String {
    bench.own_plan(&format!(
        "version: 1
name: own
rollout: {{concurrency: 1, max_failures: {failures}}}
steps:
  - disable
  - deploy
  - reboot: {{down_within: {down_within}}}
  - wait_for_ssh: {{settle: 0s}}
    timeout: {back_within}
  - enable
  - deploy
  - health
"
    ))
}

pub(crate) fn worker<'v>(view: &'v Value, host: &str) -> &'v Value {
    view["workers"].as_array().unwrap().iter().find(|worker| worker["host"] == host).unwrap()
}

/// Its exit code, and both outputs.
pub(crate) fn end(child: Child) -> (Option<i32>, String, String) {
    let out = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

/// Applies a plan in the background and waits until the first worker has gone down for its reboot.
#[track_caller]
pub(crate) fn apply_until_reboot(bench: &RunBench, plan: &str) -> Child {
    let asked = bench.requests();
    let child = bench.spawn(&["plan", "apply", plan, "--yes"]);
    wait_until("a worker reboots", || bench.requests() != asked);
    child
}

/// Applies a plan and kills the controller once the first worker has gone down for its reboot.
#[track_caller]
pub(crate) fn crash_at_reboot(bench: &RunBench, plan: &str) {
    let mut child = apply_until_reboot(bench, plan);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_worker_that_never_returns_fails_alone() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan_with(&bench, 1, "20s", "6s");
    bench.fleet.set(0, Fault::NeverBack);
    let boots = bench.boots();
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let host = bench.host(0);
    let status = bench.status();
    assert_eq!(worker(&status, &host)["state"], "failed");
    assert_eq!(worker(&status, &bench.host(1))["state"], "succeeded");
    assert_eq!(status["left_disabled"], serde_json::json!([host]));
    assert!(stdout.contains("not back within") && stdout.contains("Left disabled"), "{stdout}");
    assert!(stdout.contains("maand plan resume --retry"), "{stdout}");
    assert_eq!(bench.boots(), [boots[0], boots[1] + 1]);
    assert_eq!(bench.disabled().into_iter().collect::<Vec<_>>(), [host]);
}

#[test]
fn a_halted_run_goes_on_after_retry_or_skip() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan_with(&bench, 0, "20s", "6s");
    bench.fleet.set(0, Fault::NeverBack);
    let boots = bench.boots();
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let (host, other) = (bench.host(0), bench.host(1));
    assert!(stdout.contains("plan resume --retry") && stdout.contains("plan resume --skip"), "{stdout}");
    let status = bench.status();
    assert_eq!(status["state"], "halted");
    assert_eq!(worker(&status, &other)["state"], "queued");
    // Not without a decision.
    let (_, stderr) = bench.expect(1, &["plan", "resume"]);
    assert!(stderr.contains("maand::run::halted"), "{stderr}");
    let (_, stderr) = bench.expect(4, &["plan", "apply", &plan, "--yes"]);
    assert!(stderr.contains("maand::run::unfinished") && stderr.contains("plan resume"), "{stderr}");
    bench.fleet.plug(0);
    bench.expect(0, &["plan", "retry", "--worker", &host]);
    bench.expect(0, &["plan", "resume"]);
    bench.assert_rebooted_once(&boots, "after the retry");
    // Once more, left out this time: it stays disabled, is named, and the exit code says so.
    bench.fleet.set(0, Fault::NeverBack);
    bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    bench.expect(0, &["plan", "skip", "--worker", &host]);
    let (stdout, _) = bench.expect(1, &["plan", "resume"]);
    assert!(stdout.contains("Left disabled") && stdout.contains(&host), "{stdout}");
    assert_eq!(worker(&bench.status(), &other)["state"], "succeeded");
}

#[test]
fn a_reboot_that_is_accepted_and_never_made_is_not_taken_for_one() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    bench.fleet.set(0, Fault::IgnoreReboot);
    let boots = bench.boots();
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(stdout.contains("not_rebooted"), "{stdout}");
    assert_eq!(bench.boots(), boots);
    assert_eq!(bench.requests(), [1, 0]);
    // The receipt is void once an operator retries: the command is sent again.
    let _ = fs::remove_file(bench.fleet.disk(0).join("ignore-reboot"));
    bench.expect(0, &["plan", "retry", "--worker", &bench.host(0)]);
    bench.expect(0, &["plan", "resume"]);
    bench.assert_rebooted_once(&boots, "after the retry");
    assert_eq!(bench.requests(), [2, 1]);
}

#[test]
fn slow_shutdown_slow_boot_and_nologin_are_waited_for() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = plan_with(&bench, 0, "60s", "60s");
    bench.fleet.set(0, Fault::ShutdownSecs(10));
    bench.fleet.set(0, Fault::BootSecs(2));
    bench.fleet.set(0, Fault::NologinSecs(10));
    let boots = bench.boots();
    let (stdout, _) = bench.expect(0, &["plan", "apply", &plan, "--yes", "--output", "json"]);
    bench.assert_rebooted_once(&boots, "a slow host");
    assert_eq!(worker(&view_of(&stdout), &bench.host(0))["boot_id_after"], bench.fleet.boot_id(0));
}

#[test]
fn a_worker_whose_login_takes_three_seconds_settles() {
    let Some(bench) = RunBench::new(1) else { return };
    bench.fleet.set(0, Fault::SlowLoginSecs(3));
    let plan = bench.own_plan(
        "version: 1
name: slow
steps:
  - reboot: {down_within: 1m}
  - wait_for_ssh: {settle: 4s}
    timeout: 1m
",
    );
    let boots = bench.boots();
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    assert_eq!(bench.boots(), [boots[0] + 1]);
}

#[test]
fn a_changed_host_key_stops_that_worker_at_once() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 1);
    bench.fleet.set(0, Fault::NewHostKey);
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let status = bench.status();
    assert_eq!(worker(&status, &bench.host(0))["error"]["kind"], "host_key_changed", "{stdout}");
    assert_eq!(worker(&status, &bench.host(1))["state"], "succeeded");
    assert_eq!(status["left_disabled"], serde_json::json!([bench.host(0)]));
    // It was found anew in the next preflight, and nothing is touched.
    let boots = bench.boots();
    let only = bench.host(0);
    bench.write("workspace/disabled.json", "{}");
    let (_, stderr) = bench.expect(1, &["plan", "apply", &plan, "--yes", "--workers", &only]);
    assert!(stderr.contains("maand::ssh::host_key_changed"), "{stderr}");
    assert_eq!(bench.boots(), boots);
}

#[test]
fn sudo_that_wants_a_password_is_found_before_anything_is_touched() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    let conf = fs::read_to_string(bench.path("maand.conf")).unwrap();
    bench.write(
        "maand.conf",
        &conf.replace("\"root\"", "\"agent\"").replace("use_sudo = false", "use_sudo = true"),
    );
    bench.fleet.set(1, Fault::SudoPassword);
    let (_, stderr) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(stderr.contains("sudo_wants_password") && stderr.contains(&bench.host(1)), "{stderr}");
    assert_eq!(bench.requests(), [0, 0]);
    assert!(!bench.path("workspace/disabled.json").exists());
}

/// Ends every SSH session on a host, as a network that drops connections does.
fn cut_sessions(bench: &RunBench, i: usize) {
    let Some(pid) = bench.fleet.pid(i) else { return };
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        if name.starts_with("sshd")
            && let Some(pid) = Pid::from_raw(child)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn has_receipt(bench: &RunBench, i: usize) -> bool {
    fn any(folder: &std::path::Path) -> bool {
        fs::read_dir(folder).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                let path = entry.path();
                let name = entry.file_name().to_string_lossy().into_owned();
                (name.starts_with("reboot-") && !name.contains('.')) || (path.is_dir() && any(&path))
            })
        })
    }
    any(&bench.fleet.disk(i).join("root/.maand"))
}

#[test]
fn a_connection_that_is_cut_around_the_reboot_command_costs_no_second_reboot() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = bench.own_plan(
        "version: 1\nname: own\nsteps:\n  - disable\n  - deploy\n  - reboot: {down_within: 10s}\n    \
         retries: {attempts: 5, delay: 1s}\n  - wait_for_ssh: {settle: 0s}\n  - enable\n  - deploy\n  - health\n",
    );
    let boots = bench.boots();
    // After: as soon as the receipt is there, before the answer can have been read in peace.
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    wait_until("the receipt", || {
        let there = has_receipt(&bench, 0);
        if there {
            cut_sessions(&bench, 0);
        }
        there
    });
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    bench.assert_rebooted_once(&boots, "cut after the command");
    assert_eq!(bench.requests(), [1]);
    // Before: from the drain on every session is cut for a while.
    let boots = bench.boots();
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    wait_until("the worker is drained", || !bench.is_up(0));
    wait_until("the deploy has ended", || {
        bench.status()["workers"][0]["step"].as_str().is_some_and(|step| step == "reboot")
    });
    for _ in 0..20 {
        cut_sessions(&bench, 0);
        std::thread::sleep(Duration::from_millis(50));
    }
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    bench.assert_rebooted_once(&boots, "cut before the command");
    assert_eq!(bench.requests(), [2]);
}

#[test]
fn health_that_never_gets_well_halts_the_run() {
    let Some(bench) = RunBench::new(2) else { return };
    // Whether it is well is decided on the worker itself.
    let makefile = fs::read_to_string(bench.path("workspace/jobs/web/Makefile")).unwrap();
    bench.write(
        "workspace/jobs/web/Makefile",
        &makefile.replace("@touch /run/web.up;", "@test -e /root/sick || touch /run/web.up;"),
    );
    bench.build_and_deploy();
    let plan = plan(&bench, 0);
    bench.fleet.sh_ok(0, "touch /root/sick");
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let status = bench.status();
    let error = worker(&status, &bench.host(0))["error"]["message"].as_str().unwrap();
    assert!(error.contains("health check"), "{stdout}");
    assert_eq!(worker(&status, &bench.host(1))["state"], "queued");
    assert!(status["left_disabled"].as_array().unwrap().is_empty() && bench.disabled().is_empty());
    assert_eq!(bench.requests(), [1, 0]);
    bench.fleet.sh_ok(0, "rm /root/sick; touch /run/web.up");
    bench.expect(0, &["plan", "retry", "--worker", &bench.host(0)]);
    bench.expect(0, &["plan", "resume"]);
    assert_eq!(bench.requests(), [1, 1]);
}

#[test]
fn a_deploy_that_fails_on_one_worker_keeps_it_from_being_rebooted() {
    let Some(bench) = RunBench::new(2) else { return };
    let makefile = fs::read_to_string(bench.path("workspace/jobs/web/Makefile")).unwrap();
    bench.write(
        "workspace/jobs/web/Makefile",
        &makefile
            .replace("stop:\n", "stop:\n\t@test ! -e /root/stuck || { echo it will not stop; exit 7; }\n"),
    );
    bench.build_and_deploy();
    let plan = plan(&bench, 1);
    bench.fleet.sh_ok(0, "touch /root/stuck");
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(stdout.contains("it will not stop"), "{stdout}");
    assert_eq!(bench.requests(), [0, 1]);
    let status = bench.status();
    assert_eq!(status["left_disabled"], serde_json::json!([bench.host(0)]));
    assert_eq!(worker(&status, &bench.host(1))["state"], "succeeded");
}

#[test]
fn what_an_operator_disables_in_the_middle_stays_disabled() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    let child = apply_until_reboot(&bench, &plan);
    let (ours, theirs) = (bench.host(0), bench.host(1));
    bench.write("workspace/disabled.json", &format!("{{ \"workers\" : [\"{theirs}\", \"{ours}\"] }}"));
    let (code, stdout, stderr) = end(child);
    assert!(bench.disabled().into_iter().eq([theirs.clone()]), "{stdout}{stderr}");
    assert!(!bench.is_up(1), "a worker that an operator disabled is not started");
    assert!(bench.is_up(0));
    // It is said, and not ours to fix.
    assert!(stdout.contains(&theirs), "{stdout}");
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}
