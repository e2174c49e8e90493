//! After something failed: the same run is taken up again, for one worker or several, also behind its end; what it
//! has left disabled stays known as its own.

use std::fs;

use crate::operator_controls::on_a_terminal;
use crate::run_bench::RunBench;
use crate::run_faults::{end, worker};
use crate::support::wait_until;

/// One worker after the other; `patch` fails where the file `root/fixed` is missing.
fn patch_plan(bench: &RunBench, max_failures: u32) -> String {
    bench.own_plan(&format!(
        "version: 1\nname: patch\nrollout: {{concurrency: 1, max_failures: {max_failures}}}\nsteps:\n  - disable\n  \
         - deploy\n  - id: patch\n    run: {{command: test -e /root/fixed, idempotent: true, undo: none}}\n  - reboot: {{down_within: 20s}}\n  \
         - wait_for_ssh: {{settle: 0s}}\n  - enable\n  - deploy\n  - health\n"
    ))
}

fn fix(bench: &RunBench, workers: &[usize]) {
    for i in workers {
        fs::write(bench.fleet.disk(*i).join("root/fixed"), "").unwrap();
    }
}

fn run_of(bench: &RunBench) -> String {
    bench.status()["run"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_that_has_ended_with_failed_workers_is_taken_up_again_with_one_command() {
    let Some(bench) = RunBench::new(3) else { return };
    let plan = patch_plan(&bench, 2);
    fix(&bench, &[2]);
    let boots = bench.boots();
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let before = bench.status();
    assert_eq!(before["state"], "failed", "{before}");
    assert_eq!(bench.disabled().len(), 2);
    assert!(stdout.lines().any(|line| line.trim() == "maand plan resume --retry"), "{stdout}");
    assert!(!stdout.contains("maand deploy"), "nobody has to edit a file: {stdout}");
    // What it has left is its own for the next plan as well, and not all is well while that is so.
    let id = run_of(&bench);
    let (stdout, stderr) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let said = format!("{stdout}{stderr}");
    assert!(said.contains(&format!("by run {id} of plan patch, failed at `patch`")), "{said}");
    assert!(
        said.contains("maand::run::left_behind") && !said.contains("disabled in disabled.json before"),
        "{said}"
    );
    bench.expect(0, &["plan", "apply", &plan, "--yes", "--leave-drained"]);
    // The command is in what was said, and works as it stands.
    let command = format!("maand plan resume {id} --retry {}", bench.host(0));
    assert!(said.lines().any(|line| line.trim().trim_start_matches("│ ") == command), "{said}");
    fix(&bench, &[0, 1]);
    bench.expect(0, &["plan", "resume", &id, "--retry"]);
    // The third one by the two plans in between, too.
    assert_eq!(bench.boots(), [boots[0] + 1, boots[1] + 1, boots[2] + 3]);
    assert!((0..3).all(|i| bench.is_up(i)) && bench.disabled().is_empty());
    let after = bench.json(0, &["plan", "status", &id]);
    assert_eq!((&after["state"], &after["counts"]["succeeded"]), (&"succeeded".into(), &3.into()), "{after}");
    let (first, then) = (worker(&before, &bench.host(0)), worker(&after, &bench.host(0)));
    assert_eq!(first["started_at"], then["started_at"], "times are not reset");
    assert_eq!((&then["retries"], &worker(&after, &bench.host(2))["retries"]), (&1.into(), &0.into()));
    assert!((0..3).all(|i| bench.claim(i).is_none()), "claims are given back");
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
}

#[test]
fn several_workers_are_retried_and_skipped_together_also_behind_the_end() {
    let Some(bench) = RunBench::new(3) else { return };
    let plan = patch_plan(&bench, 2);
    let boots = bench.boots();
    let all = [bench.host(0), bench.host(1), bench.host(2)];
    bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert_eq!(bench.status()["state"], "halted");
    let (_, stderr) = bench.expect(3, &["plan", "retry", "--workers", &format!("{},10.9.9.9", all[0])]);
    assert!(stderr.contains("10.9.9.9 is no worker of this run"), "{stderr}");
    assert_eq!(worker(&bench.status(), &all[0])["state"], "failed", "all or nothing");
    fix(&bench, &[0, 1]);
    let (stdout, _) =
        bench.expect(1, &["plan", "resume", "--retry", &all[0..2].join(","), "--skip", &all[2]]);
    let status = bench.status();
    assert_eq!((&status["state"], &worker(&status, &all[2])["state"]), (&"failed".into(), &"skipped".into()));
    assert!(stdout.contains("Left disabled"), "{stdout}");
    // It has ended, and an operator thinks better of it.
    fix(&bench, &[2]);
    bench.expect(0, &["plan", "retry", "--workers", &all[2]]);
    assert_eq!(bench.status()["state"], "interrupted");
    bench.expect(0, &["plan", "resume", "--yes"]);
    bench.assert_rebooted_once(&boots, "after the second retry");
}

#[test]
fn a_controller_killed_while_the_run_is_taken_up_again_loses_nothing() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = patch_plan(&bench, 1);
    fix(&bench, &[1]);
    let boots = bench.boots();
    bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    fix(&bench, &[0]);
    let mut child = bench.spawn(&["plan", "resume", "--retry"]);
    wait_until("the reboot", || bench.requests()[0] > 0);
    child.kill().unwrap();
    end(child);
    assert!(bench.claim(0).is_some(), "the worker is claimed again");
    bench.expect(0, &["plan", "resume"]);
    bench.assert_rebooted_once(&boots, "after a crash of the second controller");
}

#[test]
fn what_is_refused_leaves_an_ended_run_as_it_was() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = patch_plan(&bench, 2);
    bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let (host, other) = (bench.host(0), bench.host(1));
    // The workspace has changed meanwhile.
    bench.write("workspace/jobs/web/extra", "new");
    let (_, stderr) = bench.expect(3, &["plan", "resume", "--leave-drained", "--retry"]);
    assert!(stderr.contains("maand plan resume --retry --leave-drained --accept-changes"), "{stderr}");
    assert_eq!(bench.status()["state"], "failed");
    fs::remove_file(bench.path("workspace/jobs/web/extra")).unwrap();
    // An operator has enabled a worker in the middle of its steps: is it drained or not?
    bench.write("workspace/disabled.json", &format!("{{\"workers\": [\"{other}\"]}}\n"));
    fix(&bench, &[0, 1]);
    let (_, stderr) = bench.expect(3, &["plan", "resume", "--retry"]);
    assert!(stderr.contains(&host) && stderr.contains("put it back"), "{stderr}");
    assert_eq!(bench.status()["state"], "failed");
    // The other one alone can be taken up, and the first is not disabled again behind the operator's back.
    bench.expect(1, &["plan", "resume", "--retry", &other]);
    assert_eq!(bench.disabled().len(), 0, "{:?} of {host}, {other}", bench.disabled());
    let status = bench.status();
    assert_eq!(
        (&worker(&status, &other)["state"], &worker(&status, &host)["state"]),
        (&"succeeded".into(), &"failed".into())
    );
    let (_, stderr) = bench.expect(3, &["plan", "resume", "--retry", "10.9.9.9"]);
    assert!(stderr.contains("10.9.9.9 is no worker of this run"), "{stderr}");
}

#[test]
fn an_abort_asks_on_a_terminal_and_has_done_what_was_asked() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = patch_plan(&bench, 0);
    bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let (code, text) = on_a_terminal(&bench, &["plan", "abort"], b"n\n");
    assert_eq!(code, Some(6), "{text}");
    assert!(text.contains("for good") && text.contains(&bench.host(0)), "{text}");
    assert_eq!(bench.status()["state"], "halted");
    let (code, text) = on_a_terminal(&bench, &["plan", "abort"], b"y\n");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(bench.status()["state"], "aborted");
    let (_, stderr) = bench.expect(3, &["plan", "resume", "--retry"]);
    assert!(stderr.contains("aborted"), "{stderr}");
    // Whose entry it is stays known.
    fix(&bench, &[0, 1]);
    let (stdout, stderr) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let said = format!("{stdout}{stderr}");
    assert!(said.contains("of plan patch, which was aborted"), "{said}");
}

#[test]
fn commands_in_doubt_are_answered_worker_by_worker() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = bench.own_plan(
        "version: 1\nname: doubt\nrollout: {concurrency: 2}\nsteps:\n  - id: once\n    run: {command: 'echo ran >> /root/ran; sleep 600', undo: none}\n",
    );
    let mut child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    let ran = |i: usize| {
        let text = fs::read_to_string(bench.fleet.disk(i).join("root/ran"));
        text.map_or(0, |text| text.lines().count())
    };
    wait_until("both commands", || ran(0) == 1 && ran(1) == 1);
    child.kill().unwrap();
    end(child);
    let (stdout, _) = bench.expect(5, &["plan", "resume"]);
    let (first, second) = (bench.host(0), bench.host(1));
    let command = format!("maand plan resume --in-doubt {first}=done,{second}=done");
    assert!(stdout.lines().any(|line| line.trim() == command), "{stdout}");
    let (_, stderr) = bench.expect(2, &["plan", "resume", "--in-doubt", "perhaps"]);
    assert!(stderr.contains("rerun, done, skip"), "{stderr}");
    bench.expect(3, &["plan", "resume", "--in-doubt", "10.9.9.9=done"]);
    let (stdout, _) = bench.expect(5, &["plan", "resume", "--in-doubt", &format!("{first}=done")]);
    assert!(
        stdout.contains(&format!("{second}=done")) && !stdout.contains(&format!("{first}=done")),
        "{stdout}"
    );
    bench.expect(0, &["plan", "resume", "--in-doubt", &format!("{second}=skip")]);
    assert_eq!((ran(0), ran(1)), (1, 1));
}
