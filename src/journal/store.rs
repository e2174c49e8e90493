//! Opening the file: whose it is, how it syncs, which version it has.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Mode as FileMode, OFlags};

use crate::plan::Problem;

use super::error::{corrupt, foreign_help, problem};
use super::schema::{APPLICATION_ID, VERSION, migrate};
use super::{codes, filesystem};

/// The journal's name in the bucket's `data` folder.
pub const FILE: &str = "plan.db";

/// Before this SQLite could, rarely, corrupt a WAL: <https://sqlite.org/wal.html#walresetbug>.
const OLDEST_SQLITE: (i32, &str) = (3_051_003, "3.51.3");

/// Writers hold the lock for milliseconds; a slow disk may need seconds for one sync.
const BUSY: Duration = Duration::from_secs(10);

/// How a journal is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Made when missing, migrated when older.
    ReadWrite,
    /// Looked at only; it must be there.
    ReadOnly,
}

/// The open journal. Blocks; belongs to one thread at a time.
#[derive(Debug)]
pub struct Journal {
    pub(super) db: Connection,
    /// For output: commits without a sync of their own.
    pub(super) unsynced: Option<Connection>,
    pub(super) path: PathBuf,
}

impl Journal {
    /// Opens `plan.db` in the bucket's `data` folder.
    ///
    /// # Errors
    /// See [`codes`]: each names the file, says why, and what to do.
    pub fn open(data_dir: &Path, mode: Mode) -> Result<Self, Problem> {
        let path = data_dir.join(FILE);
        let failed = |error| problem(&path, "open", error);
        if mode == Mode::ReadWrite {
            create(data_dir, &path)?;
        } else if !path.exists() {
            return Err(Problem::error(
                codes::NONE,
                format!("there is no run yet: {} is missing", path.display()),
            )
            .help("`maand plan apply PLAN` starts one"));
        }
        filesystem::refuse_network(data_dir)?;
        let linked = rusqlite::version_number();
        if linked < OLDEST_SQLITE.0 {
            return Err(Problem::error(
                codes::SQLITE,
                format!(
                    "this program was built with SQLite {}, which may damage its files",
                    rusqlite::version()
                ),
            )
            .help(format!("build it with SQLite {} or newer", OLDEST_SQLITE.1)));
        }
        let mut db = connect(&path, mode).map_err(failed)?;
        check_owner(&db, &path)?;
        if mode == Mode::ReadWrite {
            prepare_writer(&mut db, &path)?;
        } else {
            db.pragma_update(None, "query_only", true).map_err(failed)?;
        }
        Ok(Self { db, unsynced: None, path })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses when the disk has less than `needed` bytes left. Asked before a run is created; see
    /// [`Journal::space_for`].
    ///
    /// # Errors
    /// [`codes::FULL`] with both numbers.
    pub fn check_space(&self, needed: u64) -> Result<(), Problem> {
        filesystem::check_space(self.path.parent().unwrap_or(&self.path), needed)
    }

    /// Bytes that a run of so many workers and steps may need.
    pub fn space_for(workers: u64, steps: u64) -> u64 {
        // Measured: a step takes about 3 facts of 350 bytes with their keys. Twice that for retries,
        // twice for the WAL, 2 KiB of output for each step, and what is left for everybody else.
        const STEP: u64 = 3 * 350 * 2 * 2 + 2048;
        const REST: u64 = 32 << 20;
        REST.saturating_add(workers.saturating_mul(steps.saturating_add(4)).saturating_mul(STEP))
    }

    /// Looks through the whole file for damage. Takes about a second per 500 MB.
    ///
    /// # Errors
    /// [`codes::CORRUPT`] with what SQLite found first.
    pub fn verify(&self) -> Result<(), Problem> {
        let found: String = self
            .db
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| problem(&self.path, "check", error))?;
        if found == "ok" { Ok(()) } else { Err(corrupt(&self.path, found)) }
    }

    /// A copy that is whole and has no WAL.
    ///
    /// # Errors
    /// When `to` exists or can not be written.
    pub fn back_up(&self, to: &Path) -> Result<(), Problem> {
        self.db
            .execute("VACUUM INTO ?1", [to.to_string_lossy()])
            .map(drop)
            .map_err(|error| problem(&self.path, "copy", error))
    }
}

/// Makes the folder and the empty file, for the owner's eyes only: plans and output may be private.
/// SQLite gives its WAL the same mode.
fn create(data_dir: &Path, path: &Path) -> Result<(), Problem> {
    let refused = |error: std::io::Error| {
        let code =
            if error.kind() == std::io::ErrorKind::StorageFull { codes::FULL } else { codes::READ_ONLY };
        Problem::error(code, format!("cannot create {}: {error}", path.display()))
            .help(format!("see that {} is a folder that you may write to", data_dir.display()))
    };
    std::fs::create_dir_all(data_dir).map_err(refused)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, FileMode::RUSR | FileMode::WUSR) {
        Ok(_file) => {
            // The name itself must survive a power cut.
            let folder = std::fs::File::open(data_dir).map_err(refused)?;
            folder.sync_all().map_err(refused)
        }
        Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(refused(error.into())),
    }
}

fn connect(path: &Path, mode: Mode) -> rusqlite::Result<Connection> {
    let common = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = match Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | common) {
        // A reader of a WAL wants to write its shared memory; where it may not, read-only must do.
        Err(_) if mode == Mode::ReadOnly => {
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | common)?
        }
        opened => opened?,
    };
    db.busy_timeout(BUSY)?;
    Ok(db)
}

fn check_owner(db: &Connection, path: &Path) -> Result<(), Problem> {
    let failed = |error| problem(path, "read", error);
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let tables: i64 =
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let fresh = application == 0 && version == 0 && tables == 0;
    if !fresh && application != APPLICATION_ID {
        return Err(Problem::error(
            codes::FOREIGN,
            format!("{} is a database of another program", path.display()),
        )
        .help(foreign_help(path)));
    }
    if version > VERSION {
        return Err(Problem::error(
            codes::NEWER,
            format!(
                "{} was written by a newer maand (its format is {version}, this program knows {VERSION})",
                path.display()
            ),
        )
        .help("use that version, or a newer one; this one would lose what it does not know"));
    }
    Ok(())
}

fn prepare_writer(db: &mut Connection, path: &Path) -> Result<(), Problem> {
    let failed = |error| problem(path, "open", error);
    let mode: String =
        db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    db.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    db.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    let synchronous: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(failed)?;
    let foreign_keys: i64 = db.pragma_query_value(None, "foreign_keys", |row| row.get(0)).map_err(failed)?;
    if !mode.eq_ignore_ascii_case("wal") || synchronous != 2 || foreign_keys != 1 {
        return Err(Problem::error(
            codes::SQLITE,
            format!(
                "{} does not take the settings that make it safe (journal_mode {mode}, synchronous \
                 {synchronous}, foreign_keys {foreign_keys})",
                path.display()
            ),
        )
        .help("keep the bucket on an ordinary local filesystem"));
    }
    migrate(db).map_err(failed)
}

impl Journal {
    /// The second connection, for what need not be durable by itself. In WAL mode a commit with
    /// `synchronous=NORMAL` does not sync; the next append's sync covers it.
    pub(super) fn unsynced(&mut self) -> Result<&mut Connection, Problem> {
        let failed = |error| problem(&self.path, "open", error);
        if self.unsynced.is_none() {
            let db = connect(&self.path, Mode::ReadWrite).map_err(failed)?;
            db.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
            self.unsynced = Some(db);
        }
        self.unsynced.as_mut().ok_or_else(|| corrupt(&self.path, "the second connection is lost"))
    }
}
