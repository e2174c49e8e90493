//! Facts go in, in one durable transaction, and come out as they went in, or not at all.
//!
//! Each fact carries a hash over itself and the hash before it (the first: over the run's header), and
//! the run repeats the newest one: a flipped bit, a missing fact and a lost end are all noticed.

use std::collections::VecDeque;

use rusqlite::{Connection, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use crate::engine::{Fact, Millis, RunEnd, Stamped};
use crate::plan::Problem;

use super::error::{corrupt, problem};
use super::history;
use super::run::{self, RunId, StoredState};
use super::{Journal, codes, failpoint};

/// The first half of a SHA-256: 128 bits against accidents, not against a forger, who could write a
/// whole new chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain([u8; 16]);

impl Chain {
    pub(super) fn start(id: &str, header: &str) -> Self {
        Self::half(Sha256::new().chain_update(id).chain_update([0]).chain_update(header))
    }

    fn next(self, seq: u64, at: Millis, epoch: u64, fact: &str) -> Self {
        Self::half(
            Sha256::new()
                .chain_update(self.0)
                .chain_update(seq.to_le_bytes())
                .chain_update(at.to_le_bytes())
                .chain_update(epoch.to_le_bytes())
                .chain_update(fact),
        )
    }

    fn half(hash: Sha256) -> Self {
        let whole = hash.finalize();
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        Self(half)
    }

    /// What is stored; of another length than ours it equals no computed one.
    pub(super) fn stored(bytes: Vec<u8>) -> Self {
        Self(bytes.try_into().unwrap_or_default())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Where a run's list of facts ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) seq: u64,
    pub(super) chain: Chain,
    pub(super) state: StoredState,
}

/// Inserts `facts` behind `end` and moves the run's own notes along. Within the caller's transaction.
pub(super) fn insert(
    db: &Connection,
    n: i64,
    mut end: End,
    epoch: u64,
    at: Millis,
    facts: &[Fact],
) -> rusqlite::Result<Vec<Stamped>> {
    let mut statement =
        db.prepare("INSERT INTO fact (run, seq, at, epoch, fact, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut stamped = Vec::with_capacity(facts.len());
    for fact in facts {
        let text = serde_json::to_string(fact)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        end.seq += 1;
        end.chain = end.chain.next(end.seq, at, epoch, &text);
        end.state = state_after(end.state, fact);
        statement.execute(params![n, end.seq as i64, at, epoch as i64, text, end.chain.bytes()])?;
        history::note_end(db, n, fact)?;
        stamped.push(Stamped { seq: end.seq, at, epoch, fact: fact.clone() });
    }
    db.execute(
        "UPDATE run SET last_seq = ?2, chain = ?3, last_at = ?4, state = ?5,
            finished_at = coalesce(finished_at, CASE WHEN ?6 THEN ?4 END) WHERE n = ?1",
        params![n, end.seq as i64, end.chain.bytes(), at, end.state.as_str(), end.state.is_final()],
    )?;
    Ok(stamped)
}

fn state_after(before: StoredState, fact: &Fact) -> StoredState {
    match fact {
        Fact::RunStarted { .. } | Fact::Resumed { .. } => StoredState::Running,
        Fact::Paused { .. } => StoredState::Paused,
        Fact::Interrupted { .. } => StoredState::Interrupted,
        Fact::Halted { .. } => StoredState::Halted,
        // Retried or skipped workers let a halted run go on.
        Fact::WorkerAdmitted { .. } | Fact::Issued { .. } if before == StoredState::Halted => {
            StoredState::Running
        }
        Fact::RunFinished { end } => match end {
            RunEnd::Succeeded => StoredState::Succeeded,
            RunEnd::Failed => StoredState::Failed,
            RunEnd::Aborted => StoredState::Aborted,
        },
        _ => before,
    }
}

impl Journal {
    /// Appends facts behind the run's newest one: all of them or none, durable when this returns.
    /// With `handled`, the control request that led to them is marked as taken in the same transaction.
    ///
    /// # Errors
    /// [`codes::FENCED`] when `epoch` is not the run's: a newer controller has taken over, and this one
    /// must stop at once. [`codes::FINISHED`] after the run's last fact (but for `Finished`). Others: see [`codes`]. After an
    /// error nothing may be dispatched.
    pub fn append(
        &mut self,
        id: &RunId,
        epoch: u64,
        at: Millis,
        facts: &[Fact],
        handled: Option<i64>,
    ) -> Result<Vec<Stamped>, Problem> {
        if facts.is_empty() && handled.is_none() {
            return Ok(Vec::new());
        }
        let path = self.path.clone();
        let failed = |error| problem(&path, "write to", error);
        let transaction =
            self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let row = run::row(&transaction, id).map_err(failed)?;
        if row.epoch != epoch {
            return Err(Problem::error(
                codes::FENCED,
                format!(
                    "another controller has taken over run {id} (epoch {}, this one has {epoch})",
                    row.epoch
                ),
            )
            .help(format!(
                "this one stops here and does nothing more; `maand plan status {id}` shows the run"
            )));
        }
        // An answer that comes late is kept: it changes nothing any more.
        let late_answers = facts.iter().all(|fact| matches!(fact, Fact::Finished { .. }));
        if row.end.state.is_final() && !late_answers {
            return Err(run::finished(id));
        }
        let stamped = insert(&transaction, row.n, row.end, epoch, at, facts).map_err(failed)?;
        if let Some(request) = handled {
            transaction
                .execute("UPDATE request SET taken_at = ?2 WHERE n = ?1", params![request, at])
                .map_err(failed)?;
        }
        failpoint::commit(transaction).map_err(failed)?;
        Ok(stamped)
    }

    /// The facts of a run from the first one to the newest of this moment.
    ///
    /// # Errors
    /// [`codes::UNKNOWN_RUN`]; from the iterator [`codes::CORRUPT`] naming the first fact that is not
    /// what was written, and [`codes::NEWER`] for one that this program does not know. It ends there.
    pub fn read(&self, id: &RunId) -> Result<Facts<'_>, Problem> {
        let row = self.row(id)?;
        Ok(Facts {
            journal: self,
            n: row.n,
            run: id.clone(),
            chain: Some(Chain::start(id.as_str(), &row.header)),
            seq: 0,
            end: row.end,
            page: VecDeque::new(),
            broken: false,
        })
    }

    /// The facts after `seq` up to the newest of this moment, for somebody who has read the ones before
    /// and follows. What is new is checked for gaps, and from its second fact on for damage.
    ///
    /// # Errors
    /// As of [`Journal::read`].
    pub fn read_after(&self, id: &RunId, seq: u64) -> Result<Facts<'_>, Problem> {
        let mut facts = self.read(id)?;
        if seq > 0 {
            facts.seq = seq;
            facts.chain = None;
        }
        Ok(facts)
    }
}

/// How many facts are fetched at a time: enough to make the query's own cost vanish, and little memory.
const PAGE: i64 = 2000;

/// Facts as they are read; see [`Journal::read`].
#[derive(Debug)]
pub struct Facts<'a> {
    journal: &'a Journal,
    n: i64,
    run: RunId,
    /// Of the newest fact that was handed out; `None`: not known yet.
    chain: Option<Chain>,
    seq: u64,
    end: End,
    page: VecDeque<Stored>,
    broken: bool,
}

#[derive(Debug)]
struct Stored {
    seq: u64,
    at: Millis,
    epoch: u64,
    text: String,
    chain: Chain,
}

impl Facts<'_> {
    fn fetch(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.journal.db.prepare(
            "SELECT seq, at, epoch, fact, chain FROM fact
             WHERE run = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4",
        )?;
        let rows =
            statement.query_map(params![self.n, self.seq as i64, self.end.seq as i64, PAGE], |row| {
                Ok(Stored {
                    seq: row.get::<_, i64>(0)?.unsigned_abs(),
                    at: row.get(1)?,
                    epoch: row.get::<_, i64>(2)?.unsigned_abs(),
                    text: row.get(3)?,
                    chain: Chain::stored(row.get(4)?),
                })
            })?;
        for row in rows {
            self.page.push_back(row?);
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Stamped>, Problem> {
        if self.seq >= self.end.seq {
            return Ok(None);
        }
        if self.page.is_empty() {
            self.fetch().map_err(|error| match error {
                rusqlite::Error::SqliteFailure(..) => problem(&self.journal.path, "read", error),
                other => self.damaged(format_args!("fact {} or one after it: {other}", self.seq + 1)),
            })?;
        }
        let wanted = self.seq + 1;
        let Some(stored) = self.page.pop_front().filter(|stored| stored.seq == wanted) else {
            return Err(self.damaged(format_args!("fact {wanted} is missing")));
        };
        if let Some(chain) = self.chain
            && chain.next(stored.seq, stored.at, stored.epoch, &stored.text) != stored.chain
        {
            let what = if wanted == 1 {
                "the header or fact 1 is not what was written".to_owned()
            } else {
                format!("fact {wanted} is not what was written")
            };
            return Err(self.damaged(what));
        }
        if wanted == self.end.seq && stored.chain != self.end.chain {
            return Err(self.damaged(format_args!("fact {wanted}, the newest, is not what was written")));
        }
        // Its hash is right, so these are the bytes that were written: by a program that knows more.
        let fact = serde_json::from_str(&stored.text).map_err(|error| {
            Problem::error(
                codes::NEWER,
                format!(
                    "run {} has a fact that this program does not know (number {wanted}: {error})",
                    self.run
                ),
            )
            .help("a newer maand has worked on this run; use that version, or a newer one")
        })?;
        self.chain = Some(stored.chain);
        self.seq = wanted;
        Ok(Some(Stamped { seq: stored.seq, at: stored.at, epoch: stored.epoch, fact }))
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Problem {
        corrupt(&self.journal.path, format_args!("run {}: {what}", self.run))
    }
}

impl Iterator for Facts<'_> {
    type Item = Result<Stamped, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let next = self.step();
        self.broken = next.is_err();
        next.transpose()
    }
}
