//! What can go wrong with the journal: what happened, and to which file or run. What to do about it
//! is for whoever shows it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

use super::db::{AddressError, StoreError};
use super::place::Place;
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
    /// PostgreSQL cannot be reached, or does not answer.
    pub const AWAY: &str = "maand::journal::away";
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
    /// The address of the database in `maand.conf` cannot be used.
    pub const ADDRESS: &str = "maand::journal::address";
    /// Runs cannot be copied into a journal that has some.
    pub const NOT_EMPTY: &str = "maand::journal::not_empty";
    /// PostgreSQL does not let this user in, or do what is wanted.
    pub const NO_RIGHT: &str = "maand::journal::no_right";
    /// Any other error of PostgreSQL's.
    pub const POSTGRES: &str = "maand::journal::postgres";
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
    #[error("cannot {operation} {place}: the disk is full")]
    DiskFull { operation: Operation, place: Place, source: StoreError },
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
    #[error("cannot {operation} {place}: the file or its folder cannot be opened for writing ({source})")]
    ReadOnly { operation: Operation, place: Place, source: StoreError },
    /// The server does not let this user in, or do this.
    #[error("cannot {operation} {place}: {source}")]
    NoRight { operation: Operation, place: Place, source: StoreError },
    /// Another process keeps SQLite's lock.
    #[error("cannot {operation} {place}: another process has been writing to it for many seconds")]
    Busy { operation: Operation, place: Place, source: StoreError },
    /// The file has an older format, and cannot be migrated while a run is carried out, perhaps by the
    /// older program.
    #[error("{place} has the format of an older maand, and a run is under way: {holder}")]
    OlderInUse { place: Place, holder: String },
    /// The stored bytes are not those that were written.
    #[error("{place} is damaged: {what}")]
    Corrupt { place: Place, what: String, source: Option<StoreError> },
    /// Some other program's file.
    #[error("{place} is {what}")]
    Foreign { place: Place, what: &'static str, source: Option<StoreError> },
    /// The whole file is a newer program's.
    #[error("{place} was written by a newer maand (its format is {found}, this program knows {known})")]
    NewerFormat { place: Place, found: i64, known: i64 },
    /// A run's header is intact, and says what this program does not know.
    #[error("run {run} cannot be read by this program: {source}")]
    NewerHeader { run: RunId, source: serde_json::Error },
    /// A fact is intact, and says what this program does not know.
    #[error("run {run} has a fact that this program does not know (number {seq}: {source})")]
    NewerFact { run: RunId, seq: u64, source: serde_json::Error },
    /// Reading or writing the disk failed.
    #[error("cannot {operation} {place}: the disk failed ({source})")]
    Io { operation: Operation, place: Place, source: StoreError },
    /// The file is missing, or was made a moment ago and is still empty: no run was ever started.
    #[error("there is no run yet: {} is missing or empty", path.display())]
    NoJournal { path: PathBuf },
    /// The database has no tables for this bucket: no run was ever started with it.
    #[error("there is no run yet: {place} has no tables for this bucket")]
    NoTables { place: Place },
    /// PostgreSQL cannot be reached, or does not answer. What was to be written may have been.
    #[error("cannot {operation} {place}: {source}")]
    Away { operation: Operation, place: Place, source: StoreError },
    /// What `ledger` says in `maand.conf` cannot be used.
    #[error("`ledger` in maand.conf cannot be used: {0}")]
    Address(#[from] AddressError),
    /// The bucket has no id, which names its tables in a database.
    #[error("{why}")]
    NoBucketId { why: String },
    /// Runs are copied into a journal that has none.
    #[error("{place} has runs already, such as {run}")]
    NotEmpty { place: Place, run: RunId },
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
    #[error("{place} does not take the settings that make it safe ({settings})")]
    UnsafeSettings { place: Place, settings: String },
    /// A value has no JSON form.
    #[error("the {what} cannot be written: {source}")]
    Encode { what: &'static str, source: serde_json::Error },
    /// Any other error of the engine.
    #[error("cannot {operation} {place}: {source}")]
    Store { operation: Operation, place: Place, source: StoreError },
}

impl JournalError {
    /// The stable name, one of [`codes`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } | Self::LittleSpace { .. } => codes::FULL,
            Self::Create { source, .. } if source.kind() == io::ErrorKind::StorageFull => codes::FULL,
            Self::Create { .. } | Self::ReadOnly { .. } => codes::READ_ONLY,
            Self::NoRight { .. } => codes::NO_RIGHT,
            Self::Store { place: Place::Server(_), .. } => codes::POSTGRES,
            Self::Busy { .. } | Self::OlderInUse { .. } => codes::BUSY,
            Self::Corrupt { .. } => codes::CORRUPT,
            Self::NewerFormat { .. } | Self::NewerHeader { .. } | Self::NewerFact { .. } => codes::NEWER,
            Self::Foreign { .. } | Self::NotOurs { .. } => codes::FOREIGN,
            Self::Io { .. } | Self::UnknownSpace { .. } => codes::IO,
            Self::NoJournal { .. } | Self::NoTables { .. } | Self::NoRun => codes::NONE,
            Self::Away { .. } => codes::AWAY,
            Self::NotEmpty { .. } => codes::NOT_EMPTY,
            Self::Address(_) | Self::NoBucketId { .. } => codes::ADDRESS,
            Self::UnknownRun { .. } | Self::AmbiguousRun { .. } => codes::UNKNOWN_RUN,
            Self::Fenced { .. } => codes::FENCED,
            Self::Finished { .. } => codes::FINISHED,
            Self::Changed { .. } | Self::Replaced { .. } => codes::CHANGED,
            Self::NetworkFilesystem { .. } => codes::NETWORK,
            Self::OldSqlite { .. }
            | Self::UnsafeSettings { .. }
            | Self::Encode { .. }
            | Self::Store { .. } => codes::SQLITE,
        }
    }

    /// An engine's error, told apart by its code.
    pub(super) fn store(place: &Place, operation: Operation, source: StoreError) -> Self {
        let place = place.clone();
        let error = match &source {
            StoreError::Sqlite(error) => error,
            StoreError::Away(_) | StoreError::Here(_) => return Self::Away { operation, place, source },
            StoreError::NoUsage(_) => return Self::NoRight { operation, place, source },
            StoreError::Postgres(error) => {
                return match error.code() {
                    // Class 28: who this is. 3D000: there is no such database.
                    Some(code)
                        if code.code().starts_with("28") || *code == SqlState::INVALID_CATALOG_NAME =>
                    {
                        Self::NoRight { operation, place, source }
                    }
                    Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Self::NoRight { operation, place, source },
                    Some(&(SqlState::DISK_FULL | SqlState::OUT_OF_MEMORY)) => {
                        Self::DiskFull { operation, place, source }
                    }
                    Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Self::ReadOnly { operation, place, source },
                    Some(&(SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED)) => {
                        Self::Busy { operation, place, source }
                    }
                    Some(&SqlState::TOO_MANY_CONNECTIONS) => Self::Away { operation, place, source },
                    Some(&(SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED)) => {
                        Self::Corrupt { place, what: source.to_string(), source: Some(source) }
                    }
                    _ => Self::Store { operation, place, source },
                };
            }
            StoreError::NoRow | StoreError::Value(_) => return Self::Store { operation, place, source },
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { operation, place, source },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly { operation, place, source }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Busy { operation, place, source }
            }
            Some(ErrorCode::DatabaseCorrupt) => {
                Self::Corrupt { place, what: source.to_string(), source: Some(source) }
            }
            Some(ErrorCode::NotADatabase) => {
                Self::Foreign { place, what: "not an SQLite database", source: Some(source) }
            }
            Some(ErrorCode::SystemIoFailure) => Self::Io { operation, place, source },
            _ => Self::Store { operation, place, source },
        }
    }

    /// The stored bytes are not those that were written.
    pub(super) fn corrupt(place: &Place, what: impl fmt::Display) -> Self {
        Self::Corrupt { place: place.clone(), what: what.to_string(), source: None }
    }
}

/// What goes wrong at one operation in one place: turns an engine's errors into ours.
pub(super) fn failed(place: &Place, operation: Operation) -> impl Fn(StoreError) -> JournalError + Copy {
    move |error| JournalError::store(place, operation, error)
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
            let error =
                JournalError::store(&Place::File("/x/plan.db".into()), Operation::Write, source.into());
            assert_eq!(error.code(), code, "{error}");
            assert!(error.to_string().contains("/x/plan.db"), "{error}");
            assert!(error.source().is_some(), "{error}");
        }
    }
}
