//! Runs: their names, what is fixed when they start, and the list of them.

use std::collections::BTreeMap;
use std::fmt;

use rusqlite::{Row, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use crate::bucket::Fleet;
use crate::engine::{Fact, Millis, Stamped};
use crate::plan::Problem;

use super::error::{corrupt, problem};
use super::facts::{self, Chain};
use super::{Journal, codes, failpoint};

/// The name of a run: `YYYYMMDD-HHMM-` (UTC) and four hexadecimal digits, so that it can be typed,
/// sorts by time, and does not repeat.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// A new name: the minute of `at` and two random bytes; [`Journal::create_run`] draws until it is free.
    pub fn draw(at: Millis) -> Self {
        let time = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let random = uuid::Uuid::new_v4();
        let [a, b, ..] = random.as_bytes();
        Self(format!("{}-{a:02x}{b:02x}", time.strftime("%Y%m%d-%H%M")))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is fixed when a run starts; a resume uses this and nothing that is on disk by then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// The plan's name.
    pub plan: String,
    /// The plan file as the person named it, for messages.
    pub plan_file: String,
    /// The plan file's text.
    pub plan_text: String,
    /// SHA-256 of the text, in hexadecimal.
    pub plan_sha256: String,
    /// `--set`, in the order given.
    pub overrides: Vec<(String, String)>,
    /// `--workers`: the selection was narrowed to these.
    pub only_workers: Option<Vec<String>>,
    /// The snapshot of the bucket that the plan was compiled for.
    pub fleet: Fleet,
    /// [`crate::graph::RolloutGraph::hash`].
    pub graph_hash: String,
    /// SHA-256 of `workers.json`, in hexadecimal.
    pub workers_sha256: String,
    /// Hash of the workspace less `disabled.json`.
    pub workspace_hash: String,
    /// Version of the program.
    pub program: String,
    /// `user@host`.
    pub who: String,
    /// Jitter is drawn from it.
    pub seed: u64,
    /// Text of the plan's scripts, by the path written in the plan.
    pub scripts: BTreeMap<String, String>,
    /// The selected workers in the order of [`crate::graph::TargetIx`].
    pub hosts: Vec<String>,
    /// The kinds of the plan's steps; history counts by them.
    pub kinds: StepKinds,
    /// When the run was started.
    pub started_at: Millis,
}

/// [`crate::plan::StepKind::keyword`] of each step, list by list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the plan's")]
pub struct StepKinds {
    pub before: Vec<String>,
    pub steps: Vec<String>,
    pub after: Vec<String>,
}

/// A run as it is stored, without its facts.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRun {
    /// Its name.
    pub id: RunId,
    /// The epoch of the newest controller.
    pub epoch: u64,
    /// How many facts there are.
    pub last_seq: u64,
    /// As of the newest fact.
    pub state: StoredState,
    /// What was fixed at the start.
    pub header: RunHeader,
}

/// What the newest facts say about a run. Whether somebody carries it out is the run lock's to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the facts")]
pub enum StoredState {
    Running,
    Paused,
    Interrupted,
    Halted,
    Succeeded,
    Failed,
    Aborted,
}

impl StoredState {
    /// No fact follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Aborted)
    }

    /// As stored and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Interrupted => "interrupted",
            Self::Halted => "halted",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [
            Self::Running,
            Self::Paused,
            Self::Interrupted,
            Self::Halted,
            Self::Succeeded,
            Self::Failed,
            Self::Aborted,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// A line of `maand plan list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its name.
    pub id: RunId,
    /// The plan's name.
    pub plan: String,
    /// Selected workers.
    pub workers: u32,
    /// Of them: ended well.
    pub succeeded: u32,
    /// Of them: failed, also when reverted afterwards, and not skipped or retried since.
    pub failed: u32,
    /// Of them: taken out by a person.
    pub skipped: u32,
    /// When it was started.
    pub started_at: Millis,
    /// When the newest fact was learnt.
    pub last_at: Millis,
    /// When the last fact of all was.
    pub finished_at: Option<Millis>,
    /// As of the newest fact.
    pub state: StoredState,
}

impl Journal {
    /// Stores a new run together with its first facts, in one transaction, under a new name and
    /// epoch 1. `facts` begins with [`Fact::RunStarted`].
    ///
    /// # Errors
    /// See [`codes`]. Nothing is stored then.
    pub fn create_run(
        &mut self,
        header: &RunHeader,
        facts: &[Fact],
    ) -> Result<(RunId, Vec<Stamped>), Problem> {
        let path = self.path.clone();
        let failed = |error| problem(&path, "write to", error);
        let text = serde_json::to_string(header).map_err(|error| {
            Problem::error(codes::SQLITE, format!("the run's header can not be written: {error}"))
        })?;
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
                "INSERT INTO run (id, plan, workers, started_at, last_at, state, epoch, last_seq, chain, header)
                 VALUES (?1, ?2, ?3, ?4, ?4, 'running', 1, 0, ?5, ?6)",
                params![
                    id.as_str(),
                    header.plan,
                    header.hosts.len() as i64,
                    header.started_at,
                    chain.bytes(),
                    text
                ],
            )
            .map_err(failed)?;
        let n = transaction.last_insert_rowid();
        let end = facts::End { seq: 0, chain, state: StoredState::Running };
        let stamped = facts::insert(&transaction, n, end, 1, header.started_at, facts).map_err(failed)?;
        failpoint::commit(transaction).map_err(failed)?;
        Ok((id, stamped))
    }

    /// Reads a run's header.
    ///
    /// # Errors
    /// [`codes::UNKNOWN_RUN`]; [`codes::CORRUPT`] when the header is not what was written.
    pub fn run(&self, id: &RunId) -> Result<StoredRun, Problem> {
        let row = self.row(id)?;
        let header = serde_json::from_str(&row.header).map_err(|error| {
            // The chain over the header is checked when the facts are read.
            Problem::error(codes::NEWER, format!("run {id} can not be read by this program: {error}"))
                .help("a newer maand may have written it; use that one")
        })?;
        Ok(StoredRun {
            id: id.clone(),
            epoch: row.epoch,
            last_seq: row.end.seq,
            state: row.end.state,
            header,
        })
    }

    /// All runs, newest first.
    ///
    /// # Errors
    /// See [`codes`].
    pub fn runs(&self) -> Result<Vec<RunSummary>, Problem> {
        let failed = |error| problem(&self.path, "read", error);
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
    /// See [`codes`].
    pub fn unfinished(&self) -> Result<Option<RunId>, Problem> {
        let found = self.db.query_row(
            "SELECT id FROM run WHERE finished_at IS NULL ORDER BY n DESC LIMIT 1",
            [],
            |row| Ok(RunId(row.get(0)?)),
        );
        match found {
            Ok(id) => Ok(Some(id)),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(error) => Err(problem(&self.path, "read", error)),
        }
    }

    /// The run that a person means: a name, the beginning or the end of one, or (`None`) the newest.
    ///
    /// # Errors
    /// [`codes::UNKNOWN_RUN`] with the newest runs, or those that `text` fits; [`codes::NONE`].
    pub fn find(&self, text: Option<&str>) -> Result<RunId, Problem> {
        let runs = self.runs()?;
        let Some(newest) = runs.first() else {
            return Err(
                Problem::error(codes::NONE, "there is no run yet").help("`maand plan apply PLAN` starts one")
            );
        };
        let Some(text) = text else { return Ok(newest.id.clone()) };
        if let Some(exact) = runs.iter().find(|run| run.id.as_str() == text) {
            return Ok(exact.id.clone());
        }
        let fits = |run: &&RunSummary| {
            !text.is_empty() && (run.id.as_str().starts_with(text) || run.id.as_str().ends_with(text))
        };
        let found: Vec<_> = runs.iter().filter(fits).collect();
        if let [only] = found.as_slice() {
            return Ok(only.id.clone());
        }
        let (message, shown) = if found.is_empty() {
            (format!("no run is called `{text}`"), runs.iter().take(5).collect())
        } else {
            (format!("`{text}` fits {} runs", found.len()), found)
        };
        let list: Vec<_> = shown
            .iter()
            .take(10)
            .map(|run| format!("  {}  {}  {}", run.id, run.plan, run.state.as_str()))
            .collect();
        Err(Problem::error(codes::UNKNOWN_RUN, message)
            .help(format!("the runs are (`maand plan list` shows all):\n{}", list.join("\n"))))
    }

    /// A controller starts to carry on with a run: looks through the file for damage, then raises the
    /// run's epoch. From now on appends with a lower one are refused.
    ///
    /// # Errors
    /// [`codes::CORRUPT`], [`codes::FINISHED`], [`codes::UNKNOWN_RUN`].
    pub fn raise_epoch(&mut self, id: &RunId) -> Result<u64, Problem> {
        self.verify()?;
        let row = self.row(id)?;
        if row.end.state.is_final() {
            return Err(finished(id));
        }
        let path = self.path.clone();
        let failed = |error| problem(&path, "write to", error);
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

    pub(super) fn row(&self, id: &RunId) -> Result<RunRow, Problem> {
        row(&self.db, id).map_err(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => {
                Problem::error(codes::UNKNOWN_RUN, format!("no run is called `{id}`"))
                    .help("`maand plan list` shows all runs")
            }
            rusqlite::Error::IntegralValueOutOfRange(..) | rusqlite::Error::FromSqlConversionFailure(..) => {
                corrupt(&self.path, error)
            }
            _ => problem(&self.path, "read", error),
        })
    }
}

pub(super) fn finished(id: &RunId) -> Problem {
    Problem::error(codes::FINISHED, format!("run {id} has finished; nothing can be added to it"))
        .help(format!("`maand plan status {id}` shows how it ended; `maand plan apply` starts a new run"))
}

/// The row of one run.
pub(super) struct RunRow {
    pub(super) n: i64,
    pub(super) epoch: u64,
    pub(super) end: facts::End,
    pub(super) header: String,
}

pub(super) fn row(db: &rusqlite::Connection, id: &RunId) -> rusqlite::Result<RunRow> {
    db.query_row(
        "SELECT n, epoch, last_seq, chain, state, header FROM run WHERE id = ?1",
        [id.as_str()],
        |row| {
            Ok(RunRow {
                n: row.get(0)?,
                epoch: row.get::<_, i64>(1)?.unsigned_abs(),
                end: facts::End {
                    seq: row.get::<_, i64>(2)?.unsigned_abs(),
                    chain: Chain::stored(row.get(3)?),
                    state: state_of(row, 4)?,
                },
                header: row.get(5)?,
            })
        },
    )
}

fn state_of(row: &Row<'_>, column: usize) -> rusqlite::Result<StoredState> {
    let text: String = row.get(column)?;
    StoredState::parse(&text).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            format!("`{text}` is not a state of a run").into(),
        )
    })
}
