//! The stand-in itself: it has the faults of upstream that the engine has to live with, and it sees when
//! two commands run at once. If these tests fail, the others prove nothing.

use std::fs;

use serde_json::json;

use super::bench::External;
use crate::run_faults::end;

#[test]
fn of_two_commands_at_once_one_dies_and_the_other_loses_the_files_of_its_jobs() {
    let Some(bench) = External::new(2) else { return };
    bench.assert_no_overlap();
    for (done, second) in [&["deploy"][..], &["deploy", "--dry-run"], &["build"]].into_iter().enumerate() {
        bench.write("workspace/jobs/web/version", &done.to_string());
        bench.upstream_ok(&["build"]);
        let (seq, before) = (bench.database_seq(), bench.reached("rolled-out"));
        bench.hold("rolled-out");
        let first = bench.upstream_spawn(&["deploy"]);
        bench.wait_for_phase("rolled-out", before);
        assert!(bench.on_worker(0, "jobs/web/Makefile").exists());
        let (_, stderr) = bench.upstream_ends(1, second);
        assert!(stderr.contains("database is locked"), "{stderr}");
        assert!(!bench.path("tmp").exists(), "{second:?}");
        bench.release("rolled-out");
        let (code, _, stderr) = end(first);
        assert_eq!(code, Some(0), "{stderr}");
        for i in 0..2 {
            assert!(!bench.on_worker(i, "jobs/web/Makefile").exists(), "{second:?}");
            assert!(bench.on_worker(i, "jobs/web/data/log").exists());
        }
        assert_eq!(bench.database_seq(), seq + 1, "only one of them is counted");
        let overlaps = bench.overlaps();
        assert_eq!(overlaps.len(), done + 1, "{overlaps:?}");
        assert_eq!(overlaps[done]["others"][0]["args"], json!(["deploy"]));
        // Nothing is to do, as the database sees it; this brings them back, and restarts nothing.
        bench.upstream_ok(&["deploy"]);
        assert!(!bench.on_worker(0, "jobs/web/Makefile").exists());
        let before = bench.done(0, "web");
        bench.upstream_ok(&["deploy", "--sync-only", "--force", "--jobs", "web"]);
        assert!((0..2).all(|i| bench.on_worker(i, "jobs/web/Makefile").exists()));
        assert_eq!(bench.done(0, "web"), before);
    }
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bench.assert_no_overlap()));
    assert!(failed.is_err(), "a run with an overlap must fail its test");
}

#[test]
fn a_worker_that_is_down_fails_the_deploy_for_all_and_only_a_rollout_repairs_job_control() {
    let Some(bench) = External::new(2) else { return };
    assert_eq!((bench.database_seq(), bench.update_seq(0), bench.update_seq(1)), (1, 1, 1));
    bench.upstream_ok(&["job", "status", "web"]);
    // Down, disabled, and nothing is to do.
    bench.write("workspace/disabled.json", &json!({"workers": [bench.host(1)]}).to_string());
    bench.upstream_ok(&["build"]);
    bench.upstream_ok(&["deploy"]);
    bench.fleet.unplug(1);
    let (_, stderr) = bench.upstream_ends(1, &["deploy"]);
    assert!(stderr.contains(&bench.host(1)) && stderr.contains("exit 255"), "{stderr}");
    bench.fleet.plug(1);
    // Each of them has raised the number: one that only stopped, and one that failed. So does one
    // without anything to do. The workers were told of none.
    bench.upstream_ok(&["deploy"]);
    assert_eq!((bench.database_seq(), bench.update_seq(0), bench.update_seq(1)), (4, 1, 1));
    let (_, stderr) = bench.upstream_ends(1, &["job", "status", "web", "--allocations", &bench.host(0)]);
    assert!(stderr.contains("command execution failed (exit 3)"), "{stderr}");
    assert!(stderr.contains(&bench.host(1)), "all workers are looked at: {stderr}");
    let (done, before) = (bench.done(0, "web"), bench.done(1, "web"));
    bench.upstream_ok(&["deploy", "--sync-only", "--force", "--jobs", "web"]);
    assert_eq!((bench.update_seq(0), bench.update_seq(1)), (5, 5));
    assert_eq!(bench.done(0, "web"), done, "nothing is restarted");
    bench.upstream_ok(&["job", "status", "web"]);
    // What is disabled is stopped again each time; jobs.json does not know that it is disabled.
    assert_eq!(bench.done(1, "web").len(), before.len() + 1);
    let jobs = fs::read_to_string(bench.on_worker(1, "jobs.json")).unwrap();
    assert!(jobs.contains("\"disabled\":0"), "{jobs}");
    bench.upstream_ok(&["deploy", "--force", "--jobs", "web"]);
    assert_eq!(bench.done(0, "web").last().unwrap(), "restart");
    // Enabled again, and started.
    bench.write("workspace/disabled.json", "{}");
    bench.upstream_ok(&["build"]);
    bench.upstream_ok(&["deploy"]);
    assert!(bench.is_up(1));
    assert_eq!(bench.done(1, "web").last().unwrap(), "start");
    bench.assert_no_overlap();
}

#[test]
fn a_stop_that_fails_ends_the_deploy_and_a_killed_one_forgets_what_it_had_done() {
    let Some(bench) = External::new(2) else { return };
    let makefile = fs::read_to_string(bench.path("workspace/jobs/web/Makefile")).unwrap();
    bench.write(
        "workspace/jobs/web/Makefile",
        &makefile
            .replace("stop:\n", "stop:\n\t@test ! -e /root/stuck || { echo it will not stop; exit 7; }\n"),
    );
    bench.upstream_ok(&["build"]);
    // Killed after it has restarted both: it does so once more.
    let restarts = |i| bench.done(i, "web").iter().filter(|what| *what == "restart").count();
    bench.hold("rolled-out");
    let mut killed = bench.upstream_spawn(&["deploy"]);
    bench.wait_for_phase("rolled-out", 1);
    killed.kill().unwrap();
    killed.wait().unwrap();
    bench.release("rolled-out");
    assert_eq!((restarts(0), restarts(1)), (1, 1));
    bench.upstream_ok(&["deploy"]);
    assert_eq!((restarts(0), restarts(1)), (2, 2));
    bench.assert_no_overlap();
    // Nothing is started anywhere while a stop fails.
    bench.job("other", "1.0.0", json!({}));
    bench.write("workspace/disabled.json", &json!({"workers": [bench.host(0)]}).to_string());
    bench.fleet.sh_ok(0, "touch /root/stuck");
    bench.upstream_ok(&["build"]);
    let (_, stderr) = bench.upstream_ends(1, &["deploy"]);
    assert!(stderr.contains(&format!("{} | it will not stop", bench.host(0))), "{stderr}");
    assert!(!bench.on_worker(1, "jobs/other").exists());
}

#[test]
fn nothing_starts_while_something_of_the_same_job_is_disabled() {
    let Some(bench) = External::new(2) else { return };
    bench.job("web", "1.0.0", {
        let mut manifest = crate::run_bench::web_manifest();
        manifest["health_check"]["wait"]["attempts"] = 1.into();
        manifest
    });
    bench.write("workspace/jobs/web/Makefile", crate::run_bench::MAKEFILE);
    let disable = |i: usize| {
        bench.write("workspace/disabled.json", &json!({"workers": [bench.host(i)]}).to_string());
        bench.upstream_ok(&["build"]);
    };
    disable(0);
    bench.upstream_ok(&["deploy"]);
    // The other way round: the first waits for its start, and is not well before it.
    disable(1);
    let (_, stderr) = bench.upstream_ends(1, &["deploy"]);
    assert!(stderr.contains("health check failed: web"), "{stderr}");
    assert!(!bench.is_up(0) && !bench.is_up(1));
    let runner =
        format!("python3 /opt/worker/{0}/bin/runner.py {0} start --jobs web", crate::catalog::BUCKET_ID);
    bench.fleet.sh_ok(0, &runner);
    bench.upstream_ok(&["deploy"]);
    assert_eq!(bench.done(0, "web").iter().rev().take(2).collect::<Vec<_>>(), ["start", "start"]);
}

#[test]
fn a_job_that_is_disabled_everywhere_is_stopped_and_cannot_be_rendered() {
    let Some(bench) = External::new(2) else { return };
    bench.solo(1, "solo.conf.tpl");
    bench.upstream_ok(&["build"]);
    bench.upstream_ok(&["deploy"]);
    let rendered = fs::read_to_string(bench.on_worker(1, "jobs/solo/solo.conf")).unwrap();
    assert_eq!(rendered, "port=4711\n");
    bench.write("workspace/disabled.json", &json!({"workers": [bench.host(1)]}).to_string());
    bench.upstream_ok(&["build"]);
    // Every time again, and it is stopped every time.
    for _ in 0..2 {
        let (_, stderr) = bench.upstream_ends(1, &["deploy"]);
        assert!(stderr.contains("deploy failed:\nexecute template solo.conf.tpl: "), "{stderr}");
        assert!(stderr.contains("key not found or deleted"), "{stderr}");
        assert_eq!(bench.done(1, "solo").last().unwrap(), "stop");
    }
    bench.write("workspace/disabled.json", "{}");
    bench.upstream_ok(&["build"]);
    bench.upstream_ok(&["deploy"]);
    assert_eq!(bench.done(1, "solo"), ["start", "stop", "stop", "start"]);
    bench.assert_no_overlap();
}

#[test]
fn a_dry_run_runs_the_hooks_that_come_before_a_deploy() {
    let Some(bench) = External::new(1) else { return };
    bench.hooked();
    bench.upstream_ok(&["build"]);
    bench.upstream_ok(&["deploy"]);
    assert_eq!(bench.hooks(), 1);
    bench.upstream_ok(&["deploy", "--dry-run"]);
    assert_eq!(bench.hooks(), 2);
    bench.upstream_ok(&["job", "status", "web"]);
    bench.upstream_ok(&["job", "create", "new"]);
    assert_eq!(bench.hooks(), 2);
    bench.assert_no_overlap();
}

#[test]
fn what_it_prints_and_what_it_refuses() {
    let Some(bench) = External::new(1) else { return };
    // The ssh_port of the bucket is another one than it uses; only health_check looks at it.
    let (stdout, _) = bench.upstream_ok(&["health_check", "--wait"]);
    assert!(stdout.contains("health check passed: web"), "{stdout}");
    let conf = fs::read_to_string(bench.path("maand.conf")).unwrap();
    bench.write("maand.conf", &conf.replace("2222", "2223"));
    bench.upstream_ends(1, &["health_check"]);
    bench.upstream_ok(&["job", "restart", "web"]);
    // rsync --delete, and tmp/ is gone.
    let theirs = bench.on_worker(0, "jobs/web/theirs");
    fs::write(&theirs, "").unwrap();
    bench.write("tmp/theirs", "");
    bench.upstream_ok(&["deploy", "--force"]);
    assert!(!theirs.exists() && bench.on_worker(0, "jobs/web/data/log").exists());
    assert!(!bench.path("tmp").exists());
    let (stdout, _) = bench.upstream_ok(&["cat", "workers"]);
    assert!(stdout.contains(&bench.host(0)), "{stdout}");
    let (_, stderr) = bench.upstream_ends(1, &["cat", "kv"]);
    assert_eq!(stderr, "not found: kv\n");
    bench.upstream_ends(1, &["no-such-command"]);
    bench.upstream_ends(1, &["--version"]);
    bench
        .write("workspace/workers.json", &json!([{"host": bench.host(0), "labels": ["worker"]}]).to_string());
    let (_, stderr) = bench.upstream_ends(1, &["build"]);
    assert!(stderr.contains("worker"), "{stderr}");
    bench.assert_no_overlap();
}
