//! Every kind of fault, what the run reports of it, and its exit code.

use maand::sandbox::FaultKind;

use super::{Stage, held, shipped, side_by_side, text};

/// What comes of a worker.
enum Ends {
    /// The run goes through it.
    Well,
    /// The worker fails with an error of this kind, and the run halts.
    Failed(&'static str),
}

use Ends::{Failed, Well};

/// The first of two workers has the fault; with a step where it would come too early without.
const FAULTS: [(&str, Ends); 24] = [
    ("never_returns", Failed("refused")),
    ("returns_late", Well),
    ("reboots_twice", Well),
    ("reboots_itself@deploy", Well),
    ("reboots_when_done", Well),
    ("reboots_late", Well),
    ("keeps_connections", Well),
    ("slow_logins", Well),
    ("accepts_and_never_reboots", Failed("not_rebooted")),
    ("reboot_fails", Failed("not_rebooted")),
    ("refuses@disable", Failed("unreachable")),
    ("cuts_before_command", Well),
    ("cuts_after_command", Well),
    ("cuts_before_command@deploy", Well),
    ("cuts_after_command@deploy-2", Well),
    ("hangs@deploy", Well),
    ("changes_host_key", Failed("host_key_changed")),
    ("nologin", Well),
    ("nologin@deploy", Failed("unreachable")),
    ("health_flaps", Well),
    ("health_never_well", Failed("catalog")),
    ("deploy_fails", Failed("catalog")),
    ("sudo_password@deploy", Failed("catalog")),
    ("hangs", Well),
];

/// As the shipped rolling reboot, with less patience.
const IMPATIENT: &str = "version: 1
name: impatient
rollout: {concurrency: 1, max_failures: 0}
steps:
  - disable
  - deploy:
    timeout: 25s
  - reboot: {down_within: 12s}
    timeout: 60s
    retries: {attempts: 2, delay: 1s}
  - wait_for_ssh: {settle: 1s}
    timeout: 40s
  - enable
  - deploy:
    timeout: 25s
  - health: {wait: true}
    timeout: 10s
    retries: {attempts: 2, delay: 1s}
";

#[test]
fn a_fault_is_reported_with_its_worker_and_the_promises_hold() {
    side_by_side(&FAULTS, 10, |(fault, ends)| {
        let stage = Stage::new();
        let plan = stage.write("impatient.yaml", IMPATIENT);
        let asked = format!("worker-1:{fault}");
        let more = ["--output", "json", "--workers", "2", "--fault", &asked];
        let (verdict, view) = held(&stage.run(&plan, &more));
        assert_eq!(verdict["faults_that_never_happened"], serde_json::json!([]), "{fault}");
        assert_eq!(verdict["faults"][0], asked);
        let workers = view["workers"].as_array().unwrap();
        assert_eq!(workers[0]["host"], "worker-1");
        match ends {
            Failed(kind) => {
                assert_eq!(verdict["run_exit_code"], 1, "{fault}: {view:#}");
                assert_eq!(workers[0]["state"], "failed", "{fault}");
                assert_eq!(workers[0]["error"]["kind"], *kind, "{fault}: {}", workers[0]["error"]);
                // It halts: the other one is not touched.
                assert_eq!(
                    (&view["state"], &workers[1]["state"]),
                    (&"halted".into(), &"queued".into()),
                    "{fault}"
                );
                assert_eq!(verdict["workers"][1]["down"], serde_json::json!([]), "{fault}");
            }
            Well => {
                assert_eq!(
                    (&view["state"], &verdict["run_exit_code"]),
                    (&"succeeded".into(), &0.into()),
                    "{fault}: {view:#}"
                );
            }
        }
    });
}

/// What `name` promises, and how it was held.
fn promise<'v>(verdict: &'v serde_json::Value, name: &str) -> &'v str {
    let promises = verdict["promises"].as_array().unwrap();
    let promise = promises.iter().find(|promise| promise["name"] == name);
    promise.unwrap_or_else(|| panic!("no promise {name}: {verdict:#}"))["what"].as_str().unwrap()
}

/// A command that is not answered any more, as its machine has gone, whether the connection breaks or not.
#[test]
fn a_machine_that_boots_in_the_middle_of_a_command_is_noticed_and_named() {
    let plan = "version: 1\nname: long\nsteps:\n  - run: {command: upgrade --all, undo: none, idempotent: true}\n    \
                timeout: 20m\n";
    side_by_side(&[&[][..], &["--fault", "1:keeps_connections"]], 2, |more| {
        let stage = Stage::new();
        let plan = stage.write("long.yaml", plan);
        let fault = ["--output", "json", "--workers", "1", "--fault", "1:reboots_itself@run"];
        let (verdict, view) = held(&stage.run(&plan, &[&fault[..], more].concat()));
        assert_eq!(verdict["faults_that_never_happened"], serde_json::json!([]));
        assert_eq!(promise(&verdict, "unplanned_boots").split(' ').next(), Some("1"));
        assert_eq!(view["workers"][0]["unplanned_boots"].as_array().map(Vec::len), Some(1), "{view:#}");
    });
}

/// Its turn comes when it is back: the boot is met by the look before its own reboot.
#[test]
fn a_worker_that_boots_before_its_turn_is_named() {
    let stage = Stage::new();
    let plan = stage.write("impatient.yaml", IMPATIENT);
    let more = ["--output", "json", "--workers", "2", "--fault", "2:reboots_itself"];
    let (verdict, view) = held(&stage.run(&plan, &more));
    assert_eq!(view["state"], "succeeded", "{view:#}");
    assert_eq!(promise(&verdict, "unplanned_boots").split(' ').next(), Some("1"));
    let boots = |worker: usize| view["workers"][worker]["unplanned_boots"].as_array().map(Vec::len);
    assert_eq!((boots(0), boots(1)), (Some(0), Some(1)), "{view:#}");
}

/// Without a step they make a worker unusable from the start: the plan is refused, and that is judged.
#[test]
fn a_plan_that_is_refused_has_a_verdict() {
    side_by_side(&["refuses", "sudo_password"], 2, |kind| {
        let stage = Stage::new();
        let asked = format!("2:{kind}");
        let output = stage.run(&shipped("rolling-reboot.yaml"), &["--output", "json", "--fault", &asked]);
        let (verdict, _) = held(&output);
        assert_eq!(verdict["run_exit_code"], 1, "{verdict:#}");
        assert!(promise(&verdict, "untouched").contains("all 3 workers were left as found"), "{verdict:#}");
        // What was refused is an error of the run, and as such JSON.
        assert!(text(&output.stdout).contains("worker-2"), "{}", text(&output.stdout));
    });
}

#[test]
fn the_kinds_are_listed() {
    for plan in [&[][..], &["plans/rolling-reboot.yaml"]] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_maand"))
            .args(["plan", "rehearse", "--fault", "list"])
            .args(plan)
            .output()
            .unwrap();
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        for (kind, name) in FaultKind::ALL {
            assert!(said.contains(name) && said.contains(kind.describe()), "{name}: {said}");
        }
    }
}

#[test]
fn every_kind_is_tried() {
    let tried = |name: &str| FAULTS.iter().any(|(fault, _)| fault.split('@').next() == Some(name));
    let missing: Vec<_> = FaultKind::ALL.iter().filter(|(_, name)| !tried(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_killed_controller_is_resumed_and_no_worker_reboots_twice() {
    side_by_side(&["1", "7", "20", "26"], 4, |at| {
        let stage = Stage::new();
        let output =
            stage.run(&shipped("rolling-reboot.yaml"), &["--output", "json", "--kill-controller", at]);
        let (verdict, view) = held(&output);
        assert_eq!(view["state"], "succeeded");
        assert!(text(&output.stderr).contains("The controller was killed"), "commit {at}");
        assert_eq!(verdict["controllers_killed"], 1, "commit {at}");
        for worker in verdict["workers"].as_array().unwrap() {
            assert_eq!(worker["reboots"], 1, "commit {at}");
        }
    });
}

/// From before the run has a name to after its end.
#[test]
fn a_kill_at_each_commit_leaves_one_run_and_one_reboot() {
    let killed = std::sync::atomic::AtomicU64::new(0);
    let commits: Vec<u64> = (1..=12).collect();
    side_by_side(&commits, 6, |at| {
        let stage = Stage::new();
        let plan = stage
            .write("one.yaml", "version: 1\nname: one\nsteps:\n  - reboot\n  - wait_for_ssh: {settle: 1s}\n");
        let at = at.to_string();
        let more = ["--output", "json", "--workers", "1", "--kill-controller", &at];
        let (verdict, _) = held(&stage.run(&plan, &more));
        let worker = &verdict["workers"][0];
        assert_eq!((&worker["state"], &worker["reboots"]), (&"succeeded".into(), &1.into()), "commit {at}");
        let kills = verdict["controllers_killed"].as_u64().unwrap();
        killed.fetch_add(kills, std::sync::atomic::Ordering::Relaxed);
    });
    // So every commit of the run was among them, the last one included.
    assert!((5..12).contains(&killed.into_inner()));
}

#[test]
fn what_was_asked_for_and_never_happened_is_said() {
    let stage = Stage::new();
    let more =
        ["--output", "json", "--workers", "1", "--kill-controller", "1000", "--fault", "1:never_returns"];
    let output = stage.run(&shipped("ssh-only.yaml"), &more);
    let (verdict, _) = held(&output);
    assert_eq!(verdict["controllers_killed"], 0);
    assert_eq!(verdict["faults_that_never_happened"], serde_json::json!(["worker-1:never_returns"]));
    assert!(text(&output.stderr).contains("ended before its commit 1000"), "{}", text(&output.stderr));
}

#[test]
fn a_broken_worker_among_the_allowed_failures_and_a_killed_controller() {
    let stage = Stage::new();
    let plan = stage.write("impatient.yaml", &IMPATIENT.replace("max_failures: 0", "max_failures: 1"));
    let more = ["--output", "json", "--fault", "1:never_returns", "--kill-controller", "20"];
    let (verdict, view) = held(&stage.run(&plan, &more));
    assert_eq!(verdict["run_exit_code"], 1);
    assert_eq!(view["left_disabled"], serde_json::json!(["worker-1"]));
    let states: Vec<_> = view["workers"].as_array().unwrap().iter().map(|worker| &worker["state"]).collect();
    assert_eq!(states, ["failed", "succeeded", "succeeded"]);
}
