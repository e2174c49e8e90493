//! The database `data/maand.db`: its tables and views as they were seen, and queries on them.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;

use rusqlite::{Connection, Row, params};
use serde_json::Value;

use super::{Bucket, Result, text};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS bucket (bucket_id TEXT, update_seq INT);
CREATE TABLE IF NOT EXISTS worker (worker_id TEXT, worker_ip TEXT PRIMARY KEY, available_memory_mb TEXT,
  available_cpu_mhz TEXT, position INT);
CREATE TABLE IF NOT EXISTS worker_labels (worker_id TEXT, label TEXT);
CREATE TABLE IF NOT EXISTS allocations (alloc_id TEXT, worker_ip TEXT, job TEXT, disabled INT, removed INT,
  deployment_seq INT, new_version TEXT, PRIMARY KEY (worker_ip, job));
CREATE TABLE IF NOT EXISTS job (job_id TEXT, name TEXT PRIMARY KEY, version TEXT, manifest TEXT);
CREATE TABLE IF NOT EXISTS job_commands (job TEXT, name TEXT, executed_on TEXT);
CREATE TABLE IF NOT EXISTS job_files (job_id TEXT, path TEXT, content BLOB, isdir BOOL);
CREATE TABLE IF NOT EXISTS job_ports (job_id TEXT, name TEXT, port INT);
CREATE TABLE IF NOT EXISTS hash (namespace TEXT, key TEXT, current_hash TEXT, previous_hash TEXT,
  current_files TEXT, previous_files TEXT, current_version TEXT, PRIMARY KEY (namespace, key));
CREATE TABLE IF NOT EXISTS schema_version (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL);
INSERT OR IGNORE INTO schema_version VALUES (1, 1);
CREATE VIEW IF NOT EXISTS cat_allocations AS
  SELECT alloc_id, worker_ip, job, disabled, removed, new_version FROM allocations ORDER BY job;
CREATE VIEW IF NOT EXISTS cat_deployments AS
  SELECT a.alloc_id, a.worker_ip, a.job, a.disabled, a.removed, ifnull(h.current_hash, '') AS current_hash,
    ifnull(h.previous_hash, '') AS previous_hash, ifnull(h.current_version, '') AS current_version,
    ifnull(a.new_version, '') AS new_version
  FROM allocations a LEFT JOIN hash h ON h.namespace = a.job || '_allocation' AND h.key = a.alloc_id
  ORDER BY a.job, a.worker_ip;
";

/// Words for an error of the database.
pub(crate) fn db(error: rusqlite::Error) -> String {
    format!("database error: {error}")
}

/// Opens it; it must be there.
pub(crate) fn open(bucket: &Bucket) -> Result<Connection> {
    let path = bucket.path("data/maand.db");
    if !path.exists() {
        return Err("bucket is not initialized".to_owned());
    }
    let connection = connect(&path)?;
    let version: i64 = connection
        .query_row("SELECT version FROM schema_version WHERE id = 1", [], |row| row.get(0))
        .map_err(db)?;
    match version {
        1 => Ok(connection),
        newer => Err(format!("database schema version {newer} is newer than this binary supports (1)")),
    }
}

fn connect(path: &std::path::Path) -> Result<Connection> {
    let connection = Connection::open(path).map_err(db)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(db)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(db)?;
    Ok(connection)
}

/// Makes the folders, all of them with mode 0755, and the database, with a bucket id from
/// `stand-in/bucket_id` where a test wants a certain one.
pub(crate) fn init(bucket: &Bucket) -> Result<()> {
    for name in ["data", "workspace/jobs", "logs", "tmp", "secrets"] {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(bucket.path(name));
        made.map_err(|error| text(name)(&error))?;
    }
    let connection = connect(&bucket.path("data/maand.db"))?;
    connection.execute_batch(SCHEMA).map_err(db)?;
    let there: i64 = connection.query_row("SELECT count(*) FROM bucket", [], |row| row.get(0)).map_err(db)?;
    if there == 0 {
        let id = std::fs::read_to_string(bucket.path("stand-in/bucket_id"))
            .map_or_else(|_| uuid::Uuid::new_v4().to_string(), |id| id.trim().to_owned());
        connection.execute("INSERT INTO bucket VALUES (?, 0)", [id]).map_err(db)?;
    }
    Ok(())
}

/// `bucket_id` and `update_seq`.
pub(crate) fn identity(connection: &Connection) -> Result<(String, i64)> {
    connection
        .query_row("SELECT bucket_id, update_seq FROM bucket", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(db)
}

/// Address and id of each worker, in their order.
pub(crate) fn workers(connection: &Connection) -> Result<Vec<(String, String)>> {
    all(connection, "SELECT worker_ip, worker_id FROM worker ORDER BY position", |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

/// Jobs with their manifests.
pub(crate) fn jobs(connection: &Connection) -> Result<BTreeMap<String, Value>> {
    let rows = all(connection, "SELECT name, manifest FROM job", |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    rows.into_iter()
        .map(|(name, text)| Ok((name, serde_json::from_str(&text).map_err(|error| error.to_string())?)))
        .collect()
}

/// One allocation with what was last promoted.
#[derive(Clone, Debug)]
pub(crate) struct Allocation {
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) job: String,
    pub(crate) disabled: bool,
    pub(crate) removed: bool,
    pub(crate) new_version: String,
    /// There is a row of hashes.
    pub(crate) planned: bool,
    pub(crate) current_hash: Option<String>,
    pub(crate) previous_hash: Option<String>,
    pub(crate) current_version: String,
}

impl Allocation {
    /// It should run.
    pub(crate) fn active(&self) -> bool {
        !self.disabled && !self.removed
    }

    /// It waits for `make start`.
    pub(crate) fn is_new(&self) -> bool {
        self.planned && self.previous_hash.is_none()
    }

    /// It runs something else than it should.
    pub(crate) fn is_changed(&self) -> bool {
        self.previous_hash.is_some()
            && (self.previous_hash != self.current_hash || self.current_version != self.new_version)
    }
}

/// All of them, by job and host.
pub(crate) fn allocations(connection: &Connection) -> Result<Vec<Allocation>> {
    let query =
        "SELECT a.alloc_id, a.worker_ip, a.job, a.disabled, a.removed, ifnull(a.new_version, '0.0.0'),
      h.key IS NOT NULL, h.current_hash, h.previous_hash, ifnull(h.current_version, '0.0.0')
      FROM allocations a LEFT JOIN hash h ON h.namespace = a.job || '_allocation' AND h.key = a.alloc_id
      ORDER BY a.job, a.worker_ip";
    all(connection, query, |row| {
        Ok(Allocation {
            id: row.get(0)?,
            host: row.get(1)?,
            job: row.get(2)?,
            disabled: row.get(3)?,
            removed: row.get(4)?,
            new_version: row.get(5)?,
            planned: row.get(6)?,
            current_hash: row.get(7)?,
            previous_hash: row.get(8)?,
            current_version: row.get(9)?,
        })
    })
}

/// The files of a job, by their path in its folder.
pub(crate) fn files(connection: &Connection, job: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let mut statement = connection
        .prepare("SELECT path, content FROM job_files WHERE job_id = (SELECT job_id FROM job WHERE name = ?) AND isdir = 0 ORDER BY path")
        .map_err(db)?;
    // They are kept below the name of their job.
    let below = |path: String| path.split_once('/').map_or(path.clone(), |(_, path)| path.to_owned());
    let rows = statement.query_map(params![job], |row| Ok((below(row.get(0)?), row.get(1)?))).map_err(db)?;
    rows.collect::<rusqlite::Result<_>>().map_err(db)
}

/// All rows of a query without parameters.
pub(crate) fn all<T>(
    connection: &Connection,
    query: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare(query).map_err(db)?;
    let rows = statement.query_map([], read).map_err(db)?;
    rows.collect::<rusqlite::Result<_>>().map_err(db)
}
