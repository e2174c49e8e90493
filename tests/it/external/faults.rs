//! What goes wrong during a run on a bucket of upstream's: a crash of the controller while upstream
//! deploys, a worker unplugged, an operator who deploys by hand.

use std::path::Path;

use serde_json::{Value, json};

use super::bench::External;
use crate::run_faults::{end, plan_with, worker};
use crate::support::wait_until;

fn lives(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !matches!(rest.split_whitespace().next(), None | Some("Z" | "X")))
}

#[test]
fn a_controller_killed_during_its_deploy_is_waited_for_by_the_resume() {
    let Some(bench) = External::new(2) else { return };
    let plan = plan_with(&bench, 0, "20s", "60s");
    let boots = bench.boots();
    bench.hold("stopped");
    let mut child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    let upstream = bench.wait_for_phase("stopped", 1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lives(upstream), "it outlives us");
    // It holds the lock: no other process may come in.
    let (_, stderr) = bench.expect(4, &["deploy"]);
    assert!(stderr.contains("maand::locked"), "{stderr}");
    let begun = bench.ran().len();
    let resume = bench.spawn(&["plan", "resume"]);
    let lock = bench.path("data/plan.lock");
    wait_until("the resume is at work", || {
        std::fs::read_to_string(&lock).is_ok_and(|text| text.contains(&format!("\"pid\":{}", resume.id())))
    });
    assert_eq!(bench.ran().len(), begun, "nothing begins while the old command runs");
    assert!(lives(upstream));
    bench.release("stopped");
    let (code, stdout, stderr) = end(resume);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(!lives(upstream));
    bench.assert_rebooted_once(&boots, "after the crash");
    bench.assert_no_overlap();
    bench.expect(0, &["job", "status", "web"]);
}

#[test]
fn a_second_signal_ends_the_whole_command() {
    let Some(bench) = External::new(1) else { return };
    let plan = plan_with(&bench, 0, "20s", "60s");
    let boots = bench.boots();
    bench.hold("stopped");
    let mut command = bench.command(&["plan", "apply", &plan, "--yes"]);
    let said = || std::fs::read_to_string(bench.path("said")).unwrap();
    let mut child = command.stdout(std::fs::File::create(bench.path("said")).unwrap()).spawn().unwrap();
    let upstream = bench.wait_for_phase("stopped", 1);
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let interrupt = || rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    interrupt();
    wait_until("the first one is noticed", || said().contains("SIGINT"));
    // It only keeps further steps from beginning.
    assert!(lives(upstream));
    interrupt();
    assert_eq!(child.wait().unwrap().code(), Some(5), "{}", said());
    wait_until("upstream has ended", || !lives(upstream));
    bench.release("stopped");
    bench.expect(0, &["plan", "resume"]);
    bench.assert_rebooted_once(&boots, "resumed");
    bench.assert_no_overlap();
}

#[test]
fn a_worker_unplugged_in_the_middle_holds_up_deploys_until_it_is_back() {
    let Some(bench) = External::new(3) else { return };
    let plan = plan_with(&bench, 0, "20s", "60s");
    let boots = bench.boots();
    // The third goes off while the first is drained.
    bench.hold("deployed");
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    bench.wait_for_phase("deployed", 1);
    bench.fleet.unplug(2);
    bench.release("deployed");
    // A deploy fails for all because of it ...
    wait_until("a deploy has failed", || {
        bench.ran().iter().any(|ran| ran.command == "deploy" && ran.code == Some(1))
    });
    wait_until("it is said who is waited for", || {
        let logs = bench.maand(&["plan", "logs"]);
        String::from_utf8_lossy(&logs.stdout).contains("note: waiting for")
    });
    // ... and is tried again once it is back. The job there is one that comes up with its host.
    bench.fleet.plug(2);
    bench.fleet.sh_ok(2, "touch /run/web.up");
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let why = format!("waiting for {}: the upstream program deploys to no worker", bench.host(2));
    assert!(stderr.contains(&why), "said at once, and not only in the log: {stderr}");
    assert_eq!(bench.boots(), [boots[0] + 1, boots[1] + 1, boots[2] + 2]);
    assert!((0..3).all(|i| bench.is_up(i)) && bench.disabled().is_empty(), "{stdout}{stderr}");
    bench.assert_no_overlap();
}

#[test]
fn a_worker_that_never_returns_fails_and_the_others_are_told_why() {
    let Some(bench) = External::new(2) else { return };
    let plan = plan_with(&bench, 1, "20s", "6s");
    bench.fleet.set(0, crate::support::Fault::NeverBack);
    let boots = bench.boots();
    let text =
        std::fs::read_to_string(&plan).unwrap().replace("  - deploy\n", "  - deploy: {}\n    timeout: 6s\n");
    std::fs::write(&plan, text).unwrap();
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let status = bench.status();
    assert_eq!(worker(&status, &bench.host(0))["state"], "failed", "{stdout}");
    // Nothing can be deployed anywhere while it is dead: the second was not taken down.
    assert_eq!(bench.boots(), boots);
    assert!(bench.is_up(1), "{stdout}");
    assert!(stdout.contains(&bench.host(0)) && stdout.contains("Left disabled"), "{stdout}");
    bench.assert_no_overlap();
}

#[test]
fn an_operator_who_deploys_by_hand_is_noticed() {
    let Some(bench) = External::new(2) else { return };
    let plan = bench.own_plan(
        "version: 1
name: own
rollout: {concurrency: 1}
steps:
  - disable
  - deploy
  - run: {command: 'touch /root/here; while test -e /root/wait; do sleep 0.05; done', undo: none, idempotent: true}
  - enable
  - deploy
  - health
",
    );
    bench.fleet.sh_ok(0, "touch /root/wait");
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    wait_until("the run is between two deploys", || bench.fleet.disk(0).join("root/here").exists());
    // Past our lock, with the other program itself.
    bench.upstream_ok(&["deploy"]);
    bench.fleet.sh_ok(0, "rm /root/wait");
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(format!("{stdout}{stderr}").contains("another process deployed"), "{stdout}{stderr}");
    assert!((0..2).all(|i| bench.is_up(i)));
    bench.assert_no_overlap();
}

#[test]
fn a_deploy_by_hand_during_ours_takes_its_files_away_and_is_no_success() {
    let Some(bench) = External::new(2) else { return };
    for second in [&["deploy"][..], &["deploy", "--dry-run"], &["build"]] {
        // Rolled out by the first deploy, which drains the other worker.
        bench.write("workspace/jobs/web/version", &second.join(" "));
        let plan = bench
            .own_plan("version: 1\nname: own\nsteps:\n  - disable\n  - deploy\n  - enable\n  - deploy\n");
        let before = bench.reached("rolled-out");
        bench.hold("rolled-out");
        let ours = bench.spawn(&["plan", "apply", &plan, "--yes"]);
        bench.wait_for_phase("rolled-out", before);
        bench.upstream_ends(1, second);
        bench.release("rolled-out");
        let (code, stdout, stderr) = end(ours);
        assert!(!bench.on_worker(1, "jobs/web/Makefile").exists());
        assert_eq!(code, Some(1), "{second:?}: {stdout}{stderr}");
        let repair = "maand deploy --sync-only --force --jobs web";
        assert!(stdout.contains(repair), "{second:?}: {stdout}{stderr}");
        bench.expect(0, &repair.split(' ').skip(1).collect::<Vec<_>>());
        bench.expect(0, &["plan", "retry", "--worker", &bench.host(0)]);
        let (stdout, stderr) = bench.expect(0, &["plan", "resume"]);
        for i in 0..2 {
            assert!(bench.is_up(i) && bench.on_worker(i, "jobs/web/Makefile").exists(), "{stdout}{stderr}");
        }
    }
}

#[test]
fn a_worker_with_the_only_allocation_of_a_job_is_rolled() {
    let Some(bench) = External::new(2) else { return };
    bench.solo(1, "solo.conf.tpl");
    bench.upstream_ok(&["build"]);
    bench.upstream_ok(&["deploy"]);
    let plan = plan_with(&bench, 0, "20s", "60s");
    let (stdout, stderr) = bench.expect(0, &["plan", "show", &plan]);
    let said = format!("{stdout}{stderr}");
    assert!(said.contains("maand::external::only_allocation"), "{said}");
    assert!(said.contains(&format!("solo on {}", bench.host(1))), "{said}");
    let boots = bench.boots();
    let (stdout, stderr) = bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    bench.assert_rebooted_once(&boots, "the only allocation");
    // The second stop is of the deploy that brings the first worker back.
    let done = bench.done(1, "solo");
    assert_eq!((done.first().unwrap().as_str(), done.last().unwrap().as_str()), ("start", "start"));
    assert_eq!(done.iter().filter(|what| *what != "stop").count(), 2, "{done:?} {stdout}{stderr}");
    assert!((0..2).all(|i| bench.is_up(i)));
    assert!(bench.fleet.sh_ok(1, "ls /run").contains("solo.up"));
    bench.assert_no_overlap();
}

#[test]
fn what_needs_a_job_that_is_disabled_everywhere_is_started_and_deployed_when_that_is_back() {
    let Some(bench) = External::new(2) else { return };
    // `web` cannot be rendered while `solo`, which only the other worker has, is disabled.
    bench.solo(1, "unused");
    let text = "peer={{ get \"maand/bucket\" \"solo_port\" }}\n";
    bench.write("workspace/jobs/web/peer.tpl", text);
    bench.upstream_ok(&["build"]);
    bench.upstream_ok(&["deploy"]);
    bench.write("workspace/disabled.json", &json!({"workers": [bench.host(0), bench.host(1)]}).to_string());
    bench.upstream_ok(&["build"]);
    bench.upstream_ends(1, &["deploy"]);
    bench.write("workspace/disabled.json", &json!({"workers": [bench.host(1)]}).to_string());
    let plan = bench.own_plan("version: 1\nname: own\nsteps:\n  - deploy: {}\n    timeout: 60s\n");
    let ours = bench.spawn(&["plan", "apply", &plan, "--workers", &bench.host(0), "--yes"]);
    wait_until("web is started", || bench.is_up(0));
    bench.write("workspace/disabled.json", "{}");
    let (code, stdout, stderr) = end(ours);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(std::fs::read_to_string(bench.on_worker(0, "jobs/web/peer")).unwrap(), "peer=4711\n");
    bench.assert_no_overlap();
}

#[test]
fn a_deploy_by_hand_that_is_under_way_is_waited_for() {
    let Some(bench) = External::new(1) else { return };
    bench.hold("checked");
    let theirs = bench.upstream_spawn(&["deploy", "--force"]);
    bench.wait_for_phase("checked", 1);
    let plan =
        bench.own_plan("version: 1\nname: own\nsteps:\n  - disable\n  - deploy\n  - enable\n  - deploy\n");
    let mut ours = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    let disabled = bench.path("workspace/disabled.json");
    wait_until("the run wants to deploy", || {
        let text = std::fs::read_to_string(&disabled).unwrap_or_default();
        assert!(ours.try_wait().unwrap().is_none(), "it has ended: {text}");
        text.contains(&bench.host(0))
    });
    assert!(Path::new(&format!("/proc/{}", theirs.id())).exists());
    bench.release("checked");
    let (code, _, stderr) = end(theirs);
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stdout, stderr) = end(ours);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    bench.assert_no_overlap();
    assert!(bench.is_up(0) && bench.on_worker(0, "jobs/web/Makefile").exists());
}

#[test]
fn two_entries_for_one_machine_are_not_deployed_to() {
    let Some(bench) = External::new(1) else { return };
    let first = bench.host(0);
    let twin = crate::catalog_faults::other_name(&first);
    let entries: Vec<Value> =
        [&first, &twin].iter().map(|host| json!({"host": host, "labels": ["app"]})).collect();
    bench.write("workspace/workers.json", &Value::from(entries).to_string());
    bench.upstream_ok(&["build"]);
    let (before, begun) = (bench.done(0, "web"), bench.ran().len());
    let (_, stderr) = bench.expect(1, &["deploy"]);
    assert!(
        stderr.contains("maand::catalog::same_machine") && stderr.contains("are one machine"),
        "{stderr}"
    );
    assert_eq!(bench.ran().len(), begun);
    let plan = bench.own_plan("version: 1\nname: own\nsteps: [deploy]\n");
    let (stdout, stderr) = bench.expect(5, &["plan", "apply", &plan, "--yes"]);
    assert!(format!("{stdout}{stderr}").contains("are one machine"), "{stdout}{stderr}");
    assert_eq!(bench.done(0, "web"), before);
}
