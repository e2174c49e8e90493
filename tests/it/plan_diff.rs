//! `maand plan diff` as a program: what it compares, in which forms, and how it ends.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The example that is checked in, with what is said about it.
fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/plan-diff")
}

fn maand(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command.current_dir(folder).arg("plan").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn stdout(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// A copy of the example that can be written to.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(example()).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    folder
}

#[test]
fn the_example_is_said_in_each_form() {
    let folder = copy();
    let bucket = folder.path().join("plan-diff");
    for (args, file) in [
        (&["--format", "text"][..], "expected.txt"),
        (&["--format", "markdown"], "expected.md"),
        (&["--output", "json"], "expected.json"),
    ] {
        let output = maand(&bucket).args(["diff", "old.yaml", "new.yaml"]).args(args).output().unwrap();
        let text = stdout(&output);
        assert_eq!(code(&output), 0);
        let kept = example().join(file);
        if std::env::var_os("UPDATE_CASES").is_some() {
            fs::write(&kept, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(&kept).unwrap(), "UPDATE_CASES=1 writes {file}");
        if file.ends_with("json") {
            let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/plan-diff.v1.schema.json");
            let schema: Value = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
            let document: Value = serde_json::from_str(&text).unwrap();
            jsonschema::validator_for(&schema).unwrap().validate(&document).unwrap();
            assert_eq!(document["workers"]["added"], serde_json::json!(["w13", "w14", "w15"]));
        }
    }
    let shown = maand(&bucket).args(["show", "new.yaml", "--format", "markdown"]).output().unwrap();
    let kept = example().join("expected-show.md");
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(&kept, stdout(&shown)).unwrap();
    }
    assert_eq!(stdout(&shown), fs::read_to_string(kept).unwrap());
}

#[test]
fn the_exit_code_says_that_they_differ_only_where_it_is_asked_to() {
    let folder = copy();
    let bucket = folder.path().join("plan-diff");
    fs::write(bucket.join("same.yaml"), fs::read_to_string(bucket.join("new.yaml")).unwrap() + "# no more\n")
        .unwrap();
    let run = |args: &[&str]| maand(&bucket).arg("diff").args(args).output().unwrap();
    assert_eq!(code(&run(&["old.yaml", "new.yaml"])), 0);
    assert_eq!(code(&run(&["old.yaml", "new.yaml", "--exit-code"])), 1);
    let same = run(&["new.yaml", "same.yaml", "--exit-code"]);
    assert_eq!(code(&same), 0);
    assert!(stdout(&same).ends_with("\nNo difference in what they would do\n"));
    for (args, exit, said) in [
        (&["-", "-"][..], 2, "both plans cannot be read from standard input"),
        (&["old.yaml", "none.yaml"], 3, "`none.yaml` cannot be read"),
        (&["old.yaml", "."], 3, "it is a folder"),
        (&["old.yaml", "new.yaml", "--set", "nosuch=1"], 2, "neither plan has a variable `nosuch`"),
        (&["last", "new.yaml"], 3, "there is no run"),
        (&["20261130-0158-ba98", "new.yaml"], 3, "run"),
        (&["old.yaml", "new.yaml", "--format", "markdown", "--output", "json"], 2, "two formats"),
    ] {
        let output = run(args);
        let both = [output.stderr.clone(), output.stdout.clone()].concat();
        let text = String::from_utf8_lossy(&both).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(code(&output), exit, "{args:?}: {text}");
        assert!(text.contains(said), "{args:?}: {text}");
    }
    // A variable that only one of them has is set there.
    let set = run(&["old.yaml", "new.yaml", "--set", "size=5"]);
    assert!(stdout(&set).contains("size: none -> 5"), "{}", stdout(&set));
}

#[test]
fn a_plan_comes_from_a_pipe_as_git_gives_it() {
    let folder = copy();
    let bucket = folder.path().join("plan-diff");
    let script = "\"$1\" plan diff <(cat old.yaml) new.yaml --exit-code; echo $?; \
                  cat old.yaml | \"$1\" plan diff - new.yaml --exit-code; echo $?";
    let bash = ["-c", script, "bash", env!("CARGO_BIN_EXE_maand")];
    let output = Command::new("bash").args(bash).current_dir(&bucket).output().unwrap();
    let text = stdout(&output);
    assert_eq!(text.matches("concurrency: 1 is now").count(), 2, "{text}");
    assert_eq!(text.lines().filter(|line| *line == "1").count(), 2, "{text}");
    assert!(text.contains("old  plan /dev/fd/") && text.contains("old  plan <stdin>:"), "{text}");
}

/// However much there is to read.
#[test]
fn a_pipe_without_end_is_refused() {
    let folder = copy();
    let bucket = folder.path().join("plan-diff");
    let mut child = maand(&bucket)
        .args(["diff", "-", "new.yaml"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || while input.write_all(&[b'#'; 65_536]).is_ok() {});
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(code(&output), 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains("too large"), "{output:?}");
}

#[test]
fn an_old_plan_that_no_longer_fits_the_fleet_is_compared_by_its_text() {
    let folder = copy();
    let bucket = folder.path().join("plan-diff");
    let old = fs::read_to_string(bucket.join("old.yaml")).unwrap();
    fs::write(bucket.join("gone.yaml"), old.replace("labels: [new]", "workers: [w99]")).unwrap();
    let output = maand(&bucket).args(["diff", "gone.yaml", "new.yaml"]).output().unwrap();
    let text = stdout(&output);
    assert!(text.contains("note: the old plan cannot be compiled") && text.contains("w99"), "{text}");
    assert!(text.contains("+ apt-get -y dist-upgrade") && text.contains("max_failures: 0 -> 1"), "{text}");
    assert!(!text.contains("\nWorkers"), "{text}");
    // The new one has to fit.
    let output = maand(&bucket).args(["diff", "new.yaml", "gone.yaml"]).output().unwrap();
    assert_eq!(code(&output), 3);
}

#[test]
fn ten_thousand_workers_are_a_page() {
    let folder = copy();
    let bucket = folder.path().join("plan-diff");
    let row = |n: usize| {
        format!("{{\"host\": \"w{n:05}\", \"labels\": [\"api\"], \"tags\": {{\"zone\": \"z{}\"}}}}", n % 7)
    };
    let rows: Vec<String> = (1..=10_000).map(row).collect();
    fs::write(bucket.join("workspace/workers.json"), format!("[{}]", rows.join(",\n"))).unwrap();
    let plan = |labels: &str| {
        format!(
            "version: 1\nname: p\ntargets: {{exclude: {{workers: [{labels}]}}}}\nrollout: {{concurrency: \"5%\", waves: [1, \
             \"10%\", rest]}}\nsteps: [reboot, wait_for_ssh]\n"
        )
    };
    let odd: Vec<String> = (1..=1_000).map(|n| format!("w{:05}", n * 2 + 1)).collect();
    fs::write(bucket.join("old.yaml"), plan(&odd.join(", "))).unwrap();
    fs::write(bucket.join("new.yaml"), plan("w09000")).unwrap();
    let began = Instant::now();
    let output = maand(&bucket).args(["diff", "old.yaml", "new.yaml"]).output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(30));
    let text = stdout(&output);
    assert!(text.contains("Workers: 9000 -> 9999") && text.contains("988 more: --all shows them"), "{text}");
    assert!(text.len() < 10_000, "{}", text.len());
    let all = stdout(&maand(&bucket).args(["diff", "old.yaml", "new.yaml", "--all"]).output().unwrap());
    assert!(all.contains("w02001") && !all.contains("more: --all"));
    let markdown =
        maand(&bucket).args(["diff", "old.yaml", "new.yaml", "--format", "markdown"]).output().unwrap();
    assert!(stdout(&markdown).len() < 60_000);
}
