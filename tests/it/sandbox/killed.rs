//! What is left of `maand sandbox up` when it ends, kindly or not.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::client::{BOOTSTRAP, finish, framed, processes_of, until};

fn up(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command.args(["sandbox", "up"]).args(arguments).stdin(Stdio::null());
    command
}

/// Starts it and waits until it has said everything.
#[expect(clippy::zombie_processes, reason = "the caller ends it and waits; a panic ends the test process")]
fn ready(dir: &Path) -> Child {
    let mut child = up(&["--workers", "2", "--dir"]).arg(dir).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    for line in lines {
        seen.push(line.unwrap());
        if seen.last().unwrap().starts_with("Ctrl-C") {
            assert!(seen[0].starts_with("THIS IS A SANDBOX"));
            return child;
        }
    }
    panic!("it ended early: {seen:?}");
}

fn a_daemon_on_each(dir: &Path) {
    let key = dir.join("bucket/secrets/worker.key");
    let known = std::fs::read_to_string(dir.join("bucket/secrets/known_hosts")).unwrap();
    for line in known.lines() {
        let address = line.split(' ').next().unwrap().replace(['[', ']'], "");
        let mut session = ssh2::Session::new().unwrap();
        session.set_tcp_stream(std::net::TcpStream::connect(address).unwrap());
        session.handshake().unwrap();
        session.userauth_pubkey_file("anybody", None, &key, None).unwrap();
        let mut channel = session.channel_session().unwrap();
        channel.exec(BOOTSTRAP).unwrap();
        let script = framed(false, "(setsid sleep 1000 </dev/null >/dev/null 2>&1 &)");
        std::io::Write::write_all(&mut channel, script.as_bytes()).unwrap();
        assert_eq!(finish(channel).unwrap().code, 0);
    }
    until("a daemon on each worker", || (processes_of(dir).len() >= 2).then_some(()));
}

/// The guards carry nothing of the sandbox in their environment; they are its children.
fn guards_of(child: &Child) -> Vec<i32> {
    let id = child.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    // Children of other threads are listed there.
    let mut all: Vec<i32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    for task in std::fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all.extend(text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn gone(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.is_empty() || status.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

#[test]
fn nothing_outlives_a_sandbox_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("sandbox");
    let mut child = ready(&dir);
    a_daemon_on_each(&dir);
    let guards = guards_of(&child);
    assert_eq!(guards.len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    until("everything to end", || processes_of(&dir).is_empty().then_some(()));
    until("the guards to end", || guards.iter().all(|pid| gone(*pid)).then_some(()));
    // Only its folder is left, which a new one may have once it is empty.
    assert!(dir.join("bucket/maand.conf").exists());
    let refused = up(&["--dir"]).arg(&dir).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(dir.join("bucket/maand.conf").exists());
    std::fs::remove_dir_all(&dir).unwrap();
    let mut again = ready(&dir);
    again.kill().unwrap();
    again.wait().unwrap();
}

#[test]
fn ctrl_c_ends_it_with_exit_code_zero() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("sandbox");
    let mut child = ready(&dir);
    a_daemon_on_each(&dir);
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(processes_of(&dir).is_empty());
    assert!(dir.exists(), "a folder that was asked for stays");
}

#[test]
fn a_bad_folder_is_a_clear_problem() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "").unwrap();
    let output = up(&["--dir"]).arg(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("maand::sandbox::dir") && text.contains("is not empty"), "{text}");
    for arguments in [["--workers", "0"], ["--workers", "501"], ["--speed", "0"], ["--speed", "nan"]] {
        assert_eq!(up(&arguments).output().unwrap().status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_sandbox_that_cannot_start_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = maand::sandbox::SandboxOptions {
        dir: Some(folder.path().join("sandbox")),
        program: Some(folder.path().join("no such program")),
        ..maand::sandbox::SandboxOptions::new(maand::sandbox::Blueprint::demo(2))
    };
    let error = maand::sandbox::Sandbox::start(options).err().unwrap();
    assert!(matches!(error, maand::sandbox::SandboxError::Start { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_hidden_command_is_for_sandboxes_only() {
    let output = Command::new(env!("CARGO_BIN_EXE_maand"))
        .arg(maand::sandbox::GUARD_COMMAND)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
