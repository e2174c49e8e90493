//! `maand plan validate`, `new` and `schema` as programs.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use assert_fs::TempDir;
use assert_fs::prelude::*;
use serde_json::Value;

const GOOD: &str =
    "version: 1\nname: good\nvars: {zone: a}\ntargets: {tags: {zone: \"${zone}\"}}\nsteps: [deploy]\n";
const BAD: &str = "version: 1\nname: bad\nsteps: [deplyo]\n";

fn maand(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command.current_dir(folder.path()).arg("plan").env_remove("MAAND_BIN").env("NO_COLOR", "1");
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    folder.child("good.yaml").write_str(GOOD).unwrap();
    folder.child("bad.yaml").write_str(BAD).unwrap();
    folder
}

#[test]
fn validate_says_ok_per_file_and_exits_0() {
    let folder = folder();
    let output = maand(&folder).args(["validate", "good.yaml", "./good.yaml"]).output().unwrap();
    assert_eq!((code(&output), text(&output.stdout)), (0, "good.yaml: ok\n./good.yaml: ok\n"));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn validate_shows_the_problems_of_all_files_and_exits_3() {
    let folder = folder();
    let output =
        maand(&folder).args(["validate", "bad.yaml", "good.yaml", "none.yaml", "."]).output().unwrap();
    assert_eq!(code(&output), 3);
    assert_eq!(text(&output.stdout), "bad.yaml: 1 error\ngood.yaml: ok\nnone.yaml: 1 error\n.: 1 error\n");
    let errors = text(&output.stderr);
    for part in ["did you mean `deploy`", "bad.yaml:3:9", "`none.yaml` cannot be read", "not its folder"] {
        assert!(errors.contains(part), "no {part} in {errors}");
    }
}

#[test]
fn validate_writes_one_json_document() {
    let folder = folder();
    let output =
        maand(&folder).args(["validate", "--output", "json", "bad.yaml", "good.yaml"]).output().unwrap();
    assert_eq!(code(&output), 3);
    let document = crate::document(text(&output.stdout));
    assert_eq!(document["schema"], "maand/plan-validate/v1");
    assert_eq!(document["files"][0]["ok"], false);
    assert_eq!(document["files"][1]["ok"], true);
    let problem = &document["files"][0]["problems"][0];
    assert_eq!((&problem["line"], &problem["column"], &problem["length"]), (&3.into(), &9.into(), &6.into()));
    assert_eq!(problem["code"], "maand::plan::unknown_step");
}

#[test]
fn validate_reads_standard_input_and_sets_variables() {
    let folder = folder();
    let run = |arguments: &[&str]| {
        let mut child = maand(&folder)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(GOOD.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert_eq!(code(&run(&["validate", "-", "--set", "zone=b"])), 0);
    let output = run(&["validate", "-", "--set", "zoen=b"]);
    assert_eq!(code(&output), 3);
    assert!(text(&output.stderr).contains("did you mean `zone`"));
    assert_eq!(code(&run(&["validate", "-", "--set", "zone"])), 2);
    assert_eq!(code(&run(&["validate"])), 2);
}

#[test]
fn validate_of_an_endless_file_ends() {
    let folder = folder();
    let output = maand(&folder).args(["validate", "/dev/zero"]).output().unwrap();
    assert_eq!(code(&output), 3);
    assert!(text(&output.stderr).contains("is a device, not a plain file"));
}

#[test]
fn a_closed_standard_output_is_no_panic() {
    let folder = folder();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = maand(&folder).args(["schema"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((code(&output), text(&output.stderr)), (0, ""));
}

#[test]
fn schema_prints_the_schema() {
    let output = maand(&folder()).arg("schema").output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), document), (0, maand::plan::schema()));
}

#[test]
fn new_writes_each_plan_and_it_is_valid() {
    let folder = folder();
    for path in super::yaml_files("plans") {
        let from = super::stem(&path);
        let name = format!("my-{from}");
        let output = maand(&folder).args(["new", &name, "--from", from]).output().unwrap();
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        let file = format!("{name}.yaml");
        let written = std::fs::read_to_string(folder.child(&file).path()).unwrap();
        assert!(written.contains(&format!("\nname: {name}\n")), "{written}");
        assert!(written.starts_with('#'));
        let output = maand(&folder).args(["validate", &file]).output().unwrap();
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    }
}

#[test]
fn new_never_overwrites() {
    let folder = folder();
    let output = maand(&folder).args(["new", "good"]).output().unwrap();
    assert_eq!(code(&output), 3);
    assert!(text(&output.stderr).contains("already exists"), "{}", text(&output.stderr));
    folder.child("good.yaml").assert(GOOD);
    std::os::unix::fs::symlink("nowhere", folder.child("link.yaml").path()).unwrap();
    assert_eq!(code(&maand(&folder).args(["new", "link"]).output().unwrap()), 3);
    assert!(!folder.child("nowhere").path().exists());
}

#[test]
fn new_takes_paths_and_refuses_bad_names() {
    let folder = folder();
    folder.child("plans").create_dir_all().unwrap();
    for (name, file) in
        [("plans/one", "plans/one.yaml"), ("two.yml", "two.yml"), ("./three.yaml", "three.yaml")]
    {
        assert_eq!(code(&maand(&folder).args(["new", name]).output().unwrap()), 0, "{name}");
        assert!(folder.child(file).path().exists(), "{file}");
    }
    for name in ["My Plan", "", "a/", "x.txt", "ü"] {
        let output = maand(&folder).args(["new", name]).output().unwrap();
        assert_eq!(code(&output), 2, "{name}: {}", text(&output.stderr));
    }
    let output = maand(&folder).args(["new", "nowhere/plan"]).output().unwrap();
    assert_eq!(code(&output), 3);
    assert!(text(&output.stderr).contains("mkdir -p nowhere"));
}
