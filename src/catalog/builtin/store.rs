//! `catalog.db`: the [`State`] in SQLite, loaded whole and saved by what has changed.
//!
//! Every save is one immediate transaction with `synchronous=FULL`, so that a kill at any moment leaves the
//! state before it or the state after it. Deploys save while they run; the bucket's lock keeps writers apart,
//! not this module.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::rows::{
    DELETE_ALLOCATION, Names, PUT_ALLOCATION, PUT_WORKER, allocation_row, job_row, json, number,
    put_allocation, put_worker, worker_row,
};
use super::state::{AllocationKey, State};
use super::tree::Tree;
use crate::bucket::{Host, database_uri};
use crate::catalog::{BrokenCatalog, CatalogError};
use crate::os::{open, sqlite};

/// `maac`: says that a SQLite file is a catalog of ours.
const APPLICATION_ID: i32 = 0x6d61_6163;
/// The newest schema that this program knows.
const SCHEMA_VERSION: i32 = 2;
/// What leads to each version; one that was released is never changed.
const MIGRATIONS: [&str; SCHEMA_VERSION as usize] = [
    include_str!("schema.sql"),
    // Short texts of files, by SHA-256, for as long as a tree names them: they are only shown.
    "CREATE TABLE content (digest TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;",
];
/// Before it a WAL can be corrupted by two connections that write at the wrong moment
/// (<https://www.sqlite.org/wal.html>, "the WAL-reset bug").
const OLDEST_SQLITE: i32 = 3_051_003;
/// To read the schema, of which a file that came with a checkout may have any.
const SCHEMA_STEPS: u32 = 2_000_000;
/// How long another reader or writer of the file is waited for; saves take milliseconds.
const BUSY: Duration = Duration::from_secs(10);

/// An open `catalog.db`.
pub(crate) struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens it for writing and makes it where it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, CatalogError> {
        let failed = |error: rusqlite::Error| broken(path, error);
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(BrokenCatalog::OldSqlite.into());
        }
        let made = path.parent().map_or(Ok(()), open::own_folder).and_then(|()| open::own(path));
        made.and_then(|_| sqlite::check_own(path)).map_err(|error| not_ours(path, error))?;
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        let mut store = Self { connection, path: path.to_owned() };
        store.check_schema()?;
        let mode: String =
            store.connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)).map_err(failed)?;
        if mode != "wal" {
            return Err(BrokenCatalog::NoWriteAheadLog { path: path.to_owned(), mode }.into());
        }
        store.connection.execute_batch("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON").map_err(failed)?;
        store.migrate()?;
        Ok(store)
    }

    /// Opens it for reading; `None` where there is none yet. Never writes.
    pub(crate) fn open_read_only(path: &Path) -> Result<Option<Self>, CatalogError> {
        if path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(None);
        }
        path.parent()
            .map_or(Ok(()), open::check_own_folder)
            .and_then(|()| sqlite::check_own(path))
            .map_err(|error| not_ours(path, error))?;
        let open = |name: &Path, flags| -> Result<Self, rusqlite::Error> {
            let flags = flags | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(name, flags)?;
            connection.busy_timeout(BUSY)?;
            // Opens the file at last.
            connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
            Ok(Self { connection, path: path.to_owned() })
        };
        let mut store = match open(path, OpenFlags::empty()) {
            // On a read-only file system there can be no -shm file; where there is no log either,
            // the file itself is all there is.
            Err(error) if cannot_open(&error) && !sqlite::beside(path, "-wal").exists() => {
                open(&database_uri(path, "immutable=1"), OpenFlags::SQLITE_OPEN_URI)
            }
            other => other,
        }
        .map_err(|error| broken(path, error))?;
        store.check_schema()?;
        match store.version()? {
            0 => Ok(None),
            _ => Ok(Some(store)),
        }
    }

    /// Refuses a schema that is none of ours: the file may have come with a checkout.
    fn check_schema(&mut self) -> Result<(), CatalogError> {
        let failed = |error: rusqlite::Error| broken(&self.path, error);
        sqlite::distrust(&self.connection).map_err(failed)?;
        sqlite::bound_steps(&mut self.connection, SCHEMA_STEPS).map_err(failed)?;
        if let Some(what) = sqlite::intruder(&self.connection, &[]).map_err(failed)? {
            let why = format!("{what} in it is none of maand's");
            return Err(not_ours(&self.path, io::Error::new(ErrorKind::InvalidData, why)));
        }
        sqlite::unbound_steps(&mut self.connection).map_err(failed)
    }

    fn version(&self) -> Result<i32, CatalogError> {
        let pragma = |name: &str| -> Result<i32, CatalogError> {
            self.connection
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
                .map_err(|error| broken(&self.path, error))
        };
        let (application, version) = (pragma("application_id")?, pragma("user_version")?);
        let empty = application == 0 && version == 0;
        if !empty && application != APPLICATION_ID {
            return Err(BrokenCatalog::Foreign { path: self.path.clone() }.into());
        }
        if version > SCHEMA_VERSION {
            let path = self.path.clone();
            return Err(BrokenCatalog::Newer { path, version, known: SCHEMA_VERSION }.into());
        }
        Ok(version)
    }

    fn migrate(&mut self) -> Result<(), CatalogError> {
        if self.version()? == SCHEMA_VERSION {
            return Ok(());
        }
        let path = self.path.clone();
        let failed = |error: rusqlite::Error| broken(&path, error);
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        // Another process may have made it while we waited.
        let made: i32 = tx.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        for (version, sql) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > made) {
            tx.execute_batch(sql).map_err(failed)?;
            tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
            tx.pragma_update(None, "user_version", version).map_err(failed)?;
        }
        tx.commit().map_err(failed)
    }

    /// All of it; an empty state before the first build.
    pub(crate) fn load(&self) -> Result<State, CatalogError> {
        self.load_rows().map_err(|error| broken(&self.path, error))
    }

    fn load_rows(&self) -> Result<State, rusqlite::Error> {
        // One transaction, so that a save in between is seen whole or not at all.
        let tx = self.connection.unchecked_transaction()?;
        let mut state = State::default();
        let bucket = tx
            .query_row("SELECT bucket_id, update_seq FROM bucket", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((bucket_id, seq)) = bucket {
            state.bucket_id = bucket_id;
            state.update_seq = number(seq);
        }
        let mut rows = tx.prepare(
            "SELECT host, worker_id, worker_json, removed, sent_seq, confirmed_seq, out_of_sync FROM worker",
        )?;
        for row in rows.query_map([], worker_row)? {
            let (host, worker) = row?;
            state.workers.insert(host, worker);
        }
        let mut rows =
            tx.prepare("SELECT name, job_json, hash, deployment_seq, ports_json, removed FROM job")?;
        for row in rows.query_map([], job_row)? {
            let (name, job) = row?;
            state.jobs.insert(name, job);
        }
        let mut rows = tx.prepare(
            "SELECT host, job, disabled, removed, current_hash, current_version, previous_hash, stopped,
                    attempt_deploy, attempt_action, attempt_hash, attempt_failed FROM allocation",
        )?;
        let mut names = Names { workers: &state.workers, jobs: &state.jobs };
        let mut allocations = Vec::new();
        for row in rows.query_map([], |row| allocation_row(row, &mut names))? {
            allocations.push(row?);
        }
        // They come in the order of the key, which makes this cheap.
        state.allocations = allocations.into_iter().collect();
        Ok(state)
    }

    /// The file list behind a content hash, where it is still known.
    pub(crate) fn tree(&self, hash: &str) -> Result<Option<Tree>, CatalogError> {
        let text: Option<String> = self
            .connection
            .query_row("SELECT files_json FROM tree WHERE hash = ?1", [hash], |row| row.get(0))
            .optional()
            .map_err(|error| broken(&self.path, error))?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(|source| {
            BrokenCatalog::FileList { path: self.path.clone(), hash: hash.to_owned(), source }.into()
        })
    }

    /// The contents that are kept, with their sizes in bytes.
    pub(crate) fn contents(&self) -> Result<BTreeMap<String, u64>, CatalogError> {
        let failed = |error: rusqlite::Error| broken(&self.path, error);
        let mut rows =
            self.connection.prepare("SELECT digest, octet_length(text) FROM content").map_err(failed)?;
        let rows = rows.query_map([], |row| Ok((row.get(0)?, number(row.get(1)?)))).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// The text with this sum, where it was kept. A file of before has none.
    pub(crate) fn content(&self, digest: &str) -> Result<Option<String>, CatalogError> {
        if self.version()? < 2 {
            return Ok(None);
        }
        let query = "SELECT text FROM content WHERE digest = ?1";
        let text = self.connection.query_row(query, [digest], |row| row.get(0)).optional();
        text.map_err(|error| broken(&self.path, error))
    }

    /// Adds contents and takes others out, in one transaction.
    pub(crate) fn keep_contents(
        &mut self,
        new: &[(&str, String)],
        gone: &[&str],
    ) -> Result<(), CatalogError> {
        let path = self.path.clone();
        self.write_contents(new, gone).map_err(|error| broken(&path, error))
    }

    fn write_contents(&mut self, new: &[(&str, String)], gone: &[&str]) -> Result<(), rusqlite::Error> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut put = tx.prepare("INSERT OR IGNORE INTO content VALUES (?1, ?2)")?;
            new.iter().try_for_each(|(digest, text)| put.execute([*digest, text.as_str()]).map(drop))?;
            let mut delete = tx.prepare("DELETE FROM content WHERE digest = ?1")?;
            gone.iter().try_for_each(|digest| delete.execute([*digest]).map(drop))?;
        }
        tx.commit()
    }

    /// Writes what differs between the two, and the trees, in one transaction.
    pub(crate) fn save(
        &mut self,
        old: &State,
        new: &State,
        trees: &[(String, Tree)],
    ) -> Result<(), CatalogError> {
        let path = self.path.clone();
        self.save_rows(old, new, trees).map_err(|error| broken(&path, error))
    }

    /// Writes these rows as they are in `state` now (those that are not, are removed), and its
    /// `update_seq`, in one transaction.
    pub(crate) fn touch(
        &mut self,
        state: &State,
        keys: &[AllocationKey],
        hosts: &[Host],
    ) -> Result<(), CatalogError> {
        let path = self.path.clone();
        self.touch_rows(state, keys, hosts).map_err(|error| broken(&path, error))
    }

    fn touch_rows(
        &mut self,
        state: &State,
        keys: &[AllocationKey],
        hosts: &[Host],
    ) -> Result<(), rusqlite::Error> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute("UPDATE bucket SET update_seq = ?1", [state.update_seq as i64])?;
        {
            let mut put = tx.prepare(PUT_WORKER)?;
            for (host, row) in hosts.iter().filter_map(|host| state.workers.get_key_value(host)) {
                put_worker(&mut put, host, row)?;
            }
            let mut put = tx.prepare(PUT_ALLOCATION)?;
            let mut delete = tx.prepare(DELETE_ALLOCATION)?;
            for key in keys {
                match state.allocations.get(key) {
                    Some(row) => put_allocation(&mut put, key, row)?,
                    None => {
                        delete.execute([key.host.as_str(), key.job.as_str()])?;
                    }
                }
            }
        }
        tx.commit()
    }

    fn save_rows(
        &mut self,
        old: &State,
        new: &State,
        trees: &[(String, Tree)],
    ) -> Result<(), rusqlite::Error> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if (&old.bucket_id, old.update_seq) != (&new.bucket_id, new.update_seq) {
            tx.execute(
                "INSERT INTO bucket (id, bucket_id, update_seq) VALUES (1, ?1, ?2)
                 ON CONFLICT (id) DO UPDATE SET bucket_id = excluded.bucket_id, update_seq = excluded.update_seq",
                params![new.bucket_id, new.update_seq as i64],
            )?;
        }
        {
            let mut delete = tx.prepare("DELETE FROM worker WHERE host = ?1")?;
            for host in old.workers.keys().filter(|host| !new.workers.contains_key(*host)) {
                delete.execute([host.as_str()])?;
            }
            let mut put = tx.prepare(PUT_WORKER)?;
            for (host, row) in new.workers.iter().filter(|(host, row)| old.workers.get(*host) != Some(*row)) {
                put_worker(&mut put, host, row)?;
            }
            let mut delete = tx.prepare("DELETE FROM job WHERE name = ?1")?;
            for name in old.jobs.keys().filter(|name| !new.jobs.contains_key(*name)) {
                delete.execute([name.as_str()])?;
            }
            let mut put = tx.prepare("INSERT OR REPLACE INTO job VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            for (name, row) in new.jobs.iter().filter(|(name, row)| old.jobs.get(*name) != Some(*row)) {
                put.execute(params![
                    name.as_str(),
                    json(&row.job)?,
                    row.hash,
                    row.deployment_seq,
                    json(&row.ports)?,
                    row.removed,
                ])?;
            }
            let mut put = tx.prepare("INSERT OR IGNORE INTO tree VALUES (?1, ?2)")?;
            for (hash, tree) in trees {
                put.execute(params![hash, json(tree)?])?;
            }
            let mut delete = tx.prepare(DELETE_ALLOCATION)?;
            for key in old.allocations.keys().filter(|key| !new.allocations.contains_key(*key)) {
                delete.execute([key.host.as_str(), key.job.as_str()])?;
            }
            let mut put = tx.prepare(PUT_ALLOCATION)?;
            for (key, row) in
                new.allocations.iter().filter(|(key, row)| old.allocations.get(*key) != Some(*row))
            {
                put_allocation(&mut put, key, row)?;
            }
        }
        if !trees.is_empty() {
            let mut used: BTreeSet<&str> = new.jobs.values().map(|job| job.hash.as_str()).collect();
            used.extend(new.allocations.values().filter_map(|row| row.current_hash.as_deref()));
            let mut known = tx.prepare("SELECT hash FROM tree")?;
            let known: Vec<String> = known.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for hash in known.iter().filter(|hash| !used.contains(hash.as_str())) {
                tx.execute("DELETE FROM tree WHERE hash = ?1", [hash])?;
            }
        }
        tx.commit()
    }
}

fn cannot_open(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn not_ours(path: &Path, source: io::Error) -> CatalogError {
    BrokenCatalog::NotOurs { path: path.to_owned(), source }.into()
}

fn broken(path: &Path, source: rusqlite::Error) -> CatalogError {
    BrokenCatalog::Database { path: path.to_owned(), source }.into()
}

#[cfg(test)]
mod tests {
    use super::super::state::Attempt;
    use super::super::testing::state;
    use super::*;
    use crate::catalog::Action;

    #[test]
    fn what_was_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.db");
        let mut new = state(&["a", "b"], &["10.0.0.1", "10.0.0.2"]);
        new.update_seq = 7;
        if let Some(row) = new.allocations.values_mut().next() {
            row.current_hash = Some("h".into());
            row.attempt = Some(Attempt {
                deploy_id: "d".into(),
                action: Action::Reload,
                hash: "i".into(),
                failed: true,
            });
        }
        let mut store = Store::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), State::default());
        store.save(&State::default(), &new, &[("h".into(), Tree::default())]).unwrap();
        assert_eq!(Store::open_read_only(&path).unwrap().unwrap().load().unwrap(), new);
        let mut less = new.clone();
        less.allocations.pop_first();
        less.workers.pop_last();
        less.jobs.pop_last();
        store.save(&new, &less, &[("other".into(), Tree::default())]).unwrap();
        assert_eq!(store.load().unwrap(), less);
        // No row names them any more.
        assert_eq!(store.tree("h").unwrap(), None);
        assert_eq!(store.tree("other").unwrap(), None);
    }

    #[test]
    fn a_catalog_of_before_is_read_and_gets_its_new_table_when_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        drop(old);
        assert_eq!(Store::open_read_only(&path).unwrap().unwrap().content("a").unwrap(), None);
        let mut store = Store::open(&path).unwrap();
        store.keep_contents(&[("a", "é".to_owned()), ("b", "x".to_owned())], &[]).unwrap();
        store.keep_contents(&[], &["b"]).unwrap();
        assert_eq!(store.contents().unwrap(), BTreeMap::from([("a".to_owned(), 2)]));
        let kept = Store::open_read_only(&path).unwrap().unwrap().content("a").unwrap();
        assert_eq!(kept.as_deref(), Some("é"));
    }

    #[test]
    fn a_newer_schema_and_a_foreign_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.db");
        let store = Store::open(&path).unwrap();
        store.connection.pragma_update(None, "user_version", 99).unwrap();
        drop(store);
        for result in [Store::open(&path).err(), Store::open_read_only(&path).err()] {
            assert!(result.unwrap().to_string().contains("newer maand"));
        }
        let foreign = dir.path().join("foreign.db");
        Connection::open(&foreign).unwrap().pragma_update(None, "user_version", 1).unwrap();
        assert!(Store::open(&foreign).err().unwrap().to_string().contains("not a catalog"));
        std::fs::write(&foreign, "this is text, and long enough to be looked at as a header of SQLite")
            .unwrap();
        assert!(Store::open(&foreign).is_err());
    }

    #[test]
    fn reading_needs_no_catalog_and_makes_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Store::open_read_only(&dir.path().join("catalog.db")).unwrap().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
