//! Operators at a terminal and beside a run: the question before it, an abort that puts back, and a
//! `workers.json` that changes between a crash and the resume.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::run_bench::RunBench;
use crate::run_faults::{apply_until_reboot, crash_at_reboot, end, plan, worker};
use crate::support::wait_until;

/// Runs the program on a terminal of its own (`script` of util-linux), and types `keys` when it asks.
/// Its exit code, and what the screen showed.
pub(crate) fn on_a_terminal(bench: &RunBench, arguments: &[&str], keys: &[u8]) -> (Option<i32>, String) {
    let words: Vec<String> = [env!("CARGO_BIN_EXE_maand")]
        .iter()
        .chain(arguments)
        .map(|word| format!("'{}'", word.replace('\'', "'\\''")))
        .collect();
    let mut child = Command::new("script")
        .args(["-q", "-e", "-c", &format!("exec {}", words.join(" ")), "/dev/null"])
        .current_dir(bench.path("."))
        .env("TERM", "xterm")
        .env_remove("MAAND_YES")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
    let mut typed = false;
    while let Ok(read @ 1..) = screen.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..read]);
        if !typed && String::from_utf8_lossy(&shown).contains("[y/N]") {
            keyboard.write_all(keys).unwrap();
            keyboard.flush().unwrap();
            typed = true;
        }
    }
    let text = String::from_utf8_lossy(&shown).into_owned();
    assert!(typed, "it did not ask: {text}");
    (child.wait().unwrap().code(), text)
}

#[test]
fn nothing_is_touched_before_an_operator_says_yes() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = plan(&bench, 0);
    let boots = bench.boots();
    for (keys, what) in
        [(&b"n\n"[..], "no"), (b"\n", "just Enter"), (b"\x04", "end of file"), (b"\x03", "Ctrl-C")]
    {
        let (code, text) = on_a_terminal(&bench, &["plan", "apply", &plan], keys);
        assert!(code.is_some_and(|code| code != 0), "{what}: {code:?} {text}");
        assert!(text.contains(&bench.host(0)) || text.contains("1 worker"), "{what}: {text}");
        assert_eq!((bench.boots(), bench.requests()), (boots.clone(), vec![0]), "{what}");
        assert!(!bench.path("workspace/disabled.json").exists(), "{what}");
    }
    let (code, text) = on_a_terminal(&bench, &["plan", "apply", &plan], b"y\n");
    assert_eq!(code, Some(0), "{text}");
    bench.assert_rebooted_once(&boots, "after a yes");
}

#[test]
fn an_abort_that_reverts_puts_the_workers_back() {
    let Some(bench) = RunBench::new(2) else { return };
    let own = bench.own_plan(
        "version: 1\nname: own\nrollout: {concurrency: 2}\nsteps:\n  - disable\n  - deploy\n  - approve\n  \
         - reboot: {down_within: 20s}\n  - wait_for_ssh: {settle: 0s}\n  - enable\n  - deploy\n",
    );
    let boots = bench.boots();
    bench.expect(5, &["plan", "apply", &own, "--yes"]);
    assert_eq!(bench.disabled().len(), 2);
    assert!(!bench.is_up(0) && !bench.is_up(1));
    let (stdout, stderr) = bench.expect(0, &["plan", "abort", "--revert"]);
    let status = bench.status();
    assert_eq!(status["state"], "aborted", "{stdout}{stderr}");
    assert_eq!(status["left_disabled"], serde_json::json!([]));
    assert!(bench.disabled().is_empty() && bench.is_up(0) && bench.is_up(1));
    assert_eq!(bench.boots(), boots);
}

#[test]
fn an_abort_in_the_middle_of_a_reboot_enables_only_who_is_seen_back() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = plan(&bench, 0);
    let child = apply_until_reboot(&bench, &plan);
    bench.expect(0, &["plan", "abort", "--revert"]);
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    let status = bench.status();
    let host = bench.host(0);
    let listed = status["left_disabled"] == serde_json::json!([host]);
    assert_eq!(bench.disabled().contains(&host), listed, "{status}");
    let state = worker(&status, &host)["state"].as_str().unwrap().to_owned();
    if !listed {
        assert!(bench.is_up(0), "{state}");
    } else {
        assert!(stdout.contains("Left disabled"), "{stdout}");
    }
}

#[test]
fn a_workers_json_that_changes_between_crash_and_resume_is_said_and_the_run_keeps_its_own_workers() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    let boots = bench.boots();
    crash_at_reboot(&bench, &plan);
    // One more, which cannot be reached.
    let text = fs::read_to_string(bench.path("workspace/workers.json")).unwrap();
    let more = text.trim_end().strip_suffix(']').unwrap().to_owned() + ", {\"host\": \"127.9.9.9\"}]";
    bench.write("workspace/workers.json", &more);
    let (_, stderr) = bench.expect(3, &["plan", "resume"]);
    assert!(stderr.contains("workers.json has changed") && stderr.contains("--accept-changes"), "{stderr}");
    let (stdout, stderr) = bench.expect(0, &["plan", "resume", "--accept-changes"]);
    assert!(!stdout.contains("127.9.9.9"), "{stdout}{stderr}");
    bench.assert_rebooted_once(&boots, "the workers that it began with");
    // Put back, it is as if nothing had been.
    bench.write("workspace/workers.json", &text);
    bench.build_and_deploy();
    let boots = bench.boots();
    crash_at_reboot(&bench, &plan);
    bench.write("workspace/workers.json", &more);
    let (_, stderr) = bench.expect(3, &["plan", "resume"]);
    assert!(stderr.contains("workers.json has changed"), "{stderr}");
    bench.write("workspace/workers.json", &text);
    bench.expect(0, &["plan", "resume"]);
    wait_until("both are up", || bench.is_up(0) && bench.is_up(1));
    bench.assert_rebooted_once(&boots, "put back");
}

#[test]
fn who_follows_the_logs_sees_a_running_step_write() {
    let Some(bench) = RunBench::new(1) else { return };
    let own = bench.own_plan(
        "version: 1\nname: own\nsteps:\n  - run: {command: 'echo line-one; while [ ! -e /run/go ]; do sleep 0.1; done; echo line-two', undo: none}\n    id: work\n",
    );
    let run = bench.spawn(&["plan", "apply", &own, "--yes"]);
    wait_until("the run has begun", || {
        let out = bench.maand(&["plan", "status", "--output", "json"]);
        String::from_utf8_lossy(&out.stdout).contains("\"running\"")
    });
    let mut logs = bench.spawn(&["plan", "logs", "--follow"]);
    let mut screen = logs.stdout.take().unwrap();
    let (mut shown, mut buffer, mut released) = (Vec::new(), [0; 4096], false);
    while let Ok(read @ 1..) = screen.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..read]);
        // It was shown while the step still waits for us.
        if !released && String::from_utf8_lossy(&shown).contains("work | line-one\n") {
            bench.fleet.sh_ok(0, "touch /run/go");
            released = true;
        }
    }
    let text = String::from_utf8_lossy(&shown).into_owned();
    assert!(released, "{text}");
    // Once in the output, beside the command itself.
    assert_eq!(text.matches("| line-one").count(), 1, "{text}");
    assert_eq!(text.matches("| line-two").count(), 1, "{text}");
    assert_eq!(logs.wait().unwrap().code(), Some(0));
    assert_eq!(end(run).0, Some(0));
}
