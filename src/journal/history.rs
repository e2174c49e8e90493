//! What earlier runs teach: how long steps take, how workers ended; and forgetting the oldest.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};

use crate::engine::{AttemptId, Check, Evidence, Fact, Millis, Outcome};
use crate::graph::{Lane, StepIx, TargetIx};

use super::error::failed;
use super::run::RunId;
use super::{Journal, JournalError, Operation};

/// How a worker stands in the list of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WorkerEnd {
    Succeeded,
    /// It may have been reverted since.
    Failed,
    /// An operator took it out, or had disabled it before.
    Skipped,
}

/// What a fact says about the end of a worker: `None` takes an earlier end back.
fn ends_of(fact: &Fact) -> Vec<(TargetIx, Option<WorkerEnd>)> {
    match fact {
        Fact::WorkerSucceeded { target } => vec![(*target, Some(WorkerEnd::Succeeded))],
        Fact::WorkerFailed { target, .. }
        | Fact::RevertStuck { target, .. }
        | Fact::WorkerReverted { target } => vec![(*target, Some(WorkerEnd::Failed))],
        Fact::Skipped { target, .. } => vec![(*target, Some(WorkerEnd::Skipped))],
        Fact::Retried { target, .. } => vec![(*target, None)],
        Fact::Reopened { targets, .. } => targets.iter().map(|target| (*target, None)).collect(),
        Fact::Preflight { checks } => (0..)
            .map(TargetIx)
            .zip(checks)
            .filter_map(|(target, check)| match check {
                Check::Ready { .. } => None,
                Check::Unreachable { .. } => Some((target, Some(WorkerEnd::Failed))),
                Check::LeftAlone { .. } => Some((target, Some(WorkerEnd::Skipped))),
            })
            .collect(),
        _ => Vec::new(),
    }
}

pub(super) fn note_end(db: &Connection, n: i64, fact: &Fact) -> rusqlite::Result<()> {
    for (target, end) in ends_of(fact) {
        let how = match end {
            Some(WorkerEnd::Succeeded) => "succeeded",
            Some(WorkerEnd::Failed) => "failed",
            Some(WorkerEnd::Skipped) => "skipped",
            None => {
                db.prepare_cached("DELETE FROM worker_end WHERE run = ?1 AND target = ?2")?
                    .execute(params![n, target.0])?;
                continue;
            }
        };
        db.prepare_cached("INSERT OR REPLACE INTO worker_end VALUES (?1, ?2, ?3)")?
            .execute(params![n, target.0, how])?;
    }
    Ok(())
}

/// So many of the newest finished runs are kept, however old they are.
pub const RUNS_KEPT: u32 = 100;
/// Finished runs are kept for so long (90 days, in milliseconds), however many they are.
pub const RUNS_KEPT_FOR: Millis = 90 * 24 * 3600 * 1000;

/// So many of the newest finished runs are looked at for estimates.
const RUNS_FOR_ESTIMATES: u32 = 10;
/// So many durations of a kind are enough for a median.
const SAMPLES: usize = 1000;

impl Journal {
    /// How long steps took, by [`crate::plan::StepKind::keyword`], in milliseconds, newest run first:
    /// from `Issued` to `Finished` of attempts that went well, in the newest finished runs. Steps that
    /// had nothing to do are left out.
    ///
    /// # Errors
    /// As of [`Journal::read`].
    pub fn durations(&self) -> Result<BTreeMap<String, Vec<Millis>>, JournalError> {
        let mut durations: BTreeMap<String, Vec<Millis>> = BTreeMap::new();
        for id in self.finished_runs(RUNS_FOR_ESTIMATES)? {
            let kinds = self.run(&id)?.header.kinds;
            let mut issued: HashMap<AttemptId, (Lane, StepIx, Millis)> = HashMap::new();
            for stamped in self.read(&id)? {
                let stamped = stamped?;
                match stamped.fact {
                    Fact::Issued { attempt, lane, step, ref intent } if !intent.is_undo() => {
                        issued.insert(attempt, (lane, step, stamped.at));
                    }
                    Fact::Finished { attempt, outcome: Outcome::Ok { evidence } }
                        if evidence != Evidence::NotNeeded =>
                    {
                        let Some((lane, step, since)) = issued.remove(&attempt) else { continue };
                        let list = match lane {
                            Lane::Before => &kinds.before,
                            Lane::Worker(_) => &kinds.steps,
                            Lane::After => &kinds.after,
                        };
                        if let Some(kind) = list.get(step.index()) {
                            let samples = durations.entry(kind.clone()).or_default();
                            if samples.len() < SAMPLES {
                                samples.push((stamped.at - since).max(0));
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(durations)
    }

    fn finished_runs(&self, at_most: u32) -> Result<Vec<RunId>, JournalError> {
        let runs = self.runs()?.into_iter().filter(|run| run.state.is_final());
        Ok(runs.take(at_most as usize).map(|run| run.id).collect())
    }

    /// Forgets finished runs, with all their facts and output, that ended before `before` and are not among
    /// the newest `keep`; answers with how many went.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn prune(&mut self, keep: u32, before: Millis) -> Result<usize, JournalError> {
        self.db
            .execute(
                "DELETE FROM run WHERE finished_at < ?2 AND n NOT IN
                    (SELECT n FROM run WHERE finished_at IS NOT NULL ORDER BY n DESC LIMIT ?1)",
                params![keep, before],
            )
            .map_err(failed(&self.path, Operation::Write))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::run::example;
    use super::*;
    use crate::engine::{ErrorKind, StepError};

    #[test]
    fn a_worker_counts_by_its_newest_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
        let first = Fact::RunStarted { workers: 1, graph_hash: "11".into(), seed: 1 };
        let (run, _) = journal.create_run(&example::header(), &[first]).unwrap();
        let mut writer = journal.writer(&run, 1, 1).unwrap();
        let (target, by) = (TargetIx(0), || "me".to_owned());
        let error = StepError::new(ErrorKind::TimedOut, "too late".to_owned());
        let failed = Fact::WorkerFailed { target, step: Some(StepIx(0)), error };
        let mut count = |fact: Fact| {
            writer.append(1, &[fact], None).unwrap();
            let run = &journal.runs().unwrap()[0];
            (run.succeeded, run.failed, run.skipped)
        };
        assert_eq!(count(failed.clone()), (0, 1, 0));
        assert_eq!(count(Fact::Retried { target, by: by() }), (0, 0, 0));
        assert_eq!(count(failed), (0, 1, 0));
        assert_eq!(count(Fact::WorkerReverted { target }), (0, 1, 0), "it had failed all the same");
        assert_eq!(count(Fact::Skipped { target, by: by() }), (0, 0, 1));
        assert_eq!(count(Fact::WorkerSucceeded { target }), (1, 0, 0));
    }
}
