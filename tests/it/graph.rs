//! Plans over fleets through the program itself: who is selected, waves, graph, numbers, problems.
//!
//! A case is `tests/cases/graph/<name>.yaml`: a plan, whose first comment lines may say `# args: ...`
//! (more arguments of `plan show`). The bucket is the one below, unless `<name>.bucket` is there. All
//! that the program says stands in `<name>.snap`; the shipped plans are cases, too.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Six workers in three zones; `api` on five, `db` on three, `cron` on one, which is disabled.
const BUCKET: &str = r#"
--- maand.conf
bucket_id = "11111111-2222-4333-8444-555555555555"
--- workspace/workers.json
[
  {"host": "10.0.0.1", "labels": ["api", "db"], "tags": {"zone": "a", "rack": "r1"}},
  {"host": "10.0.0.2", "labels": ["api", "db"], "tags": {"zone": "b", "rack": "r1"}},
  {"host": "10.0.0.3", "labels": ["api", "db"], "tags": {"zone": "c", "rack": "r2"}},
  {"host": "10.0.0.4", "labels": ["api"], "tags": {"zone": "a"}},
  {"host": "10.0.0.5", "labels": ["api"], "tags": {"zone": "b"}},
  {"host": "10.0.0.12", "labels": ["cron"], "tags": {"zone": "c"}}
]
--- workspace/disabled.json
{"jobs": {"cron": {"allocations": ["10.0.0.12"]}}}
--- workspace/jobs/api/manifest.json
{}
--- workspace/jobs/api/Makefile
start:
--- workspace/jobs/db/manifest.json
{}
--- workspace/jobs/db/Makefile
start:
--- workspace/jobs/cron/manifest.json
{}
--- workspace/jobs/cron/Makefile
start:
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn unpack(bucket: &str, to: &Path) {
    for part in bucket.split("--- ").skip(1) {
        let (path, text) = part.split_once('\n').unwrap();
        let path = to.join(path.trim());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Runs `maand` in `folder`; exit code, standard output, standard error.
fn maand(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_maand"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Everything that is said about one plan.
fn say(folder: &Path, plan: &str, more: &[&str]) -> String {
    let mut said = String::new();
    let show = |format: &'static str| [&["plan", "show", plan, "--format", format][..], more].concat();
    let (code, out, err) = maand(folder, &show("text"));
    let _ = writeln!(said, "exit code {code}\n{out}");
    if !err.is_empty() {
        let _ = writeln!(said, "--- standard error\n{err}");
    }
    let (_, picture, _) = maand(folder, &show("mermaid"));
    if !picture.is_empty() {
        let _ = writeln!(said, "--- mermaid\n{picture}");
    }
    said.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn snapshot(name: &str, text: &str) {
    let text = without_time_of_day(text);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("tests/cases/graph"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = all.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

#[test]
fn every_case_says_what_it_should() {
    let cases = files(&root().join("tests/cases/graph"), "yaml");
    assert!(cases.len() >= 15, "{cases:?}");
    for case in cases {
        let dir = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(&case).unwrap();
        let own = fs::read_to_string(case.with_extension("bucket"));
        unpack(own.as_deref().unwrap_or(BUCKET), dir.path());
        fs::write(dir.path().join("plan.yaml"), &text).unwrap();
        let args =
            text.lines().filter_map(|line| line.strip_prefix("# args: ")).flat_map(str::split_whitespace);
        let said = say(dir.path(), "plan.yaml", &args.collect::<Vec<_>>());
        snapshot(case.file_stem().unwrap().to_str().unwrap(), &said);
    }
}

#[test]
fn every_shipped_plan_can_be_shown() {
    for plan in files(&root().join("plans"), "yaml") {
        let name = format!("plans/{}", plan.file_name().unwrap().to_str().unwrap());
        let said = say(&root(), &name, &["--workers", "7"]);
        assert!(said.starts_with("exit code 0"), "{said}");
        snapshot(&format!("shipped-{}", plan.file_stem().unwrap().to_str().unwrap()), &said);
    }
}

/// The words `maand::plan::...` in the code of a room.
fn codes_of(room: &str, codes: &mut BTreeSet<String>) {
    let mut folders = vec![root().join("src").join(room)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            for after in text.split("\"maand::plan::").skip(1) {
                codes.insert(format!("maand::plan::{}", after.split('"').next().unwrap()));
            }
        }
    }
}

#[test]
fn every_problem_code_has_a_case() {
    // A parsed plan has none of these; unit tests make them.
    const NOT_BY_A_FILE: [&str; 5] =
        ["cycle", "unknown_need", "bad_timezone", "window_never_opens", "not_in_prepare"];
    let mut codes = BTreeSet::new();
    codes_of("graph", &mut codes);
    codes_of("policy", &mut codes);
    let all: String = files(&root().join("tests/cases/graph"), "snap")
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let missing: Vec<_> = codes
        .iter()
        .filter(|code| !all.contains(code.as_str()))
        .filter(|code| !NOT_BY_A_FILE.iter().any(|name| code.ends_with(&format!("::{name}"))))
        .collect();
    assert!(codes.len() > 10 && missing.is_empty(), "without a case: {missing:?}");
}

/// Of the next openings of a window nothing is left but that they are told.
fn without_time_of_day(text: &str) -> String {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        inside = line.starts_with("  openings") || inside && line.starts_with("            ");
        match (inside, line.starts_with("  openings")) {
            (true, true) => lines.push("  openings  (by the time of day)"),
            (true, false) => {}
            (false, _) => lines.push(line),
        }
    }
    lines.join("\n")
}

#[test]
fn the_same_input_gives_the_same_bytes_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    unpack(BUCKET, dir.path());
    // When its window opens next depends on when it is asked.
    let plan = fs::read_to_string(root().join("tests/cases/graph/waves-and-budgets.yaml")).unwrap();
    let plan: Vec<&str> = plan.lines().filter(|line| !line.starts_with("  window:")).collect();
    fs::write(dir.path().join("plan.yaml"), plan.join("\n")).unwrap();
    for format in ["text", "json", "dot", "mermaid"] {
        let once = || maand(dir.path(), &["plan", "show", "plan.yaml", "--format", format]);
        let first = once();
        assert_eq!(first.0, 0, "{}", first.2);
        assert_eq!(first, once());
    }
}

#[test]
fn what_is_printed_as_json_follows_its_schema() {
    let schema = fs::read_to_string(root().join("schemas/plan-show.v1.schema.json")).unwrap();
    let schema = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let dir = tempfile::tempdir().unwrap();
    unpack(BUCKET, dir.path());
    for case in files(&root().join("tests/cases/graph"), "yaml") {
        fs::copy(&case, dir.path().join("plan.yaml")).unwrap();
        let (_, out, _) = maand(dir.path(), &["--output", "json", "plan", "show", "plan.yaml"]);
        if out.is_empty() {
            continue;
        }
        let document: serde_json::Value = serde_json::from_str(&out).unwrap();
        if document["schema"] == "maand/error/v1" {
            continue;
        }
        let errors: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", case.display());
    }
}

#[test]
fn big_fleets_are_shown_in_few_lines() {
    for format in ["text", "dot", "mermaid"] {
        let args = ["plan", "show", "plans/rolling-reboot.yaml", "--workers", "3000", "--format", format];
        let (code, out, err) = maand(&root(), &args);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.lines().count() < 150, "{format}: {} lines", out.lines().count());
    }
}

#[test]
fn without_a_bucket_it_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("plan.yaml"), "version: 1\nname: x\nsteps: [health]\n").unwrap();
    let (code, out, err) = maand(dir.path(), &["plan", "show", "plan.yaml"]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.contains("--workers 10"), "{err}");
    let (code, _, err) = maand(dir.path(), &["plan", "show", "plan.yaml", "--workers", "0"]);
    assert_eq!(code, 2, "{err}");
    let (code, out, _) = maand(dir.path(), &["plan", "show", "plan.yaml", "--workers", "3"]);
    assert_eq!(code, 0);
    assert!(out.contains("MADE UP"), "{out}");
}

#[test]
fn validate_looks_at_the_bucket_around() {
    let dir = tempfile::tempdir().unwrap();
    let plan = "version: 1\nname: x\ntargets: {labels: [apy]}\nsteps: [health]\n";
    fs::write(dir.path().join("plan.yaml"), plan).unwrap();
    assert_eq!(maand(dir.path(), &["plan", "validate", "plan.yaml"]).0, 0, "nothing to check against");
    unpack(BUCKET, dir.path());
    let (code, _, err) = maand(dir.path(), &["plan", "validate", "plan.yaml"]);
    assert_eq!(code, 3);
    assert!(err.contains("did you mean `api`?"), "{err}");
    let (code, _, _) = maand(&root(), &["-C", "no-such-folder", "plan", "validate", "plans/ssh-only.yaml"]);
    assert_eq!(code, 3, "a bucket that was named must be there");
}
