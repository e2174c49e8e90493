//! The real binary is killed inside an edit of `disabled.json`, operators edit the file before the resume,
//! and no entry is taken for another one's.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use crate::run_bench::RunBench;

/// Applies the plan up to the crash.
#[track_caller]
fn crash(bench: &RunBench, plan: &str, at: &str) {
    let out = bench.command(&["plan", "apply", plan, "--yes"]).env("MAAND_CRASH_EDIT", at).output().unwrap();
    assert_eq!(out.status.signal(), Some(9), "{at}: {}", String::from_utf8_lossy(&out.stderr));
}

/// As an editor or git does it: a whole new file in place of the old one.
fn operator_writes(bench: &RunBench, text: &str) {
    bench.write("workspace/.edited", text);
    fs::rename(bench.path("workspace/.edited"), bench.path("workspace/disabled.json")).unwrap();
}

fn plan(bench: &RunBench) -> String {
    bench.own_plan(
        "version: 1\nname: own\nsteps:\n  - disable\n  - deploy\n  - reboot: {down_within: 20s}\n  \
         - wait_for_ssh: {settle: 0s}\n  - enable\n  - deploy\n  - health\n",
    )
}

#[test]
fn a_crash_anywhere_in_an_edit_changes_nothing_about_the_end() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = plan(&bench);
    // The second time it is swapped is in `enable`.
    for at in ["recorded", "swapped", "noted", "recorded:2", "swapped:2", "noted:3"] {
        let (boots, requests) = (bench.boots(), bench.requests());
        crash(&bench, &plan, at);
        bench.expect(0, &["plan", "resume"]);
        bench.assert_rebooted_once(&boots, at);
        assert_eq!(bench.requests(), [requests[0] + 1], "{at}");
        assert!(!bench.path("workspace/disabled.json").exists(), "{at}: it was not there before");
        let left: Vec<_> = fs::read_dir(bench.path("workspace"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with('.'))
            .collect();
        assert!(left.is_empty(), "{at}: {left:?}");
    }
}

#[test]
fn what_an_operator_disabled_after_a_crash_before_the_edit_is_never_enabled() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = plan(&bench);
    let host = bench.host(0);
    crash(&bench, &plan, "recorded");
    let theirs = format!("{{ \"workers\": [\"{host}\"] }}");
    operator_writes(&bench, &theirs);
    let out = bench.maand(&["plan", "resume"]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(fs::read_to_string(bench.path("workspace/disabled.json")).unwrap(), theirs, "{said}");
    assert!(!bench.is_up(0), "a worker that an operator disabled is not started: {said}");
    // The same in the middle of `enable`: once ours is out, what comes is an operator's.
    fs::remove_file(bench.path("workspace/disabled.json")).unwrap();
    bench.build_and_deploy();
    crash(&bench, &plan, "swapped:2");
    operator_writes(&bench, &theirs);
    bench.maand(&["plan", "resume"]);
    assert_eq!(fs::read_to_string(bench.path("workspace/disabled.json")).unwrap(), theirs);
}

#[test]
fn what_an_operator_adds_beside_ours_after_a_crash_stays_and_ours_goes() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = plan(&bench);
    let boots = bench.boots();
    bench.write("workspace/disabled.json", "{\"workers\": []}");
    crash(&bench, &plan, "swapped");
    operator_writes(&bench, &format!("{{\"workers\": [\"{}\", \"10.9.9.9\"], \"note\": 1}}", bench.host(0)));
    bench.expect(0, &["plan", "resume"]);
    let end = fs::read_to_string(bench.path("workspace/disabled.json")).unwrap();
    assert_eq!(end, "{\"workers\": [\"10.9.9.9\"], \"note\": 1}");
    assert_eq!(bench.boots(), [boots[0] + 1]);
    assert!(bench.is_up(0));
}

#[test]
fn what_cannot_be_told_fails_that_worker_and_is_left_to_an_operator() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = plan(&bench);
    let host = bench.host(0);
    let boots = bench.boots();
    // There was no file before, and now there is another one: nothing is left of the exchange.
    crash(&bench, &plan, "swapped");
    operator_writes(&bench, &format!("{{\"workers\": [\"{host}\", \"10.9.9.9\"]}}"));
    let (stdout, _) = bench.expect(1, &["plan", "resume"]);
    assert!(stdout.contains("cannot be told") && stdout.contains("Left disabled"), "{stdout}");
    assert_eq!(bench.boots(), boots);
    assert!(bench.disabled().contains(&host));
    operator_writes(&bench, "{\"workers\": [\"10.9.9.9\"]}");
    bench.expect(0, &["plan", "retry", "--worker", &host]);
    bench.expect(0, &["plan", "resume"]);
    assert_eq!(bench.boots(), [boots[0] + 1]);
    assert_eq!(bench.disabled().into_iter().collect::<Vec<_>>(), ["10.9.9.9"]);
}
