//! A run as it is stored, text for text: taken out of one journal, and put into another one.
//!
//! Facts and header travel as the text over which the hash chain goes, so that the chain means the same in both
//! journals. This file must not know how a run travels, nor who may continue it.

use crate::engine::{Fact, Millis, PublicRunState, Stamped};

use super::db::{Access, Db, StoreError, values};
use super::error::failed;
use super::facts::{self, Chain, End};
use super::run::{RunHeader, RunId};
use super::{Journal, JournalError, Marks, Operation, schema, worker_end};

/// A run, text for text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunText {
    /// Its name.
    pub id: RunId,
    /// The epoch of its newest controller.
    pub epoch: u64,
    /// What was fixed when it started, as JSON.
    pub header: String,
    /// All facts, oldest first.
    pub facts: Vec<FactText>,
    /// Requests that no controller has dealt with, oldest first.
    pub requests: Vec<RequestText>,
}

/// A fact, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactText {
    /// From 1, without gaps.
    pub seq: u64,
    /// When the controller learnt it.
    pub at: Millis,
    /// The controller that wrote it.
    pub epoch: u64,
    /// What has happened, as JSON.
    pub fact: String,
    /// The hash over it and all before it, in hexadecimal digits.
    pub chain: String,
}

/// A request of an operator that waits for a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestText {
    /// What is asked for, as JSON.
    pub verb: String,
    /// The operator, `user@host`.
    pub by: String,
    /// When it was asked for.
    pub at: Millis,
}

/// How the facts that a journal has of a run stand to those of a [`RunText`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The journal does not have the run.
    Absent,
    /// It has its first facts, so many of them, or all.
    Has(u64),
    /// It has all of them, and so many altogether.
    Ahead(u64),
    /// Both go back to the same beginning, and the fact with this number is another one.
    Diverged(u64),
}

impl RunText {
    /// The marks of its facts.
    pub fn marks(&self) -> Marks {
        self.facts.iter().map(|fact| Chain::stored(hex::decode(&fact.chain).unwrap_or_default())).collect()
    }

    /// Number and hash of the newest fact, as workers keep a mark.
    pub fn mark(&self) -> String {
        self.facts.last().map_or_else(String::new, |last| format!("{} {}", last.seq, last.chain))
    }

    /// What is wrong with the numbers and the hash chain: gaps, and the first fact that is not what was written.
    pub fn chain_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut chain = Chain::start(self.id.as_str(), &self.header);
        let mut whole = true;
        for (fact, wanted) in self.facts.iter().zip(1..) {
            if fact.seq != wanted {
                faults.push(format!("fact {wanted} is missing: number {} stands in its place", fact.seq));
                return faults;
            }
            chain = chain.next(fact.seq, fact.at, fact.epoch, &fact.fact);
            let stored = Chain::stored(hex::decode(&fact.chain).unwrap_or_default());
            if chain != stored && std::mem::take(&mut whole) {
                let what = if wanted == 1 { "the header or fact 1" } else { &format!("fact {wanted}") };
                faults.push(format!("{what} is not what was written: the hash chain breaks there"));
            }
            chain = stored;
        }
        faults
    }
}

impl Journal {
    /// A run text for text, all of it of one moment, whoever appends to it meanwhile.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`], or the file cannot be read.
    pub fn text_of(&self, id: &RunId) -> Result<RunText, JournalError> {
        let moment = self.db.begin(Access::Read).map_err(failed(&self.place, Operation::Read))?;
        self.text_within(&moment, id)
    }

    /// The same within the caller's transaction.
    pub(super) fn text_within(&self, moment: &Db, id: &RunId) -> Result<RunText, JournalError> {
        let failed = failed(&self.place, Operation::Read);
        let row = self.row(id)?;
        let header = schema::header_within(moment, row.n).map_err(|error| match error {
            StoreError::NoRow => {
                JournalError::corrupt(&self.place, format_args!("run {id} has lost its header"))
            }
            error => failed(error),
        })?;
        let facts = facts_of(moment, row.n).map_err(failed)?;
        let requests = requests_of(moment, row.n).map_err(failed)?;
        let newest = facts.last();
        if newest.map_or(0, |last| last.seq) != row.end.seq
            || newest.is_some_and(|last| last.chain != hex::encode(row.end.chain.bytes()))
        {
            let what = format_args!("run {id}: its newest fact is not what was written");
            return Err(JournalError::corrupt(&self.place, what));
        }
        Ok(RunText { id: id.clone(), epoch: row.epoch, header, facts, requests })
    }

    /// How what this journal has of a run stands to `text`, and the run's epoch here.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn standing(&self, text: &RunText) -> Result<(Standing, u64), JournalError> {
        let own = match self.text_of(&text.id) {
            Ok(own) => own,
            Err(JournalError::UnknownRun { .. }) => return Ok((Standing::Absent, 0)),
            Err(error) => return Err(error),
        };
        let differs = own.facts.iter().zip(&text.facts).find(|(own, theirs)| own.chain != theirs.chain);
        let (here, there) = (own.facts.len() as u64, text.facts.len() as u64);
        let standing = match differs {
            Some((own, _)) => Standing::Diverged(own.seq),
            None if here > there => Standing::Ahead(here),
            None => Standing::Has(here),
        };
        Ok((standing, own.epoch))
    }

    /// Puts a run into this journal, or the facts of it that are missing here, and `then` behind them under `epoch`:
    /// in one transaction. Requests that waited here are answered that the run was continued elsewhere; those of
    /// `text` wait in their place. The caller holds the run lock, has checked the text, and knows by
    /// [`Journal::standing`] that it continues what is here.
    ///
    /// # Errors
    /// [`JournalError::Changed`] where another process has appended meanwhile; or the file cannot be written. Nothing
    /// is stored then.
    pub fn put_in(
        &mut self,
        text: &RunText,
        epoch: u64,
        (at, then): (Millis, &[Fact]),
    ) -> Result<(), JournalError> {
        let standing = self.standing(text)?.0;
        let (Standing::Absent | Standing::Has(_)) = standing else {
            let found = match standing {
                Standing::Ahead(found) | Standing::Diverged(found) => found,
                Standing::Absent | Standing::Has(_) => 0,
            };
            return Err(JournalError::Changed {
                run: text.id.clone(),
                found,
                known: text.facts.len() as u64,
            });
        };
        let stamped = parsed(text)?;
        let failed = failed(&self.place, Operation::Write);
        let transaction = self.db.begin(Access::Write).map_err(failed)?;
        let here = match standing {
            Standing::Has(here) => here,
            _ => insert_run(&transaction, text, failed)?,
        };
        let n: i64 = transaction
            .one("SELECT n FROM run WHERE id = ?1", values![text.id.as_str()], |row| row.get(0))
            .map_err(failed)?;
        insert_facts(&transaction, n, text, &stamped, here).map_err(failed)?;
        let (mut state, mut finished) = (PublicRunState::Running, None);
        let mut pass = |at: Millis, fact: &Fact| {
            state = facts::state_after(state, fact);
            finished = if state.is_final() { finished.or(Some(at)) } else { None };
        };
        stamped.iter().for_each(|stamped| pass(stamped.at, &stamped.fact));
        then.iter().for_each(|fact| pass(at, fact));
        let seq = text.facts.len() as u64;
        let chain = text.facts.last().map(|last| hex::decode(&last.chain).unwrap_or_default());
        let mut end = End { seq, chain: Chain::stored(chain.unwrap_or_default()), state };
        let new = end.extend(epoch, at, then)?;
        let last_at = if new.is_empty() { stamped.last().map_or(at, |last| last.at) } else { at };
        transaction
            .execute(
                "UPDATE run SET epoch = ?1, last_seq = ?2, chain = ?3, last_at = ?4, state = ?5,
                    finished_at = ?6 WHERE n = ?7",
                values![
                    epoch as i64,
                    end.seq as i64,
                    end.chain.bytes(),
                    last_at,
                    state.as_str(),
                    finished,
                    n
                ],
            )
            .map_err(failed)?;
        facts::insert(&transaction, n, &new).map_err(failed)?;
        put_requests(&transaction, n, at, &text.requests).map_err(failed)?;
        transaction.commit_facts().map_err(failed)?;
        self.check_in_place()
    }
}

fn facts_of(db: &Db, n: i64) -> Result<Vec<FactText>, StoreError> {
    let sql = "SELECT seq, at, epoch, fact, chain FROM fact WHERE run = ?1 ORDER BY seq";
    db.all(sql, values![n], |row| {
        Ok(FactText {
            seq: row.count(0)?,
            at: row.get(1)?,
            epoch: row.count(2)?,
            fact: row.get(3)?,
            chain: hex::encode(row.get::<Vec<u8>>(4)?),
        })
    })
}

fn requests_of(db: &Db, n: i64) -> Result<Vec<RequestText>, StoreError> {
    let sql = "SELECT verb, by, at FROM request WHERE run = ?1 AND taken_at IS NULL ORDER BY n";
    db.all(sql, values![n], |row| Ok(RequestText { verb: row.get(0)?, by: row.get(1)?, at: row.get(2)? }))
}

/// What the texts say.
fn parsed(text: &RunText) -> Result<Vec<Stamped>, JournalError> {
    let one = |fact: &FactText| {
        let known = serde_json::from_str(&fact.fact);
        let fact_of = |source| JournalError::NewerFact { run: text.id.clone(), seq: fact.seq, source };
        Ok(Stamped { seq: fact.seq, at: fact.at, epoch: fact.epoch, fact: known.map_err(fact_of)? })
    };
    text.facts.iter().map(one).collect()
}

/// A run without a fact; answers with 0, as it has none.
fn insert_run(
    db: &Db,
    text: &RunText,
    failed: impl Fn(StoreError) -> JournalError + Copy,
) -> Result<u64, JournalError> {
    let header: RunHeader = serde_json::from_str(&text.header)
        .map_err(|source| JournalError::NewerHeader { run: text.id.clone(), source })?;
    let (workers, at) = (header.hosts.len() as i64, header.started_at);
    let no_chain = [0_u8; 16];
    let n: i64 = db
        .one(
            "INSERT INTO run (id, plan, workers, started_at, last_at, state, epoch, last_seq, chain)
             VALUES (?1, ?2, ?3, ?4, ?4, 'running', 1, 0, ?5) RETURNING n",
            values![text.id.as_str(), header.plan, workers, at, no_chain.as_slice()],
            |row| row.get(0),
        )
        .map_err(failed)?;
    db.execute("INSERT INTO run_header (run, header) VALUES (?1, ?2)", values![n, text.header])
        .map_err(failed)?;
    Ok(0)
}

/// The facts after the first `here`.
fn insert_facts(db: &Db, n: i64, text: &RunText, stamped: &[Stamped], here: u64) -> Result<(), StoreError> {
    for (fact, stamped) in text.facts.iter().zip(stamped).filter(|(fact, _)| fact.seq > here) {
        let chain = hex::decode(&fact.chain).unwrap_or_default();
        db.execute(facts::INSERT, values![n, fact.seq as i64, fact.at, fact.epoch as i64, fact.fact, chain])?;
        worker_end::note_end(db, n, &stamped.fact)?;
    }
    Ok(())
}

fn put_requests(db: &Db, n: i64, at: Millis, requests: &[RequestText]) -> Result<(), StoreError> {
    db.execute(
        "UPDATE request SET taken_at = ?2, refused = 'the run was continued on another machine meanwhile'
         WHERE run = ?1 AND taken_at IS NULL",
        values![n, at],
    )?;
    for request in requests {
        db.execute(
            "INSERT INTO request (run, verb, by, at) VALUES (?1, ?2, ?3, ?4)",
            values![n, request.verb, request.by, request.at],
        )?;
    }
    Ok(())
}
