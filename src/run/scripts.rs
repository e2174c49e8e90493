//! The script files that a plan names: read once, and kept with the run.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::plan::{CommandSource, Located, Plan, Problem, Problems, StepKind};

/// A script may have at most this many bytes: all of it is kept in the run's header.
const SCRIPT_LIMIT: u64 = 1024 * 1024;

/// Reads the scripts that a plan names, by the paths written in it: relative to the folder of the plan file,
/// else to the bucket's folder.
///
/// # Errors
/// Every script that is missing, too large or not text, with its place in the plan.
pub fn read_scripts(plan: &Plan, bucket: Option<&Path>) -> Result<BTreeMap<String, String>, Problems> {
    let beside = Path::new(plan.source.name()).parent().map(Path::to_path_buf).unwrap_or_default();
    let folders: Vec<_> = std::iter::once(beside).chain(bucket.map(Path::to_path_buf)).collect();
    let mut scripts = BTreeMap::new();
    let mut problems = Problems::new();
    for step in plan.before.iter().chain(&plan.steps).chain(&plan.after) {
        let (StepKind::Run(command) | StepKind::Local(command)) = &step.kind else { continue };
        let CommandSource::Script(path) = &command.action else { continue };
        match read_script(path, &folders) {
            Ok(text) => {
                scripts.insert(path.value.clone(), text);
            }
            Err(why) => problems.push(
                Problem::error(
                    "maand::plan::script",
                    format!("the script `{}` cannot be used: {why}", path.value),
                )
                .at(&plan.source, path.span.clone(), "named here")
                .help("its path is relative to the plan file, or to the bucket's folder"),
            ),
        }
    }
    problems.into_result()?;
    Ok(scripts)
}

fn read_script(path: &Located<String>, folders: &[PathBuf]) -> Result<String, String> {
    let mut last = "there is no such file".to_owned();
    for folder in folders {
        let file = folder.join(&path.value);
        match std::fs::metadata(&file) {
            Ok(meta) if !meta.is_file() => last = format!("{} is not a file", file.display()),
            Ok(meta) if meta.len() > SCRIPT_LIMIT => {
                last = format!("{} has more than {SCRIPT_LIMIT} bytes", file.display());
            }
            Ok(_) => return std::fs::read_to_string(&file).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}
