//! Runs are made, listed, found by name, and taken up again.

use crate::engine::{Fact, PublicRunState, Stamped};

use super::db::{Access, Db, Row, StoreError, values};
use super::error::failed;
use super::facts::{self, Chain};
use super::place::Place;
use super::run::{RunHeader, RunId, RunSummary, StoredRun};
use super::{Journal, JournalError, Operation, schema};

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
        let failed = failed(&self.place, Operation::Write);
        let text = serde_json::to_string(header)
            .map_err(|source| JournalError::Encode { what: "run's header", source })?;
        let transaction = self.db.begin(Access::Write).map_err(failed)?;
        let id = loop {
            let id = RunId::draw(header.started_at);
            let sql = "SELECT EXISTS (SELECT 1 FROM run WHERE id = ?1)";
            let taken: bool = transaction.one(sql, values![id.as_str()], |row| row.get(0)).map_err(failed)?;
            if !taken {
                break id;
            }
        };
        let chain = Chain::start(id.as_str(), &text);
        let workers = header.hosts.len() as i64;
        let n: i64 = transaction
            .one(
                "INSERT INTO run (id, plan, workers, started_at, last_at, state, epoch, last_seq, chain)
                 VALUES (?1, ?2, ?3, ?4, ?4, 'running', 1, 0, ?5) RETURNING n",
                values![id.as_str(), header.plan, workers, header.started_at, chain.bytes()],
                |row| row.get(0),
            )
            .map_err(failed)?;
        let sql = "INSERT INTO run_header (run, header) VALUES (?1, ?2)";
        transaction.execute(sql, values![n, text]).map_err(failed)?;
        let start = facts::End { seq: 0, chain, state: PublicRunState::Running };
        let mut end = start;
        let new = end.extend(1, header.started_at, facts)?;
        facts::advance(&transaction, n, 1, &start, &end, header.started_at).map_err(failed)?;
        facts::insert(&transaction, n, &new).map_err(failed)?;
        transaction.commit_facts().map_err(failed)?;
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

    /// Where a run stands, by its row.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`].
    pub fn state(&self, id: &RunId) -> Result<PublicRunState, JournalError> {
        Ok(self.row(id)?.end.state)
    }

    /// The newest run that carries out the reviewed plan file with this hash.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn run_of_reviewed(&self, sha256: &str) -> Result<Option<RunId>, JournalError> {
        // A file that is only read is not migrated, and no run of that time carries one out.
        if self.schema_version()? < 2 {
            return Ok(None);
        }
        // No other text of a header has unescaped quotes around it.
        let said = format!("%\"reviewed\":\"{sha256}\"%");
        let sql = "SELECT run.id FROM run_header h JOIN run ON run.n = h.run WHERE h.header LIKE ?1
                   ORDER BY run.n DESC LIMIT 1";
        let found = self.db.first(sql, values![said], |row| Ok(RunId(row.get(0)?)));
        found.map_err(failed(&self.place, Operation::Read))
    }

    /// All runs, newest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn runs(&self) -> Result<Vec<RunSummary>, JournalError> {
        let failed = failed(&self.place, Operation::Read);
        let runs = self
            .db
            .all(
                "SELECT id, plan, workers, started_at, last_at, finished_at, state,
                    (SELECT count(*) FROM worker_end e WHERE e.run = run.n AND e.how = 'succeeded'),
                    (SELECT count(*) FROM worker_end e WHERE e.run = run.n AND e.how = 'failed'),
                    (SELECT count(*) FROM worker_end e WHERE e.run = run.n AND e.how = 'skipped')
                 FROM run ORDER BY n DESC",
                values![],
                |row| {
                    Ok(RunSummary {
                        id: RunId(row.get(0)?),
                        plan: row.get(1)?,
                        workers: row.small(2)?,
                        started_at: row.get(3)?,
                        last_at: row.get(4)?,
                        finished_at: row.get(5)?,
                        state: state_of(row, 6)?,
                        succeeded: row.small(7)?,
                        failed: row.small(8)?,
                        skipped: row.small(9)?,
                    })
                },
            )
            .map_err(failed)?;
        Ok(runs)
    }

    /// Runs that are over, each with the epoch of its last controller.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn finished_epochs(&self) -> Result<Vec<(RunId, u64)>, JournalError> {
        let failed = failed(&self.place, Operation::Read);
        let sql = "SELECT id, epoch FROM run WHERE finished_at IS NOT NULL";
        self.db.all(sql, values![], |row| Ok((RunId(row.get(0)?), row.count(1)?))).map_err(failed)
    }

    /// The newest run without a last fact: at most one per bucket is meant to be.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn unfinished(&self) -> Result<Option<RunId>, JournalError> {
        let sql = "SELECT id FROM run WHERE finished_at IS NULL ORDER BY n DESC LIMIT 1";
        let found = self.db.first(sql, values![], |row| Ok(RunId(row.get(0)?)));
        found.map_err(failed(&self.place, Operation::Read))
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
        let failed = failed(&self.place, Operation::Write);
        let transaction = self.db.begin(Access::Write).map_err(failed)?;
        // A server that has forgotten its last moments could give the same epoch twice.
        let step = if self.is_shared() { 1 + i64::from(uuid::Uuid::new_v4().as_bytes()[0]) } else { 1 };
        let sql = "UPDATE run SET epoch = epoch + ?2 WHERE n = ?1 RETURNING epoch";
        let epoch = transaction.one(sql, values![row.n, step], |row| row.count(0)).map_err(failed)?;
        transaction.commit_facts().map_err(failed)?;
        Ok(epoch)
    }

    pub(super) fn row(&self, id: &RunId) -> Result<RunRow, JournalError> {
        row(&self.db, &self.place, id)
    }

    /// The text of the header of run `n`.
    pub(super) fn header(&self, id: &RunId, n: i64) -> Result<String, JournalError> {
        schema::header(&self.db, n).map_err(|error| match error {
            StoreError::NoRow => {
                JournalError::corrupt(&self.place, format_args!("run {id} has lost its header"))
            }
            error => failed(&self.place, Operation::Read)(error),
        })
    }
}

/// The row of one run.
pub(super) struct RunRow {
    pub(super) n: i64,
    pub(super) epoch: u64,
    pub(super) end: facts::End,
}

pub(super) fn row(db: &Db, place: &Place, id: &RunId) -> Result<RunRow, JournalError> {
    let row = db.one(
        "SELECT n, epoch, last_seq, chain, state FROM run WHERE id = ?1",
        values![id.as_str()],
        |row| {
            let end = facts::End {
                seq: row.count(2)?,
                chain: Chain::stored(row.get(3)?),
                state: state_of(row, 4)?,
            };
            Ok(RunRow { n: row.get(0)?, epoch: row.count(1)?, end })
        },
    );
    row.map_err(|error| match error {
        StoreError::NoRow => JournalError::UnknownRun { name: id.to_string(), newest: Vec::new() },
        error if error.is_about_values() => JournalError::corrupt(place, error),
        error => failed(place, Operation::Read)(error),
    })
}

fn state_of(row: &Row<'_>, column: usize) -> Result<PublicRunState, StoreError> {
    let text = row.text(column)?;
    PublicRunState::parse(text).ok_or_else(|| StoreError::Value(format!("`{text}` is not a state of a run")))
}
