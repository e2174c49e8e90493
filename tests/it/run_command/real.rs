//! The program itself on real SSH servers.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Fault, Fleet, wait_until};

/// A bucket for a fleet, in a folder of the fleet's own.
fn bucket(fleet: &Fleet, user: &str, sudo: bool) -> std::path::PathBuf {
    let dir = fleet.folder().join(format!("bucket-{user}"));
    assert!(maand(&dir, &["init", dir.to_str().unwrap(), "-q"]).status.success());
    let conf = format!(
        "bucket_id = \"test-bucket\"\nssh_user = \"{user}\"\nssh_port = {}\nuse_sudo = {sudo}\nssh_config = false\n",
        fleet.port()
    );
    fs::write(dir.join("maand.conf"), conf).unwrap();
    fs::copy(fleet.key(), dir.join("secrets/worker.key")).unwrap();
    let workers: Vec<Value> = (0..fleet.len())
        .map(|i| json!({"host": fleet.host(i).as_str(), "labels": [format!("l{i}")]}))
        .collect();
    fs::write(dir.join("workspace/workers.json"), json!(workers).to_string()).unwrap();
    dir
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command
        .arg("-C")
        .arg(dir)
        .args(args)
        .stdin(Stdio::null())
        .env_remove("SSH_AUTH_SOCK")
        .env_remove("MAAND_YES");
    command
}

fn maand(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().unwrap()
}

fn run(dir: &Path, args: &[&str]) -> (i32, Value) {
    let mut all = vec!["run_command", "--yes", "--output", "json"];
    all.extend(args);
    let out = maand(dir, &all);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(!text.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    (out.status.code().unwrap(), crate::document(&text))
}

#[test]
fn the_command_has_its_environment_and_its_output_has_the_host() {
    let Some(fleet) = Fleet::start(2) else { return };
    let dir = bucket(&fleet, "agent", true);
    fleet.sh_ok(1, "mkdir -p /opt/worker/test-bucket");
    let out = maand(
        &dir,
        &[
            "run_command",
            "echo $BUCKET_ID $WORKER_IP $(id -un); pwd; echo oops >&2; env | grep ^MAAND_FOLDER",
            "-y",
            "--keep-going",
        ],
    );
    let (text, errors) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
    assert_eq!(out.status.code(), Some(1), "grep finds nothing of ours: {text}{errors}");
    for i in 0..2 {
        let host = fleet.host(i);
        assert!(
            text.contains(&format!("{host} | test-bucket {host} root\n"))
                || text.contains(&format!("test-bucket {host} root\n")),
            "{text}"
        );
        assert!(
            errors.lines().any(|line| line.starts_with(host.as_str()) && line.ends_with("| oops")),
            "{errors}"
        );
    }
    assert!(text.contains("| /opt/worker/test-bucket\n"), "{text}");
    assert!(text.contains("0 of 2 ok"), "{text}");

    let (code, value) = run(&dir, &["hostname; echo x >&2", "--labels", "L1"]);
    assert_eq!((code, value["of"].as_u64()), (0, Some(1)));
    assert_eq!(
        (&value["workers"][0]["stdout"], &value["workers"][0]["stderr"]),
        (&json!("w2\n"), &json!("x\n"))
    );

    // No command, no command.sh.
    assert_eq!(maand(&dir, &["run_command", "-y"]).status.code(), Some(3));
    fs::write(dir.join("workspace/command.sh"), "hostname\n").unwrap();
    let out = maand(&dir, &["run_command", "-y", "--workers", fleet.host(0).as_str()]);
    assert!(String::from_utf8(out.stdout).unwrap().contains("| w1\n"));
    let out = maand(&dir, &["run_command", "true", "-y", "--workers", "10.9.9.9"]);
    assert_eq!(out.status.code(), Some(3));
}

#[test]
fn the_guides_rolling_reboot_takes_one_host_at_a_time() {
    let Some(fleet) = Fleet::start(3) else { return };
    let dir = bucket(&fleet, "agent", true);
    fleet.set(1, Fault::ShutdownSecs(3));
    let before: Vec<String> = (0..3).map(|i| fleet.boot_id(i)).collect();
    let (code, value) = run(&dir, &["sudo shutdown -r now", "--concurrency", "1"]);
    assert_eq!((code, value["ok"].as_u64()), (0, Some(3)), "{value}");
    for i in 0..3 {
        assert_eq!((fleet.boots(i), fleet.reboot_requests(i).len()), (2, 1));
        let worker = &value["workers"][i];
        assert_eq!(worker["result"], "rebooted");
        assert!(
            fleet.boot_id(i) != before[i] && worker["detail"].as_str().unwrap().contains(&fleet.boot_id(i))
        );
    }
}

#[test]
fn a_worker_that_is_down_fails_itself_and_stops_the_rest() {
    let Some(fleet) = Fleet::start(3) else { return };
    let dir = bucket(&fleet, "root", false);
    fleet.unplug(1);
    let (code, value) = run(&dir, &["true"]);
    let words = |value: &Value| {
        value["workers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w["result"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!((code, words(&value)), (1, vec!["ok".into(), "unreachable".into(), "not_started".into()]));
    let (code, value) = run(&dir, &["true", "--keep-going"]);
    assert_eq!((code, words(&value)), (1, vec!["ok".into(), "unreachable".into(), "ok".into()]));
}

#[test]
fn ctrl_c_ends_the_remote_work_and_says_what_is_unknown() {
    let Some(fleet) = Fleet::start(2) else { return };
    let dir = bucket(&fleet, "root", false);
    let child =
        command(&dir, &["run_command", "echo $$ >/opt/pid; exec sleep 1000", "-y", "--output", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    let sleeps = |i: usize| fleet.sh(i, "kill -0 $(cat /opt/pid)").status.success();
    wait_until("the command runs", || sleeps(0));
    // A second command waits a moment, and says who holds the lock.
    let out = maand(&dir, &["run_command", "true", "-y"]);
    assert_eq!(out.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&out.stderr).contains("maand run_command"), "{:?}", out.stderr);
    assert_eq!(maand(&dir, &["info"]).status.code(), Some(0), "looking needs no lock");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let value: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(
        (&value["workers"][0]["result"], &value["workers"][1]["result"]),
        (&json!("unknown"), &json!("not_started"))
    );
    wait_until("the remote command has ended", || !sleeps(0));
}
