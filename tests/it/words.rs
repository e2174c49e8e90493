//! What single commands say, and the exit code that goes with it; none of them contacts a worker.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn maand(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command.args(args).current_dir(dir).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn refused(dir: &Path, args: &[&str], code: i32) -> String {
    let output = maand(dir, args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(!said.contains("(os error"), "{said}");
    said
}

const PLAN: &str = "version: 1\nname: p\nsteps:\n  - run: {command: uptime}\n";

#[test]
fn a_request_about_no_run_makes_no_journal() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = folder.path();
    assert!(maand(bucket, &["init"]).status.success());
    for verb in [
        &["pause"][..],
        &["abort"],
        &["approve"],
        &["retry", "--worker", "w1"],
        &["skip", "--worker", "w1"],
        &["resume"],
    ] {
        let said = refused(bucket, &[&["plan"], verb].concat(), 3);
        assert!(said.contains("no run"), "{verb:?}: {said}");
        assert!(!bucket.join("data/plan.db").exists(), "{verb:?} has made a journal");
    }
}

#[test]
fn without_a_bucket_one_thing_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.yaml"), PLAN).unwrap();
    for verb in ["show", "simulate", "check"] {
        let said = refused(folder.path(), &["plan", verb, "p.yaml"], 3);
        assert_eq!(said.matches('×').count(), 1, "{said}");
        assert!(said.contains("[maand::bucket::needed]") && said.contains("--workers 10"), "{said}");
    }
}

#[test]
fn two_formats_at_once_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.yaml"), PLAN).unwrap();
    for format in ["text", "dot", "mermaid"] {
        let args = ["plan", "show", "p.yaml", "--workers", "3", "--format", format, "--output", "json"];
        let output = maand(folder.path(), &args);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("`--format {format}` and `--output json`")), "{said}");
    }
    let args = ["plan", "show", "p.yaml", "--workers", "3", "--format", "json", "--output", "json"];
    assert!(maand(folder.path(), &args).status.success());
}

#[test]
fn wrong_numbers_of_workers_are_wrong_command_lines_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.yaml"), PLAN).unwrap();
    for workers in ["0", "501", "-1", "x"] {
        let workers = format!("--workers={workers}");
        refused(folder.path(), &["plan", "rehearse", "p.yaml", &workers], 2);
        refused(folder.path(), &["sandbox", "up", &workers], 2);
    }
    for speed in ["0", "-1", "nan", "2000"] {
        let speed = format!("--speed={speed}");
        refused(folder.path(), &["plan", "rehearse", "p.yaml", &speed], 2);
        refused(folder.path(), &["sandbox", "up", &speed], 2);
    }
}

#[test]
fn what_an_earlier_sandbox_has_left_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("fleet");
    fs::create_dir_all(kept.join("bucket/data")).unwrap();
    fs::write(kept.join(".maand-sandbox"), "").unwrap();
    fs::write(kept.join("bucket/data/plan.db"), "precious").unwrap();
    let said = refused(folder.path(), &["sandbox", "up", "--dir", "fleet"], 3);
    assert!(
        said.contains("holds an earlier sandbox") && said.contains("\n          rm -r fleet\n"),
        "{said}"
    );
    assert_eq!(fs::read(kept.join("bucket/data/plan.db")).unwrap(), b"precious");
}

#[test]
fn a_fault_that_does_not_exist_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let said = refused(folder.path(), &["sandbox", "up", "--dir", "fleet", "--fault", "nobody:nothing"], 3);
    assert!(said.contains("is not a kind of fault"), "{said}");
    assert!(!folder.path().join("fleet").exists());
}

#[test]
fn standard_input_has_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let validate = |text: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
        command.args(["plan", "validate", "-"]).current_dir(folder.path());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(validate(PLAN).0, "<stdin>: ok\n");
    let (stdout, stderr) = validate("version: 1\n");
    assert_eq!(stdout, "<stdin>: 2 errors\n");
    assert!(stderr.contains("[<stdin>:1:1]") && stderr.starts_with("  × a plan needs"), "{stderr}");
}

#[test]
fn an_empty_name_is_said_to_be_empty() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["", "  "] {
        let said = refused(folder.path(), &["plan", "new", name], 2);
        assert!(said.contains("a plan needs a name"), "{said}");
        for verb in ["validate", "show", "apply", "rehearse", "simulate", "check"] {
            let said = maand(folder.path(), &["plan", verb, name]);
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(said.contains("the path of the plan is empty"), "{verb}: {said}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_the_system_says_is_said_without_its_number() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    refused(folder.path(), &["plan", "validate", "folder"], 3);
    refused(folder.path(), &["plan", "validate", "p.yaml/x"], 3);
    refused(folder.path(), &["-C", "/proc/1/nothing", "info"], 3);
    refused(folder.path(), &["-C", "/dev/null", "info"], 3);
    refused(folder.path(), &["sandbox", "up", "--dir", "/proc/nothing"], 3);
    refused(folder.path(), &["plan", "new", "folder/below/x"], 3);
    // Nor do servers that are not there have one.
    assert!(maand(folder.path(), &["init"]).status.success());
    let conf = folder.path().join("maand.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("notify = 'notify.yaml'\n{text}")).unwrap();
    fs::write(folder.path().join("notify.yaml"), "gone: {webhook: {url: 'http://127.0.0.1:1/'}}\n").unwrap();
    let told = maand(folder.path(), &["notify", "test"]);
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(said.contains("no connection: Connection refused") && !said.contains("(os error"), "{said}");
}
