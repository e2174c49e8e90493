//! The tables, and how older ones become them.

use rusqlite::{Connection, TransactionBehavior};

use super::db::{Access, Db, StoreError, values};

/// "maan" in ASCII: `file` and `PRAGMA application_id` tell whose database it is.
pub(super) const APPLICATION_ID: i32 = 0x6d61_616e;

/// Migrations in order; the n-th one leads to `user_version` n. Never change one that has been
/// released: add another.
const MIGRATIONS: &[&str] = &[
    // 1. `run.chain` and `run.last_seq` repeat the newest fact's, so that a lost end is noticed.
    "CREATE TABLE run (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        plan TEXT NOT NULL,
        workers INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        last_at INTEGER NOT NULL,
        finished_at INTEGER,
        state TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        chain BLOB NOT NULL,
        header TEXT NOT NULL
     ) STRICT;
     CREATE TABLE fact (
        run INTEGER NOT NULL REFERENCES run (n) ON DELETE CASCADE,
        seq INTEGER NOT NULL,
        at INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        fact TEXT NOT NULL,
        chain BLOB NOT NULL,
        PRIMARY KEY (run, seq)
     ) STRICT, WITHOUT ROWID;
     CREATE TRIGGER fact_is_append_only BEFORE UPDATE ON fact
        BEGIN SELECT RAISE (ABORT, 'facts are never changed'); END;
     CREATE TABLE worker_end (
        run INTEGER NOT NULL REFERENCES run (n) ON DELETE CASCADE,
        target INTEGER NOT NULL,
        how TEXT NOT NULL,
        PRIMARY KEY (run, target)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE output (
        run INTEGER NOT NULL REFERENCES run (n) ON DELETE CASCADE,
        attempt INTEGER NOT NULL,
        host TEXT NOT NULL,
        total INTEGER NOT NULL,
        head BLOB NOT NULL,
        tail BLOB NOT NULL,
        PRIMARY KEY (run, attempt, host)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE request (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL REFERENCES run (n) ON DELETE CASCADE,
        verb TEXT NOT NULL,
        by TEXT NOT NULL,
        at INTEGER NOT NULL,
        taken_at INTEGER,
        refused TEXT
     ) STRICT;
     CREATE INDEX request_pending ON request (run) WHERE taken_at IS NULL;",
    // 2. The header apart: it grows with the fleet, and every append reads and writes the run's row.
    "CREATE TABLE run_header (
        run INTEGER PRIMARY KEY REFERENCES run (n) ON DELETE CASCADE,
        header TEXT NOT NULL
     ) STRICT;
     INSERT INTO run_header SELECT n, header FROM run;
     ALTER TABLE run DROP COLUMN header;",
    // 3. What runs have counted that were forgotten: numbers that a Prometheus keeps must not fall.
    "CREATE TABLE forgotten (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;",
];

/// The triggers that these have made, as SQLite keeps them.
pub(super) const TRIGGERS: &[&str] = &["CREATE TRIGGER fact_is_append_only BEFORE UPDATE ON fact \
     BEGIN SELECT RAISE (ABORT, 'facts are never changed'); END"];

/// The version that this program writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings the tables to [`VERSION`], all or nothing. Two processes may try at once.
pub(super) fn migrate(db: &mut Connection) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (step, sql) in (1..).zip(MIGRATIONS).filter(|(step, _)| *step > version) {
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()
}

/// The header of run `n`, in a file of any version: one that is only read is not migrated.
pub(super) fn header(db: &Db, n: i64) -> Result<String, StoreError> {
    // Of one moment: another process may migrate the file between the two statements.
    header_within(&*db.begin(Access::Read)?, n)
}

/// The same within the caller's transaction.
pub(super) fn header_within(moment: &Db, n: i64) -> Result<String, StoreError> {
    let sql = if moment.version()? < 2 {
        "SELECT header FROM run WHERE n = ?1"
    } else {
        "SELECT header FROM run_header WHERE run = ?1"
    };
    moment.one(sql, values![n], |row| row.get(0))
}
