//! Appends facts to a run.
//!
//! A run has one controller, so its writer keeps in memory where the run's facts end, and the database
//! only compares: an append costs what its facts cost, whatever the fleet's size and however many facts
//! there are. Whoever was replaced, or does not know the newest fact, is told so and writes nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::engine::{Fact, Millis, Request, Stamped};

use super::db::{Access, Db, StoreError, values};
use super::error::failed;
use super::facts::{self, End, Mark};
use super::place::Place;
use super::run::RunId;
use super::store::{Durability, FileIdentity};
use super::{Journal, JournalError, Operation, runs};

/// So long a run waits for a server that is away.
const OUTAGE: Duration = Duration::from_secs(600);
/// How soon it is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// Appends to one run, under one epoch, through a connection of its own.
#[derive(Debug)]
pub struct RunWriter {
    db: Db,
    place: Place,
    file: Option<FileIdentity>,
    id: RunId,
    n: i64,
    epoch: u64,
    end: End,
    outages: Outages,
}

/// Told why a server is away that is waited for, and (`None`) that it is back.
pub type TellOfOutages = Box<dyn Fn(Option<&str>) + Send>;

/// What somebody who waits for a server that is away is told, and told by.
#[derive(Default)]
struct Outages {
    /// It is not waited for any longer.
    are_over: Arc<AtomicBool>,
    tell: Option<TellOfOutages>,
}

impl fmt::Debug for Outages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outages")
    }
}

impl Journal {
    /// A writer for the controller that has `epoch` and has read the run's facts up to number `last_seq`.
    ///
    /// # Errors
    /// As of [`RunWriter::append`], and [`JournalError::UnknownRun`].
    pub fn writer(&self, id: &RunId, epoch: u64, last_seq: u64) -> Result<RunWriter, JournalError> {
        let db = self.connect_again(Durability::EachCommit)?;
        let row = self.row(id)?;
        self.check_in_place()?;
        let (place, file, id) = (self.place.clone(), self.file, id.clone());
        let mut writer =
            RunWriter { db, place, file, id, n: row.n, epoch, end: row.end, outages: Outages::default() };
        if (row.epoch, row.end.seq) != (epoch, last_seq) {
            writer.end.seq = last_seq;
            return Err(writer.stale());
        }
        Ok(writer)
    }
}

impl RunWriter {
    /// Appends facts behind the run's newest one: all of them or none, durable when this returns.
    /// With `handled`, the control request that led to them is marked as taken in the same transaction.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] when a newer controller has taken over; [`JournalError::Finished`] after
    /// the run's last fact, but for what may follow it ([`Fact::may_follow_the_end`]);
    /// [`JournalError::Changed`] when the newest fact is not the one that this writer knows;
    /// [`JournalError::Replaced`] when the file was deleted or another one is in its place; others when the file
    /// cannot be written. After any of them nothing may be dispatched.
    pub fn append(
        &mut self,
        at: Millis,
        facts: &[Fact],
        handled: Option<i64>,
    ) -> Result<Vec<Stamped>, JournalError> {
        if facts.is_empty() && handled.is_none() {
            return Ok(Vec::new());
        }
        if self.end.state.is_final() && !facts.iter().all(Fact::may_follow_the_end) {
            return Err(JournalError::Finished { run: self.id.clone() });
        }
        let mut end = self.end;
        let new = end.extend(self.epoch, at, facts)?;
        let failed = failed(&self.place, Operation::Write);
        if !self.patiently(|| self.try_append(at, &end, &new, handled)).map_err(failed)?
            // It may have been this very append, of which the answer was lost.
            && !self.has_ended_at(&end)
        {
            return Err(self.stale());
        }
        self.end = end;
        // Afterwards, so that no effect follows from facts which nobody will find.
        self.check_in_place()?;
        Ok(new.into_iter().map(|new| new.stamped).collect())
    }

    /// In one transaction; `false`: the run's row is not as this writer knows it.
    fn try_append(
        &self,
        at: Millis,
        end: &End,
        new: &[facts::NewFact],
        handled: Option<i64>,
    ) -> Result<bool, StoreError> {
        let transaction = self.db.begin(Access::Write)?;
        if !facts::advance(&transaction, self.n, self.epoch, &self.end, end, at)? {
            return Ok(false);
        }
        facts::insert(&transaction, self.n, new)?;
        if let Some(request) = handled {
            let sql = "UPDATE request SET taken_at = ?2 WHERE n = ?1";
            transaction.execute(sql, values![request, at])?;
        }
        transaction.commit_facts()?;
        Ok(true)
    }

    /// From now on a server that is away is waited for until `told` says otherwise, if not for shorter.
    pub fn give_up_when(&mut self, told: Arc<AtomicBool>) {
        self.outages.are_over = told;
    }

    /// `tell` is told why a server is away that is waited for, and (`None`) that it is back.
    pub fn tell_of_outages(&mut self, tell: TellOfOutages) {
        self.outages.tell = Some(tell);
    }

    fn has_ended_at(&self, end: &End) -> bool {
        let row = runs::row(&self.db, &self.place, &self.id);
        row.is_ok_and(|row| row.epoch == self.epoch && row.end.mark() == end.mark())
    }

    /// Tries again for as long as a server is away, and not longer than [`OUTAGE`]. Nothing follows meanwhile.
    fn patiently<T>(&self, attempt: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let until = Instant::now() + OUTAGE;
        let mut is_told = false;
        let tell = |what: Option<&str>| self.outages.tell.iter().for_each(|tell| tell(what));
        loop {
            match attempt() {
                Err(error)
                    if error.is_away()
                        && Instant::now() < until
                        && !self.outages.are_over.load(Ordering::SeqCst) =>
                {
                    if !std::mem::replace(&mut is_told, true) {
                        tell(Some(&error.to_string()));
                    }
                    std::thread::sleep(AGAIN);
                }
                done => {
                    if is_told && done.is_ok() {
                        tell(None);
                    }
                    return done;
                }
            }
        }
    }

    /// Where the run's facts end.
    pub fn mark(&self) -> Mark {
        self.end.mark()
    }

    /// Requests that nobody has dealt with, oldest first. Each is to be settled by passing its number
    /// to [`RunWriter::append`] together with the facts that follow from it, or by
    /// [`RunWriter::refuse_request`]; until then it comes again.
    ///
    /// # Errors
    /// The file cannot be read, or is no longer under its name.
    pub fn pending_requests(&self) -> Result<Vec<Request>, JournalError> {
        self.check_in_place()?;
        let failed = failed(&self.place, Operation::Read);
        let sql = "SELECT n, verb, by, at FROM request WHERE run = ?1 AND taken_at IS NULL ORDER BY n";
        let read = || {
            self.db.all(sql, values![self.n], |row| {
                // A verb that only a newer program knows waits for that program.
                let Ok(verb) = serde_json::from_str(row.text(1)?) else { return Ok(None) };
                Ok(Some(Request { n: row.get(0)?, verb, by: row.get(2)?, at: row.get(3)? }))
            })
        };
        Ok(self.patiently(read).map_err(failed)?.into_iter().flatten().collect())
    }

    /// Settles a request that cannot be done. One that is settled already stays as it is.
    ///
    /// # Errors
    /// [`JournalError::Fenced`]; others when the file cannot be written.
    pub fn refuse_request(&mut self, n: i64, at: Millis, why: &str) -> Result<(), JournalError> {
        let failed = failed(&self.place, Operation::Write);
        let sql = "UPDATE request SET taken_at = ?2, refused = ?3 WHERE n = ?1 AND taken_at IS NULL
                      AND EXISTS (SELECT 1 FROM run WHERE n = ?4 AND epoch = ?5)";
        let settle = || self.db.execute(sql, values![n, at, why, self.n, self.epoch as i64]);
        let changed = self.patiently(settle).map_err(failed)?;
        if changed == 0
            && let fenced @ JournalError::Fenced { .. } = self.stale()
        {
            return Err(fenced);
        }
        Ok(())
    }

    fn check_in_place(&self) -> Result<(), JournalError> {
        self.file.map_or(Ok(()), |file| file.check(&self.place))
    }

    /// Why the run's row is not as this writer knows it.
    fn stale(&self) -> JournalError {
        let row = match runs::row(&self.db, &self.place, &self.id) {
            Ok(row) => row,
            Err(error) => return error,
        };
        let run = self.id.clone();
        if row.epoch > self.epoch {
            JournalError::Fenced { run, newest: row.epoch, own: self.epoch }
        } else if row.end.state.is_final() {
            JournalError::Finished { run }
        } else {
            JournalError::Changed { run, found: row.end.seq, known: self.end.seq }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::example;
    use super::super::{Mode, Output, OutputWriter, RequestState};
    use super::*;
    use crate::engine::{AttemptId, Control, Outcome, RunEnd};

    fn started() -> (tempfile::TempDir, Journal, RunId) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
        let first = Fact::RunStarted { workers: 1, graph_hash: "11".into(), seed: 1 };
        let (run, _) = journal.create_run(&example::header(), &[first]).unwrap();
        (dir, journal, run)
    }

    #[test]
    fn facts_are_numbered_behind_the_newest() {
        let (_dir, journal, run) = started();
        let mut writer = journal.writer(&run, 1, 1).unwrap();
        let two = writer.append(5, &[Fact::BeforeDone, Fact::WaveStarted { wave: 0 }], None).unwrap();
        assert_eq!(two.iter().map(|stamped| stamped.seq).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(writer.append(6, &[], None).unwrap(), []);
        assert_eq!(journal.read(&run).unwrap().map(Result::unwrap).count(), 3);
    }

    #[test]
    fn whoever_was_replaced_is_fenced() {
        let (_dir, mut journal, run) = started();
        let request = journal.request(&run, &Control::Abort { revert: false }, "me", 4).unwrap();
        let mut old = journal.writer(&run, 1, 1).unwrap();
        assert_eq!(journal.raise_epoch(&run).unwrap(), 2);
        let fenced = old.append(5, &[Fact::BeforeDone], None).unwrap_err();
        assert!(matches!(fenced, JournalError::Fenced { newest: 2, own: 1, .. }), "{fenced}");
        let fenced = old.refuse_request(request, 5, "no").unwrap_err();
        assert!(matches!(fenced, JournalError::Fenced { .. }), "{fenced}");
        assert!(matches!(journal.writer(&run, 1, 1), Err(JournalError::Fenced { .. })));
        let mut new = journal.writer(&run, 2, 1).unwrap();
        assert_eq!(new.pending_requests().unwrap().len(), 1, "the request waits for the new one");
        assert_eq!(new.append(6, &[Fact::BeforeDone], None).unwrap()[0].seq, 2);
    }

    #[test]
    fn after_the_end_only_late_answers_are_kept() {
        let (_dir, journal, run) = started();
        let mut writer = journal.writer(&run, 1, 1).unwrap();
        writer.append(5, &[Fact::RunFinished { end: RunEnd::Aborted }], None).unwrap();
        let finished = writer.append(6, &[Fact::BeforeDone], None).unwrap_err();
        assert!(matches!(finished, JournalError::Finished { .. }), "{finished}");
        let outcome = Outcome::unknown("late");
        writer.append(7, &[Fact::Finished { attempt: AttemptId(9), outcome }], None).unwrap();
        let run = &journal.runs().unwrap()[0];
        assert_eq!((run.finished_at, run.last_at), (Some(5), 7));
    }

    #[test]
    fn a_fact_by_somebody_else_is_noticed_and_nothing_is_written() {
        let (_dir, journal, run) = started();
        let mut one = journal.writer(&run, 1, 1).unwrap();
        let mut two = journal.writer(&run, 1, 1).unwrap();
        one.append(5, &[Fact::BeforeDone], None).unwrap();
        let changed = two.append(6, &[Fact::BeforeDone], None).unwrap_err();
        assert!(matches!(changed, JournalError::Changed { found: 2, known: 1, .. }), "{changed}");
        assert!(matches!(journal.writer(&run, 1, 1), Err(JournalError::Changed { .. })));
        assert_eq!(journal.read(&run).unwrap().map(Result::unwrap).count(), 2);
    }

    #[test]
    fn another_fact_under_the_same_number_is_noticed() {
        let (_dir, journal, run) = started();
        let mut writer = journal.writer(&run, 1, 1).unwrap();
        journal.db.execute("UPDATE run SET chain = zeroblob(16)", &[]).unwrap();
        let changed = writer.append(6, &[Fact::BeforeDone], None).unwrap_err();
        assert!(matches!(changed, JournalError::Changed { .. }), "{changed}");
    }

    #[test]
    fn a_run_that_was_forgotten_is_unknown() {
        let (_dir, journal, run) = started();
        let mut writer = journal.writer(&run, 1, 1).unwrap();
        journal.db.execute("DELETE FROM run", &[]).unwrap();
        let unknown = writer.append(6, &[Fact::BeforeDone], None).unwrap_err();
        assert!(matches!(unknown, JournalError::UnknownRun { .. }), "{unknown}");
    }

    #[test]
    fn a_journal_that_is_only_read_gives_no_writer() {
        let (dir, _journal, run) = started();
        let reader = Journal::open(dir.path(), Mode::ReadOnly).unwrap();
        let mut writer = reader.writer(&run, 1, 1).unwrap();
        let refused = writer.append(6, &[Fact::BeforeDone], None).unwrap_err();
        assert!(matches!(refused, JournalError::ReadOnly { .. }), "{refused}");
    }

    /// The header grows with the fleet; without it, all that a running controller does still works.
    #[test]
    fn a_running_controller_does_not_read_the_header() {
        let (_dir, mut journal, run) = started();
        let n = journal.request(&run, &Control::Pause { reason: None }, "me", 4).unwrap();
        journal.db.execute("DELETE FROM run_header", &[]).unwrap();
        let mut writer = journal.writer(&run, 1, 1).unwrap();
        writer.append(5, &[Fact::BeforeDone], None).unwrap();
        assert_eq!(writer.pending_requests().unwrap().len(), 1);
        writer.refuse_request(n, 6, "no").unwrap();
        let mut output = OutputWriter::open(&journal, &run).unwrap();
        output.write(AttemptId(1), &[("w1", Output::default())]).unwrap();
        assert_eq!(journal.read_after(&run, 1).unwrap().map(Result::unwrap).count(), 1);
        let damaged = journal.read(&run).unwrap_err();
        assert!(matches!(damaged, JournalError::Corrupt { .. }), "{damaged}");
    }

    #[test]
    fn a_settled_request_is_not_refused_afterwards() {
        let (_dir, mut journal, run) = started();
        let n = journal.request(&run, &Control::Pause { reason: None }, "me", 4).unwrap();
        let mut writer = journal.writer(&run, 1, 1).unwrap();
        let paused = Fact::Paused { by: "me".into(), reason: "asked".into() };
        writer.append(5, &[paused], Some(n)).unwrap();
        writer.refuse_request(n, 6, "too late").unwrap();
        assert_eq!(journal.request_state(n).unwrap(), RequestState::Taken);
    }
}
