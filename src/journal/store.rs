//! Opening the file: whose it is, how it syncs, which version it has.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::os::{Process, disk, open, sqlite};

use super::db::{Db, StoreError};
use super::error::failed;
use super::place::Place;
use super::schema::{APPLICATION_ID, TRIGGERS, VERSION, migrate};
use super::{JournalError, Operation, holder_of};

/// The journal's name in the bucket's `data` folder.
pub const FILE: &str = "plan.db";

/// Before this SQLite could, rarely, corrupt a WAL: <https://sqlite.org/wal.html#walresetbug>.
const OLDEST_SQLITE: (i32, &str) = (3_051_003, "3.51.3");

/// Writers hold the lock for milliseconds; a slow disk may need seconds for one sync.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// To read the schema, of which a file that came with a checkout may have any.
const SCHEMA_STEPS: u32 = 2_000_000;

/// How a journal is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Made when missing, migrated when older.
    ReadWrite,
    /// Looked at only; it must be there.
    ReadOnly,
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    pub(super) db: Db,
    pub(super) place: Place,
    /// `None`: it is in no file.
    pub(super) file: Option<FileIdentity>,
    pub(super) mode: Mode,
}

/// Which file was opened, whatever is under its name now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    fn of(path: &Path) -> io::Result<Self> {
        let file = std::fs::metadata(path)?;
        Ok(Self { device: file.dev(), inode: file.ino() })
    }

    /// Whether its name is still that of the same file.
    pub(super) fn check(self, place: &Place) -> Result<(), JournalError> {
        let Place::File(path) = place else { return Ok(()) };
        let how = match Self::of(path) {
            Ok(now) if now == self => return Ok(()),
            Ok(_) => "replaced by another file",
            Err(_) => "deleted or moved away",
        };
        Err(JournalError::Replaced { path: path.to_owned(), how })
    }
}

impl Journal {
    /// Opens `plan.db` in the bucket's `data` folder.
    ///
    /// # Errors
    /// The file is missing (read-only), is not ours, is a newer program's, or cannot be opened.
    pub fn open(data_dir: &Path, mode: Mode) -> Result<Self, JournalError> {
        let path = data_dir.join(FILE);
        if mode == Mode::ReadWrite {
            create(data_dir, &path).map_err(|source| JournalError::Create { path: path.clone(), source })?;
        } else if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Err(JournalError::NoJournal { path });
        }
        open::check_own_folder(data_dir)
            .map_err(|source| JournalError::NotOurs { path: data_dir.to_owned(), source })?;
        sqlite::check_own(&path).map_err(|source| JournalError::NotOurs { path: path.clone(), source })?;
        if let Some(filesystem) = disk::network_filesystem(data_dir).ok().flatten() {
            return Err(JournalError::NetworkFilesystem { folder: data_dir.to_owned(), filesystem });
        }
        if rusqlite::version_number() < OLDEST_SQLITE.0 {
            return Err(JournalError::OldSqlite { linked: rusqlite::version(), needed: OLDEST_SQLITE.1 });
        }
        let unreadable = |source| JournalError::Create { path: path.clone(), source };
        let file = FileIdentity::of(&path).map_err(unreadable)?;
        let place = Place::File(path.clone());
        let read = sqlite_failed(&place, Operation::Read);
        let mut db = connect(&path, mode).map_err(sqlite_failed(&place, Operation::Open))?;
        sqlite::bound_steps(&mut db, SCHEMA_STEPS).map_err(read)?;
        let version = check_owner(&db, &place)?;
        sqlite::unbound_steps(&mut db).map_err(read)?;
        file.check(&place)?;
        // Its first writer has made the file, and not yet what is in it.
        if mode == Mode::ReadOnly && version == 0 {
            return Err(JournalError::NoJournal { path });
        }
        if mode == Mode::ReadWrite {
            prepare_writer(&mut db, &place, data_dir, version)?;
        }
        Ok(Self { db: Db::Sqlite(db), place, file: Some(file), mode })
    }

    /// Whether it is where other machines may use it.
    pub fn is_shared(&self) -> bool {
        self.file.is_none()
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the file that was opened is still the one under its name.
    pub(super) fn check_in_place(&self) -> Result<(), JournalError> {
        self.file.map_or(Ok(()), |file| file.check(&self.place))
    }

    /// Refuses when the disk of its file has less than `needed` bytes left. Asked before a run is created; see
    /// [`Journal::space_for`].
    ///
    /// # Errors
    /// [`JournalError::LittleSpace`] with both numbers.
    pub fn check_space(&self, needed: u64) -> Result<(), JournalError> {
        let Place::File(path) = &self.place else { return Ok(()) };
        let folder = path.parent().unwrap_or(path).to_owned();
        match disk::free_bytes(&folder) {
            Ok(free) if free >= needed => Ok(()),
            Ok(free) => Err(JournalError::LittleSpace { folder, free, needed }),
            Err(source) => Err(JournalError::UnknownSpace { folder, source }),
        }
    }

    /// Bytes that a run of so many workers and steps may need.
    pub fn space_for(workers: u64, steps: u64) -> u64 {
        // Measured: a step takes about 3 facts of 350 bytes with their keys. Twice that for retries,
        // twice for the WAL, 2 KiB of output for each step, and what is left for everybody else.
        const STEP: u64 = 3 * 350 * 2 * 2 + 2048;
        const REST: u64 = 32 << 20;
        REST.saturating_add(workers.saturating_mul(steps.saturating_add(4)).saturating_mul(STEP))
    }

    /// Looks through the whole file for damage. Takes about a second per 500 MB. (PostgreSQL looks after its own.)
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] with what SQLite found first.
    pub fn verify(&self) -> Result<(), JournalError> {
        if self.place.file().is_none() {
            return Ok(());
        }
        let found: String = self
            .db
            .one("PRAGMA quick_check(1)", &[], |row| row.get(0))
            .map_err(failed(&self.place, Operation::Check))?;
        if found == "ok" { Ok(()) } else { Err(JournalError::corrupt(&self.place, found)) }
    }

    /// Another connection to the same journal, for the same purpose, with a durability of its own.
    pub(super) fn connect_again(&self, durability: Durability) -> Result<Db, JournalError> {
        let path = match (&self.db, &self.place) {
            (Db::Postgres(server), place) => {
                let failed = failed(place, Operation::Open);
                return server.again(durability == Durability::Later).map_err(failed).map(Db::postgres);
            }
            (Db::Sqlite(_), Place::File(path)) => path,
            (Db::Sqlite(_), Place::Server(_)) => {
                return Err(JournalError::NoJournal { path: PathBuf::new() });
            }
        };
        let db = connect(path, self.mode).map_err(sqlite_failed(&self.place, Operation::Open))?;
        if self.mode == Mode::ReadWrite {
            set_safe(&db, &self.place, durability)?;
        }
        Ok(Db::Sqlite(db))
    }
}

fn sqlite_failed(place: &Place, operation: Operation) -> impl Fn(rusqlite::Error) -> JournalError + Copy {
    move |error| JournalError::store(place, operation, StoreError::from(error))
}

fn prepare_writer(
    db: &mut Connection,
    place: &Place,
    data_dir: &Path,
    version: i64,
) -> Result<(), JournalError> {
    let failed = sqlite_failed(place, Operation::Open);
    // An older program that carries a run out would lose its tables under its feet.
    if (1..VERSION).contains(&version)
        && let Some(holder) = holder_of(data_dir)
        // This process takes the lock first, and has no run under way by then.
        && holder.process != Process::this()
    {
        return Err(JournalError::OlderInUse { place: place.clone(), holder: holder.describe() });
    }
    let mode: String =
        db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if !mode.eq_ignore_ascii_case("wal") {
        let settings = format!("journal_mode {mode}");
        return Err(JournalError::UnsafeSettings { place: place.clone(), settings });
    }
    set_safe(db, place, Durability::EachCommit)?;
    migrate(db).map_err(failed)
}

/// When a connection's commits are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// When the commit returns.
    EachCommit,
    /// With the next commit of a connection that syncs, or the next checkpoint. In WAL mode the file is
    /// intact without; a power cut loses the last commits.
    Later,
}

/// Makes the folder and the empty file, for the owner's eyes only: plans and output may be private.
/// SQLite gives its WAL the same mode.
fn create(data_dir: &Path, path: &Path) -> io::Result<()> {
    open::own_folder(data_dir)?;
    let is_new = path.symlink_metadata().is_err();
    open::own(path)?;
    // The name itself must survive a power cut.
    if is_new { disk::sync_folder_of(path) } else { Ok(()) }
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
    sqlite::distrust(&db)?;
    if mode == Mode::ReadOnly {
        db.pragma_update(None, "query_only", true)?;
    }
    Ok(db)
}

/// Whether the file is a journal, or still empty; its version.
fn check_owner(db: &Connection, place: &Place) -> Result<i64, JournalError> {
    let failed = sqlite_failed(place, Operation::Read);
    // Of one moment: another process may fill the file in between.
    let db = &*db.unchecked_transaction().map_err(failed)?;
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let tables: i64 =
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let fresh = application == 0 && version == 0 && tables == 0;
    let place = place.clone();
    if !fresh && application != APPLICATION_ID {
        return Err(JournalError::Foreign { place, what: "a database of another program", source: None });
    }
    if let Some(what) = sqlite::intruder(db, TRIGGERS).map_err(failed)? {
        let why = format!("{what} in it is none of maand's");
        let source = io::Error::new(io::ErrorKind::InvalidData, why);
        let path = place.file().unwrap_or(Path::new("")).to_owned();
        return Err(JournalError::NotOurs { path, source });
    }
    if version > VERSION {
        return Err(JournalError::NewerFormat { place, found: version, known: VERSION });
    }
    Ok(version)
}

/// Settings of a connection that writes, read back: SQLite is silent about those that it does not take.
fn set_safe(db: &Connection, place: &Place, durability: Durability) -> Result<(), JournalError> {
    let failed = sqlite_failed(place, Operation::Open);
    let wanted = match durability {
        Durability::EachCommit => 2,
        Durability::Later => 1,
    };
    db.pragma_update(None, "synchronous", wanted).map_err(failed)?;
    db.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    let synchronous: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(failed)?;
    let foreign_keys: i64 = db.pragma_query_value(None, "foreign_keys", |row| row.get(0)).map_err(failed)?;
    if synchronous == wanted && foreign_keys == 1 {
        return Ok(());
    }
    let settings = format!("synchronous {synchronous}, foreign_keys {foreign_keys}");
    Err(JournalError::UnsafeSettings { place: place.clone(), settings })
}
