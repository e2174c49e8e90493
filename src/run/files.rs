//! The files that a plan names, scripts and calendars: read once, and kept with the run.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::os::open;
use crate::plan::{Located, Plan, Problem, Problems, ScriptError, script_text};

/// A file may have at most this many bytes: all of it is kept in the run's header.
const LIMIT: u64 = 1024 * 1024;

/// Reads the scripts and calendars that a plan names, by the paths written in it: relative to the folder of the plan
/// file, else to the bucket's folder.
///
/// # Errors
/// Every file that is missing, too large or not text, with its place in the plan.
pub fn read_files(plan: &Plan, bucket: Option<&Path>) -> Result<BTreeMap<String, String>, Problems> {
    read(plan, bucket, named(plan))
}

/// The calendars alone, which say when workers may be started.
///
/// # Errors
/// As [`read_files`].
pub fn read_calendars(plan: &Plan, bucket: Option<&Path>) -> Result<BTreeMap<String, String>, Problems> {
    read(plan, bucket, named(plan).filter(|(kind, _)| matches!(kind, Kind::Calendar)))
}

fn read<'a>(
    plan: &Plan,
    bucket: Option<&Path>,
    named: impl Iterator<Item = (Kind, &'a Located<String>)>,
) -> Result<BTreeMap<String, String>, Problems> {
    let folders = folders(plan, bucket);
    let mut files = BTreeMap::new();
    let mut problems = Problems::new();
    for (kind, path) in named {
        match read_file(kind, path, &folders) {
            Ok(text) => {
                files.insert(path.value.clone(), text);
            }
            Err(why) => problems.push(
                Problem::error(
                    kind.code(),
                    format!("the {} `{}` cannot be used: {why}", kind.as_str(), path.value),
                )
                .at(&plan.source, path.span.clone(), "named here")
                .help(help(&why)),
            ),
        }
    }
    problems.into_result()?;
    Ok(files)
}

/// Each file that a plan names, as far as it is there: its text, `None` for none, or why it cannot be used.
pub(super) fn files_now(
    plan: &Plan,
    bucket: Option<&Path>,
) -> BTreeMap<String, Result<Option<String>, String>> {
    let folders = folders(plan, bucket);
    let read = |kind, path: &Located<String>| match read_file(kind, path, &folders) {
        Ok(text) => Ok(Some(text)),
        Err(Unusable::Missing) => Ok(None),
        Err(why) => Err(why.to_string()),
    };
    named(plan).map(|(kind, path)| (path.value.clone(), read(kind, path))).collect()
}

/// What a file is for.
#[derive(Clone, Copy)]
enum Kind {
    Script,
    Calendar,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Calendar => "calendar",
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Script => "maand::plan::script",
            Self::Calendar => "maand::plan::calendar",
        }
    }
}

fn named(plan: &Plan) -> impl Iterator<Item = (Kind, &Located<String>)> {
    let scripts = plan.scripts().map(|path| (Kind::Script, path));
    scripts.chain(plan.calendars().map(|path| (Kind::Calendar, path)))
}

/// Where files are looked for, in this order.
fn folders(plan: &Plan, bucket: Option<&Path>) -> Vec<PathBuf> {
    let beside = Path::new(plan.source.name()).parent().map(Path::to_path_buf).unwrap_or_default();
    std::iter::once(beside).chain(bucket.map(Path::to_path_buf)).collect()
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("there is no such file")]
    Missing,
    #[error("{}: a link leads out of the folder of the plan and of the bucket", .0.display())]
    LedOut(PathBuf),
    #[error("{} has more than {LIMIT} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("{}: {error}", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("{0}")]
    NoScript(#[from] ScriptError),
    #[error("it is not UTF-8 text")]
    NoText,
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
        Unusable::NoText => "save it as UTF-8, as calendars are (.ics, RFC 5545)",
        Unusable::TooLarge(_) => {
            "larger data belongs in a job's folder, which a deploy brings to the workers"
        }
        Unusable::Missing | Unusable::LedOut(_) | Unusable::Unreadable { .. } => {
            "its path is relative to the plan file, or to the bucket's folder"
        }
    }
}

fn read_file(kind: Kind, path: &Located<String>, folders: &[PathBuf]) -> Result<String, Unusable> {
    let mut last = Unusable::Missing;
    for folder in folders {
        let file = folder.join(&path.value);
        match open::plain(&file).and_then(|opened| open::read_all(&opened, LIMIT)) {
            Ok(_) if is_led_out(&file, folder, folders) => last = Unusable::LedOut(file),
            Ok(bytes) => {
                return match kind {
                    Kind::Script => Ok(script_text(&bytes)?),
                    Kind::Calendar => String::from_utf8(bytes).map_err(|_| Unusable::NoText),
                };
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::FileTooLarge => last = Unusable::TooLarge(file),
            Err(error) => last = Unusable::Unreadable { file, error },
        }
    }
    Err(last)
}

/// Whether links lead to a file outside of all `folders`: it would be shown, stored and sent to workers. A path that
/// says so itself may.
fn is_led_out(file: &Path, folder: &Path, folders: &[PathBuf]) -> bool {
    let real = |path: &Path| if path.as_os_str().is_empty() { Path::new(".") } else { path }.canonicalize();
    let Ok(found) = file.canonicalize() else { return true };
    if folders.iter().any(|folder| real(folder).is_ok_and(|folder| found.starts_with(folder))) {
        return false;
    }
    let mut said = real(folder).unwrap_or_default();
    for part in file.strip_prefix(folder).unwrap_or(file).components() {
        match part {
            Component::ParentDir => {
                said.pop();
            }
            Component::CurDir => {}
            part => said.push(part),
        }
    }
    found != said
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_do_not_lead_to_files_that_are_none_of_the_plans() {
        let outer = tempfile::tempdir().unwrap();
        let at = |name: &str| outer.path().join(name);
        for folder in ["plans", "scripts", "bucket"] {
            fs::create_dir(at(folder)).unwrap();
            fs::write(at(folder).join("s.sh"), folder).unwrap();
        }
        symlink("../scripts/s.sh", at("plans/out.sh")).unwrap();
        symlink("../bucket/s.sh", at("plans/in.sh")).unwrap();
        symlink("../scripts", at("plans/folder")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("plans/pipe.sh"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        let folders = [at("plans"), at("bucket")];
        let read =
            |path: &str| read_file(Kind::Script, &Located { value: path.to_owned(), span: 0..0 }, &folders);
        assert_eq!(read("s.sh").unwrap(), "plans");
        assert_eq!(read("../scripts/s.sh").unwrap(), "scripts");
        assert_eq!(read("in.sh").unwrap(), "bucket");
        for path in ["out.sh", "folder/s.sh"] {
            assert!(read(path).unwrap_err().to_string().contains("leads out"), "{path}");
        }
        assert!(read("pipe.sh").unwrap_err().to_string().contains("named pipe"));
        assert!(read("none.sh").unwrap_err().to_string().contains("no such file"));
    }
}
