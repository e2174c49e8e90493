//! Runs are made, listed, found by name, and taken up again.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use crate::engine::{Fact, PublicRunState, Stamped};

use super::error::failed;
use super::facts::{self, Chain};
use super::run::{RunHeader, RunId, RunSummary, StoredRun};
use super::{Journal, JournalError, Operation, failpoint, schema};

/// So many runs are named to an operator who asked for one that does not exist.
const RUNS_SUGGESTED: usize = 5;

impl Journal {
    /// Stores a new run together with its first facts, in one transaction, under a new name and
    /// epoch 1. `facts` begins with [`Fact::RunStarted`].
    ///
    /// # Errors
    /// The file cannot be written. Nothing is stored then.
    pub fn create_run(
        &mut self,
        header: &RunHeader,
        facts: &[Fact],
    ) -> Result<(RunId, Vec<Stamped>), JournalError> {
        let failed = failed(&self.path, Operation::Write);
        let text = serde_json::to_string(header)
            .map_err(|source| JournalError::Encode { what: "run's header", source })?;
        let transaction =
            self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let id = loop {
            let id = RunId::draw(header.started_at);
            let taken: bool = transaction
                .query_row("SELECT EXISTS (SELECT 1 FROM run WHERE id = ?1)", [id.as_str()], |row| row.get(0))
                .map_err(failed)?;
            if !taken {
                break id;
            }
        };
        let chain = Chain::start(id.as_str(), &text);
        transaction
            .execute(
                "INSERT INTO run (id, plan, workers, started_at, last_at, state, epoch, last_seq, chain)
                 VALUES (?1, ?2, ?3, ?4, ?4, 'running', 1, 0, ?5)",
                params![
                    id.as_str(),
                    header.plan,
                    header.hosts.len() as i64,
                    header.started_at,
                    chain.bytes()
                ],
            )
            .map_err(failed)?;
        let n = transaction.last_insert_rowid();
        transaction
            .execute("INSERT INTO run_header (run, header) VALUES (?1, ?2)", params![n, text])
            .map_err(failed)?;
        let start = facts::End { seq: 0, chain, state: PublicRunState::Running };
        let mut end = start;
        let new = end.extend(1, header.started_at, facts)?;
        facts::advance(&transaction, n, 1, &start, &end, header.started_at).map_err(failed)?;
        facts::insert(&transaction, n, &new).map_err(failed)?;
        failpoint::commit(transaction).map_err(failed)?;
        Ok((id, new.into_iter().map(|new| new.stamped).collect()))
    }

    /// Reads a run's header.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`]; [`JournalError::NewerHeader`] when the header says what this program
    /// does not know. (Whether it is what was written is checked by [`Journal::read`].)
    pub fn run(&self, id: &RunId) -> Result<StoredRun, JournalError> {
        let row = self.row(id)?;
        let header = serde_json::from_str(&self.header(id, row.n)?)
            .map_err(|source| JournalError::NewerHeader { run: id.clone(), source })?;
        Ok(StoredRun {
            id: id.clone(),
            epoch: row.epoch,
            last_seq: row.end.seq,
            state: row.end.state,
            header,
        })
    }

    /// The newest run that carries out the reviewed plan file with this hash.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn run_of_reviewed(&self, sha256: &str) -> Result<Option<RunId>, JournalError> {
        // No other text of a header has unescaped quotes around it.
        let said = format!("\"reviewed\":\"{sha256}\"");
        let sql = "SELECT run.id FROM run_header h JOIN run ON run.n = h.run WHERE instr(h.header, ?1) > 0
                   ORDER BY run.n DESC LIMIT 1";
        let found = self.db.query_row(sql, [said], |row| Ok(RunId(row.get(0)?))).optional();
        found.map_err(failed(&self.path, Operation::Read))
    }

    /// All runs, newest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn runs(&self) -> Result<Vec<RunSummary>, JournalError> {
        let failed = failed(&self.path, Operation::Read);
        let mut statement = self
            .db
            .prepare(
                "SELECT id, plan, workers, started_at, last_at, finished_at, state,
                    (SELECT count(*) FROM worker_end e WHERE e.run = run.n AND e.how = 'succeeded'),
                    (SELECT count(*) FROM worker_end e WHERE e.run = run.n AND e.how = 'failed'),
                    (SELECT count(*) FROM worker_end e WHERE e.run = run.n AND e.how = 'skipped')
                 FROM run ORDER BY n DESC",
            )
            .map_err(failed)?;
        let rows = statement
            .query_map([], |row| {
                Ok(RunSummary {
                    id: RunId(row.get(0)?),
                    plan: row.get(1)?,
                    workers: row.get(2)?,
                    started_at: row.get(3)?,
                    last_at: row.get(4)?,
                    finished_at: row.get(5)?,
                    state: state_of(row, 6)?,
                    succeeded: row.get(7)?,
                    failed: row.get(8)?,
                    skipped: row.get(9)?,
                })
            })
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// The newest run without a last fact: at most one per bucket is meant to be.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn unfinished(&self) -> Result<Option<RunId>, JournalError> {
        self.db
            .query_row("SELECT id FROM run WHERE finished_at IS NULL ORDER BY n DESC LIMIT 1", [], |row| {
                Ok(RunId(row.get(0)?))
            })
            .optional()
            .map_err(failed(&self.path, Operation::Read))
    }

    /// The run that is meant by `text`: a name, the beginning or the end of one, or (`None`) the newest.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`] with the newest runs, [`JournalError::AmbiguousRun`] with those that
    /// `text` fits, [`JournalError::NoRun`].
    pub fn find(&self, text: Option<&str>) -> Result<RunId, JournalError> {
        let runs = self.runs()?;
        let Some(newest) = runs.first() else { return Err(JournalError::NoRun) };
        let Some(text) = text else { return Ok(newest.id.clone()) };
        if let Some(exact) = runs.iter().find(|run| run.id.as_str() == text) {
            return Ok(exact.id.clone());
        }
        let fits = |run: &&RunSummary| {
            !text.is_empty() && (run.id.as_str().starts_with(text) || run.id.as_str().ends_with(text))
        };
        let fitting: Vec<_> = runs.iter().filter(fits).cloned().collect();
        let name = text.to_owned();
        match fitting.as_slice() {
            [only] => Ok(only.id.clone()),
            [] => Err(JournalError::UnknownRun {
                name,
                newest: runs.into_iter().take(RUNS_SUGGESTED).collect(),
            }),
            _ => Err(JournalError::AmbiguousRun { name, fitting }),
        }
    }

    /// A controller starts to carry on with a run: looks through the file for damage, then raises the
    /// run's epoch. From now on appends with a lower one are refused.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`], [`JournalError::Finished`], [`JournalError::UnknownRun`].
    pub fn raise_epoch(&mut self, id: &RunId) -> Result<u64, JournalError> {
        self.verify()?;
        let row = self.row(id)?;
        if row.end.state.is_final() {
            return Err(JournalError::Finished { run: id.clone() });
        }
        let failed = failed(&self.path, Operation::Write);
        let transaction =
            self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let epoch: i64 = transaction
            .query_row("UPDATE run SET epoch = epoch + 1 WHERE n = ?1 RETURNING epoch", [row.n], |row| {
                row.get(0)
            })
            .map_err(failed)?;
        failpoint::commit(transaction).map_err(failed)?;
        Ok(epoch.unsigned_abs())
    }

    pub(super) fn row(&self, id: &RunId) -> Result<RunRow, JournalError> {
        row(&self.db, &self.path, id)
    }

    /// The text of the header of run `n`.
    pub(super) fn header(&self, id: &RunId, n: i64) -> Result<String, JournalError> {
        schema::header(&self.db, n).map_err(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => {
                JournalError::corrupt(&self.path, format_args!("run {id} has lost its header"))
            }
            error => failed(&self.path, Operation::Read)(error),
        })
    }
}

/// The row of one run.
pub(super) struct RunRow {
    pub(super) n: i64,
    pub(super) epoch: u64,
    pub(super) end: facts::End,
}

pub(super) fn row(db: &Connection, path: &Path, id: &RunId) -> Result<RunRow, JournalError> {
    let row = db.prepare_cached("SELECT n, epoch, last_seq, chain, state FROM run WHERE id = ?1").and_then(
        |mut statement| {
            statement.query_row([id.as_str()], |row| {
                Ok(RunRow {
                    n: row.get(0)?,
                    epoch: row.get::<_, i64>(1)?.unsigned_abs(),
                    end: facts::End {
                        seq: row.get::<_, i64>(2)?.unsigned_abs(),
                        chain: Chain::stored(row.get(3)?),
                        state: state_of(row, 4)?,
                    },
                })
            })
        },
    );
    row.map_err(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => {
            JournalError::UnknownRun { name: id.to_string(), newest: Vec::new() }
        }
        rusqlite::Error::IntegralValueOutOfRange(..) | rusqlite::Error::FromSqlConversionFailure(..) => {
            JournalError::corrupt(path, error)
        }
        error => failed(path, Operation::Read)(error),
    })
}

fn state_of(row: &Row<'_>, column: usize) -> rusqlite::Result<PublicRunState> {
    let text: String = row.get(column)?;
    PublicRunState::parse(&text).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            format!("`{text}` is not a state of a run").into(),
        )
    })
}
