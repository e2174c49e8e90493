//! What goes wrong during a run on a bucket of upstream's: a crash of the controller while upstream
//! deploys, a worker unplugged, an operator who deploys by hand.

use std::path::Path;

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
    // ... and is tried again once it is back. The job there is one that comes up with its host.
    bench.fleet.plug(2);
    bench.fleet.sh_ok(2, "touch /run/web.up");
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
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
