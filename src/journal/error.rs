//! What can go wrong with the journal: what happened, and to which file or run. What to do about it
//! is for whoever shows it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::run::{RunId, RunSummary};

/// The stable names of the errors; several errors can share one.
pub mod codes {
    /// The disk is full: nothing was appended.
    pub const FULL: &str = "maand::journal::disk_full";
    /// The file or its folder cannot be written.
    pub const READ_ONLY: &str = "maand::journal::read_only";
    /// Another process holds SQLite's lock for longer than the time-out, or uses the file in a way
    /// that excludes this one.
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
    /// Another process changed the run's facts: this controller must stop at once.
    pub const CHANGED: &str = "maand::journal::changed";
    /// Network filesystems cannot carry the journal.
    pub const NETWORK: &str = "maand::journal::network_filesystem";
    /// Any other error of SQLite's.
    pub const SQLITE: &str = "maand::journal::sqlite";
}

/// What was being done to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operation {
    Open,
    Read,
    Write,
    Check,
}

impl fmt::Display for Operation {
    /// Completes "cannot ... FILE".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write to",
            Self::Check => "check",
        })
    }
}

/// Why the journal did not do what it was asked for. After one from [`super::RunWriter::append`]
/// nothing may be dispatched.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum JournalError {
    /// No room for what was to be written; nothing of it was.
    #[error("cannot {operation} {}: the disk is full", path.display())]
    DiskFull { operation: Operation, path: PathBuf, source: rusqlite::Error },
    /// Less room than a run may need; nothing was written. Sizes are in bytes.
    #[error(
        "{} has {} MiB free, and this run may need {} MiB", folder.display(), free >> 20, needed.div_ceil(1 << 20)
    )]
    LittleSpace { folder: PathBuf, free: u64, needed: u64 },
    /// The system does not say how much room there is.
    #[error("cannot see how much room is left in {}: {source}", folder.display())]
    UnknownSpace { folder: PathBuf, source: io::Error },
    /// The folder or the empty file cannot be made.
    #[error("cannot create {}: {source}", path.display())]
    Create { path: PathBuf, source: io::Error },
    /// Somebody else may have put it there: a link, another user's file, or the like.
    #[error("{} cannot be used: {source}", path.display())]
    NotOurs { path: PathBuf, source: io::Error },
    /// The file or its folder is not writable.
    #[error("cannot {operation} {}: the file or its folder cannot be opened for writing ({source})", path.display())]
    ReadOnly { operation: Operation, path: PathBuf, source: rusqlite::Error },
    /// Another process keeps SQLite's lock.
    #[error("cannot {operation} {}: another process has been writing to it for many seconds", path.display())]
    Busy { operation: Operation, path: PathBuf, source: rusqlite::Error },
    /// The file has an older format, and cannot be migrated while a run is carried out, perhaps by the
    /// older program.
    #[error("{} has the format of an older maand, and a run is under way: {holder}", path.display())]
    OlderInUse { path: PathBuf, holder: String },
    /// The stored bytes are not those that were written.
    #[error("{} is damaged: {what}", path.display())]
    Corrupt { path: PathBuf, what: String, source: Option<rusqlite::Error> },
    /// Some other program's file.
    #[error("{} is {what}", path.display())]
    Foreign { path: PathBuf, what: &'static str, source: Option<rusqlite::Error> },
    /// The whole file is a newer program's.
    #[error(
        "{} was written by a newer maand (its format is {found}, this program knows {known})", path.display()
    )]
    NewerFormat { path: PathBuf, found: i64, known: i64 },
    /// A run's header is intact, and says what this program does not know.
    #[error("run {run} cannot be read by this program: {source}")]
    NewerHeader { run: RunId, source: serde_json::Error },
    /// A fact is intact, and says what this program does not know.
    #[error("run {run} has a fact that this program does not know (number {seq}: {source})")]
    NewerFact { run: RunId, seq: u64, source: serde_json::Error },
    /// Reading or writing the disk failed.
    #[error("cannot {operation} {}: the disk failed ({source})", path.display())]
    Io { operation: Operation, path: PathBuf, source: rusqlite::Error },
    /// The file is missing, or was made a moment ago and is still empty: no run was ever started.
    #[error("there is no run yet: {} is missing or empty", path.display())]
    NoJournal { path: PathBuf },
    /// The file has no run.
    #[error("there is no run yet")]
    NoRun,
    /// No run has this name; `newest` are some that exist.
    #[error("no run is called `{name}`")]
    UnknownRun { name: String, newest: Vec<RunSummary> },
    /// Several runs fit what was asked for.
    #[error("`{name}` fits {} runs", fitting.len())]
    AmbiguousRun { name: String, fitting: Vec<RunSummary> },
    /// A newer controller has the run: this one must stop at once.
    #[error("another controller has taken over run {run} (epoch {newest}, this one has {own})")]
    Fenced { run: RunId, newest: u64, own: u64 },
    /// The run has its last fact.
    #[error("run {run} has finished; nothing can be added to it")]
    Finished { run: RunId },
    /// The run's newest fact is not the one that this writer knows: what it does next would follow
    /// from a state that is not the journal's.
    #[error(
        "run {run} was changed by another process: its newest fact is number {found}, not the number {known} that this process knows"
    )]
    Changed { run: RunId, found: u64, known: u64 },
    /// The file under its name is not the one that was opened: what is written here is lost, and somebody else may
    /// continue from what is there now.
    #[error("{} was {how} while it was in use", path.display())]
    Replaced { path: PathBuf, how: &'static str },
    /// Locks and syncs of network filesystems cannot be relied on.
    #[error("{} is on {filesystem}, a filesystem that is shared with other machines", folder.display())]
    NetworkFilesystem { folder: PathBuf, filesystem: String },
    /// This program is linked with an SQLite that has a dangerous bug.
    #[error("this program was built with SQLite {linked}, which may damage its files (needed: {needed})")]
    OldSqlite { linked: &'static str, needed: &'static str },
    /// SQLite does not take the settings that durability rests on.
    #[error("{} does not take the settings that make it safe ({settings})", path.display())]
    UnsafeSettings { path: PathBuf, settings: String },
    /// A value has no JSON form.
    #[error("the {what} cannot be written: {source}")]
    Encode { what: &'static str, source: serde_json::Error },
    /// Any other error of SQLite's.
    #[error("cannot {operation} {}: {source}", path.display())]
    Sqlite { operation: Operation, path: PathBuf, source: rusqlite::Error },
}

impl JournalError {
    /// The stable name, one of [`codes`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } | Self::LittleSpace { .. } => codes::FULL,
            Self::Create { source, .. } if source.kind() == io::ErrorKind::StorageFull => codes::FULL,
            Self::Create { .. } | Self::ReadOnly { .. } => codes::READ_ONLY,
            Self::Busy { .. } | Self::OlderInUse { .. } => codes::BUSY,
            Self::Corrupt { .. } => codes::CORRUPT,
            Self::NewerFormat { .. } | Self::NewerHeader { .. } | Self::NewerFact { .. } => codes::NEWER,
            Self::Foreign { .. } | Self::NotOurs { .. } => codes::FOREIGN,
            Self::Io { .. } | Self::UnknownSpace { .. } => codes::IO,
            Self::NoJournal { .. } | Self::NoRun => codes::NONE,
            Self::UnknownRun { .. } | Self::AmbiguousRun { .. } => codes::UNKNOWN_RUN,
            Self::Fenced { .. } => codes::FENCED,
            Self::Finished { .. } => codes::FINISHED,
            Self::Changed { .. } | Self::Replaced { .. } => codes::CHANGED,
            Self::NetworkFilesystem { .. } => codes::NETWORK,
            Self::OldSqlite { .. }
            | Self::UnsafeSettings { .. }
            | Self::Encode { .. }
            | Self::Sqlite { .. } => codes::SQLITE,
        }
    }

    /// SQLite's error, told apart by its code.
    pub(super) fn sqlite(path: &Path, operation: Operation, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { operation, path, source },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly { operation, path, source }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Busy { operation, path, source }
            }
            Some(ErrorCode::DatabaseCorrupt) => {
                Self::Corrupt { path, what: source.to_string(), source: Some(source) }
            }
            Some(ErrorCode::NotADatabase) => {
                Self::Foreign { path, what: "not an SQLite database", source: Some(source) }
            }
            Some(ErrorCode::SystemIoFailure) => Self::Io { operation, path, source },
            _ => Self::Sqlite { operation, path, source },
        }
    }

    /// The stored bytes are not those that were written.
    pub(super) fn corrupt(path: &Path, what: impl fmt::Display) -> Self {
        Self::Corrupt { path: path.to_owned(), what: what.to_string(), source: None }
    }
}

/// What goes wrong at one operation on one file: turns SQLite's errors into ours.
pub(super) fn failed(path: &Path, operation: Operation) -> impl Fn(rusqlite::Error) -> JournalError + Copy {
    move |error| JournalError::sqlite(path, operation, error)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use rusqlite::ffi;

    use super::*;

    #[test]
    fn errors_of_sqlite_are_told_apart_and_kept_as_sources() {
        for (number, code) in [
            (ffi::SQLITE_FULL, codes::FULL),
            (ffi::SQLITE_READONLY, codes::READ_ONLY),
            (ffi::SQLITE_CANTOPEN, codes::READ_ONLY),
            (ffi::SQLITE_PERM, codes::READ_ONLY),
            (ffi::SQLITE_BUSY, codes::BUSY),
            (ffi::SQLITE_LOCKED, codes::BUSY),
            (ffi::SQLITE_CORRUPT, codes::CORRUPT),
            (ffi::SQLITE_NOTADB, codes::FOREIGN),
            (ffi::SQLITE_IOERR_FSYNC, codes::IO),
            (ffi::SQLITE_MISUSE, codes::SQLITE),
        ] {
            let source = rusqlite::Error::SqliteFailure(ffi::Error::new(number), None);
            let error = JournalError::sqlite(Path::new("/x/plan.db"), Operation::Write, source);
            assert_eq!(error.code(), code, "{error}");
            assert!(error.to_string().contains("/x/plan.db"), "{error}");
            assert!(error.source().is_some(), "{error}");
        }
    }
}
