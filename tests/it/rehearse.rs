//! `maand plan rehearse` as an operator types it: the shipped plans, faults, a killed controller, signals,
//! and what can go wrong with the machine that it runs on.

mod ends;
mod faults;
mod machine;
mod plans;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::wait_until;

/// A folder for the program's temporary files and the plans of a test, nowhere near a bucket.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, plan: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
        command.current_dir(self.folder.path()).env("TMPDIR", self.temporary()).stdin(Stdio::null());
        command.args(["plan", "rehearse"]).arg(plan).args(more);
        if !more.contains(&"--speed") {
            command.args(["--speed", "10"]);
        }
        command
    }

    fn temporary(&self) -> PathBuf {
        let folder = self.folder.path().join("tmp");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Runs it to its end; whatever came of it, it leaves nothing behind.
    #[track_caller]
    fn run(&self, plan: &Path, more: &[&str]) -> Output {
        let output = self.command(plan, more).output().unwrap();
        self.assert_empty();
        output
    }

    #[track_caller]
    fn assert_empty(&self) {
        let left = self.left();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// What is in the folder for temporary files: the sandbox, while there is one.
    fn left(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.temporary()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A rehearsal that is under way: a worker is drained.
    fn begun(&self, plan: &Path, more: &[&str]) -> Child {
        let mut command = self.command(plan, more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        wait_until("a worker is drained", || {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it began");
            self.drained()
        });
        child
    }

    fn drained(&self) -> bool {
        let Some(sandbox) = self.left().pop() else { return false };
        let file = sandbox.join("bucket/workspace/disabled.json");
        std::fs::read_to_string(file).is_ok_and(|disabled| disabled.contains("worker-"))
    }
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plans").join(name)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All lines of standard output are JSON; the last is the verdict, the one before it the run's view, if
/// its controller came to say that.
#[track_caller]
fn verdict(output: &Output) -> (Value, Value) {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}\n{stderr}")))
        .collect();
    let verdict = lines.last().unwrap_or_else(|| panic!("nothing was said\n{stderr}")).clone();
    assert_eq!(verdict["type"], "verdict", "{stdout}\n{stderr}");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/verdict.v1.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    if let Err(error) = jsonschema::validate(&schema, &verdict) {
        panic!("{error}\n{verdict:#}");
    }
    let view = lines.iter().rev().find(|line| line["type"] == "run_view");
    (verdict, view.cloned().unwrap_or_default())
}

/// Every promise held, whatever the exit code of the run was.
#[track_caller]
fn held(output: &Output) -> (Value, Value) {
    let (verdict, view) = verdict(output);
    let stderr = text(&output.stderr);
    assert_eq!(verdict["all_held"], true, "{verdict:#}\n{view:#}\n{stderr}");
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    (verdict, view)
}

/// Some at a time: most of a rehearsal is waiting.
fn side_by_side<T: Sync>(cases: &[T], at_once: usize, one: impl Fn(&T) + Sync) {
    let one = &one;
    for some in cases.chunks(at_once) {
        std::thread::scope(|scope| {
            for case in some {
                scope.spawn(move || one(case));
            }
        });
    }
}
