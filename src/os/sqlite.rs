//! Opening databases that may have come with a checkout. SQLite follows links, makes and writes files beside the
//! database, and carries out whatever its schema says; so what is beside it is looked at first, and a connection
//! is told not to trust the schema.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode};

use super::open;

/// The end of a rollback journal that names a super-journal, a file that SQLite then reads and may remove
/// (<https://sqlite.org/fileformat2.html#the_rollback_journal>).
const SUPER_JOURNAL: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// Steps of SQLite's machine between two looks at how many there were.
const STRIDE: u32 = 10_000;

/// A name that SQLite uses beside a database.
pub fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Refuses a database of our own, or a file that SQLite would use beside it, that somebody else may have put there.
///
/// # Errors
/// As of [`open::check_own_file`], with the name of the file beside; or the rollback journal names other files.
pub fn check_own(database: &Path) -> io::Result<()> {
    open::check_own_file(database)?;
    for ending in ["-wal", "-shm", "-journal"] {
        let path = beside(database, ending);
        open::check_own_file(&path)
            .and_then(|()| if ending == "-journal" { check_journal(&path) } else { Ok(()) })
            .map_err(|error| named(&path, &error))?;
    }
    Ok(())
}

/// As [`check_own`] for another program's database, whoever owns it.
///
/// # Errors
/// The database, its folder or a file beside it is a link or no plain file.
pub fn check_foreign(database: &Path) -> io::Result<()> {
    if database.parent().is_some_and(Path::is_symlink) {
        return Err(io::Error::new(ErrorKind::NotADirectory, "its folder is a symbolic link"));
    }
    open::check_plain(database.symlink_metadata()?.file_type())?;
    for ending in ["-wal", "-shm", "-journal"] {
        let path = beside(database, ending);
        match path.symlink_metadata() {
            Ok(meta) => open::check_plain(meta.file_type()).map_err(|error| named(&path, &error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(named(&path, &error)),
        }
    }
    Ok(())
}

fn check_journal(path: &Path) -> io::Result<()> {
    let mut file = match open::plain_no_link(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut end = [0; SUPER_JOURNAL.len()];
    if file.metadata()?.len() < end.len() as u64 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-(end.len() as i64)))?;
    // Gone or cut off meanwhile, as its writer does: then it names nothing.
    if file.read_exact(&mut end).is_ok() && end == SUPER_JOURNAL {
        return Err(io::Error::new(ErrorKind::InvalidData, "it names files outside of this database"));
    }
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    io::Error::new(error.kind(), format!("{name} beside it: {error}"))
}

/// The connection does not trust what the file's schema says: no views, no functions with effects, no
/// damage by statements.
///
/// # Errors
/// What SQLite says.
pub fn distrust(connection: &Connection) -> rusqlite::Result<()> {
    for (option, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    ] {
        connection.set_db_config(option, on)?;
    }
    Ok(())
}

/// After this many steps of SQLite's machine a statement ends with [`ErrorCode::OperationInterrupted`].
///
/// # Errors
/// What SQLite says.
pub fn bound_steps(connection: &mut Connection, steps: u32) -> rusqlite::Result<()> {
    let mut left = steps / STRIDE;
    let each = move || {
        left = left.saturating_sub(1);
        left == 0
    };
    connection.progress_handler(STRIDE as i32, Some(each))
}

/// Takes the bound of [`bound_steps`] away.
///
/// # Errors
/// What SQLite says.
pub fn unbound_steps(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.progress_handler(0, None::<fn() -> bool>)
}

/// For a database of which only small rows are read: nothing in it may be longer than this.
const LONGEST_VALUE: i32 = 1 << 20;

/// Everything that a foreign database can do to a reader is bounded: [`distrust`], no triggers, short values and
/// statements, and so many steps.
///
/// # Errors
/// What SQLite says.
pub fn confine(connection: &mut Connection, steps: u32) -> rusqlite::Result<()> {
    distrust(connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, LONGEST_VALUE),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
        (Limit::SQLITE_LIMIT_COLUMN, 200),
        (Limit::SQLITE_LIMIT_VDBE_OP, 50_000),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    bound_steps(connection, steps)
}

/// More tables than this has no database of ours.
const MAX_TABLES: usize = 50;

/// What in the schema is none of a program that makes plain tables, and these triggers, only: a view, a table of
/// a module, a computed column, another trigger. `triggers` are the texts that made them.
///
/// # Errors
/// What SQLite says.
pub fn intruder(connection: &Connection, triggers: &[&str]) -> rusqlite::Result<Option<String>> {
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let known: Vec<String> = triggers.iter().map(|text| squeezed(text)).collect();
    let mut rows =
        connection.prepare("SELECT name, type, ifnull(sql, ''), ifnull(rootpage, 0) FROM sqlite_schema")?;
    let mut rows = rows.query([])?;
    let mut tables = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, kind, sql): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let stored = row.get::<_, i64>(3)? != 0;
        let fine = match kind.as_str() {
            "table" | "index" => stored,
            "trigger" => known.contains(&squeezed(&sql)),
            _ => false,
        };
        if !fine {
            return Ok(Some(format!("the {kind} `{name}`")));
        }
        if kind == "table" {
            if tables.len() == MAX_TABLES {
                return Ok(Some(format!("the table `{name}`, one of more than {MAX_TABLES},")));
            }
            tables.push(name);
        }
    }
    let mut computed = connection.prepare("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden > 0")?;
    for table in tables {
        if computed.exists([&table])? {
            return Ok(Some(format!("the computed column of the table `{table}`")));
        }
    }
    Ok(None)
}

/// Whether a bound of [`bound_steps`] was reached.
pub fn is_bounded(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_beside_a_database_are_refused_and_their_targets_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let (database, precious) = (folder.path().join("d.db"), folder.path().join("precious"));
        fs::write(&database, "").unwrap();
        fs::write(&precious, "precious").unwrap();
        check_own(&database).unwrap();
        for ending in ["-wal", "-shm", "-journal"] {
            symlink(&precious, beside(&database, ending)).unwrap();
            for error in [check_own(&database).unwrap_err(), check_foreign(&database).unwrap_err()] {
                assert!(error.to_string().contains(ending) && error.to_string().contains("link"), "{error}");
            }
            fs::remove_file(beside(&database, ending)).unwrap();
        }
        fs::write(beside(&database, "-journal"), [&[0; 40][..], &SUPER_JOURNAL].concat()).unwrap();
        assert!(check_own(&database).unwrap_err().to_string().contains("names files"));
    }

    #[test]
    fn a_schema_of_plain_tables_is_told_from_others() {
        let trigger = "CREATE TRIGGER t BEFORE UPDATE ON a\n  BEGIN SELECT 1; END";
        let said = |sql: &str| {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(sql).unwrap();
            intruder(&connection, &[trigger]).unwrap()
        };
        let plain =
            "CREATE TABLE a (x INTEGER PRIMARY KEY AUTOINCREMENT, y TEXT UNIQUE); CREATE INDEX i ON a (y);";
        assert_eq!(said(plain), None);
        assert_eq!(said(&format!("{plain} {};", trigger.replace('\n', " "))), None);
        for (sql, what) in [
            ("CREATE VIEW v AS SELECT 1;", "view"),
            ("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 2; END;", "trigger"),
            ("CREATE TABLE c (x, y AS (hex(x)));", "computed"),
        ] {
            assert!(said(&format!("{plain} {sql}")).is_some_and(|found| found.contains(what)), "{sql}");
        }
    }

    #[test]
    fn a_query_without_an_end_ends() {
        let mut connection = Connection::open_in_memory().unwrap();
        confine(&mut connection, 1_000_000).unwrap();
        let endless =
            "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
        let error = connection.query_row(endless, [], |row| row.get::<_, i64>(0)).unwrap_err();
        assert!(is_bounded(&error), "{error}");
        let long = "SELECT length(zeroblob(100000000))";
        assert!(connection.query_row(long, [], |row| row.get::<_, i64>(0)).is_err());
    }
}
