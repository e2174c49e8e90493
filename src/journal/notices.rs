//! Which notices of a run were delivered, and to whom. Which there are follows from the run's facts: only what became of
//! them is kept, so that one that was not delivered when a process ended is sent by the next.
//!
//! In a file the table is made by whoever first has somebody to tell, and not with the others: a bucket that tells nobody
//! never has it, and a file without it says that nothing was delivered.

use std::collections::BTreeSet;

use crate::engine::Millis;

use super::db::{Db, StoreError, values};
use super::error::failed;
use super::place::Place;
use super::run::RunId;
use super::store::Durability;
use super::{Journal, JournalError, Operation};

/// `failed`: why it was not delivered. A row without an event says from which fact on the target is told.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS notice (
    run INTEGER NOT NULL REFERENCES run (n) ON DELETE CASCADE,
    target TEXT NOT NULL,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    at INTEGER NOT NULL,
    failed TEXT,
    PRIMARY KEY (run, target, seq, event)
 ) STRICT, WITHOUT ROWID";

/// The event of the row that says from when on a target is told.
const SINCE: &str = "";

/// A notice of a run, by the fact that it follows from (0: none) and the name of its event.
pub type NoticeKey = (u64, String);

/// A notice that was not delivered, and is not being tried any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndeliveredNotice {
    /// The target's name.
    pub target: String,
    /// Which.
    pub key: NoticeKey,
    /// Why it was not delivered, masked.
    pub why: String,
}

/// Keeps what became of one run's notices, through a connection of its own. Nothing of it is durable by itself: what a
/// power cut loses is delivered once more.
#[derive(Debug)]
pub struct NoticeStore {
    db: Db,
    place: Place,
    n: i64,
}

impl NoticeStore {
    /// For the notices of `run`.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`]; others when the file cannot be opened or written.
    pub fn open(journal: &Journal, run: &RunId) -> Result<Self, JournalError> {
        let db = journal.connect_again(Durability::Later)?;
        make_table(&db, &journal.place).map_err(failed(&journal.place, Operation::Write))?;
        Ok(Self { db, place: journal.place.clone(), n: journal.row(run)?.n })
    }

    /// The number of the fact behind which this target is told; one that is new is told from fact `newest` on: what was
    /// before it came is not news.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn told_since(&self, target: &str, newest: u64, at: Millis) -> Result<u64, JournalError> {
        let known = "SELECT seq FROM notice WHERE run = ?1 AND target = ?2 AND event = ?3";
        let since = self.db.first(known, values![self.n, target, SINCE], |row| row.count(0));
        if let Some(since) = since.map_err(failed(&self.place, Operation::Write))? {
            return Ok(since);
        }
        self.write(target, &(newest, SINCE.to_owned()), at, None)?;
        Ok(newest)
    }

    /// The notices that were delivered to this target.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn delivered(&self, target: &str) -> Result<BTreeSet<NoticeKey>, JournalError> {
        let sql =
            "SELECT seq, event FROM notice WHERE run = ?1 AND target = ?2 AND event != ?3 AND failed IS NULL";
        let keys = self.db.all(sql, values![self.n, target, SINCE], |row| Ok((row.count(0)?, row.get(1)?)));
        Ok(keys.map_err(failed(&self.place, Operation::Read))?.into_iter().collect())
    }

    /// Notes what became of a notice; `why`: it was not delivered. What was delivered once stays so.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn settle(
        &self,
        target: &str,
        key: &NoticeKey,
        at: Millis,
        why: Option<&str>,
    ) -> Result<(), JournalError> {
        self.write(target, key, at, why)
    }

    fn write(
        &self,
        target: &str,
        key: &NoticeKey,
        at: Millis,
        why: Option<&str>,
    ) -> Result<(), JournalError> {
        let sql = "INSERT INTO notice (run, target, seq, event, at, failed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (run, target, seq, event) DO UPDATE SET at = excluded.at, failed = excluded.failed
                   WHERE notice.failed IS NOT NULL";
        let (seq, event) = (key.0 as i64, &key.1);
        let written = self.db.execute(sql, values![self.n, target, seq, event, at, why]);
        written.map(drop).map_err(failed(&self.place, Operation::Write))
    }
}

/// Makes the table where there is none.
pub(super) fn make_table(db: &Db, place: &Place) -> Result<(), StoreError> {
    match place {
        Place::File(_) => db.execute(TABLE, values![]).map(drop),
        Place::Server(_) => Ok(()),
    }
}

/// Whether there is one.
pub(super) fn has_table(db: &Db, place: &Place) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'notice')";
    match place {
        Place::File(_) => db.one(sql, values![], |row| row.get(0)),
        Place::Server(_) => Ok(true),
    }
}

impl Journal {
    /// The notices of a run that were given up, by target, oldest first.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`]; others when the file cannot be read.
    pub fn undelivered_notices(&self, id: &RunId) -> Result<Vec<UndeliveredNotice>, JournalError> {
        let failed = failed(&self.place, Operation::Read);
        let n = self.row(id)?.n;
        if !has_table(&self.db, &self.place).map_err(failed)? {
            return Ok(Vec::new());
        }
        let sql = "SELECT target, seq, event, failed FROM notice WHERE run = ?1 AND failed IS NOT NULL
                   ORDER BY target, seq";
        let undelivered = self.db.all(sql, values![n], |row| {
            let key = (row.count(1)?, row.get(2)?);
            Ok(UndeliveredNotice { target: row.get(0)?, key, why: row.get(3)? })
        });
        undelivered.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::example;
    use super::super::{JournalError, Mode};
    use super::*;
    use crate::engine::Fact;

    fn key(seq: u64) -> NoticeKey {
        (seq, "halted".to_owned())
    }

    #[test]
    fn what_was_delivered_is_known_and_what_was_not_can_still_be() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
        let first = Fact::RunStarted { workers: 1, graph_hash: "11".into(), seed: 1 };
        let (run, _) = journal.create_run(&example::header(), &[first]).unwrap();
        // Whoever tells nobody has no table.
        assert_eq!(journal.undelivered_notices(&run).unwrap(), []);
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'notice'";
        assert_eq!(journal.db.one(tables, values![], |row| row.count(0)).unwrap(), 0);

        let store = NoticeStore::open(&journal, &run).unwrap();
        assert_eq!(store.told_since("ops", 1, 5).unwrap(), 1);
        assert_eq!(store.told_since("ops", 9, 6).unwrap(), 1, "it stays as it was first");
        assert_eq!(store.told_since("new", 9, 6).unwrap(), 9);
        store.settle("ops", &key(3), 7, Some("no connection")).unwrap();
        store.settle("ops", &key(4), 7, None).unwrap();
        assert_eq!(store.delivered("ops").unwrap(), BTreeSet::from([key(4)]));
        let undelivered =
            UndeliveredNotice { target: "ops".into(), key: key(3), why: "no connection".into() };
        assert_eq!(journal.undelivered_notices(&run).unwrap(), [undelivered]);
        // By a thread that is late, or the next process.
        store.settle("ops", &key(3), 8, None).unwrap();
        store.settle("ops", &key(3), 9, Some("given up")).unwrap();
        assert_eq!(journal.undelivered_notices(&run).unwrap(), []);
        assert_eq!(store.delivered("ops").unwrap(), BTreeSet::from([key(3), key(4)]));
        assert_eq!(store.delivered("new").unwrap(), BTreeSet::new());
        let unknown = RunId::draw(7);
        assert!(matches!(journal.undelivered_notices(&unknown), Err(JournalError::UnknownRun { .. })));
    }
}
