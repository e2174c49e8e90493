//! `maand init`, `info` and `cat` as programs: what they print, their exit codes, and that they neither
//! wait nor write.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use maand::bucket::lock;
use maand::journal;
use serde_json::Value;

fn maand(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_maand"))
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout.clone()).unwrap()
}

fn json(dir: &Path, args: &[&str]) -> Value {
    let mut all = args.to_vec();
    all.extend(["--output", "json"]);
    crate::document(&text(&maand(dir, &all)))
}

/// All files with their content.
fn files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push((path.clone(), fs::read(path).unwrap())),
        }
    }
    all.sort();
    all
}

#[test]
fn a_bucket_is_made_and_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(maand(dir.path(), &["info"]).status.code(), Some(3), "no bucket yet");
    let first = json(dir.path(), &["init"]);
    assert!(first["public_key"].as_str().unwrap().starts_with("ssh-ed25519 "));
    assert!(text(&maand(dir.path(), &["init"])).contains("nothing was changed"));

    fs::write(
        dir.path().join("workspace/workers.json"),
        r#"[{"host": "10.0.0.1", "labels": ["api"], "tags": {"zone": "a"}}, {"host": "10.0.0.2"}]"#,
    )
    .unwrap();
    fs::write(dir.path().join("workspace/disabled.json"), r#"{"workers": ["10.0.0.1"]}"#).unwrap();
    fs::create_dir_all(dir.path().join("workspace/jobs/api")).unwrap();
    fs::write(dir.path().join("workspace/jobs/api/manifest.json"), r#"{"version": "1.2.3"}"#).unwrap();
    fs::write(dir.path().join("workspace/jobs/api/Makefile"), "start stop restart:\n\ttrue\n").unwrap();

    // From a folder below, and while another process holds the lock.
    let below = dir.path().join("workspace/jobs");
    let lock_file = dir.path().join("data/catalog.lock");
    let _held = lock::acquire(&lock_file, "maand deploy", Duration::ZERO, &|| false).unwrap();
    let record = journal::Holder::this_process(Some("20261123-0419-4b5b".to_owned()), 1_795_392_900_000);
    let _run = journal::RunLock::acquire(&dir.path().join("data"), &record).unwrap();
    let before = files(dir.path());
    let info = json(&below, &["info"]);
    assert_eq!((&info["workers"], &info["disabled_allocations"]), (&Value::from(2), &Value::from(1)));
    assert_eq!(info["catalog_lock"]["who"], "maand deploy");
    assert_eq!(info["plan_lock"]["run"], "20261123-0419-4b5b");
    assert_eq!(info["bucket_id"], first["bucket_id"]);
    let shown = text(&maand(&below, &["info"]));
    assert!(shown.contains("`maand deploy`") && shown.contains("with run 20261123-0419-4b5b"), "{shown}");
    let workers = text(&maand(&below, &["cat", "workers"]));
    let row = workers.lines().find(|line| line.starts_with("10.0.0.1")).unwrap();
    assert!(row.contains("api,worker") && row.contains("zone=a") && row.ends_with("disabled"), "{workers}");
    let allocations = json(&below, &["cat", "allocations", "--jobs", "api"]);
    assert_eq!(allocations["allocations"].as_array().unwrap().len(), 1);
    assert_eq!(json(&below, &["cat", "allocations", "--active"])["allocations"].as_array().unwrap().len(), 0);
    assert_eq!(json(&below, &["cat", "jobs"])["jobs"][0]["version"], "1.2.3");
    assert_eq!(maand(&below, &["cat", "allocations", "--jobs", "nope"]).status.code(), Some(3));
    assert_eq!(maand(&below, &["cat", "deployments"]).status.code(), Some(3), "not built");
    assert_eq!(files(dir.path()), before, "looking changes nothing");
    drop(_held);

    assert!(maand(dir.path(), &["build"]).status.success());
    let deployments = json(dir.path(), &["cat", "deployments"]);
    assert_eq!(deployments["deployments"][0]["rollout"], "disabled");
    fs::write(dir.path().join("workspace/disabled.json"), "{}").unwrap();
    assert!(maand(dir.path(), &["build"]).status.success());
    assert!(text(&maand(dir.path(), &["cat", "deployments"])).contains("new"));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    text(&maand(dir.path(), &["init"]));
    fs::write(dir.path().join("workspace/workers.json"), r#"[{"host": "127.0.0.1"}]"#).unwrap();
    let key = dir.path().join("secrets/worker.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let out = maand(dir.path(), &["run_command", "true", "--yes"]);
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(3));
    assert!(errors.contains("maand::bucket::secrets_readable") && errors.contains("chmod 600"), "{errors}");
}

#[test]
fn a_closed_standard_output_is_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    text(&maand(dir.path(), &["init"]));
    let mut child = Command::new(env!("CARGO_BIN_EXE_maand"))
        .args(["cat", "workers"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
