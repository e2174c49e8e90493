//! Why an operation of the catalog did not take place at all.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::bucket::lock::LockError;
use crate::plan::Problems;

/// Why an operation did not take place at all.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The workspace or the request is wrong; nothing was changed.
    #[error("{0}")]
    Invalid(Problems),
    /// There is no catalog to work with yet.
    #[error("this bucket was never built{}", if *.upstream { ": there is no data/maand.db" } else { "" })]
    NotBuilt {
        /// It is the upstream program that has to build it.
        upstream: bool,
    },
    /// The bucket is deployed by an upstream program: its jobs would be started a second time under another id.
    #[error("{} exists: this bucket is deployed by an upstream maand", .database.display())]
    UpstreamsBucket {
        /// The upstream program's database.
        database: PathBuf,
    },
    /// Not a name that a Makefile target can have.
    #[error("`{0}` cannot be a Makefile target")]
    BadTarget(String),
    /// Another process holds the lock.
    #[error("{what} is held by {holder}")]
    Locked {
        /// Which lock.
        what: String,
        /// Who, since when.
        holder: String,
    },
    /// It was cancelled or ran out of time before anything was sent.
    #[error("{0}")]
    Cancelled(String),
    /// The controller's own disk, database or program failed.
    #[error(transparent)]
    Broken(#[from] BrokenCatalog),
}

/// What failed on the controller itself.
#[derive(Debug, thiserror::Error)]
pub enum BrokenCatalog {
    /// The catalog's lock file cannot be used.
    #[error(transparent)]
    Lock(LockError),
    /// The catalog's lock was given back before a command of the upstream program was to run: a bug.
    #[error("the catalog's lock was given back")]
    LockGivenBack,
    /// Older ones have a bug in write-ahead logs.
    #[error(
        "the linked SQLite {} can corrupt a write-ahead log; 3.51.3 or newer is needed",
        rusqlite::version()
    )]
    OldSqlite,
    /// The file system of the data folder has no shared memory, as on some network file systems.
    #[error("{}: no write-ahead log here (mode {mode})", path.display())]
    NoWriteAheadLog {
        /// The catalog's file.
        path: PathBuf,
        /// The journal mode that SQLite chose instead.
        mode: String,
    },
    /// Somebody else may have put the catalog's file there: a link, another user's file, or the like.
    #[error("{} cannot be used: {source} (move away what maand has not made itself)", path.display())]
    NotOurs {
        /// The catalog's file.
        path: PathBuf,
        /// What it is.
        source: io::Error,
    },
    /// A database of another program.
    #[error("{} is not a catalog of maand", path.display())]
    Foreign {
        /// The file that was taken for a catalog.
        path: PathBuf,
    },
    /// Its schema is newer than this program.
    #[error("{} was written by a newer maand (schema {version}, this one knows {known}): use that one", path.display())]
    Newer {
        /// The catalog's file.
        path: PathBuf,
        /// Its schema.
        version: i32,
        /// The newest schema that this program knows.
        known: i32,
    },
    /// A stored list of files does not parse.
    #[error("{}: file list of {hash}: {source}", path.display())]
    FileList {
        /// The catalog's file.
        path: PathBuf,
        /// The content hash that it belongs to.
        hash: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// SQLite failed on the catalog.
    #[error("{}: {source}{}", path.display(), advice(source))]
    Database {
        /// The catalog's file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// SQLite failed on the upstream program's database.
    #[error("upstream's database {} cannot be read: {source}", path.display())]
    Upstream {
        /// `data/maand.db`.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The upstream program cannot be started, or its output cannot be read.
    #[error("{} cannot be started: {source}", path.display())]
    Program {
        /// The program.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl CatalogError {
    /// All of it in one line, where there is no room for a report.
    pub fn describe(&self) -> String {
        match self {
            Self::Invalid(problems) => {
                problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; ")
            }
            error => error.to_string(),
        }
    }
}

fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            " (the file is damaged: put a backup back, or move it away and build again; the next deploy finds out \
             what runs where from the receipts on the workers)"
        }
        Some(ErrorCode::DiskFull) => " (the disk is full)",
        Some(ErrorCode::DatabaseBusy) => " (another program holds it)",
        _ => "",
    }
}
