//! `maand sandbox up` as an operator uses it: every other command works against it from another terminal,
//! and it leaves nothing.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::client::{processes_of, until};

/// A fleet in the foreground of another terminal.
pub(crate) struct Up {
    folder: tempfile::TempDir,
    child: Child,
    pub(crate) bucket: PathBuf,
}

impl Up {
    pub(crate) fn new(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_maand"))
            .args(["sandbox", "up", "--output", "json", "--speed", "20"])
            .args(more)
            .env("TMPDIR", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = crate::document(&line);
        let bucket = PathBuf::from(said["bucket"].as_str().unwrap());
        assert!(bucket.starts_with(folder.path()), "{}", bucket.display());
        Self { folder, child, bucket }
    }

    pub(crate) fn maand(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
        command.current_dir(&self.bucket).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn works(&self, arguments: &[&str]) -> String {
        let output = self.maand(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{stdout}{stderr}");
        stdout + &stderr
    }

    fn signal(&mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
        self.child.wait().unwrap().code()
    }

    fn left(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// A test that fails must not leave a fleet behind.
impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, change(text)).unwrap();
}

#[test]
fn every_other_command_works_against_it() {
    let mut up = Up::new(&[]);
    let hosts = crate::document(&up.works(&["cat", "workers", "--output", "json"]));
    assert!(hosts.to_string().contains("127."), "{hosts}");
    assert!(up.works(&["cat", "jobs"]).contains("worker"));
    assert!(up.works(&["cat", "allocations"]).contains("api"));
    up.works(&["cat", "deployments"]);
    up.works(&["info"]);
    edit(&up.bucket.join("workspace/jobs/api/Makefile"), |text| text + "# another version\n");
    up.works(&["build"]);
    up.works(&["deploy", "--yes"]);
    up.works(&["job", "status", "api"]);
    up.works(&["job", "restart", "worker"]);
    assert!(up.works(&["run_command", "uptime", "--yes"]).contains("recorded, not executed"));
    up.works(&["health_check", "--wait"]);
    up.works(&["plan", "new", "reboot", "--from", "rolling-reboot"]);
    edit(&up.bucket.join("reboot.yaml"), |text| text.replace("settle: 10s", "settle: 1s"));
    up.works(&["plan", "validate", "reboot.yaml"]);
    up.works(&["plan", "show", "reboot.yaml"]);
    up.works(&["plan", "apply", "reboot.yaml", "--yes"]);
    let status: Value = serde_json::from_str(&up.works(&["plan", "status", "--output", "json"])).unwrap();
    assert_eq!(
        (&status["state"], &status["counts"]["succeeded"]),
        (&"succeeded".into(), &3.into()),
        "{status:#}"
    );
    up.works(&["health_check"]);
    assert_eq!(up.signal(Signal::INT), Some(0));
    assert_eq!(up.left(), [] as [PathBuf; 0], "not even its folder");
}

#[test]
fn killed_it_leaves_its_folder_and_nothing_else() {
    let mut up = Up::new(&["--workers", "2"]);
    let sandbox = up.bucket.parent().unwrap().to_owned();
    assert!(!processes_of(&sandbox).is_empty(), "the demo jobs run");
    assert_eq!(up.signal(Signal::KILL), None);
    until("everything to end", || processes_of(&sandbox).is_empty().then_some(()));
    assert_eq!(up.left(), [sandbox]);
}

/// Without a controller nothing is begun by what is asked for, and that is said.
#[test]
fn requests_without_a_controller_say_that_nothing_runs() {
    let up = Up::new(&["--workers", "1"]);
    let plan = "version: 1\nname: p\nbefore: [approve]\nsteps: [disable, enable]\n";
    std::fs::write(up.bucket.join("p.yaml"), plan).unwrap();
    assert_eq!(up.maand(&["plan", "apply", "p.yaml", "--yes"]).status.code(), Some(5));
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&up.works(arguments)).unwrap() };
    let (list, status) =
        (json(&["plan", "list", "--output", "json"]), json(&["plan", "status", "--output", "json"]));
    assert_eq!((&list["runs"][0]["state"], &status["state"]), (&"waiting".into(), &"waiting".into()));
    let said = up.works(&["plan", "pause"]);
    assert!(
        said.contains("so no worker is started.\nThis ends the pause")
            && said.ends_with("\n  maand plan resume\n"),
        "{said}"
    );
    let said = up.works(&["plan", "approve"]);
    assert!(said.ends_with("Nothing carries it out now.\nContinue with:\n  maand plan resume\n"), "{said}");
    up.works(&["plan", "resume"]);

    // With every worker disabled by an operator there is nothing to approve.
    let host = status["workers"][0]["host"].as_str().unwrap();
    let disabled = format!(r#"{{"workers": ["{host}"]}}"#);
    std::fs::write(up.bucket.join("workspace/disabled.json"), disabled).unwrap();
    let refused = up.maand(&["plan", "apply", "p.yaml", "--yes"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("all selected workers are left alone") && said.contains(host), "{said}");
    assert_eq!(json(&["plan", "list", "--output", "json"])["total"], 1);
}
