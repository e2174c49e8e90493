//! Commands of a plan, on real workers and on this machine: where they stand, by whom a script is run, what `unless`
//! may answer, and what of a secret is ever shown.

use std::fs;
use std::os::unix::process::CommandExt;

use maand::engine::Fact;
use maand::journal::{Journal, Mode};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;

use crate::run_bench::RunBench;
use crate::support::wait_until;

/// The output of all attempts.
fn logs(bench: &RunBench) -> String {
    bench.expect(0, &["plan", "logs"]).0
}

const SHOW: &str = "echo here=$MAAND_HOST/$WORKER_IP/$BUCKET_ID/$MAAND_PLAN/$MAAND_RUN/$MAAND_LIST/$MAAND_STEP/\
                    $MAAND_ATTEMPT/$MAAND_LABELS/$MAAND_TAGS/$MAAND_TAG_ZONE/$zone";

#[test]
fn every_command_knows_where_it_stands() {
    let Some(bench) = RunBench::new(1) else { return };
    let host = bench.host(0);
    let workers = json!([{"host": host, "labels": ["app"], "tags": {"zone": "a", "x-y": "1", "x_y": "2"}}]);
    bench.write("workspace/workers.json", &workers.to_string());
    bench.write("show.sh", &format!("#!/bin/sh\n{SHOW}\n"));
    // It fails once, on the worker, so that it is undone and tried again.
    let plan = bench.own_plan(&format!(
        "version: 1
name: places
vars: {{zone: mine}}
rollout: {{on_failure: revert, max_failures: 1}}
before:
  - id: first
    local: {{command: '{SHOW}'}}
steps:
  - id: local
    local: {{script: show.sh, unless: '{SHOW}; false', undo: '{SHOW}/undo', disturbs: true}}
  - id: run
    run: {{script: show.sh, unless: '{SHOW}; false', undo: '{SHOW}/undo'}}
  - id: again
    run: {{command: '{SHOW}; [ $MAAND_ATTEMPT = 2 ]', idempotent: true, disturbs: false, undo: none}}
    retries: {{attempts: 2, delay: 1s}}
  - id: reboot
    reboot: {{command: '{SHOW} > /root/place; env > /root/env; sudo reboot', unless: '{SHOW}; false'}}
  - wait_for_ssh: {{settle: 0s}}
  - id: fails
    run: {{command: exit 9, undo: none}}
after:
  - id: last
    local: {{command: '{SHOW}'}}
"
    ));
    bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let run = bench.status()["run"].as_str().unwrap().to_owned();
    let bucket = crate::catalog::BUCKET_ID;
    let place = |list: &str, step: &str, attempt: u32| {
        if list == "steps" {
            let tags = "x-y=1,x_y=2,zone=a";
            format!(
                "here={host}/{host}/{bucket}/places/{run}/{list}/{step}/{attempt}/app,worker/{tags}/a/mine"
            )
        } else {
            format!("here=//{bucket}/places/{run}/{list}/{step}/{attempt}////mine")
        }
    };
    let logs = logs(&bench);
    let times = |line: &str| logs.lines().filter(|shown| shown.ends_with(&format!("| {line}"))).count();
    assert_eq!(times(&place("before", "first", 1)), 1, "{logs}");
    for step in ["local", "run"] {
        // By `unless`, and by the script.
        assert_eq!(times(&place("steps", step, 1)), 2, "{step}: {logs}");
        assert!(
            logs.contains(&format!("places/{run}/steps/{step}/")) && logs.contains("/mine/undo"),
            "{logs}"
        );
    }
    assert_eq!(times(&place("steps", "again", 1)), 1, "{logs}");
    assert_eq!(times(&place("steps", "again", 2)), 1, "{logs}");
    assert_eq!(times(&place("steps", "reboot", 1)), 1, "{logs}");
    assert_eq!(bench.fleet.sh_ok(0, "cat /root/place"), place("steps", "reboot", 1));
    // Nothing of ours is left in the environment of the reboot command.
    let env = bench.fleet.sh_ok(0, "cat /root/env");
    for name in ["COMMAND=", "B0=", "RECEIPT=", "MODE=", "MAAND_VALUE_", "MAAND_EPOCH"] {
        assert!(!env.lines().any(|line| line.starts_with(name)), "{name}: {env}");
    }
}

#[test]
fn a_script_is_run_by_whom_its_first_line_names_or_is_refused() {
    let Some(bench) = RunBench::new(1) else { return };
    bench.write("awk", "#!/usr/bin/env -S awk -f\r\nBEGIN { print \"by awk\" }\r\n");
    bench.write("strict", "#!/bin/bash -e\necho before\nfalse\necho half way\n");
    bench.write(
        "bom.sh",
        "\u{feff}echo \"bash $BASH_VERSION\" | cut -c1-6\r\ncase x in\r\nx) echo crlf;;\r\nesac",
    );
    let filler = "# it's a filler\n".repeat(65_000);
    bench.write("large.py", &format!("#!/bin/sh\necho large\n{filler}echo end"));
    bench.write("plain", &format!("echo large\n{filler}echo end"));
    let step = |kind: &str, script: &str, more: &str| format!("  - {kind}: {{script: {script}{more}}}\n");
    let mut text = "version: 1\nname: scripts\nsteps:\n".to_owned();
    for script in ["awk", "bom.sh", "large.py", "plain"] {
        text += &step("run", script, ", disturbs: false");
        text += &step("local", script, "");
    }
    let plan = bench.own_plan(&text);
    bench.expect(0, &["plan", "validate", &plan]);
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    let shown = logs(&bench);
    for line in ["| by awk", "| bash 5", "| crlf"] {
        assert_eq!(shown.matches(line).count(), 2, "{line}: {shown}");
    }
    assert_eq!((shown.matches("| large").count(), shown.matches("| end").count()), (4, 4), "{shown}");
    // Nothing is left on the worker.
    assert_eq!(bench.fleet.sh_ok(0, "find /root/.maand -name script"), "");
    for kind in ["run", "local"] {
        let plan = bench.own_plan(&format!("version: 1\nname: strict\nsteps:\n{}", step(kind, "strict", "")));
        let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
        assert!(stdout.contains("exit code 1"), "{stdout}");
        assert!(!logs(&bench).contains("| half way"));
        bench.expect(0, &["plan", "abort"]);
    }
    for (name, bytes, why) in [
        ("nul", &b"echo a\n\0"[..], "NUL byte in line 2"),
        ("mixed", b"echo a\r\necho b\n", "line 1 ends in CR LF and line 2 in LF"),
        ("latin", b"echo \xe4\n", "not UTF-8 text (line 1)"),
        ("empty", b"\n", "is empty"),
        ("nobody", b"#!python3\nprint()\n", "names no interpreter"),
        ("mac", b"#!/bin/sh\recho a\r", "CR alone"),
    ] {
        fs::write(bench.path(name), bytes).unwrap();
        let plan = bench.own_plan(&format!("version: 1\nname: bad\nsteps:\n{}", step("run", name, "")));
        for arguments in [&["plan", "validate", &plan][..], &["plan", "apply", &plan, "--yes"]] {
            let (stdout, stderr) = bench.expect(3, arguments);
            let text = format!("{stdout}{stderr}").split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains("maand::plan::script") && text.contains(why), "{name}: {text}");
        }
    }
}

#[test]
fn an_unless_that_cannot_tell_fails_the_step_and_is_in_the_log() {
    let Some(bench) = RunBench::new(1) else { return };
    for (kind, more) in [("run", ", disturbs: false"), ("local", "")] {
        for (unless, code) in
            [("no-such-command", "127"), ("/etc/passwd", "126"), ("kill -9 $$", "9"), ("exit 97", "")]
        {
            let plan = bench.own_plan(&format!(
                "version: 1\nname: tells\nsteps:\n  - id: one\n    {kind}: {{command: 'echo ran', unless: 'echo asked; {unless}'{more}}}\n"
            ));
            let expected = if code.is_empty() { 0 } else { 1 };
            let (stdout, _) = bench.expect(expected, &["plan", "apply", &plan, "--yes"]);
            let shown = logs(&bench);
            assert!(shown.contains("| asked"), "{kind} {unless}: {shown}");
            if code.is_empty() {
                assert!(shown.contains("exit code 97: it is needed") && shown.contains("| ran"), "{shown}");
                continue;
            }
            assert!(stdout.contains("cannot tell"), "{kind} {unless}: {stdout}");
            assert!(shown.contains("cannot tell") && !shown.contains("| ran"), "{kind} {unless}: {shown}");
            bench.expect(0, &["plan", "abort"]);
        }
    }
    // That of a reboot: nothing is rebooted.
    let boots = bench.boots();
    let plan = bench.own_plan(
        "version: 1\nname: tells\nsteps:\n  - reboot: {unless: 'echo asked; no-such-command'}\n  - wait_for_ssh\n",
    );
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(stdout.contains("cannot tell"), "{stdout}");
    assert!(logs(&bench).contains("| asked"));
    assert_eq!(bench.boots(), boots);
}

#[test]
fn no_piece_of_a_secret_of_several_lines_is_anywhere() {
    let Some(mut bench) = RunBench::new(1) else { return };
    let key = "-----BEGIN PRIVATE-----\r\nMIIEvQIBADANBgkqhkiG9w0\n\nsecondline0123456789\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END PRIVATE-----\n";
    let variables = [("KEY", key), ("SHORTER", "secondline0123"), ("NAME", "secret-file-name.txt")];
    bench.bench.env =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let command = "printf %s \"$KEY\"; printf %s \"$KEY\" | sed \"s/^/| /\" >&2; echo \"$KEY\" | tail -n 3; \
                   echo \"[$SHORTER]\"; cat \"/nowhere/$NAME\"; echo \"${KEY:5:40}\"; printf %s \"$KEY\" | cut -c1-12; exit 3";
    for (kind, more) in [("run", ", disturbs: false"), ("local", "")] {
        let plan = bench.own_plan(&format!(
            "version: 1
name: secrets
steps:
  - id: asked
    {kind}:
      command: echo needed
      unless: |
        printf %s \"$KEY\"; exit 1
      env: {{KEY: {{from_env: KEY}}}}{}
  - id: leaks
    {kind}:
      command: |
        {command}
      env: {{KEY: {{from_env: KEY}}, SHORTER: {{from_env: SHORTER}}, NAME: {{from_env: NAME}}}}{}
",
            more.replace(", ", "\n      "),
            more.replace(", ", "\n      "),
        ));
        let (stdout, stderr) = bench.expect(1, &["plan", "apply", &plan, "--yes", "--output", "json"]);
        let status = bench.expect(0, &["plan", "status", "--output", "json"]).0;
        let text = bench.expect(0, &["plan", "status"]).0;
        let json = bench.expect(0, &["plan", "logs", "--output", "json"]).0;
        let shown = logs(&bench);
        assert!(shown.contains("****"), "{shown}");
        let journal = Journal::open(&bench.path("data"), Mode::ReadOnly).unwrap();
        let run = journal.find(None).unwrap();
        let facts: Vec<_> = journal.read(&run).unwrap().map(|fact| fact.unwrap()).collect();
        assert!(facts.iter().any(|fact| matches!(fact.fact, Fact::Finished { .. })));
        let stored = format!("{facts:?}");
        let files = ["plan.db", "plan.db-wal"]
            .map(|name| fs::read(bench.path("data").join(name)).unwrap_or_default());
        let texts =
            [&stdout, &stderr, &status, &text, &json, &shown, &stored].map(|text| text.as_bytes().to_vec());
        for (at, text) in texts.iter().chain(&files).enumerate() {
            for (name, secret) in variables {
                for piece in secret.as_bytes().windows(8) {
                    let found = text.windows(8).any(|window| window == piece);
                    assert!(!found, "{kind}: {:?} of {name} is in text {at}", String::from_utf8_lossy(piece));
                }
            }
        }
        bench.expect(0, &["plan", "abort"]);
    }
}

#[test]
fn a_machine_without_descriptors_waits_and_blames_no_worker() {
    let Some(bench) = RunBench::new(8) else { return };
    let plan = bench.own_plan(
        "version: 1
name: scarce
rollout: {concurrency: 8, max_failures: 0}
steps:
  - run: {command: echo there, disturbs: false}
  - local: {command: 'ulimit -n; ulimit -Hn'}
",
    );
    let limited = |soft: u32, hard: u32| {
        let mut command = std::process::Command::new("sh");
        command.arg("-c").arg(format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\""));
        command.arg(env!("CARGO_BIN_EXE_maand")).arg("-C").arg(bench.dir.path());
        command.args(["plan", "apply", &plan, "--yes"]).stdin(std::process::Stdio::null());
        let out = command.output().unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (out.status.code(), text)
    };
    // Few enough that not all can be looked at side by side.
    let (code, text) = limited(28, 28);
    assert_eq!(code, Some(0), "{text}");
    // The soft limit is raised for this program, and is what it was for its commands.
    let (code, text) = limited(40, 400);
    assert_eq!(code, Some(0), "{text}");
    assert!(logs(&bench).contains("| 40\n"), "{}", logs(&bench));
}

/// Whom nothing else on this machine belongs to, one for each test: what a user may have of processes counts all of
/// them.
const SOMEBODY: [&str; 2] = ["54321", "54322"];

/// A command of that user, which may have so many processes and threads.
fn as_user(user: &str, processes: &str, bench: &RunBench) -> std::process::Command {
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    command.args(["bash", "-c", &format!("ulimit -u {processes} && exec \"$0\" \"$@\"")]);
    command.env("HOME", bench.dir.path()).stdin(std::process::Stdio::null());
    command
}

/// The program, where that user can read it, and the bucket as its own.
fn give_to(user: &str, bench: &RunBench) -> std::path::PathBuf {
    let program = bench.path("maand");
    fs::copy(env!("CARGO_BIN_EXE_maand"), &program).unwrap();
    let mut chown = std::process::Command::new("chown");
    chown.args(["-R", &format!("{user}:{user}")]).arg(bench.dir.path());
    assert!(chown.status().unwrap().success());
    program
}

#[test]
fn a_machine_without_processes_waits_and_blames_no_worker() {
    let Some(bench) = RunBench::new(8) else { return };
    let plan = bench.own_plan(
        "version: 1
name: scarce
rollout: {concurrency: 8, max_failures: 0}
steps:
  - run: {command: 'echo there', disturbs: false}
  - local: {command: 'echo here; sleep 0.01; true'}
",
    );
    let program = give_to(SOMEBODY[0], &bench);
    let mut command = as_user(SOMEBODY[0], "9", &bench);
    command.arg(&program).arg("-C").arg(bench.dir.path()).args(["plan", "apply", &plan, "--yes"]);
    let out = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "{text}");
    assert!(!text.contains("failed"), "{text}");
}

/// A process group that ends with the test, however that ends.
struct Group(std::process::Child);

impl Group {
    fn of(command: &mut std::process::Command) -> Self {
        Self(command.process_group(0).spawn().unwrap())
    }

    fn end(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn processes_that_are_all_in_use_are_waited_for() {
    const ALL: &str = "$(ulimit -Hu)";
    let Some(bench) = RunBench::new(3) else { return };
    let user = SOMEBODY[1];
    let plan = bench.own_plan(
        "version: 1
name: scarce
rollout: {concurrency: 3, max_failures: 0}
before:
  - local: {command: 'mkfifo pipe; exec 9<>pipe; touch begun; until [ -e go ]; do read -t 0.1 -u 9; done; true'}
    timeout: 5m
steps:
  - run: {command: echo there, disturbs: true}
",
    );
    let program = give_to(user, &bench);
    let said = fs::File::create(bench.path("said")).unwrap();
    let mut command = as_user(user, "60", &bench);
    command.arg(&program).arg("-C").arg(bench.dir.path()).args(["plan", "apply", &plan, "--yes"]);
    let mut group = Group::of(command.stdout(said.try_clone().unwrap()).stderr(said));
    let run = &mut group.0;
    let text = || fs::read_to_string(bench.path("said")).unwrap();
    wait_until("the first step has begun", || {
        bench.path("begun").exists() || run.try_wait().unwrap().is_some()
    });
    let mut crowd = as_user(user, ALL, &bench);
    crowd.args(["bash", "-c", "for i in {1..60}; do sleep 600 & done; touch all; wait"]);
    let mut crowd = Group::of(crowd.current_dir(bench.dir.path()));
    wait_until("no process is left", || bench.path("all").exists());
    bench.write("go", "");
    let to_begin = || {
        let mut status = as_user(user, ALL, &bench);
        status.arg(&program).arg("-C").arg(bench.dir.path()).args(["plan", "status", "--output", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.output().unwrap().stdout).unwrap();
        status["counts"]["active"] == 3
    };
    wait_until("all three steps are to begin", || to_begin() || run.try_wait().unwrap().is_some());
    assert!(run.try_wait().unwrap().is_none(), "{}", text());
    crowd.end();
    assert_eq!(run.wait().unwrap().code(), Some(0), "{}", text());
}
