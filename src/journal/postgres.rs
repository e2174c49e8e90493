//! The tables in a PostgreSQL: one schema for each bucket, so that a database can keep those of several.

use super::db::{Access, Address, Db, Server, StoreError, values};
use super::error::failed;
use super::place::Place;
use super::schema::VERSION;
use super::{Journal, JournalError, Mode, Operation};

/// As the migrations of the file leave them, in one step. A fact is never changed, nor forgotten without its run.
const TABLES: &str = "
    CREATE TABLE ledger (
        only_one BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_one),
        version BIGINT NOT NULL
    );
    CREATE TABLE run (
        n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        plan TEXT NOT NULL,
        workers BIGINT NOT NULL,
        started_at BIGINT NOT NULL,
        last_at BIGINT NOT NULL,
        finished_at BIGINT,
        state TEXT NOT NULL,
        epoch BIGINT NOT NULL,
        last_seq BIGINT NOT NULL,
        chain BYTEA NOT NULL
    );
    CREATE TABLE run_header (
        run BIGINT PRIMARY KEY REFERENCES run (n) ON DELETE CASCADE,
        header TEXT NOT NULL
    );
    CREATE TABLE fact (
        run BIGINT NOT NULL REFERENCES run (n) ON DELETE CASCADE,
        seq BIGINT NOT NULL,
        at BIGINT NOT NULL,
        epoch BIGINT NOT NULL,
        fact TEXT NOT NULL,
        chain BYTEA NOT NULL,
        PRIMARY KEY (run, seq)
    );
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'facts are never changed'; END $$;
    CREATE TRIGGER fact_is_append_only BEFORE UPDATE ON fact
        FOR EACH ROW EXECUTE FUNCTION refuse_change();
    CREATE TABLE worker_end (
        run BIGINT NOT NULL REFERENCES run (n) ON DELETE CASCADE,
        target BIGINT NOT NULL,
        how TEXT NOT NULL,
        PRIMARY KEY (run, target)
    );
    CREATE TABLE output (
        run BIGINT NOT NULL REFERENCES run (n) ON DELETE CASCADE,
        attempt BIGINT NOT NULL,
        host TEXT NOT NULL,
        total BIGINT NOT NULL,
        head BYTEA NOT NULL,
        tail BYTEA NOT NULL,
        PRIMARY KEY (run, attempt, host)
    );
    CREATE TABLE request (
        n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run BIGINT NOT NULL REFERENCES run (n) ON DELETE CASCADE,
        verb TEXT NOT NULL,
        by TEXT NOT NULL,
        at BIGINT NOT NULL,
        taken_at BIGINT,
        refused TEXT
    );
    CREATE INDEX request_pending ON request (run) WHERE taken_at IS NULL;
    CREATE TABLE notice (
        run BIGINT NOT NULL REFERENCES run (n) ON DELETE CASCADE,
        target TEXT NOT NULL,
        seq BIGINT NOT NULL,
        event TEXT NOT NULL,
        at BIGINT NOT NULL,
        failed TEXT,
        PRIMARY KEY (run, target, seq, event)
    );
    CREATE TABLE run_checkout (
        run BIGINT PRIMARY KEY REFERENCES run (n) ON DELETE CASCADE,
        checkout TEXT NOT NULL
    );
    CREATE TABLE lease (
        only_one BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_one),
        token BIGINT NOT NULL,
        holder TEXT,
        until TIMESTAMPTZ
    );
    INSERT INTO lease (token) VALUES (0);
    CREATE TABLE forgotten (
        name TEXT PRIMARY KEY,
        value BIGINT NOT NULL
    );";

/// Those who make the tables of one database do so one after the other; a number that nobody else uses by chance.
const MAKING: i64 = 0x006d_6161_6e64;

impl Journal {
    /// Opens the journal of a bucket in a PostgreSQL. Its tables are made where they are missing.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses; the tables are missing (read-only), or a newer program's; or the server
    /// does not keep what it has said to have.
    pub fn open_server(address: &Address, mode: Mode) -> Result<Self, JournalError> {
        let place = Place::Server(address.to_string());
        let failed = failed(&place, Operation::Open);
        let server = Server::connect(address, mode == Mode::ReadOnly).map_err(failed)?;
        check_settings(&server, &place)?;
        let db = Db::postgres(server);
        if mode == Mode::ReadWrite {
            make_tables(&db, &place)?;
        } else if check_version(&db, &place)?.is_none() {
            return Err(JournalError::NoTables { place });
        }
        Ok(Self { db, place, file: None, mode })
    }
}

/// Makes the tables where there are none.
pub(super) fn make_tables(db: &Db, place: &Place) -> Result<(), JournalError> {
    match check_version(db, place)? {
        Some(_) => Ok(()),
        None => make(db).map_err(failed(place, Operation::Open)),
    }
}

/// The version of the tables, which this program knows; `None`: there are none.
fn check_version(db: &Db, place: &Place) -> Result<Option<i64>, JournalError> {
    match found_version(db).map_err(failed(place, Operation::Open))? {
        Some(found) if found > VERSION => {
            Err(JournalError::NewerFormat { place: place.clone(), found, known: VERSION })
        }
        found => Ok(found),
    }
}

/// What durability rests on: with `fsync` off a server that fails forgets, and with `synchronous_commit` off it says that
/// it has what it has not yet.
fn check_settings(server: &Server, place: &Place) -> Result<(), JournalError> {
    let failed = failed(place, Operation::Open);
    let mut wrong = Vec::new();
    for name in ["fsync", "synchronous_commit", "full_page_writes"] {
        let sql = "SELECT current_setting(?1)";
        let value: String = server.one(sql, values![name]).map_err(failed)?;
        let is_fine = match name {
            "synchronous_commit" => ["on", "local", "remote_write", "remote_apply"].contains(&value.as_str()),
            _ => value == "on",
        };
        if !is_fine {
            wrong.push(format!("{name} {value}"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(JournalError::UnsafeSettings { place: place.clone(), settings: wrong.join(", ") })
}

/// `None`: there are no tables.
fn found_version(db: &Db) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT to_regclass('ledger') IS NOT NULL";
    if db.one(sql, values![], |row| row.get(0))? {
        return db.version().map(Some);
    }
    // Nor are tables seen in a schema that this user may not look into.
    let Db::Postgres(server) = db else { return Ok(None) };
    let schema = server.schema().to_owned();
    let sql =
        "SELECT count(*) FROM pg_namespace WHERE nspname = ?1 AND NOT has_schema_privilege(oid, 'USAGE')";
    match db.one(sql, values![schema], |row| row.count(0))? {
        0 => Ok(None),
        _ => Err(StoreError::NoUsage(schema)),
    }
}

/// Makes the tables, all or nothing, once.
fn make(db: &Db) -> Result<(), StoreError> {
    let Db::Postgres(server) = db else { return Ok(()) };
    let transaction = db.begin(Access::Write)?;
    db.first("SELECT pg_advisory_xact_lock(?1)", values![MAKING], |_| Ok(()))?;
    if found_version(db)?.is_none() {
        server.batch(&format!("CREATE SCHEMA IF NOT EXISTS {}", server.schema()))?;
        server.batch(TABLES)?;
        db.execute("INSERT INTO ledger (version) VALUES (?1)", values![VERSION])?;
    }
    transaction.commit()
}
