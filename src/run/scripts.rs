//! The script files that a plan names: read once, and kept with the run.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::plan::{CommandSource, Located, Plan, Problem, Problems, ScriptError, StepKind, script_text};

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
                .help(help(&why)),
            ),
        }
    }
    problems.into_result()?;
    Ok(scripts)
}

/// Why a script cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("there is no such file")]
    Missing,
    #[error("{} is not a file", .0.display())]
    NoFile(PathBuf),
    #[error("{} has more than {SCRIPT_LIMIT} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("{0}")]
    Unreadable(std::io::Error),
    #[error("{0}")]
    NoScript(#[from] ScriptError),
}

fn help(why: &Unusable) -> &'static str {
    match why {
        Unusable::NoScript(ScriptError::MixedLineEnds { .. } | ScriptError::OnlyCr) => {
            "an editor has left it half converted; `sed -i 's/\\r$//' FILE` leaves LF alone"
        }
        Unusable::NoScript(ScriptError::NoInterpreter(_)) => {
            "write `#!/bin/bash` or `#!/usr/bin/env python3`, or leave the line out: then bash runs it"
        }
        Unusable::NoScript(ScriptError::NotUtf8(_) | ScriptError::Nul(_)) => {
            "a script is text in UTF-8; a program of another kind has to be on the machine already"
        }
        Unusable::NoScript(ScriptError::Empty) => "write what it has to do, or remove the step",
        Unusable::TooLarge(_) => {
            "larger data belongs in a job's folder, which a deploy brings to the workers"
        }
        Unusable::Missing | Unusable::NoFile(_) | Unusable::Unreadable(_) => {
            "its path is relative to the plan file, or to the bucket's folder"
        }
    }
}

fn read_script(path: &Located<String>, folders: &[PathBuf]) -> Result<String, Unusable> {
    let mut last = Unusable::Missing;
    for folder in folders {
        let file = folder.join(&path.value);
        match read_file(&file) {
            Ok(bytes) => return Ok(script_text(&bytes)?),
            Err(Unusable::Unreadable(error)) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A file, and no more of it than a script may have: its length is not to be trusted, and what looks like a file may
/// block whoever reads it (`/proc`).
fn read_file(path: &Path) -> Result<Vec<u8>, Unusable> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
    let file = file.map_err(Unusable::Unreadable)?;
    if !file.metadata().map_err(Unusable::Unreadable)?.is_file() {
        return Err(Unusable::NoFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(SCRIPT_LIMIT + 1).read_to_end(&mut bytes).map_err(Unusable::Unreadable)?;
    if bytes.len() as u64 > SCRIPT_LIMIT {
        return Err(Unusable::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}
