//! Facts go in, in one durable transaction, and come out as they went in, or not at all.
//!
//! Each fact carries a hash over itself and the hash before it (the first: over the run's header), and
//! the run repeats the newest one: a flipped bit, a missing fact and a lost end are all noticed.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};

use crate::engine::{Fact, Millis, PublicRunState, RunEnd, Stamped};

use super::db::{Db, StoreError, values};
use super::error::failed;
use super::run::RunId;
use super::runs::RunRow;
use super::{Journal, JournalError, Operation, worker_end};

/// The first half of a SHA-256: 128 bits against accidents, not against a forger, who could write a
/// whole new chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain([u8; 16]);

impl Chain {
    pub(super) fn start(id: &str, header: &str) -> Self {
        Self::half(Sha256::new().chain_update(id).chain_update([0]).chain_update(header))
    }

    pub(super) fn next(self, seq: u64, at: Millis, epoch: u64, fact: &str) -> Self {
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

/// A place in a run's list of facts: the number of one, and the hash over it and all before it. Whoever knows the
/// mark of a fact has seen a journal that had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    seq: u64,
    chain: Chain,
}

impl Mark {
    /// The number of the fact.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The hash over it and all facts before it, in hexadecimal.
    pub fn hash(&self) -> String {
        hex::encode(self.chain.0)
    }
}

/// As workers keep it: the number, a blank, the hash in hexadecimal digits.
impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.seq, hex::encode(self.chain.0))
    }
}

/// The marks of all facts that a run has at one moment.
#[derive(Clone, Debug, Default)]
pub struct Marks(Vec<Chain>);

impl FromIterator<Chain> for Marks {
    fn from_iter<I: IntoIterator<Item = Chain>>(chains: I) -> Self {
        Self(chains.into_iter().collect())
    }
}

impl Marks {
    /// The mark of the newest fact.
    pub fn newest(&self) -> Option<Mark> {
        self.0.last().map(|chain| Mark { seq: self.0.len() as u64, chain: *chain })
    }

    /// Whether the run has this fact, and the same ones before it. `seq` and `chain` as a [`Mark`] is written.
    pub fn include(&self, seq: &str, chain: &str) -> bool {
        let at = seq.parse::<usize>().ok().and_then(|seq| seq.checked_sub(1));
        let own = at.and_then(|at| self.0.get(at));
        own.is_some_and(|own| hex::encode(own.0) == chain)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Where a run's list of facts ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) seq: u64,
    pub(super) chain: Chain,
    pub(super) state: PublicRunState,
}

impl End {
    pub(super) fn mark(&self) -> Mark {
        Mark { seq: self.seq, chain: self.chain }
    }
}

/// A fact with what is stored of it.
pub(super) struct NewFact {
    pub(super) stamped: Stamped,
    text: String,
    chain: Chain,
}

impl End {
    /// Numbers and links `facts` behind this end, which moves behind them.
    pub(super) fn extend(
        &mut self,
        epoch: u64,
        at: Millis,
        facts: &[Fact],
    ) -> Result<Vec<NewFact>, JournalError> {
        let mut new = Vec::with_capacity(facts.len());
        for fact in facts {
            let text = serde_json::to_string(fact)
                .map_err(|source| JournalError::Encode { what: "fact", source })?;
            self.seq += 1;
            self.chain = self.chain.next(self.seq, at, epoch, &text);
            self.state = state_after(self.state, fact);
            let stamped = Stamped { seq: self.seq, at, epoch, fact: fact.clone() };
            new.push(NewFact { stamped, text, chain: self.chain });
        }
        Ok(new)
    }
}

/// Updates the row of a run from `before` to `after`, if its epoch and its newest fact are as its writer knows them.
/// Within the caller's transaction, and before [`insert`], for which the number of a fact that another process has
/// appended would be taken.
pub(super) fn advance(
    db: &Db,
    n: i64,
    epoch: u64,
    before: &End,
    after: &End,
    at: Millis,
) -> Result<bool, StoreError> {
    let changed = db.execute(
        "UPDATE run SET last_seq = ?1, chain = ?2, last_at = ?3, state = ?4,
            finished_at = CASE WHEN ?5 THEN coalesce(finished_at, ?3) END
         WHERE n = ?6 AND epoch = ?7 AND last_seq = ?8 AND chain = ?9",
        values![
            after.seq as i64,
            after.chain.bytes(),
            at,
            after.state.as_str(),
            after.state.is_final(),
            n,
            epoch as i64,
            before.seq as i64,
            before.chain.bytes(),
        ],
    )?;
    Ok(changed == 1)
}

pub(super) const INSERT: &str =
    "INSERT INTO fact (run, seq, at, epoch, fact, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Stores new facts. Within the caller's transaction.
pub(super) fn insert(db: &Db, n: i64, facts: &[NewFact]) -> Result<(), StoreError> {
    for NewFact { stamped, text, chain } in facts {
        let (seq, epoch) = (stamped.seq as i64, stamped.epoch as i64);
        db.execute(INSERT, values![n, seq, stamped.at, epoch, text, chain.bytes()])?;
        worker_end::note_end(db, n, &stamped.fact)?;
    }
    Ok(())
}

pub(super) fn state_after(before: PublicRunState, fact: &Fact) -> PublicRunState {
    match fact {
        Fact::RunStarted { .. } | Fact::Resumed { .. } => PublicRunState::Running,
        Fact::Paused { .. } => PublicRunState::Paused,
        Fact::Interrupted { .. } | Fact::Reopened { .. } => PublicRunState::Interrupted,
        Fact::Halted { .. } => PublicRunState::Halted,
        // Retried or skipped workers let a halted run continue.
        Fact::WorkerAdmitted { .. } | Fact::Issued { .. } if before == PublicRunState::Halted => {
            PublicRunState::Running
        }
        Fact::RunFinished { end } => match end {
            RunEnd::Succeeded => PublicRunState::Succeeded,
            RunEnd::Failed => PublicRunState::Failed,
            RunEnd::Aborted => PublicRunState::Aborted,
        },
        _ => before,
    }
}

impl Journal {
    /// The facts of a run from the first one to the newest of this moment.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`]; from the iterator [`JournalError::Corrupt`] naming the first fact
    /// that is not what was written, and [`JournalError::NewerFact`] for one that this program does not
    /// know. It ends there.
    pub fn read(&self, id: &RunId) -> Result<Facts<'_>, JournalError> {
        let row = self.row(id)?;
        let chain = Chain::start(id.as_str(), &self.header(id, row.n)?);
        Ok(Facts::new(self, id, &row, 0, Some(chain)))
    }

    /// The facts after `seq` up to the newest of this moment, for a reader who has the ones before
    /// and follows. What is new is checked for gaps, and from its second fact on for damage.
    ///
    /// # Errors
    /// As of [`Journal::read`].
    pub fn read_after(&self, id: &RunId, seq: u64) -> Result<Facts<'_>, JournalError> {
        if seq == 0 {
            return self.read(id);
        }
        Ok(Facts::new(self, id, &self.row(id)?, seq, None))
    }

    /// The mark of a run's newest fact, by the run's own row: what whoever follows a run asks again and again.
    /// `None`: it has no fact.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`]; [`JournalError::Replaced`] where another file has its name now; or it cannot be read.
    pub fn newest_mark(&self, id: &RunId) -> Result<Option<Mark>, JournalError> {
        self.check_in_place()?;
        let end = self.row(id)?.end;
        Ok((end.seq > 0).then(|| end.mark()))
    }

    /// The marks of a run's facts, which are compared with what workers have kept.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`], or the file cannot be read.
    pub fn marks(&self, id: &RunId) -> Result<Marks, JournalError> {
        let failed = failed(&self.place, Operation::Read);
        let row = self.row(id)?;
        let sql = "SELECT chain FROM fact WHERE run = ?1 ORDER BY seq";
        let chains = self.db.all(sql, values![row.n], |row| row.get(0).map(Chain::stored)).map_err(failed)?;
        Ok(Marks(chains))
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

impl<'a> Facts<'a> {
    fn new(journal: &'a Journal, run: &RunId, row: &RunRow, seq: u64, chain: Option<Chain>) -> Self {
        let page = VecDeque::new();
        Self { journal, n: row.n, run: run.clone(), chain, seq, end: row.end, page, broken: false }
    }

    fn fetch(&mut self) -> Result<(), StoreError> {
        let page = self.journal.db.all(
            "SELECT seq, at, epoch, fact, chain FROM fact
             WHERE run = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4",
            values![self.n, self.seq as i64, self.end.seq as i64, PAGE],
            |row| {
                Ok(Stored {
                    seq: row.count(0)?,
                    at: row.get(1)?,
                    epoch: row.count(2)?,
                    text: row.get(3)?,
                    chain: Chain::stored(row.get(4)?),
                })
            },
        )?;
        self.page = page.into();
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Stamped>, JournalError> {
        if self.seq >= self.end.seq {
            return Ok(None);
        }
        if self.page.is_empty() {
            self.fetch().map_err(|error| match error.is_about_values() {
                true => self.damaged(format_args!("fact {} or one after it: {error}", self.seq + 1)),
                false => failed(&self.journal.place, Operation::Read)(error),
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
        let fact = serde_json::from_str(&stored.text).map_err(|source| JournalError::NewerFact {
            run: self.run.clone(),
            seq: wanted,
            source,
        })?;
        self.chain = Some(stored.chain);
        self.seq = wanted;
        Ok(Some(Stamped { seq: stored.seq, at: stored.at, epoch: stored.epoch, fact }))
    }

    fn damaged(&self, what: impl std::fmt::Display) -> JournalError {
        JournalError::corrupt(&self.journal.place, format_args!("run {}: {what}", self.run))
    }
}

impl Iterator for Facts<'_> {
    type Item = Result<Stamped, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let next = self.step();
        self.broken = next.is_err();
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::HaltReason;
    use crate::graph::TargetIx;

    #[test]
    fn a_link_depends_on_all_that_is_stored_of_a_fact() {
        let start = Chain::start("20261123-0015-abcd", "{}");
        let next = start.next(1, 2, 3, "fact");
        assert_eq!(next, start.next(1, 2, 3, "fact"));
        for other in [
            start.next(2, 2, 3, "fact"),
            start.next(1, 3, 3, "fact"),
            start.next(1, 2, 4, "fact"),
            start.next(1, 2, 3, "facts"),
            next.next(1, 2, 3, "fact"),
            Chain::start("20261123-0015-abcd", "{ }").next(1, 2, 3, "fact"),
            Chain::start("20261123-0015-abce", "{}").next(1, 2, 3, "fact"),
        ] {
            assert_ne!(next, other);
        }
    }

    #[test]
    fn the_newest_facts_say_how_a_run_stands() {
        let halted = || Fact::Halted { reason: HaltReason::TooManyFailures { failed: 1, allowed: 0 } };
        let resumed = || Fact::Resumed { by: "me".into(), fresh_process: true, bundle: None };
        let admitted = || Fact::WorkerAdmitted { target: TargetIx(0) };
        let paused = || Fact::Paused { by: "me".into(), reason: "asked".into() };
        let state = |facts: Vec<Fact>| facts.iter().fold(PublicRunState::Running, state_after);
        assert_eq!(state(vec![paused()]), PublicRunState::Paused);
        assert_eq!(state(vec![paused(), resumed()]), PublicRunState::Running);
        assert_eq!(state(vec![paused(), admitted()]), PublicRunState::Paused, "it was under way already");
        assert_eq!(state(vec![halted(), Fact::BeforeDone]), PublicRunState::Halted);
        assert_eq!(state(vec![halted(), admitted()]), PublicRunState::Running, "a worker was retried");
        assert_eq!(state(vec![halted(), Fact::RunFinished { end: RunEnd::Failed }]), PublicRunState::Failed);
    }
}
