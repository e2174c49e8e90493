//! The workflows of this repository: what they run with is pinned, and what they may do is as little as there has to be.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Each workflow: its file's name and what is in it.
fn workflows() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows");
    let read = |path: &Path| serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), read(&path))).collect()
}

/// Each job with its name: `ci.yml: root`.
fn jobs() -> Vec<(String, Value)> {
    let all = workflows().into_iter().flat_map(|(file, workflow)| {
        let jobs = workflow["jobs"].as_object().unwrap().clone();
        jobs.into_iter().map(move |(name, job)| (format!("{file}: {name}"), job))
    });
    let all: Vec<_> = all.collect();
    assert!(all.len() > 8, "{}", all.len());
    all
}

fn steps(job: &Value) -> &[Value] {
    job["steps"].as_array().unwrap()
}

#[test]
fn actions_are_pinned_by_commit_and_tools_by_version() {
    for (name, job) in jobs() {
        for step in steps(&job) {
            if let Some(action) = step["uses"].as_str() {
                let (_, commit) = action.split_once('@').unwrap();
                let is_hash = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
                assert!(is_hash, "{name}: {action}");
            }
            for line in step["run"].as_str().unwrap_or_default().lines() {
                if let Some((_, crates)) = line.split_once("cargo install ") {
                    let crates = crates.split(' ').filter(|word| !word.starts_with('-'));
                    assert!(crates.clone().all(|name| name.contains('@')), "{name}: {line}");
                    assert!(line.contains("--locked"), "{name}: {line}");
                }
                if line.contains("pip\" install") {
                    assert!(line.contains("--require-hashes") || line.contains("=="), "{name}: {line}");
                }
            }
        }
    }
}

#[test]
fn jobs_may_do_little_and_only_the_one_that_publishes_may_write() {
    for (file, workflow) in workflows() {
        assert_eq!(workflow["permissions"], Value::Object(serde_json::Map::new()), "{file}");
        assert!(workflow["concurrency"].is_object(), "{file}");
    }
    for (name, job) in jobs() {
        assert!(job["timeout-minutes"].is_u64(), "{name} may run for ever");
        let permissions = job["permissions"].as_object().unwrap_or_else(|| panic!("{name}: no permissions"));
        let writes: Vec<_> =
            permissions.iter().filter(|(_, may)| *may != "read").map(|(what, _)| &**what).collect();
        let secrets = job.to_string().contains("secrets.");
        if name == "release.yml: publish" {
            assert_eq!(writes, ["contents", "id-token", "attestations"]);
            assert!(secrets && job["environment"] == "release");
        } else {
            assert!(writes.is_empty() && !secrets, "{name}: {writes:?}");
        }
        for step in steps(&job) {
            let run = step["run"].as_str().unwrap_or_default();
            assert!(!run.contains("${{"), "{name}: an expression becomes code in {run}");
            if step["uses"].as_str().is_some_and(|action| action.starts_with("actions/checkout@")) {
                assert_eq!(step["with"]["persist-credentials"], false, "{name}");
            }
        }
    }
}

#[test]
fn ci_compiles_with_the_oldest_compiler_that_cargo_toml_names_and_looks_for_advisories_by_itself() {
    let all = workflows();
    let of = |file: &str| all.iter().find(|(name, _)| name == file).unwrap().1.clone();
    let oldest = of("ci.yml")["jobs"]["oldest"]["steps"].to_string();
    assert!(
        oldest.contains("rust-version") && oldest.contains("cargo \\\"+$rust\\\" check --locked"),
        "{oldest}"
    );
    let advisories = of("advisories.yml");
    assert!(advisories["on"]["schedule"][0]["cron"].is_string(), "{advisories}");
    assert!(advisories["on"]["push"]["paths"].as_array().unwrap().contains(&"Cargo.lock".into()));
    assert!(advisories["jobs"].to_string().contains("cargo deny check advisories"));
}
