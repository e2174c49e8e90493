//! Whole buckets on disk: what is read, and every problem with its place.
//!
//! The case files in `tests/cases/bucket/` hold a bucket each (`--- path` starts a file) and, after
//! `=== strict` or `=== plain`, what `load_for_build` or `load` has to say about it.

use std::fs;
use std::path::Path;

use maand::bucket::{Bucket, JobName};
use maand::plan::Problems;

/// Writes the files of a case and gives what is expected: strict or not, and the lines.
fn unpack(case: &str, root: &Path) -> (bool, String) {
    let (files, expected) = case.split_once("\n=== ").expect("a case has an expectation");
    for part in files.split("--- ").skip(1) {
        let (path, text) = part.split_once('\n').expect("a path ends its line");
        let path = root.join(path.trim());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let (mode, lines) = expected.split_once('\n').unwrap_or((expected, ""));
    (mode.trim() == "strict", lines.trim_end().to_owned())
}

fn lines(problems: &Problems, root: &Path) -> String {
    let mut text = String::new();
    for problem in problems.iter() {
        let place = match problem.place() {
            Some((file, line, column)) => {
                let relative = Path::new(file).strip_prefix(root).unwrap_or(Path::new(file));
                format!("{}:{line}:{column}", relative.display())
            }
            None => "-".to_owned(),
        };
        let kind = format!("{:?}", problem.severity).to_lowercase();
        let message = problem.message.replace(&format!("{}/", root.display()), "");
        text.push_str(&format!("{place} {kind} {} {message}\n", problem.code));
        assert!(problem.help.is_some(), "{} says what to do", problem.code);
    }
    text.trim_end().to_owned()
}

#[test]
fn every_case_says_what_it_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/bucket");
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        count += 1;
        let dir = tempfile::tempdir().unwrap();
        let case = fs::read_to_string(&path).unwrap();
        let (strict, expected) = unpack(&case, dir.path());
        let result = Bucket::open(dir.path()).and_then(|bucket| match strict {
            true => bucket.load_for_build(),
            false => bucket.load(),
        });
        let found = match &result {
            Ok((_, warnings)) => lines(warnings, dir.path()),
            Err(problems) => lines(problems, dir.path()),
        };
        if found != expected {
            wrong.push(format!("{}\n--- expected\n{expected}\n--- found\n{found}\n", path.display()));
            if std::env::var_os("UPDATE_CASES").is_some() {
                let (head, _) = case.split_once("\n=== ").unwrap();
                let mode = if strict { "strict" } else { "plain" };
                fs::write(&path, format!("{head}\n=== {mode}\n{found}\n")).unwrap();
            }
        }
    }
    assert!(count >= 4, "the cases are there");
    assert!(wrong.is_empty(), "{}\n(UPDATE_CASES=1 writes what was found)", wrong.join("\n"));
}

#[test]
fn what_upstream_writes_becomes_a_fleet() {
    let dir = tempfile::tempdir().unwrap();
    let case =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/bucket/upstream.txt"))
            .unwrap();
    unpack(&case, dir.path());
    let bucket = Bucket::open(dir.path()).unwrap();
    assert_eq!(bucket.port_range().unwrap(), 31000..=31999);
    let (fleet, _) = bucket.load().unwrap();
    let hosts: Vec<_> = fleet.workers.iter().map(|worker| worker.host.as_str()).collect();
    assert_eq!(hosts, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    let api = fleet.jobs.iter().find(|job| job.name.as_str() == "api").unwrap();
    assert_eq!((api.max_concurrent_starts, api.max_concurrent_upgrades), (0, 2));
    assert_eq!(api.resources.memory_reserved_mb, 192.0, "bucket.jobs.conf says so");
    assert_eq!(api.resources.cpu_reserved_mhz, 500.0, "the upper bound");
    assert_eq!(api.demands.iter().map(JobName::as_str).collect::<Vec<_>>(), ["db"]);
    let disabled = fleet.allocations().iter().filter(|allocation| allocation.disabled).count();
    assert_eq!((fleet.allocations().len(), disabled), (5, 3));
    let again = bucket.load().unwrap().0;
    assert_eq!(fleet.content_hash(), again.content_hash());
    let json = serde_json::to_string(&fleet).unwrap();
    assert_eq!(serde_json::from_str::<maand::bucket::Fleet>(&json).unwrap(), fleet);
}

#[test]
fn without_a_bucket_the_message_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let problems = Bucket::open(dir.path()).unwrap_err();
    let problem = problems.iter().next().unwrap();
    assert_eq!(problem.code, "maand::bucket::not_found");
    assert!(problem.help.as_ref().unwrap().contains("maand init"));
}
