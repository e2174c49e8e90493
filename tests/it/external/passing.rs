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
    assert!(stderr.contains(&format!("{} | make: Entering", bench.host(0))), "{stderr}");
    assert_eq!(bench.database_seq(), seq + 1);
    bench.expect(0, &["job", "restart", "web", "--allocations", &bench.host(1)]);
    assert_eq!(bench.done(1, "web").last().unwrap(), "restart");
    bench.fleet.unplug(0);
    bench.expect(1, &["deploy"]);
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
    bench.expect(0, &["plan", "validate", &plan]);
    let all = bench.json(0, &["cat", "allocations"]);
    assert!(all.to_string().contains(&bench.host(1)), "{all}");
    bench.json(0, &["info"]);
    assert_eq!(bench.database(), before);
    assert_eq!(bench.ran().len(), begun, "{:?}", &bench.ran()[begun..]);
    assert!(fs::read_dir(bench.path("data")).unwrap().flatten().all(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name == "maand.db" || !name.starts_with("maand.db")
    }));
}
