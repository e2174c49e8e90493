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
    for at in [1, 3, 6, 9, 12, 17, 23] {
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
        let (stdout, stderr) = said(bench.maand(&["plan", "resume"]), 4, &["resume"]);
        assert!(
            stderr.contains("maand::run::taken_over") || stderr.contains("facts_lost"),
            "{stdout}{stderr}"
        );
        assert_eq!(bench.requests(), requests, "after a resume of the old journal, killed at {at}");
        fs::remove_file(&bundle).unwrap();
        // Another one may begin.
        bench.maand(&["plan", "abort"]);
    }
}
