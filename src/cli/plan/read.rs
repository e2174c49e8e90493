//! Reads plan files and `--set`; never more of a file than a plan may have.

use std::io::{self, Read};

use crate::os::open;
use crate::plan::{MAX_BYTES, Problem, Source, source_from_bytes};

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
    source_from_bytes(name, &bytes)
}

fn read_bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than a plan may have tells that it is too large.
    reader.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
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
