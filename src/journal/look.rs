//! What a reader that keeps the journal open looks at to know whether anything is new.

use std::fs;
use std::path::Path;

use crate::os::sqlite;

use super::error::failed;
use super::{Journal, JournalError, Operation};

impl Journal {
    /// A number that is another one after each commit of another connection, and costs nothing to read. Numbers of
    /// two connections have nothing to do with one another.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn data_version(&self) -> Result<i64, JournalError> {
        self.db.data_version().map_err(failed(&self.place, Operation::Read))
    }

    /// The version of the tables in the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn schema_version(&self) -> Result<i64, JournalError> {
        self.db.version().map_err(failed(&self.place, Operation::Read))
    }

    /// Bytes that the file and its write-ahead log take.
    pub fn size(&self) -> u64 {
        self.place.file().map_or(0, on_disk)
    }

    /// Whether the file that was opened is still the one under its name.
    pub fn is_in_place(&self) -> bool {
        self.check_in_place().is_ok()
    }
}

/// Bytes of the file and its write-ahead log.
pub(super) fn on_disk(path: &Path) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    size(path) + size(&sqlite::beside(path, "-wal"))
}
