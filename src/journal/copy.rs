//! All runs of a journal, row by row, into another journal: of a file into a PostgreSQL, or back.

use super::db::{Access, Db, Row, StoreError, Value, values};
use super::error::failed;
use super::notices;
use super::run::RunId;
use super::{Journal, JournalError, Operation};

/// What a column holds.
#[derive(Clone, Copy)]
enum Kind {
    Number,
    Text,
    Bytes,
}

use Kind::{Bytes, Number, Text};

/// A value on its way; each may be missing.
enum Cell {
    Number(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl Cell {
    fn read(row: &Row<'_>, at: usize, kind: Kind) -> Result<Self, StoreError> {
        Ok(match kind {
            Number => Self::Number(row.get(at)?),
            Text => Self::Text(row.get(at)?),
            Bytes => Self::Bytes(row.get(at)?),
        })
    }

    fn value(&self) -> &dyn Value {
        match self {
            Self::Number(value) => value,
            Self::Text(value) => value,
            Self::Bytes(value) => value,
        }
    }
}

/// The rows of one run in one table: `?1` is the run in both statements, and comes first among what is written.
struct Table {
    read: &'static str,
    write: &'static str,
    columns: &'static [Kind],
}

/// What a run has besides its row in `run`. Numbers of requests are given anew, in the same order.
const TABLES: &[Table] = &[
    Table {
        read: "SELECT header FROM run_header WHERE run = ?1",
        write: "INSERT INTO run_header (run, header) VALUES (?1, ?2)",
        columns: &[Text],
    },
    Table {
        read: "SELECT seq, at, epoch, fact, chain FROM fact WHERE run = ?1 ORDER BY seq",
        write: "INSERT INTO fact (run, seq, at, epoch, fact, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        columns: &[Number, Number, Number, Text, Bytes],
    },
    Table {
        read: "SELECT target, how FROM worker_end WHERE run = ?1 ORDER BY target",
        write: "INSERT INTO worker_end (run, target, how) VALUES (?1, ?2, ?3)",
        columns: &[Number, Text],
    },
    Table {
        read: "SELECT attempt, host, total, head, tail FROM output WHERE run = ?1 ORDER BY attempt, host",
        write: "INSERT INTO output (run, attempt, host, total, head, tail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        columns: &[Number, Text, Number, Bytes, Bytes],
    },
    Table {
        read: "SELECT verb, by, at, taken_at, refused FROM request WHERE run = ?1 ORDER BY n",
        write: "INSERT INTO request (run, verb, by, at, taken_at, refused) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        columns: &[Text, Text, Number, Number, Text],
    },
];

/// A file has the table only where somebody was to be told of something.
const NOTICES: Table = Table {
    read: "SELECT target, seq, event, at, failed FROM notice WHERE run = ?1 ORDER BY target, seq, event",
    write: "INSERT INTO notice (run, target, seq, event, at, failed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    columns: &[Text, Number, Text, Number, Text],
};

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Runs.
    pub runs: usize,
    /// Their facts.
    pub facts: usize,
}

impl Journal {
    /// Copies every run with all that is kept of it, and what forgotten runs have counted, into a journal without a run: all
    /// of it or nothing. Each run is read back, and compared by its hash chain, before that is committed. The caller
    /// holds both run locks.
    ///
    /// # Errors
    /// [`JournalError::NotEmpty`]; [`JournalError::Corrupt`], where a run here is not what was written; or one of the two
    /// cannot be read or written.
    pub fn copy_into(&self, other: &mut Self, each: &mut dyn FnMut(&RunId)) -> Result<Copied, JournalError> {
        let reads = failed(&self.place, Operation::Read);
        let writes = failed(&other.place, Operation::Write);
        if let Some(run) = other.runs()?.first() {
            return Err(JournalError::NotEmpty { place: other.place.clone(), run: run.id.clone() });
        }
        let has_notices = notices::has_table(&self.db, &self.place).map_err(reads)?;
        if has_notices {
            notices::make_table(&other.db, &other.place).map_err(writes)?;
        }
        let tables = || TABLES.iter().chain(has_notices.then_some(&NOTICES));
        let moment = self.db.begin(Access::Read).map_err(reads)?;
        let into = other.db.begin(Access::Write).map_err(writes)?;
        let mut copied = Copied::default();
        let names = moment.all("SELECT id FROM run ORDER BY n", values![], |row| row.get::<String>(0));
        for id in names.map_err(reads)? {
            let id = RunId(id);
            each(&id);
            let from = self.row(&id)?.n;
            let to = copy_row(&moment, &into, from, reads, writes)?;
            for table in tables() {
                copy_table(&moment, &into, table, (from, to), reads, writes)?;
            }
            let (own, theirs) = (self.text_within(&moment, &id)?, other.text_within(&into, &id)?);
            if let Some(fault) = own.chain_faults().first() {
                return Err(JournalError::corrupt(&self.place, format_args!("run {id}: {fault}")));
            }
            if own != theirs {
                return Err(JournalError::corrupt(
                    &other.place,
                    format_args!("run {id} has come out otherwise"),
                ));
            }
            copied.runs += 1;
            copied.facts += own.facts.len();
        }
        let counted = moment.all("SELECT name, value FROM forgotten ORDER BY name", values![], |row| {
            Ok((row.get::<String>(0)?, row.get::<i64>(1)?))
        });
        for (name, value) in counted.map_err(reads)? {
            let sql = "INSERT INTO forgotten (name, value) VALUES (?1, ?2)";
            into.execute(sql, values![name, value]).map_err(writes)?;
        }
        into.commit().map_err(writes)?;
        Ok(copied)
    }
}

/// The number of the run's row there.
fn copy_row(
    from: &Db,
    to: &Db,
    n: i64,
    reads: impl Fn(StoreError) -> JournalError,
    writes: impl Fn(StoreError) -> JournalError,
) -> Result<i64, JournalError> {
    let columns = [Text, Text, Number, Number, Number, Number, Text, Number, Number, Bytes];
    let read = "SELECT id, plan, workers, started_at, last_at, finished_at, state, epoch, last_seq, chain
                FROM run WHERE n = ?1";
    let cells = from.one(read, values![n], |row| cells(row, &columns)).map_err(reads)?;
    let write =
        "INSERT INTO run (id, plan, workers, started_at, last_at, finished_at, state, epoch, last_seq, chain)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING n";
    let values: Vec<&dyn Value> = cells.iter().map(Cell::value).collect();
    to.one(write, &values, |row| row.get(0)).map_err(writes)
}

fn copy_table(
    from: &Db,
    to: &Db,
    table: &Table,
    (run, copy): (i64, i64),
    reads: impl Fn(StoreError) -> JournalError,
    writes: impl Fn(StoreError) -> JournalError,
) -> Result<(), JournalError> {
    from.each(table.read, values![run], &reads, |row| {
        let cells = cells(row, table.columns).map_err(&reads)?;
        let values: Vec<&dyn Value> =
            std::iter::once(&copy as &dyn Value).chain(cells.iter().map(Cell::value)).collect();
        to.execute(table.write, &values).map(drop).map_err(&writes)
    })
}

fn cells(row: &Row<'_>, columns: &[Kind]) -> Result<Vec<Cell>, StoreError> {
    (0..).zip(columns).map(|(at, kind)| Cell::read(row, at, *kind)).collect()
}
