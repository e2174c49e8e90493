//! A run that leaves one machine in a bundle and continues on another one: two checkouts of one bucket are two
//! machines, and both reach the same fleet. How often each worker was rebooted is counted by what the workers have
//! written down.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::run_bench::RunBench;
use crate::run_faults::{apply_until_reboot, crash_at_reboot, end, plan};
use crate::support::Fault;
use crate::{document, wait_until};

/// Another machine: a checkout of the bucket without its `data/`.
struct Machine<'b> {
    bench: &'b RunBench,
    dir: tempfile::TempDir,
}

impl<'b> Machine<'b> {
    fn new(bench: &'b RunBench) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_tree(bench.dir.path(), dir.path(), &["data"]);
        let machine = Self { bench, dir };
        machine.expect(0, &["build"]);
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
        command.arg("-C").arg(self.dir.path()).args(arguments).stdin(Stdio::null());
        command.envs(self.bench.env.iter().map(|(name, value)| (name, value)));
        command
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        said(self.command(arguments).output().unwrap(), code, arguments)
    }

    fn status(&self) -> Value {
        document(&self.expect(0, &["plan", "status", "--output", "json"]).0)
    }
}

#[track_caller]
fn said(out: Output, code: i32, arguments: &[&str]) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(code), "{arguments:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

/// A worker knows more than the journal that was to be continued, or has heard from a newer controller.
#[track_caller]
fn assert_is_refused(out: Output) {
    let text = String::from_utf8_lossy(&out.stderr);
    let (code, taken) = (out.status.code(), text.contains("maand::run::taken_over"));
    let lost = text.contains("maand::journal::facts_lost") && text.contains("--from");
    assert!(taken && code == Some(4) || lost && code == Some(5), "{code:?} {text}");
}

/// Copies a folder with its modes, but for what is named.
fn copy_tree(from: &Path, to: &Path, but: &[&str]) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (name, meta) = (entry.file_name(), entry.metadata().unwrap());
        let (from, to) = (entry.path(), to.join(&name));
        if but.iter().any(|but| name == **but) {
            continue;
        }
        if meta.is_dir() {
            fs::create_dir_all(&to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(meta.permissions().mode())).unwrap();
            copy_tree(&from, &to, &[]);
        } else if meta.is_file() {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// Ends the program at this commit; `false`: it came to its end before.
fn crash(bench: &RunBench, arguments: &[&str], at: u64) -> bool {
    let mut command = bench.command(arguments);
    command.env("MAAND_CRASH_AT", at.to_string()).env("MAAND_CRASH_WHEN", "after");
    command.output().unwrap().status.code().is_none()
}

fn export(bench: &RunBench, name: &str) -> PathBuf {
    let file = bench.dir.path().parent().unwrap().join(format!("{}-{name}", uuid::Uuid::new_v4()));
    bench.expect(0, &["plan", "export", "--out", file.to_str().unwrap()]);
    file
}

#[test]
fn a_run_whose_controller_died_continues_on_another_machine_wherever_it_died() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    for at in [1, 6, 13] {
        let (boots, asked) = (bench.boots(), bench.requests());
        assert!(crash(&bench, &["plan", "apply", &plan, "--yes"], at), "commit {at}");
        let bundle = export(&bench, "killed");
        let mode = fs::metadata(&bundle).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let other = Machine::new(&bench);
        let from = bundle.to_str().unwrap();
        // The process is known to be gone, as it was on this machine.
        let (stdout, stderr) = other.expect(0, &["plan", "resume", "--from", from]);
        assert!(stderr.contains("is this machine's now"), "{stdout}{stderr}");
        let expected: Vec<usize> = boots.iter().map(|boots| boots + 1).collect();
        assert_eq!(bench.boots(), expected, "boots, killed at {at}: {stdout}{stderr}");
        let requests: Vec<usize> = asked.iter().map(|asked| asked + 1).collect();
        assert_eq!(bench.requests(), requests, "reboot commands, killed at {at}");
        let view = other.status();
        assert_eq!(view["state"], "succeeded", "{view:#}");
        assert_eq!(view["left_disabled"].as_array().unwrap().len(), 0);
        assert!(other.expect(0, &["plan", "verify", view["run"].as_str().unwrap()]).0.contains("ok"));
        // The first machine's journal is old now, and must not do anything again.
        assert_is_refused(bench.maand(&["plan", "resume"]));
        assert_eq!(bench.requests(), requests, "after a resume of the old journal, killed at {at}");
        fs::remove_file(&bundle).unwrap();
        // Another one may begin; what the aborted one has left drained here is no longer so on the workers.
        bench.maand(&["plan", "abort"]);
        let _ = fs::remove_file(bench.path("workspace/disabled.json"));
    }
}

/// Each has been rebooted once more than in `boots`, by one command.
#[track_caller]
fn once_each(bench: &RunBench, boots: &[usize], asked: &[usize], what: &str) {
    let more = |counts: &[usize]| counts.iter().map(|count| count + 1).collect::<Vec<_>>();
    assert_eq!(bench.requests(), more(asked), "reboot commands: {what}");
    assert_eq!(bench.boots(), more(boots), "boots: {what}");
}

#[test]
fn a_run_whose_controller_lives_is_not_taken() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    let (boots, asked) = (bench.boots(), bench.requests());
    bench.fleet.set(0, Fault::BootSecs(1));
    let child = apply_until_reboot(&bench, &plan);
    let other = Machine::new(&bench);
    let bundle = export(&bench, "alive");
    for more in [&[][..], &["--take-over"], &["--take-over", "--elsewhere"]] {
        let arguments = [&["plan", "resume", "--from", bundle.to_str().unwrap()], more].concat();
        let (_, stderr) = other.expect(4, &arguments);
        assert!(
            stderr.contains("controller_may_live") && stderr.contains("its controller lives"),
            "{stderr}"
        );
        assert!(stderr.contains("nothing was touched") && !stderr.contains("you know that"), "{stderr}");
    }
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "it was left alone: {stdout}{stderr}");
    once_each(&bench, &boots, &asked, "the controller that lives");
    // It has ended, and the snapshot is older than what workers have heard of.
    let (_, stderr) = other.expect(4, &["plan", "resume", "--from", bundle.to_str().unwrap(), "--take-over"]);
    assert!(stderr.contains("older_than_the_run") && stderr.contains("plan export"), "{stderr}");
    once_each(&bench, &boots, &asked, "after all");
    fs::remove_file(bundle).unwrap();
}

#[test]
fn a_controller_that_sleeps_is_refused_when_it_wakes_up() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    let (boots, asked) = (bench.boots(), bench.requests());
    bench.fleet.set(0, Fault::BootSecs(1));
    let child = apply_until_reboot(&bench, &plan);
    let pid = Pid::from_raw(child.id() as i32).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let bundle = export(&bench, "asleep");
    let other = Machine::new(&bench);
    let from = bundle.to_str().unwrap();
    let (_, stderr) = other.expect(4, &["plan", "resume", "--from", from]);
    assert!(stderr.contains("may still live") && stderr.contains("--take-over"), "{stderr}");
    // The first worker is in the middle of its reboot, and is waited for.
    let (stdout, stderr) = other.expect(0, &["plan", "resume", "--from", from, "--take-over"]);
    assert!(stderr.contains("maand::bundle::overruled"), "{stdout}{stderr}");
    once_each(&bench, &boots, &asked, "taken over");
    kill_process(pid, Signal::CONT).unwrap();
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(4), "{stdout}{stderr}");
    assert!(stderr.contains("maand::run::taken_over"), "{stdout}{stderr}");
    once_each(&bench, &boots, &asked, "it woke up");
    assert!(other.status()["state"] == "succeeded");
    fs::remove_file(bundle).unwrap();
}

#[test]
fn of_two_machines_that_take_a_run_at_once_one_gets_it() {
    let Some(bench) = RunBench::new(3) else { return };
    let plan = plan(&bench, 0);
    let (boots, asked) = (bench.boots(), bench.requests());
    assert!(crash(&bench, &["plan", "apply", &plan, "--yes"], 5));
    let bundle = export(&bench, "twice");
    let machines = [Machine::new(&bench), Machine::new(&bench), Machine::new(&bench)];
    let from = ["plan", "resume", "--from", bundle.to_str().unwrap(), "--take-over"];
    let spawn = |machine: &Machine<'_>| {
        machine.command(&from).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children = machines.each_ref().map(spawn);
    let ends = children.map(end);
    let won: Vec<bool> = ends.iter().map(|(code, ..)| *code == Some(0)).collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{ends:#?}");
    assert!(ends.iter().all(|(code, ..)| matches!(code, Some(0 | 4))), "{ends:#?}");
    once_each(&bench, &boots, &asked, "three at once");
    // Again on the one that has it: there the run is newer.
    let winner = &machines[won.iter().position(|won| *won).unwrap()];
    let (_, stderr) = winner.expect(4, &from);
    assert!(stderr.contains("maand::bundle::newer_here"), "{stderr}");
    // And on those that have not, with the workers as witnesses.
    let loser = &machines[won.iter().position(|won| !*won).unwrap()];
    let (_, stderr) = loser.expect(4, &from);
    assert!(stderr.contains("older_than_the_run"), "{stderr}");
    once_each(&bench, &boots, &asked, "again");
    fs::remove_file(bundle).unwrap();
}

#[test]
fn a_run_comes_back_to_the_machine_that_began_it() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    let (boots, asked) = (bench.boots(), bench.requests());
    crash_at_reboot(&bench, &plan);
    assert_eq!(bench.disabled().len(), 1, "the first worker is drained here");
    let there = export(&bench, "there");
    let other = Machine::new(&bench);
    // A checkout of the commit before the run.
    let _ = fs::remove_file(other.path("workspace/disabled.json"));
    let mut child = other.command(&["plan", "resume", "--from", there.to_str().unwrap()]).spawn().unwrap();
    let second = asked[1] + 1;
    wait_until("the second worker reboots", || bench.requests()[1] == second);
    child.kill().unwrap();
    child.wait().unwrap();
    let text = fs::read_to_string(other.path("workspace/disabled.json")).unwrap();
    assert!(text.contains(&bench.host(1)) && !text.contains(&bench.host(0)), "{text}");
    // The journal here is old: it is refused, whatever was tried.
    assert_is_refused(bench.maand(&["plan", "resume"]));
    // An end that is written into the old journal is none: the other machine keeps its claims, and may go on.
    wait_until("all answer", || bench.maand(&["run_command", "true"]).status.success());
    bench.maand(&["plan", "abort"]);
    let run = other.status()["run"].as_str().unwrap().to_owned();
    assert!((0..2).all(|i| bench.claim(i).is_some_and(|claim| claim.contains(&run))), "the claims stay");
    let (_, stderr) = said(bench.maand(&["plan", "apply", &plan, "--yes"]), 4, &["another run"]);
    assert!(stderr.contains("maand::run::claimed") && stderr.contains(&run), "{stderr}");
    let back = there.with_extension("back");
    other.expect(0, &["plan", "export", "--out", back.to_str().unwrap()]);
    let (stdout, stderr) =
        said(bench.maand(&["plan", "resume", "--from", back.to_str().unwrap()]), 4, &["diverged"]);
    assert!(stderr.contains("maand::bundle::other_here"), "{stdout}{stderr}");
    // A third one has nothing of it yet, and the second is old from then on.
    let third = Machine::new(&bench);
    fs::copy(bench.path("workspace/disabled.json"), third.path("workspace/disabled.json")).unwrap();
    third.expect(0, &["plan", "resume", "--from", back.to_str().unwrap()]);
    once_each(&bench, &boots, &asked, "over three machines");
    assert_is_refused(other.command(&["plan", "resume"]).output().unwrap());
    once_each(&bench, &boots, &asked, "after all");
    assert!((0..2).all(|i| bench.is_up(i)));
    for file in [there, back] {
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_worker_that_cannot_be_asked_may_be_driven_by_another_controller() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 1);
    assert!(crash(&bench, &["plan", "apply", &plan, "--yes"], 4));
    let bundle = export(&bench, "unplugged");
    let other = Machine::new(&bench);
    bench.fleet.unplug(1);
    let from = ["plan", "resume", "--from", bundle.to_str().unwrap()];
    let (_, stderr) = other.expect(4, &from);
    assert!(stderr.contains(&bench.host(1)) && stderr.contains("may still drive it"), "{stderr}");
    assert!(stderr.contains("nothing was touched"), "{stderr}");
    other.expect(3, &["plan", "status"]);
    // Another bucket's, and one that is busy with another run.
    other.expect(0, &["plan", "verify", bundle.to_str().unwrap()]);
    let conf = fs::read_to_string(other.path("maand.conf")).unwrap();
    fs::write(other.path("maand.conf"), conf.replace("9b2f8a52", "9b2f8a53")).unwrap();
    let (_, stderr) = other.expect(3, &from);
    assert!(stderr.contains("maand::bundle::other_bucket"), "{stderr}");
    fs::write(other.path("maand.conf"), &conf).unwrap();
    fs::write(other.path("workspace/jobs/web/more"), "more").unwrap();
    let (_, stderr) = other.expect(3, &from);
    assert!(stderr.contains("workspace_changed") && stderr.contains("--from"), "{stderr}");
    bench.fleet.plug(1);
    fs::remove_file(bundle).unwrap();
}

#[test]
fn a_step_that_is_still_at_work_keeps_its_worker() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = bench.own_plan(
        "version: 1
name: own
rollout: {concurrency: 1}
steps:
  - run: {command: touch /run/begun; sleep 100}
    timeout: 3m
",
    );
    let mut child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    let begun = |i: usize| {
        let pid = bench.fleet.pid(i);
        pid.is_some_and(|pid| Path::new(&format!("/proc/{pid}/root/run/begun")).exists())
    };
    wait_until("the command runs on the first worker", || begun(0));
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::STOP).unwrap();
    let bundle = export(&bench, "at-work");
    let other = Machine::new(&bench);
    let from = ["plan", "resume", "--from", bundle.to_str().unwrap(), "--take-over"];
    let (_, stderr) = other.expect(4, &from);
    assert!(stderr.contains(&format!("still at work on {}", bench.host(0))), "{stderr}");
    assert!(!stderr.contains("refuse the controller before already"), "the second was not fenced: {stderr}");
    assert!(!begun(1));
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(bundle).unwrap();
}

#[test]
fn neither_output_nor_secrets_are_in_a_bundle() {
    let Some(mut bench) = RunBench::new(1) else { return };
    bench.bench.env.push(("PASSWORD".into(), "correct-horse-battery".into()));
    let plan = bench.own_plan(
        "version: 1
name: own
steps:
  - run:
      command: echo printed-by-a-step; echo \"$TOKEN\"; exit 3
      env: {TOKEN: {from_env: PASSWORD}}
",
    );
    bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let bundle = export(&bench, "secret");
    let text = fs::read_to_string(&bundle).unwrap();
    assert!(!text.contains("correct-horse"), "{text}");
    assert_eq!(
        document(&text)["about"]["facts"],
        text.lines().filter(|line| line.starts_with("{\"seq\"")).count()
    );
    fs::write(&bundle, text.replace("run_started", "run_halted!")).unwrap();
    let (stdout, _) = bench.expect(1, &["plan", "verify", bundle.to_str().unwrap(), "--output", "json"]);
    let verdict = document(&stdout);
    assert_eq!((&verdict["ok"], &verdict["run"]), (&Value::Bool(false), &Value::Null));
    assert!(verdict["problems"][0]["message"].as_str().unwrap().contains("fact 1"), "{verdict:#}");
    fs::remove_file(bundle).unwrap();
}
