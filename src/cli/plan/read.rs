//! Reads plan files, reviewed ones too, and `--set`; never more of a file than it may have.

use std::io::{self, Read};

use crate::os::open;
use crate::plan::{MAX_BYTES, Problem, Source, source_from_bytes};
use crate::review::{self, Reviewed, Unreadable};

/// What stands for standard input.
const STDIN: &str = "-";

/// How the plan at `path` is called in messages.
pub(in crate::cli) fn shown_name(path: &str) -> &str {
    if path == STDIN { "<stdin>" } else { path }
}

/// Reads the plan at `path`; `-` is standard input.
///
/// # Errors
/// When it cannot be read, is a folder, is too large or is not text.
pub(in crate::cli) fn read_plan(path: &str) -> Result<Source, Problem> {
    match read_given(path)? {
        Given::Plan(source) => Ok(source),
        Given::Reviewed(reviewed) => {
            let message =
                format!("`{}` is a reviewed plan file, and a plan is needed here", shown_name(path));
            let plan = &reviewed.document().inputs.plan.file;
            Err(Problem::error("maand::review::not_here", message)
                .help(format!("name the plan that was reviewed: {plan}")))
        }
    }
}

/// What was named: a plan, or a plan that was reviewed.
#[derive(Debug)]
pub(in crate::cli) enum Given {
    Plan(Source),
    Reviewed(Box<Reviewed>),
}

/// Reads what is at `path`, and knows a reviewed plan file by its content.
///
/// # Errors
/// As [`read_plan`]; or it is a reviewed plan file that was cut or altered, or is of a newer version.
pub(in crate::cli) fn read_given(path: &str) -> Result<Given, Problem> {
    if path.trim().is_empty() {
        return Err(Problem::error("maand::cli::unreadable_plan", "the path of the plan is empty")
            .help("name a plan file; `maand plan new NAME` writes one to start from"));
    }
    let name = shown_name(path);
    let bytes = match path {
        STDIN => read_bounded(io::stdin().lock()),
        path => open::named_by_user(path.as_ref()).and_then(read_bounded),
    };
    let bytes = bytes.map_err(|error| unreadable(name, &error))?;
    match review::document_kind(&bytes) {
        Some(_) => {
            let reviewed = Reviewed::read(bytes).map_err(|why| not_reviewed(name, &why))?;
            Ok(Given::Reviewed(Box::new(reviewed)))
        }
        None => source_from_bytes(name, &bytes).map(Given::Plan),
    }
}

fn read_bounded(mut reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than it may have tells that it is too large.
    let mut up_to = |bytes: &mut Vec<u8>, limit: u64| {
        reader.by_ref().take((limit + 1).saturating_sub(bytes.len() as u64)).read_to_end(bytes)
    };
    up_to(&mut bytes, MAX_BYTES as u64)?;
    if review::is_reviewed(&bytes) {
        up_to(&mut bytes, review::MAX_BYTES)?;
    }
    Ok(bytes)
}

fn not_reviewed(name: &str, why: &Unreadable) -> Problem {
    let (code, help) = match why {
        Unreadable::OtherKind(_) => (
            "maand::review::other_kind",
            "name a plan, or a file that `maand plan show PLAN --out FILE` has written",
        ),
        Unreadable::Newer(_) => ("maand::review::newer", "use the version of maand that has written it"),
        Unreadable::OtherRollout { .. } => (
            "maand::review::other_rollout",
            "it was altered, or another version has written it: review again with `maand plan show PLAN --out FILE`",
        ),
        Unreadable::Cut
        | Unreadable::Altered
        | Unreadable::TooLarge
        | Unreadable::Content(_)
        | Unreadable::Plan(_) => (
            "maand::review::altered",
            "take the file that was written, or review again: `maand plan show PLAN --out FILE`",
        ),
    };
    Problem::error(code, format!("the reviewed plan file `{name}` cannot be used: {why}")).help(help)
}

fn unreadable(name: &str, error: &io::Error) -> Problem {
    let help = match error.kind() {
        io::ErrorKind::NotFound => "check the path; `maand plan new NAME` writes a plan to start from",
        io::ErrorKind::PermissionDenied => "check the permissions of the file and of the folders above it",
        io::ErrorKind::IsADirectory => "name the plan file, not its folder",
        io::ErrorKind::InvalidInput => "name a plain file; `-` reads standard input",
        _ => "check the path",
    };
    // The text of the error without its number: "No such file or directory (os error 2)".
    let text = error.to_string();
    let why = text.split(" (os error").next().unwrap_or_default().to_lowercase();
    Problem::error("maand::cli::unreadable_plan", format!("the plan `{name}` cannot be read: {why}"))
        .help(help)
}

/// Reads one `--set name=value`, for clap.
///
/// # Errors
/// When there is no `=` or no name.
pub(in crate::cli) fn parse_set(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("write it as name=value".to_owned()),
    }
}
