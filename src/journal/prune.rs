//! Forgetting runs, and giving the room that they took back to the disk.

use std::time::Duration;

use crate::engine::Millis;
use crate::os::disk;

use super::db::{Access, Db, values};
use super::error::failed;
use super::run::{RunId, RunSummary};
use super::store::BUSY;
use super::{Journal, JournalError, Operation};

/// So many of the newest finished runs are kept, however old they are.
pub const RUNS_KEPT: u32 = 100;
/// Finished runs are kept for so long (90 days, in milliseconds), however many they are.
pub const RUNS_KEPT_FOR: Millis = 90 * 24 * 3600 * 1000;

/// Somebody who reads one run is done by then.
const READERS_WAITED_FOR: Duration = Duration::from_millis(300);

/// What became of the room that forgotten runs took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaimed {
    /// PostgreSQL makes the room free by itself, in its own time.
    ByServer,
    /// The file is smaller by so many bytes.
    Bytes(u64),
    /// It could not be made smaller: the disk has less than this many bytes free, which the smaller copy may need.
    /// New runs use the room.
    LittleSpace {
        /// Bytes that have to be free.
        needed: u64,
    },
    /// Another process is at work on the file; new runs use the room.
    Busy,
}

/// What the journal has, and what it had.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// All runs, newest first.
    pub runs: Vec<RunSummary>,
    /// What runs have counted that were forgotten: sums by name.
    pub forgotten: Vec<(String, i64)>,
}

impl Journal {
    /// Finished runs that ended before `before` and are not among the newest `keep` finished ones, oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn prunable(&self, keep: u32, before: Millis) -> Result<Vec<RunSummary>, JournalError> {
        let finished = self.runs()?.into_iter().filter(|run| run.finished_at.is_some());
        let old = finished
            .skip(keep as usize)
            .filter(|run| run.finished_at.is_some_and(|finished_at| finished_at < before));
        let mut old: Vec<_> = old.collect();
        old.reverse();
        Ok(old)
    }

    /// Forgets a finished run with all its facts and output, all or nothing; `false`: there is no finished run of this
    /// name. What it has counted is added to [`Totals::forgotten`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget(&mut self, run: &RunId, counted: &[(String, i64)]) -> Result<bool, JournalError> {
        let failed = failed(&self.place, Operation::Write);
        let transaction = self.db.begin(Access::Write).map_err(failed)?;
        let sql = "DELETE FROM run WHERE id = ?1 AND finished_at IS NOT NULL";
        let is_gone = transaction.execute(sql, values![run.as_str()]).map_err(failed)? > 0;
        if is_gone {
            let sql = "INSERT INTO forgotten (name, value) VALUES (?1, ?2)
                       ON CONFLICT (name) DO UPDATE SET value =
                          CASE WHEN forgotten.value > 9223372036854775807 - excluded.value
                               THEN 9223372036854775807 ELSE forgotten.value + excluded.value END";
            for (name, value) in counted {
                transaction.execute(sql, values![name, value]).map_err(failed)?;
            }
        }
        transaction.commit().map_err(failed)?;
        Ok(is_gone)
    }

    /// All runs and what those have counted that are gone, of one moment: each run is in one of the two.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn totals(&self) -> Result<Totals, JournalError> {
        let failed = failed(&self.place, Operation::Read);
        let _moment = self.db.begin(Access::Read).map_err(failed)?;
        let runs = self.runs()?;
        // A file that is only read is not migrated.
        if self.schema_version()? < 3 {
            return Ok(Totals { runs, forgotten: Vec::new() });
        }
        let sql = "SELECT name, value FROM forgotten ORDER BY name";
        let forgotten = self.db.all(sql, values![], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        Ok(Totals { runs, forgotten })
    }

    /// Bytes that a run takes in the file, about: its facts, its header and its output.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn size_of(&self, run: &RunId) -> Result<u64, JournalError> {
        let n = self.row(run)?.n;
        // Of each row, beside its text, keys and a hash.
        let sql = "SELECT coalesce((SELECT sum(octet_length(fact) + 48) FROM fact WHERE run = ?1), 0)
                        + coalesce((SELECT sum(octet_length(head) + octet_length(tail) + octet_length(host) + 16)
                                  FROM output WHERE run = ?1), 0)";
        let failed = failed(&self.place, Operation::Read);
        let bytes = self.db.one(sql, values![n], |row| row.count(0)).map_err(failed)?;
        Ok(bytes + self.header(run, n)?.len() as u64)
    }

    /// Makes the file as small as what is in it. Who reads it is not disturbed; it may keep its size until they have ended.
    ///
    /// # Errors
    /// The file cannot be written. What is in it is as it was.
    pub fn reclaim(&mut self) -> Result<Reclaimed, JournalError> {
        let failed = failed(&self.place, Operation::Write);
        let Db::Sqlite(db) = &self.db else { return Ok(Reclaimed::ByServer) };
        let failed = |error: rusqlite::Error| failed(error.into());
        let number = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = number("page_count").map_err(failed)?.unsigned_abs();
        let free = number("freelist_count").map_err(failed)?.unsigned_abs();
        let page_size = number("page_size").map_err(failed)?.unsigned_abs();
        let before = self.size();
        // The new content goes to a temporary file, and by the write-ahead log into this one.
        let needed = pages.saturating_sub(free).saturating_mul(page_size).saturating_mul(2) + (16 << 20);
        let folder = self.place.file().and_then(std::path::Path::parent);
        if folder.is_some_and(|folder| disk::free_bytes(folder).is_ok_and(|free| free < needed)) {
            return Ok(Reclaimed::LittleSpace { needed });
        }
        let compacted = db.execute_batch("VACUUM").and_then(|()| {
            // For those who read what was there before nobody waits: the next writer does it.
            db.busy_timeout(READERS_WAITED_FOR)?;
            let done = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            db.busy_timeout(BUSY)?;
            done
        });
        match compacted.map_err(failed) {
            Ok(()) => Ok(Reclaimed::Bytes(before.saturating_sub(self.size()))),
            Err(JournalError::Busy { .. }) => Ok(Reclaimed::Busy),
            // Temporary files may be on another disk.
            Err(JournalError::DiskFull { .. }) => Ok(Reclaimed::LittleSpace { needed }),
            Err(error) => Err(error),
        }
    }
}
