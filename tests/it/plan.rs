//! The plan language from outside: case files with their messages, the schema, hostile input, the commands.

mod cases;
mod commands;
mod hostile;
mod properties;
mod schema;
mod schema_reference;

use std::path::{Path, PathBuf};

use maand::plan::{Plan, Problem, Problems, Source, parse, source_from_bytes};

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All YAML files of a folder, sorted.
fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty(), "no case in {folder}");
    files
}

fn stem(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// The `--set` of a case: its lines `# --set name=value`.
fn overrides(text: &str) -> Vec<(String, String)> {
    let set = text.lines().filter_map(|line| line.strip_prefix("# --set "));
    set.map(|set| set.split_once('=').unwrap()).map(|(name, value)| (name.into(), value.into())).collect()
}

/// What reading a file gives, from its bytes on.
fn read(name: &str, bytes: &[u8]) -> (Option<Source>, Result<Plan, Problems>) {
    match source_from_bytes(name, bytes) {
        Ok(source) => {
            let plan = parse(&source, &overrides(source.text()));
            (Some(source), plan)
        }
        Err(problem) => (None, Err(problem.into())),
    }
}

/// All problems, those of an accepted plan too.
fn problems(result: &Result<Plan, Problems>) -> Vec<Problem> {
    match result {
        Ok(plan) => plan.warnings.iter().cloned().collect(),
        Err(problems) => problems.iter().cloned().collect(),
    }
}
