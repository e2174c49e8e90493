//! `plan status --timeline`: the picture of a run in text, as a pipe and as a terminal get it.

use std::path::Path;

use serde_json::Value;

use crate::run_bench::RunBench;
use crate::run_local::pids;
use crate::run_terminal::Terminal;

/// A step that fails on the second worker, and one that runs until the file `go` is there.
fn plan(bench: &RunBench) -> String {
    bench.own_plan(&format!(
        "\
version: 1
name: picture
rollout: {{concurrency: 1, max_failures: 0}}
steps:
  - id: waits
    local: {{command: 'echo $$ >> pids; until [ -e go ]; do sleep 0.1; done', idempotent: true}}
    timeout: 5m
  - id: fails
    local: {{command: 'test \"$MAAND_HOST\" != {}'}}
",
        bench.host(1)
    ))
}

/// Asks the program in the environment of a pipe.
fn picture(bench: &RunBench, more: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = bench.command(&[&["plan", "status", "--timeline"], more].concat());
    for name in ["LC_ALL", "LC_CTYPE", "LANG", "TERM", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    let output = command.envs(environment.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn lane<'a>(text: &'a str, host: &str) -> &'a str {
    let found = text.lines().find(|line| line.split_whitespace().any(|word| word == host));
    found.unwrap_or_else(|| panic!("no lane of {host}: {text}"))
}

#[test]
fn a_run_is_drawn_while_it_is_carried_out_and_after_it_has_halted() {
    let Some(bench) = RunBench::not_deployed(2) else { return };
    let (first, second) = (bench.host(0), bench.host(1));
    let mut run = bench.spawn(&["plan", "apply", &plan(&bench), "--yes", "--output", "json"]);
    pids(&bench.path("pids"), 1);
    let live = picture(&bench, &[], &[]);
    assert!(live.starts_with("▸ running  picture"), "{live}");
    assert!(lane(&live, &first).starts_with('▸') && lane(&live, &first).ends_with('▸'), "{live}");
    assert!(lane(&live, &second).starts_with("○ "), "{live}");
    bench.write("go", "");
    assert_eq!(run.wait().unwrap().code(), Some(1));

    let text = picture(&bench, &[], &[]);
    assert!(text.starts_with("× halted  picture"), "{text}");
    assert!(lane(&text, &first).starts_with('✓') && lane(&text, &first).contains('▚'), "{text}");
    assert!(lane(&text, &second).starts_with('×') && lane(&text, &second).ends_with('×'), "{text}");
    assert!(text.contains("maand plan resume --retry"), "what to type next: {text}");
    assert!(!text.contains('\u{1b}') && text.lines().all(|line| line.chars().count() <= 100), "{text}");

    for simple in [&[("LC_ALL", "C")][..], &[("TERM", "dumb"), ("LC_ALL", "C.UTF-8")]] {
        let text = picture(&bench, &[], simple);
        assert!(text.is_ascii(), "{simple:?}: {text}");
        assert!(lane(&text, &second).starts_with('X') && lane(&text, &second).ends_with('X'), "{text}");
    }
    let painted = picture(&bench, &["--color", "always"], &[]);
    assert!(painted.contains("\u{1b}[1;31m"), "{painted}");

    let document: Value = serde_json::from_str(&picture(&bench, &["--output", "json"], &[])).unwrap();
    fits_its_schema(&document);
    let lanes = document["lanes"].as_array().unwrap();
    let failed = lanes.iter().find(|lane| lane["host"] == second.as_str()).unwrap();
    assert_eq!(
        (&failed["state"], &failed["bars"][1]["end"]),
        (&"failed".into(), &"failed".into()),
        "{failed:#}"
    );
    let (_, said) = bench.expect(2, &["plan", "status", "--all"]);
    assert!(said.contains("--timeline"), "{said}");
    bench.json(2, &["plan", "status", "--timeline", "--watch"]);
}

#[track_caller]
fn fits_its_schema(document: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/run-timeline.v1.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.validate(document).unwrap_or_else(|no| panic!("{no}: {document:#}"));
}

#[test]
fn a_document_of_this_version_can_be_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/run-timeline-v1.json");
    fits_its_schema(&serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap());
}

#[test]
fn a_terminal_shows_one_picture_that_changes_in_its_place() {
    let Some(bench) = RunBench::not_deployed(2) else { return };
    let mut run = bench.spawn(&["plan", "apply", &plan(&bench), "--yes", "--output", "json"]);
    pids(&bench.path("pids"), 1);
    let line = "stty cols 80 rows 24; export LC_ALL=C.UTF-8; \"$MAAND\" plan status --timeline --watch";
    let mut terminal = Terminal::at(&bench.path("."), line);
    terminal.wait_for("▸ running  picture");
    // Time passes, and is drawn.
    terminal.wait_for("so far 2s");
    let text = terminal.text();
    assert_eq!(text.matches("started 20").count(), 1, "{text}");
    bench.write("go", "");
    assert_eq!(run.wait().unwrap().code(), Some(1));
    assert_eq!(terminal.script.wait().unwrap().code(), Some(0), "it ends with the run");
    terminal.wait_for("halted: 1 worker failed");
    let text = terminal.text();
    // The head has scrolled away, and no other picture is there.
    assert_eq!(text.matches(&bench.host(1)).count(), 1, "{text}");
    assert!(!text.contains("running  picture"), "{text}");
}
