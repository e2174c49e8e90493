//! Of a run only what a look back needs: a header without the fleet, the facts about some workers, the times of attempts.
//! Most rows are passed over by their first bytes. The chain of hashes is not looked at: who has to be sure that these
//! are the facts that were written reads them with [`Journal::read`].

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use rusqlite::Row;
use serde::Deserialize;

use crate::engine::{AttemptId, Fact, Millis, Stamped};
use crate::graph::{Lane, StepIx, TargetIx};

use super::error::failed;
use super::run::{RunId, StepKinds};
use super::{Journal, JournalError, Operation};

/// Bytes of a fact. The longest that is written is the look at all workers before a run, of 10,000 some megabytes.
const LONGEST_FACT: usize = 64 << 20;

/// What a run's header says, as far as a look back needs it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as of RunHeader, where it is not said")]
pub struct RunOutline {
    pub plan_file: String,
    pub plan_text: String,
    pub overrides: Vec<(String, String)>,
    pub who: String,
    pub hosts: Vec<String>,
    pub kinds: StepKinds,
    /// Of the fleet only hosts and labels.
    pub fleet: FleetOutline,
}

/// Hosts and labels of a stored fleet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FleetOutline {
    /// All workers of the bucket then, whether the run selected them or not.
    pub workers: Vec<WorkerOutline>,
}

/// A worker of a stored fleet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct WorkerOutline {
    /// As in `workers.json`.
    pub host: String,
    /// Lower-cased.
    pub labels: BTreeSet<String>,
}

/// Who started a run, and nothing else of its header.
#[derive(Deserialize)]
struct Who {
    #[serde(default)]
    who: String,
}

/// How an attempt has ended, as far as statistics tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Well, and something was done.
    Done,
    /// Well, as nothing had to be done.
    NotNeeded,
    /// It failed, timed out, or its answer was lost.
    Failed,
    /// Nothing was done, and no worker is to blame.
    NotDone,
}

/// An attempt at a step, or at the undoing of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptFact {
    /// It begins.
    Issued {
        /// Its number.
        attempt: AttemptId,
        /// Whose step.
        lane: Lane,
        /// Which.
        step: StepIx,
        /// It undoes the step.
        undoes: bool,
        /// When.
        at: Millis,
    },
    /// It has ended.
    Finished {
        /// Its number.
        attempt: AttemptId,
        /// How.
        how: Ended,
        /// When.
        at: Millis,
    },
}

/// The fields of facts about attempts, with the names that they are stored with.
#[derive(Deserialize)]
struct Stored<'t> {
    attempt: u64,
    lane: Option<Lane>,
    step: Option<StepIx>,
    #[serde(borrow)]
    intent: Option<StoredIntent<'t>>,
    #[serde(borrow)]
    outcome: Option<StoredOutcome<'t>>,
}

#[derive(Deserialize)]
struct StoredIntent<'t> {
    #[serde(borrow)]
    purpose: Cow<'t, str>,
}

#[derive(Deserialize)]
struct StoredOutcome<'t> {
    #[serde(borrow)]
    outcome: Cow<'t, str>,
    #[serde(borrow)]
    evidence: Option<StoredEvidence<'t>>,
}

#[derive(Deserialize)]
struct StoredEvidence<'t> {
    #[serde(borrow)]
    seen: Cow<'t, str>,
}

impl Stored<'_> {
    fn fact(self, at: Millis) -> Option<AttemptFact> {
        let attempt = AttemptId(self.attempt);
        if let Some(outcome) = self.outcome {
            let not_needed = outcome.evidence.is_some_and(|evidence| evidence.seen == "not_needed");
            let how = match outcome.outcome.as_ref() {
                "ok" if not_needed => Ended::NotNeeded,
                "ok" => Ended::Done,
                "not_done" => Ended::NotDone,
                _ => Ended::Failed,
            };
            return Some(AttemptFact::Finished { attempt, how, at });
        }
        let undoes = self.intent?.purpose.starts_with("undo_");
        Some(AttemptFact::Issued { attempt, lane: self.lane?, step: self.step?, undoes, at })
    }
}

/// What the first bytes of a stored fact say.
#[derive(Debug, PartialEq, Eq)]
enum Beginning {
    Issued {
        attempt: u64,
        worker: Option<u32>,
    },
    Finished {
        attempt: u64,
    },
    /// Of all workers, and about none.
    Nobody,
    /// It has to be read.
    Other,
}

fn beginning(text: &str) -> Beginning {
    fn number(text: &str) -> Option<(u64, &str)> {
        let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        Some((digits.parse().ok()?, rest))
    }
    let issued = || {
        let (attempt, rest) = number(text.strip_prefix(r#"{"type":"issued","attempt":"#)?)?;
        let lane = rest.strip_prefix(r#","lane":"#)?;
        if lane.starts_with('"') {
            return Some(Beginning::Issued { attempt, worker: None });
        }
        let (worker, rest) = number(lane.strip_prefix(r#"{"worker":"#)?)?;
        let worker = u32::try_from(worker).ok().filter(|_| rest.starts_with('}'))?;
        Some(Beginning::Issued { attempt, worker: Some(worker) })
    };
    let finished = || {
        let (attempt, rest) = number(text.strip_prefix(r#"{"type":"finished","attempt":"#)?)?;
        rest.starts_with(',').then_some(Beginning::Finished { attempt })
    };
    if text.starts_with(r#"{"type":"observed""#) {
        return Beginning::Nobody;
    }
    issued().or_else(finished).unwrap_or(Beginning::Other)
}

/// Which facts concern some workers: those about them, and the few that say who carries the run out.
struct Concerned<'t> {
    targets: &'t BTreeSet<TargetIx>,
    attempts: HashSet<AttemptId>,
}

impl Concerned<'_> {
    fn passes_over(&self, text: &str) -> bool {
        match beginning(text) {
            Beginning::Issued { worker, .. } => {
                worker.is_none_or(|worker| !self.targets.contains(&TargetIx(worker)))
            }
            Beginning::Finished { attempt } => !self.attempts.contains(&AttemptId(attempt)),
            Beginning::Nobody => true,
            Beginning::Other => false,
        }
    }

    fn is_about_them(&mut self, fact: &Fact) -> bool {
        let of = |lane: &Lane| matches!(lane, Lane::Worker(target) if self.targets.contains(target));
        match fact {
            Fact::Issued { attempt, lane, .. } => {
                let theirs = of(lane);
                if theirs {
                    self.attempts.insert(*attempt);
                }
                theirs
            }
            Fact::Finished { attempt, .. }
            | Fact::InDoubt { attempt }
            | Fact::InDoubtResolved { attempt, .. } => self.attempts.contains(attempt),
            Fact::RetryScheduled { lane, .. }
            | Fact::GateClosed { lane, .. }
            | Fact::Approved { lane, .. }
            | Fact::StepIgnored { lane, .. }
            | Fact::StepFailed { lane, .. } => of(lane),
            Fact::Due {
                timer: crate::engine::Timer::Gate { lane, .. } | crate::engine::Timer::Retry { lane, .. },
            } => of(lane),
            Fact::WorkerAdmitted { target }
            | Fact::WorkerSucceeded { target }
            | Fact::WorkerFailed { target, .. }
            | Fact::RevertStarted { target }
            | Fact::WorkerReverted { target }
            | Fact::RevertStuck { target, .. }
            | Fact::Retried { target, .. }
            | Fact::Skipped { target, .. }
            | Fact::WorkerCancelled { target } => self.targets.contains(target),
            Fact::Reopened { targets, .. } => targets.iter().any(|target| self.targets.contains(target)),
            Fact::Preflight { .. } | Fact::Resumed { .. } => true,
            Fact::RunStarted { .. }
            | Fact::Observed { .. }
            | Fact::BeforeDone
            | Fact::WaveStarted { .. }
            | Fact::Due { .. }
            | Fact::WaveFinished { .. }
            | Fact::Paused { .. }
            | Fact::Interrupted { .. }
            | Fact::Halted { .. }
            | Fact::Aborted { .. }
            | Fact::RunFinished { .. } => false,
        }
    }
}

impl Journal {
    /// What a run's header says, without its fleet.
    ///
    /// # Errors
    /// As of [`Journal::run`].
    pub fn outline(&self, id: &RunId) -> Result<RunOutline, JournalError> {
        let row = self.row(id)?;
        serde_json::from_str(&self.header(id, row.n)?)
            .map_err(|source| JournalError::NewerHeader { run: id.clone(), source })
    }

    /// Who started a run, `user@host`.
    ///
    /// # Errors
    /// As of [`Journal::run`].
    pub fn author(&self, id: &RunId) -> Result<String, JournalError> {
        let row = self.row(id)?;
        serde_json::from_str(&self.header(id, row.n)?)
            .map(|Who { who }| who)
            .map_err(|source| JournalError::NewerHeader { run: id.clone(), source })
    }

    /// The facts of a run about these workers, oldest first, with the look at all of them before it began, and each
    /// resume.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`]; [`JournalError::NewerFact`]; [`JournalError::Corrupt`] for a row that none of our
    /// programs writes; others when the file cannot be read.
    pub fn facts_about(
        &self,
        id: &RunId,
        targets: &BTreeSet<TargetIx>,
    ) -> Result<Vec<Stamped>, JournalError> {
        let mut concerned = Concerned { targets, attempts: HashSet::new() };
        let mut facts = Vec::new();
        self.each_row(id, |row, seq, text| {
            if concerned.passes_over(text) {
                return Ok(());
            }
            let fact: Fact = serde_json::from_str(text).map_err(|source| JournalError::NewerFact {
                run: id.clone(),
                seq,
                source,
            })?;
            if concerned.is_about_them(&fact) {
                let read = |error| self.unreadable(id, seq, &error);
                let (at, epoch) = (row.get(1).map_err(read)?, row.get::<_, i64>(2).map_err(read)?);
                facts.push(Stamped { seq, at, epoch: epoch.unsigned_abs(), fact });
            }
            Ok(())
        })?;
        Ok(facts)
    }

    /// When the attempts of a run began and ended, oldest first.
    ///
    /// # Errors
    /// As of [`Journal::facts_about`].
    pub fn attempts(&self, id: &RunId) -> Result<Vec<AttemptFact>, JournalError> {
        let mut attempts = Vec::new();
        self.each_row(id, |row, seq, text| {
            if !matches!(beginning(text), Beginning::Issued { .. } | Beginning::Finished { .. }) {
                return Ok(());
            }
            let stored: Stored<'_> = serde_json::from_str(text)
                .map_err(|source| JournalError::NewerFact { run: id.clone(), seq, source })?;
            let at = row.get(1).map_err(|error| self.unreadable(id, seq, &error))?;
            attempts.extend(stored.fact(at));
            Ok(())
        })?;
        Ok(attempts)
    }

    /// Calls `each` with every row of a run, its number and the fact's text.
    fn each_row(
        &self,
        id: &RunId,
        mut each: impl FnMut(&Row<'_>, u64, &str) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let read = failed(&self.path, Operation::Read);
        let n = self.row(id)?.n;
        let sql = "SELECT seq, at, epoch, fact FROM fact WHERE run = ?1 ORDER BY seq";
        let mut statement = self.db.prepare_cached(sql).map_err(read)?;
        let mut rows = statement.query([n]).map_err(read)?;
        while let Some(row) = rows.next().map_err(read)? {
            let seq = row.get::<_, i64>(0).map_err(read)?.unsigned_abs();
            let text = row.get_ref(3).map_err(read)?;
            let text = text.as_str().map_err(|error| self.unreadable(id, seq, &error))?;
            if text.len() > LONGEST_FACT {
                return Err(self.unreadable(id, seq, &"it is longer than any that is written"));
            }
            each(row, seq, text)?;
        }
        Ok(())
    }

    fn unreadable(&self, id: &RunId, seq: u64, why: &dyn std::fmt::Display) -> JournalError {
        JournalError::corrupt(&self.path, format_args!("run {id}: fact {seq}: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::run::example;
    use super::*;
    use crate::engine::{Check, ErrorKind, Evidence, Intent, Outcome, StepError};

    fn stored(fact: &Fact) -> String {
        serde_json::to_string(fact).unwrap()
    }

    fn issued(attempt: u64, lane: Lane, intent: Intent) -> Fact {
        Fact::Issued { attempt: AttemptId(attempt), lane, step: StepIx(1), intent }
    }

    fn finished(attempt: u64, outcome: Outcome) -> Fact {
        Fact::Finished { attempt: AttemptId(attempt), outcome }
    }

    #[test]
    fn the_first_bytes_say_what_the_whole_fact_does() {
        let worker = |n| Lane::Worker(TargetIx(n));
        let doing = || Intent::Do { repeat: false };
        for (fact, expected) in [
            (issued(7, worker(3), doing()), Beginning::Issued { attempt: 7, worker: Some(3) }),
            (issued(8, Lane::After, Intent::ReadBootId), Beginning::Issued { attempt: 8, worker: None }),
            (finished(7, Outcome::noted("a")), Beginning::Finished { attempt: 7 }),
            (Fact::Observed { jobs: vec![], unavailable: vec![], took: 3 }, Beginning::Nobody),
            (Fact::BeforeDone, Beginning::Other),
            (Fact::WorkerAdmitted { target: TargetIx(3) }, Beginning::Other),
        ] {
            assert_eq!(beginning(&stored(&fact)), expected, "{fact:?}");
        }
        // Not as this program writes them: they are read as a whole.
        for other in [
            r#"{"type":"issued","lane":{"worker":3},"attempt":7}"#,
            r#"{"type":"issued","attempt":7,"lane":{"worker":99999999999}}"#,
            r#"{"type":"issued","attempt":,"lane":"after"}"#,
            r#"{"type":"finished","attempt":7"#,
            "",
        ] {
            assert_eq!(beginning(other), Beginning::Other, "{other}");
        }
    }

    #[test]
    fn times_are_told_without_reading_the_whole_fact() {
        let error = || StepError::new(ErrorKind::Command, "no");
        let how = |outcome| {
            let text = stored(&finished(1, outcome));
            match serde_json::from_str::<Stored<'_>>(&text).unwrap().fact(5) {
                Some(AttemptFact::Finished { how, at: 5, .. }) => how,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(how(Outcome::noted("a \"quoted\" text")), Ended::Done);
        assert_eq!(how(Outcome::Ok { evidence: Evidence::NotNeeded }), Ended::NotNeeded);
        assert_eq!(how(Outcome::Failed { error: error() }), Ended::Failed);
        assert_eq!(how(Outcome::unknown("cut")), Ended::Failed);
        assert_eq!(how(Outcome::TimedOut { after: 1, doing: "x".into() }), Ended::Failed);
        assert_eq!(how(Outcome::NotDone { reason: "x".into() }), Ended::NotDone);
        for (intent, expected) in [(Intent::UndoDeploy, true), (Intent::ReadBootId, false)] {
            let text = stored(&issued(4, Lane::Before, intent));
            let fact = serde_json::from_str::<Stored<'_>>(&text).unwrap().fact(6);
            let (attempt, step) = (AttemptId(4), StepIx(1));
            let issued = AttemptFact::Issued { attempt, lane: Lane::Before, step, undoes: expected, at: 6 };
            assert_eq!(fact, Some(issued));
        }
    }

    #[test]
    fn facts_about_one_worker_are_those_that_a_whole_reading_finds() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
        let first = Fact::RunStarted { workers: 2, graph_hash: "11".into(), seed: 1 };
        let mut header = example::header();
        header.hosts = vec!["w1".into(), "w2".into()];
        let (run, _) = journal.create_run(&header, &[first]).unwrap();
        let mut writer = journal.writer(&run, 1, 1).unwrap();
        let (one, two) = (TargetIx(0), TargetIx(1));
        let ready = || Check::Ready { boot_id: "b".into(), state_dir: "/s".into() };
        let doing = || Intent::Do { repeat: false };
        let facts = [
            Fact::Preflight { checks: vec![ready(), ready()] },
            Fact::WorkerAdmitted { target: one },
            Fact::WorkerAdmitted { target: two },
            issued(1, Lane::Worker(one), doing()),
            issued(2, Lane::Worker(two), doing()),
            finished(2, Outcome::noted("two")),
            Fact::Resumed { by: "me".into(), fresh_process: true },
            finished(1, Outcome::noted("one")),
            Fact::InDoubt { attempt: AttemptId(1) },
            Fact::InDoubt { attempt: AttemptId(2) },
            Fact::WorkerSucceeded { target: two },
            Fact::Skipped { target: one, by: "me".into() },
        ];
        writer.append(9, &facts, None).unwrap();
        let about = |targets: &[TargetIx]| {
            let facts = journal.facts_about(&run, &targets.iter().copied().collect()).unwrap();
            facts.into_iter().map(|stamped| stamped.seq).collect::<Vec<_>>()
        };
        assert_eq!(about(&[two]), [2, 4, 6, 7, 8, 11, 12]);
        assert_eq!(about(&[one]), [2, 3, 5, 8, 9, 10, 13]);
        assert_eq!(about(&[one, two]), (2..=13).collect::<Vec<_>>());
        let all: Vec<_> = journal.read(&run).unwrap().map(Result::unwrap).skip(1).collect();
        assert_eq!(journal.facts_about(&run, &[one, two].into()).unwrap(), all);
        let outline = journal.outline(&run).unwrap();
        assert_eq!((outline.who.as_str(), &outline.hosts), ("me@here", &header.hosts));
        assert_eq!(journal.author(&run).unwrap(), "me@here");
        assert_eq!(journal.attempts(&run).unwrap().len(), 4);
    }
}
