//! Commands that are handed to the upstream program as they were typed.

use std::fs;

use super::bench::External;
use crate::run_faults::end;

#[test]
fn output_and_exit_codes_are_upstreams_own() {
    let Some(bench) = External::new(2) else { return };
    let alike = |arguments: &[&str]| {
        let (theirs, ours) = (bench.upstream(arguments), bench.maand(arguments));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(theirs.status.code(), ours.status.code(), "{arguments:?}: {}", text(&ours.stderr));
        assert_eq!(text(&theirs.stdout), text(&ours.stdout), "{arguments:?}");
        assert_eq!(text(&theirs.stderr), text(&ours.stderr), "{arguments:?}");
        (ours.status.code().unwrap(), text(&ours.stdout), text(&ours.stderr))
    };
    let (code, stdout, _) = alike(&["cat", "workers"]);
    assert!(code == 0 && stdout.contains(&bench.host(1)), "{stdout}");
    let (code, _, stderr) = alike(&["cat", "kv"]);
    assert_eq!((code, stderr.as_str()), (1, "not found: kv\n"));
    assert_eq!(alike(&["gc"]).0, 0);
    assert_eq!(alike(&["no-such-command", "--at", "all"]).0, 1);
    assert_eq!(alike(&["build"]).0, 0);
    assert_eq!(alike(&["deploy", "--dry-run"]).0, 0);
    assert_eq!(alike(&["health_check", "--jobs", "web", "--wait"]).0, 0);
    assert_eq!(alike(&["job", "status", "no-such-job"]).0, 1);
    // A deploy through us counts as one, and its words come as it wrote them.
    let seq = bench.database_seq();
    let (_, stderr) = bench.expect(0, &["deploy", "--force", "--jobs", "web"]);
    assert!(stderr.contains(&format!("web@{} | building file list", bench.host(0))), "{stderr}");
    assert_eq!(bench.database_seq(), seq + 1);
    bench.expect(0, &["job", "restart", "web", "--allocations", &bench.host(1)]);
    assert_eq!(bench.done(1, "web").last().unwrap(), "restart");
    bench.fleet.unplug(0);
    bench.expect(1, &["deploy"]);
    bench.assert_no_overlap();
}

#[test]
fn a_typed_deploy_whose_files_another_command_has_taken_away_is_no_success() {
    let Some(bench) = External::new(2) else { return };
    bench.write("workspace/jobs/web/version", "2");
    bench.expect(0, &["build"]);
    bench.hold("rolled-out");
    let first = bench.spawn(&["deploy"]);
    bench.wait_for_phase("rolled-out", 1);
    // By hand, past our lock.
    bench.upstream_ends(1, &["deploy"]);
    bench.release("rolled-out");
    let (code, _, stderr) = end(first);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("maand::external::files_missing"), "{stderr}");
    let repair = "maand deploy --sync-only --force --jobs web";
    let flat = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(repair) && flat.contains(&bench.host(1)), "{stderr}");
    assert!(!bench.on_worker(0, "jobs/web/Makefile").exists());
    let words: Vec<&str> = repair.split(' ').skip(1).collect();
    bench.expect(0, &words);
    assert!((0..2).all(|i| bench.on_worker(i, "jobs/web/Makefile").exists()));
    bench.expect(0, &["deploy"]);
}

#[test]
fn a_command_that_was_started_past_the_lock_is_not_disturbed() {
    let Some(bench) = External::new(1) else { return };
    bench.hold("checked");
    let theirs = bench.upstream_spawn(&["deploy", "--force"]);
    bench.wait_for_phase("checked", 1);
    let (_, stderr) = bench.expect(4, &["build"]);
    assert!(stderr.contains(&format!("`maand deploy` (process {})", theirs.id())), "{stderr}");
    bench.release("checked");
    let (code, _, stderr) = end(theirs);
    assert_eq!(code, Some(0), "{stderr}");
    bench.assert_no_overlap();
}

#[test]
fn what_only_looks_or_scaffolds_runs_no_hooks() {
    let Some(bench) = External::new(2) else { return };
    bench.hooked();
    bench.expect(0, &["build"]);
    bench.expect(0, &["deploy"]);
    // Job control is behind, and nobody is in a hurry.
    bench.expect(0, &["deploy"]);
    let (hooks, seq) = (bench.hooks(), bench.database_seq());
    let plan = bench.plan("rolling-reboot.yaml");
    bench.maand(&["job", "status", "web"]);
    bench.expect(0, &["job", "create", "new"]);
    for looks in [
        &["info"][..],
        &["cat", "jobs"],
        &["plan", "validate", &plan],
        &["plan", "show", &plan],
        &["health_check"],
        &["run_command", "true", "--health_check"],
    ] {
        bench.expect(0, looks);
    }
    assert_eq!((bench.hooks(), bench.database_seq()), (hooks, seq), "{:?}", bench.ran());
    // What acts puts it right first.
    bench.expect(0, &["job", "restart", "web"]);
    assert_eq!(bench.done(0, "web").last().unwrap(), "restart");
    // With another job to carry the number, not even then.
    bench.job("plain", "1.0.0", serde_json::json!({}));
    bench.write("workspace/jobs/plain/Makefile", crate::run_bench::MAKEFILE);
    bench.expect(0, &["build"]);
    bench.expect(0, &["deploy"]);
    bench.expect(0, &["deploy"]);
    let hooks = bench.hooks();
    bench.expect(0, &["job", "restart", "web"]);
    assert_eq!(bench.hooks(), hooks);
    bench.assert_no_overlap();
}

#[test]
fn commands_wait_for_the_lock_and_say_who_has_it() {
    let Some(bench) = External::new(1) else { return };
    bench.hold("checked");
    let first = bench.spawn(&["deploy", "--force"]);
    bench.wait_for_phase("checked", 1);
    let begun = bench.ran().len();
    for command in [&["deploy"][..], &["gc"], &["build"]] {
        let (_, stderr) = bench.expect(4, command);
        assert!(stderr.contains("maand::locked") && stderr.contains("maand deploy"), "{stderr}");
    }
    assert_eq!(bench.ran().len(), begun);
    // Looking is allowed.
    bench.expect(0, &["cat", "workers"]);
    let (stdout, _) = bench.expect(0, &["info"]);
    assert!(stdout.contains("maand deploy"), "{stdout}");
    bench.release("checked");
    let (code, _, stderr) = end(first);
    assert_eq!(code, Some(0), "{stderr}");
    bench.expect(0, &["build"]);
    bench.assert_no_overlap();
}

#[test]
fn info_and_show_tell_what_there_is_to_know_and_leave_no_trace() {
    let Some(bench) = External::new(2) else { return };
    let plan = bench.plan("rolling-reboot.yaml");
    let begun = bench.ran().len();
    let before = bench.database();
    assert_eq!(before.len(), 1, "no process has it open");
    let (stdout, _) = bench.expect(0, &["info"]);
    assert!(stdout.contains("external") && stdout.contains("data/maand.db"), "{stdout}");
    assert!(stdout.contains("stand_in_upstream"), "which program: {stdout}");
    let (stdout, stderr) = bench.expect(0, &["plan", "show", &plan]);
    let said = format!("{stdout}{stderr}");
    assert!(said.contains("maand::external::fleet_wide_deploy"), "{said}");
    assert!(!said.contains("maand::external::started_twice"), "one at a time: {said}");
    bench.expect(0, &["plan", "validate", &plan]);
    let all = bench.json(0, &["cat", "allocations"]);
    assert!(all.to_string().contains(&bench.host(1)), "{all}");
    bench.json(0, &["info"]);
    // Who reboots together is started together; what else takes its time is not waited for.
    let twice = |name, change: (&str, &str)| {
        let plan = bench.plan_with(name, &[change]);
        let (stdout, stderr) = bench.expect(0, &["plan", "show", &plan]);
        let said = format!("{stdout}{stderr}");
        said.contains("maand::external::started_twice") && said.contains("web: where one")
    };
    assert!(!twice("rolling-reboot.yaml", ("concurrency: 1 ", "concurrency: 2 ")));
    assert!(!twice("kernel-patch.yaml", ("concurrency: 1", "concurrency: 1")));
    assert!(twice("kernel-patch.yaml", ("concurrency: 1", "concurrency: 2")));
    let drained = serde_json::json!({"workers": [bench.host(1)]}).to_string();
    bench.write("workspace/disabled.json", &drained);
    assert!(twice("rolling-reboot.yaml", ("concurrency: 1 ", "concurrency: 1 ")));
    assert_eq!(bench.database(), before);
    assert_eq!(bench.ran().len(), begun, "{:?}", &bench.ran()[begun..]);
    assert!(fs::read_dir(bench.path("data")).unwrap().flatten().all(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name == "maand.db" || !name.starts_with("maand.db")
    }));
}
