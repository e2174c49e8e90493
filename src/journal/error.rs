//! What can go wrong with the journal, in words, each with what to do about it.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::plan::Problem;

/// The codes of the problems that a caller may have to tell apart.
pub mod codes {
    /// The disk is full: nothing was appended.
    pub const FULL: &str = "maand::journal::disk_full";
    /// The file or its folder can not be written.
    pub const READ_ONLY: &str = "maand::journal::read_only";
    /// Another process holds SQLite's lock for longer than the time-out.
    pub const BUSY: &str = "maand::journal::busy";
    /// The file is damaged.
    pub const CORRUPT: &str = "maand::journal::corrupt";
    /// A newer program wrote it.
    pub const NEWER: &str = "maand::journal::newer";
    /// It is not one of ours.
    pub const FOREIGN: &str = "maand::journal::foreign";
    /// The disk failed.
    pub const IO: &str = "maand::journal::io";
    /// There is no journal, thus no run.
    pub const NONE: &str = "maand::journal::none";
    /// No run has this name.
    pub const UNKNOWN_RUN: &str = "maand::journal::unknown_run";
    /// A newer controller has taken the run over: this one must stop at once.
    pub const FENCED: &str = "maand::journal::fenced";
    /// The run has its last fact already.
    pub const FINISHED: &str = "maand::journal::finished";
    /// Network filesystems can not carry the journal.
    pub const NETWORK: &str = "maand::journal::network_filesystem";
    /// Any other error of SQLite's.
    pub const SQLITE: &str = "maand::journal::sqlite";
}

/// `doing` completes "cannot ...".
pub(super) fn problem(path: &Path, doing: &str, error: rusqlite::Error) -> Problem {
    let shown = path.display();
    let folder = path.parent().unwrap_or(path).display();
    let (code, why, help) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (
            codes::FULL,
            "the disk is full".to_owned(),
            format!(
                "nothing that was not recorded has been started; make room on the disk of {folder}, then go on \
                 with `maand plan resume`"
            ),
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => (
            codes::READ_ONLY,
            format!("the file or its folder can not be opened for writing ({error})"),
            format!("see that {folder} exists, is mounted for writing and belongs to you: `ls -la {folder}`"),
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            codes::BUSY,
            "another process has been writing to it for many seconds".to_owned(),
            format!("`fuser -v {shown}` names the process; try again when it has ended"),
        ),
        Some(ErrorCode::DatabaseCorrupt) => (codes::CORRUPT, format!("{error}"), damaged_help(path)),
        Some(ErrorCode::NotADatabase) => {
            (codes::FOREIGN, "it is not an SQLite database".to_owned(), foreign_help(path))
        }
        Some(ErrorCode::SystemIoFailure) => (
            codes::IO,
            format!("the disk failed ({error})"),
            format!(
                "look at the kernel's messages (`dmesg`) and at the disk of {folder}; what was recorded before \
                 is kept, and `maand plan resume` goes on from there"
            ),
        ),
        _ => (
            codes::SQLITE,
            error.to_string(),
            format!("see whether {shown} and its folder are as they should be, then try again"),
        ),
    };
    Problem::error(code, format!("cannot {doing} {shown}: {why}")).help(help)
}

/// The stored bytes are not those that were written.
pub(super) fn corrupt(path: &Path, what: impl std::fmt::Display) -> Problem {
    Problem::error(codes::CORRUPT, format!("{} is damaged: {what}", path.display())).help(damaged_help(path))
}

pub(super) fn foreign_help(path: &Path) -> String {
    format!("move {} away; a new one is made by the next `maand plan apply`", path.display())
}

fn damaged_help(path: &Path) -> String {
    let shown = path.display();
    format!(
        "do not go on from it: a run that trusts a damaged journal could reboot a worker twice. Restore {shown} \
         from a backup, or move it (with its -wal and -shm) away and look at the workers by hand: \
         workspace/disabled.json names those that are still disabled"
    )
}
