//! The project's own plans over real hosts, from an operator's command line to the state of the hosts.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::catalog::lines;
use crate::run_bench::{RunBench, Watcher, web_manifest};

/// Standard output of a run with `--output json`: every line is JSON with a type; the last is the view.
#[track_caller]
pub(crate) fn view_of(stdout: &str) -> Value {
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    assert!(lines.iter().all(|line| line["type"].is_string() && line["schema"].is_string()));
    let seqs: Vec<u64> = lines.iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
    let last = lines.last().unwrap().clone();
    assert_eq!(last["type"], "run_view");
    last
}

#[test]
fn pattern_a_drains_reboots_and_enables_one_after_the_other() {
    let Some(bench) = RunBench::new(3) else { return };
    let bench = Arc::new(bench);
    let plan = bench.plan("rolling-reboot.yaml");
    // An operator's own entry, which stays as it is.
    let theirs = "{\n  \"jobs\": {\"other\": {\"allocations\": [\"9.9.9.9\"]}},\n  \"workers\": []\n}\n";
    bench.job("other", "1.0.0", json!({"selectors": ["nowhere"]}));
    bench.write("workspace/disabled.json", theirs);
    bench.build_and_deploy();
    // Nobody can be asked.
    let (_, stderr) = bench.expect(2, &["plan", "apply", &plan]);
    assert!(stderr.contains("--yes"), "{stderr}");
    let boots = bench.boots();
    let watcher = Watcher::start(&bench, 1);
    let (stdout, stderr) = bench.expect(0, &["plan", "apply", &plan, "--yes", "--output", "json"]);
    watcher.assert_nothing_seen("pattern A");
    let view = view_of(&stdout);
    assert_eq!(view["state"], "succeeded", "{stderr}");
    // Before it begins it says what looks at more than the workers of the plan.
    assert!(stderr.contains("  of the whole fleet: health"), "{stderr}");
    bench.assert_rebooted_once(&boots, "pattern A");
    let text = std::fs::read_to_string(bench.path("workspace/disabled.json")).unwrap();
    assert_eq!(text, theirs);
    for (i, worker) in view["workers"].as_array().unwrap().iter().enumerate() {
        assert_eq!(worker["host"], bench.host(i));
        assert_eq!(worker["boot_id_after"], bench.fleet.boot_id(i));
        assert_ne!(worker["boot_id_after"], worker["boot_id_before"]);
        // Stopped in good order before the reboot, and started after it.
        let done = lines(&bench.on_worker(i, "jobs/web/data/log"));
        assert_eq!(done.last().unwrap(), "start");
        assert_eq!(done.iter().filter(|what| *what == "stop").count(), 1);
        assert_eq!(bench.claim(i), None);
    }
    // What an operator asks afterwards.
    let run = view["run"].as_str().unwrap();
    let (text, _) = bench.expect(0, &["plan", "status"]);
    let (list, _) = bench.expect(0, &["plan", "list"]);
    assert!(text.contains("succeeded") && list.contains(run), "{text}{list}");
    let (explained, _) = bench.expect(0, &["plan", "explain", run, "--worker", &bench.host(1)]);
    assert!(explained.contains("succeeded"), "{explained}");
    let (logs, _) = bench.expect(0, &["plan", "logs", run, "--worker", &bench.host(1)]);
    assert!(logs.contains(&bench.host(1)) && !logs.contains(&bench.host(2)), "{logs}");
    for i in 0..3 {
        assert!(text.contains(&bench.host(i)), "{text}");
    }
    // A resume of a finished run says so, and does nothing.
    let (_, stderr) = bench.expect(0, &["plan", "resume", run]);
    assert!(stderr.contains("finished"), "{stderr}");
    bench.assert_rebooted_once(&boots, "a needless resume");
}

#[test]
fn pattern_b_reboots_without_draining() {
    let Some(bench) = RunBench::new(2) else { return };
    // A job that comes back with its worker.
    bench.job(
        "web",
        "1.0.0",
        json!({"health_check": {"checks": [{"type": "ssh", "command": "test -d /run/sshd"}]}}),
    );
    bench.build_and_deploy();
    let plan = bench.plan("fleet-reboot.yaml");
    let boots = bench.boots();
    let (stdout, stderr) = bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    assert_eq!(bench.boots(), [boots[0] + 1, boots[1] + 1]);
    assert!(!bench.path("workspace/disabled.json").exists());
    for i in 0..2 {
        assert!(stdout.contains(&bench.host(i)), "{stdout}\n{stderr}");
        let boot_id = bench.fleet.boot_id(i);
        assert!(stdout.contains(&format!("-> {}", &boot_id[..8])), "{stdout}");
    }
    // A simulation goes by what the steps of this run took.
    let outlook = bench.json(0, &["plan", "simulate", &plan]);
    let learnt = &outlook["durations"];
    assert_eq!((&learnt["from"], &learnt["kinds"]["boot"]["samples"]), (&"history".into(), &2.into()));
    assert!(learnt["kinds"]["boot"]["median_ms"].as_i64().is_some_and(|median| median > 0), "{learnt}");
}

#[test]
fn pattern_c_runs_a_command_in_batches() {
    let Some(bench) = RunBench::new(3) else { return };
    let plan = bench.plan("ssh-only.yaml");
    let command = "command=echo \"it's $(hostname)\" > /root/ran";
    let boots = bench.boots();
    let (stdout, _) =
        bench.expect(0, &["plan", "apply", &plan, "--set", command, "--yes", "--output", "json"]);
    assert_eq!(view_of(&stdout)["waves"], 2);
    for i in 0..3 {
        assert_eq!(bench.fleet.sh_ok(i, "cat /root/ran"), format!("it's w{}", i + 1));
    }
    assert_eq!(bench.boots(), boots);
    // Only one of them, and a command that fails: exit code 1, and its output is in the report.
    let command = "command=echo the disk is full; exit 3";
    let only = bench.host(1);
    let (stdout, _) =
        bench.expect(1, &["plan", "apply", &plan, "--set", command, "--yes", "--workers", &only]);
    assert!(stdout.contains("the disk is full") && stdout.contains(&only), "{stdout}");
    assert!(!stdout.contains(&bench.host(0)), "{stdout}");
}

#[test]
fn kernel_patch_reboots_only_who_needs_it() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = bench.plan_with(
        "kernel-patch.yaml",
        &[
            ("apt-get update && apt-get -y --download-only upgrade", "touch /root/downloaded"),
            (
                "DEBIAN_FRONTEND=noninteractive apt-get -y upgrade",
                "test -e /root/downloaded && touch /root/patched; \
                 [ \"$(hostname)\" != w2 ] || touch /var/run/reboot-required",
            ),
        ],
    );
    let boots = bench.boots();
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    assert_eq!(bench.boots(), [boots[0], boots[1] + 1]);
    for i in 0..2 {
        bench.fleet.sh_ok(i, "test -e /root/patched");
        assert!(bench.is_up(i));
    }
    assert!(bench.disabled().is_empty());
}

#[test]
fn restart_service_passes_the_variable() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = bench.plan_with(
        "restart-service.yaml",
        &[
            ("systemctl restart \"$service\"", "touch \"/run/$service\""),
            ("systemctl is-active --quiet \"$service\"", "test -e \"/run/$service\""),
        ],
    );
    bench.expect(0, &["plan", "apply", &plan, "--set", "service=nginx one", "--yes"]);
    for i in 0..2 {
        bench.fleet.sh_ok(i, "test -e '/run/nginx one'");
    }
}

#[test]
fn canary_by_zone_waits_for_an_operator_and_takes_one_zone_at_a_time() {
    let Some(bench) = RunBench::new(4) else { return };
    let workers: Vec<Value> = (0..4)
        .map(|i| json!({"host": bench.host(i), "labels": ["app"], "tags": {"zone": if i % 2 == 0 {"a"} else {"b"}}}))
        .collect();
    bench.write("workspace/workers.json", &Value::from(workers).to_string());
    bench.build_and_deploy();
    let bench = Arc::new(bench);
    let plan = bench.plan("canary-by-zone.yaml");
    let boots = bench.boots();
    let watcher = Watcher::start(&bench, 2);
    // Nobody is there to approve: it ends so that it can be resumed, and nothing was touched.
    let (stdout, _) = bench.expect(5, &["plan", "apply", &plan, "--yes"]);
    assert!(stdout.contains("plan approve"), "{stdout}");
    assert_eq!(bench.boots(), boots);
    bench.expect(0, &["plan", "approve"]);
    bench.expect(0, &["plan", "resume"]);
    watcher.assert_nothing_seen("canary by zone");
    bench.assert_rebooted_once(&boots, "canary by zone");
}

#[test]
fn a_user_without_root_and_without_sudo_keeps_its_state_at_home() {
    let Some(bench) = RunBench::new(1) else { return };
    let conf = std::fs::read_to_string(bench.path("maand.conf")).unwrap();
    bench.write("maand.conf", &conf.replace("\"root\"", "\"agent\""));
    let plan = bench.own_plan(
        "version: 1\nname: own\nsteps:\n  - run: {command: 'touch ~/ran', undo: none, idempotent: true}\n",
    );
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    bench.fleet.sh_ok(0, "test -e /home/agent/ran && test -d /home/agent/.maand");
    // With sudo: the state is the system's.
    bench.write(
        "maand.conf",
        &conf.replace("\"root\"", "\"agent\"").replace("use_sudo = false", "use_sudo = true"),
    );
    let boots = bench.boots();
    bench.job("web", "1.0.0", web_manifest());
    bench.write(
        "sudo.yaml",
        "version: 1\nname: own\nvars: {mark: none}\nsteps:\n  - reboot: {unless: 'test -e \"$mark\"'}\n  - wait_for_ssh: {settle: 0s}\n",
    );
    let plan = bench.path("sudo.yaml").display().to_string();
    // The plan's variables reach `unless`, too.
    bench.expect(0, &["plan", "apply", &plan, "--set", "mark=/etc/passwd", "--yes"]);
    assert_eq!(bench.boots(), boots);
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    assert_eq!(bench.boots(), [boots[0] + 1]);
    bench.fleet.sh_ok(0, "test -d /var/lib/maand");
}
