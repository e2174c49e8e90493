//! Of a run only what a look back needs: a header without the fleet, and the facts about some workers.
//! Most rows are passed over by their first bytes. The chain of hashes is not looked at: who has to be sure that these
//! are the facts that were written reads them with [`Journal::read`].

use std::collections::{BTreeSet, HashSet};

use serde::Deserialize;

use crate::engine::{AttemptId, Fact, Stamped};
use crate::graph::{Lane, TargetIx};

use super::db::{Row, values};
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

/// What the first bytes of a stored fact say, and what follows them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beginning<'t> {
    Issued {
        attempt: u64,
        worker: Option<u32>,
        rest: &'t str,
    },
    Finished {
        attempt: u64,
        rest: &'t str,
    },
    /// Of all workers, and about none.
    Nobody,
    /// It has to be read.
    Other,
}

/// A number, and what follows it.
pub(super) fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

pub(super) fn beginning(text: &str) -> Beginning<'_> {
    let issued = || {
        let (attempt, rest) = number(text.strip_prefix(r#"{"type":"issued","attempt":"#)?)?;
        let lane = rest.strip_prefix(r#","lane":"#)?;
        if lane.starts_with('"') {
            return Some(Beginning::Issued { attempt, worker: None, rest: lane });
        }
        let (worker, rest) = number(lane.strip_prefix(r#"{"worker":"#)?)?;
        let (worker, rest) = (u32::try_from(worker).ok()?, rest.strip_prefix('}')?);
        Some(Beginning::Issued { attempt, worker: Some(worker), rest })
    };
    let finished = || {
        let (attempt, rest) = number(text.strip_prefix(r#"{"type":"finished","attempt":"#)?)?;
        Some(Beginning::Finished { attempt, rest: rest.strip_prefix(',')? })
    };
    if text.starts_with(r#"{"type":"observed""#) || text.starts_with(r#"{"type":"observed_changes""#) {
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
            Beginning::Finished { attempt, .. } => !self.attempts.contains(&AttemptId(attempt)),
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
            Fact::PrepareStarted { target }
            | Fact::WorkerPrepared { target }
            | Fact::WorkerAdmitted { target }
            | Fact::WorkerSucceeded { target }
            | Fact::WorkerFailed { target, .. }
            | Fact::RevertStarted { target }
            | Fact::WorkerReverted { target }
            | Fact::RevertStuck { target, .. }
            | Fact::Retried { target, .. }
            | Fact::Skipped { target, .. }
            | Fact::Silence { target, .. }
            | Fact::WorkerCancelled { target } => self.targets.contains(target),
            Fact::Reopened { targets, .. } => targets.iter().any(|target| self.targets.contains(target)),
            Fact::Preflight { .. } | Fact::Resumed { .. } => true,
            Fact::RunStarted { .. }
            | Fact::Observed { .. }
            | Fact::ObservedChanges { .. }
            | Fact::BeforeDone
            | Fact::WaveStarted { .. }
            | Fact::Due { .. }
            | Fact::WaveFinished { .. }
            | Fact::GateMeasured { .. }
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
                let (at, epoch) = (row.get(1).map_err(read)?, row.count(2).map_err(read)?);
                facts.push(Stamped { seq, at, epoch, fact });
            }
            Ok(())
        })?;
        Ok(facts)
    }

    /// Calls `each` with every row of a run, its number and the fact's text.
    pub(super) fn each_row(
        &self,
        id: &RunId,
        mut each: impl FnMut(&Row<'_>, u64, &str) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let read = failed(&self.place, Operation::Read);
        let n = self.row(id)?.n;
        let sql = "SELECT seq, at, epoch, fact FROM fact WHERE run = ?1 ORDER BY seq";
        self.db.each(sql, values![n], read, |row| {
            let seq = row.count(0).map_err(read)?;
            let text = row.text(3).map_err(|error| self.unreadable(id, seq, &error))?;
            if text.len() > LONGEST_FACT {
                return Err(self.unreadable(id, seq, &"it is longer than any that is written"));
            }
            each(row, seq, text)
        })
    }

    pub(super) fn unreadable(&self, id: &RunId, seq: u64, why: &dyn std::fmt::Display) -> JournalError {
        JournalError::corrupt(&self.place, format_args!("run {id}: fact {seq}: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::run::example;
    use super::super::testing::{finished, issued, stored};
    use super::*;
    use crate::engine::{Check, Intent, Outcome};

    #[test]
    fn the_first_bytes_say_what_the_whole_fact_does() {
        let worker = |n| Lane::Worker(TargetIx(n));
        let doing = || Intent::Do { repeat: false };
        for (fact, expected) in [
            (issued(7, worker(3), doing()), Some((7, Some(3)))),
            (issued(8, Lane::After, Intent::ReadBootId), Some((8, None))),
            (finished(7, Outcome::noted("a")), Some((7, None))),
            (Fact::BeforeDone, None),
            (Fact::WorkerAdmitted { target: TargetIx(3) }, None),
        ] {
            let found = match beginning(&stored(&fact)) {
                Beginning::Issued { attempt, worker, .. } => Some((attempt, worker)),
                Beginning::Finished { attempt, .. } => Some((attempt, None)),
                other => {
                    assert_eq!(other, Beginning::Other, "{fact:?}");
                    None
                }
            };
            assert_eq!(found, expected, "{fact:?}");
        }
        let observed = Fact::Observed { jobs: vec![], unavailable: vec![], took: 3 };
        assert_eq!(beginning(&stored(&observed)), Beginning::Nobody);
        let changes = Fact::ObservedChanges { jobs: vec![], added: vec![], removed: vec![], took: 3 };
        assert_eq!(beginning(&stored(&changes)), Beginning::Nobody);
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
            Fact::Resumed { by: "me".into(), fresh_process: true, bundle: None },
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
