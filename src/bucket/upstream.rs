//! Reading the upstream program's database without a trace, and what that program refuses in a workspace that
//! is fine here.
//!
//! The database is in WAL mode. An ordinary read-only connection to such a file makes `-wal` and `-shm`
//! beside it and, being read-only, leaves them there: as files of the user who ran us, perhaps root, which
//! the upstream program of another user could then not open. So while no process has the database open (there
//! is no `-wal`) it is read as an immutable file, and read again when it has changed meanwhile. While
//! a process has it open, its own files are there and are used.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::fields::Doc;
use super::files::WORKERS_LIMIT;
use super::json::Json;
use super::open::{Bucket, shown};
use crate::os::{open, sqlite};
use crate::plan::{Problem, Problems};

/// How long one read waits for a writer: a moment. Upstream's own writers wait for 5 s.
const BUSY: Duration = Duration::from_millis(500);
/// How often a read that a writer disturbed is repeated.
const TRIES: u32 = 10;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(100);
/// Steps of SQLite's machine that a read may take for each byte of the file, besides the least and up to the most: a
/// file that came with a checkout may have any schema. Of a real one a read takes less than one for two bytes.
const STEPS_PER_BYTE: u64 = 2;
const LEAST_STEPS: u64 = 1_000_000;
const MOST_STEPS: u64 = 20_000_000;
/// Offset and value in a database's header that say "WAL" (<https://sqlite.org/fileformat2.html>, 1.3).
const READ_VERSION: usize = 19;
const WAL: u8 = 2;

/// Calls `read` on the database in one short transaction that cannot write; the connection is closed
/// when this returns. `read` may be called more than once.
///
/// # Errors
/// What SQLite says; a file that is not there is [`ErrorCode::CannotOpen`].
pub fn read_upstream<T>(db: &Path, read: impl Fn(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let mut result = Err(rusqlite::Error::InvalidQuery);
    for tries in 0..TRIES {
        if tries > 0 {
            std::thread::sleep(PAUSE);
        }
        sqlite::check_foreign(db).map_err(|error| failure(ffi::SQLITE_CANTOPEN, &error.to_string()))?;
        let Ok(before) = FileStamps::at(db) else { return once(db, false, &read) };
        let unused = before.wal_mode && !before.in_use;
        result = once(db, unused, &read);
        let undisturbed = !unused || FileStamps::at(db).is_ok_and(|after| after == before);
        let busy = matches!(&result, Err(rusqlite::Error::SqliteFailure(error, _))
            if matches!(error.code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked));
        if undisturbed && !busy {
            return result;
        }
        if !undisturbed && result.is_ok() {
            result = Err(failure(ffi::SQLITE_BUSY, "it changes all the time"));
        }
    }
    result
}

fn failure(code: i32, why: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(why.to_owned()))
}

fn once<T>(
    db: &Path,
    immutable: bool,
    read: &impl Fn(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let uri = database_uri(db, if immutable { "mode=ro&immutable=1" } else { "mode=ro" });
    let size = db.symlink_metadata().map_or(0, |meta| meta.len());
    let steps = size.saturating_mul(STEPS_PER_BYTE).clamp(LEAST_STEPS, MOST_STEPS);
    let mut connection = Connection::open_with_flags(uri, flags)?;
    sqlite::confine(&mut connection, u32::try_from(steps).unwrap_or(u32::MAX))?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", true)?;
    let transaction = connection.unchecked_transaction()?;
    let found = read(&transaction).map_err(|error| {
        let why = "reading it takes too long: it is not as the upstream program makes it";
        if sqlite::is_bounded(&error) { failure(ffi::SQLITE_INTERRUPT, why) } else { error }
    })?;
    transaction.rollback()?;
    Ok(found)
}

/// The `file:` URI of a database, with everything escaped that is not plain, and with these parameters
/// (<https://sqlite.org/uri.html>).
pub fn database_uri(db: &Path, parameters: &str) -> PathBuf {
    let absolute = std::path::absolute(db).unwrap_or_else(|_| db.to_path_buf());
    let mut text = "file://".to_owned();
    for byte in absolute.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02x}");
        }
    }
    format!("{text}?{parameters}").into()
}

/// What tells whether the files were written meanwhile.
#[derive(PartialEq, Eq)]
struct FileStamps {
    file: (u64, u64, u64, i64, i64),
    wal_mode: bool,
    in_use: bool,
}

impl FileStamps {
    fn at(db: &Path) -> io::Result<Self> {
        let mut file = open::plain_no_link(db)?;
        let meta = file.metadata()?;
        let mut header = [0; READ_VERSION + 1];
        // A new database has no header yet.
        let wal_mode = file.read_exact(&mut header).is_ok() && header[READ_VERSION] == WAL;
        let beside = |end: &str| sqlite::beside(db, end).exists();
        Ok(Self {
            file: (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()),
            wal_mode,
            in_use: beside("-wal") || beside("-journal"),
        })
    }
}

impl Bucket {
    /// What the upstream program refuses, or does differently, in files that are fine here: errors for
    /// the first, warnings for the second.
    pub fn upstream_differences(&self) -> Problems {
        let mut problems = Problems::new();
        let path = &self.paths().workers_json;
        let Ok(Some(source)) = self.read(path, WORKERS_LIMIT) else { return problems };
        let mut doc = Doc::new(&source);
        let Some(node) = doc.parse() else { return problems };
        let Json::Array(workers) = &node.value else { return problems };
        let mut ports = None;
        for worker in workers {
            let Json::Object(members) = &worker.value else { continue };
            for member in members {
                match (&*member.key, &member.value.value) {
                    ("host", Json::String(host)) if host.contains(':') => problems.push(
                        Problem::error(
                            "maand::external::ipv6",
                            "the upstream program cannot reach a worker by an address of IPv6: it hands `user@host:path` to rsync",
                        )
                        .at(&source, member.value.span.clone(), "this")
                        .help("give the worker a name in /etc/hosts or ~/.ssh/config (HostName) and write that here"),
                    ),
                    ("labels", Json::Array(labels)) => {
                        let implied = labels.iter().find(|label| {
                            matches!(&label.value, Json::String(text) if text.trim().eq_ignore_ascii_case("worker"))
                        });
                        if let Some(label) = implied {
                            problems.push(
                                Problem::error(
                                    "maand::external::label_worker",
                                    "the upstream program refuses the label `worker` in workers.json",
                                )
                                .at(&source, label.span.clone(), "implied: every worker has it")
                                .help("take it out of the list"),
                            );
                        }
                    }
                    ("ssh_port" | "ssh_user", _) if ports.is_none() => {
                        ports = Some((member.key.to_string(), member.value.span.clone()));
                    }
                    _ => {}
                }
            }
        }
        if let Some((key, span)) = ports {
            problems.push(
                Problem::warning(
                    "maand::external::ssh_settings",
                    format!("`{key}` of a worker is not known to the upstream program"),
                )
                .at(&source, span, "used for reboots and waiting, not for its deploys")
                .help("say it in ~/.ssh/config, which both read"),
            );
        }
        if self.settings().ssh_port != 22 {
            problems.push(
                Problem::warning(
                    "maand::external::ssh_port",
                    format!(
                        "ssh_port = {} in {}: the upstream program uses it for health_check alone, its ssh and rsync use 22",
                        self.settings().ssh_port,
                        shown(&self.paths().maand_conf)
                    ),
                )
                .help("say the port in ~/.ssh/config, which both read"),
            );
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn made(folder: &Path, mode: &str) -> (PathBuf, Connection) {
        let path = folder.join("maand.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", mode).unwrap();
        connection.execute_batch("CREATE TABLE bucket (n INT); INSERT INTO bucket VALUES (1)").unwrap();
        (path, connection)
    }

    fn number(connection: &Connection) -> rusqlite::Result<i64> {
        connection.query_row("SELECT n FROM bucket", [], |row| row.get(0))
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn reading_leaves_nothing_beside_the_database() {
        for mode in ["wal", "delete"] {
            let folder = tempfile::Builder::new().prefix("a b%?#").tempdir().unwrap();
            let (path, connection) = made(folder.path(), mode);
            drop(connection);
            let bytes = fs::read(&path).unwrap();
            assert_eq!(read_upstream(&path, number).unwrap(), 1, "{mode}");
            assert_eq!(names(folder.path()), ["maand.db"], "{mode}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
            // In a folder in which nothing can be made (root can always).
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
            assert_eq!(read_upstream(&path, number).unwrap(), 1, "{mode}");
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        }
    }

    #[test]
    fn a_writer_at_work_is_neither_disturbed_nor_overlooked() {
        for mode in ["wal", "delete"] {
            let folder = tempfile::tempdir().unwrap();
            let (path, mut writer) = made(folder.path(), mode);
            let transaction = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate);
            let transaction = transaction.unwrap();
            transaction.execute("UPDATE bucket SET n = 2", []).unwrap();
            assert_eq!(read_upstream(&path, number).unwrap(), 1, "{mode}: not yet committed");
            transaction.commit().unwrap();
            assert_eq!(read_upstream(&path, number).unwrap(), 2, "{mode}: the newest is in the WAL");
            drop(writer);
            assert_eq!(read_upstream(&path, number).unwrap(), 2);
            assert_eq!(names(folder.path()), ["maand.db"], "{mode}");
        }
    }

    #[test]
    fn nothing_can_be_written_and_what_is_no_database_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (path, connection) = made(folder.path(), "wal");
        drop(connection);
        let write = |connection: &Connection| connection.execute("UPDATE bucket SET n = 3", []);
        assert!(read_upstream(&path, write).is_err());
        assert!(read_upstream(&folder.path().join("none.db"), number).is_err());
        assert!(!folder.path().join("none.db").exists());
        fs::write(&path, "this is no database, but long enough to have a header").unwrap();
        assert!(read_upstream(&path, number).is_err());
    }
}
