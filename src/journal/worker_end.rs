//! How workers ended, counted beside the facts for the list of runs.

use crate::engine::{Check, Fact};
use crate::graph::TargetIx;

use super::db::{Db, StoreError, values};

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

pub(super) fn note_end(db: &Db, n: i64, fact: &Fact) -> Result<(), StoreError> {
    for (target, end) in ends_of(fact) {
        let how = match end {
            Some(WorkerEnd::Succeeded) => "succeeded",
            Some(WorkerEnd::Failed) => "failed",
            Some(WorkerEnd::Skipped) => "skipped",
            None => {
                let sql = "DELETE FROM worker_end WHERE run = ?1 AND target = ?2";
                db.execute(sql, values![n, i64::from(target.0)])?;
                continue;
            }
        };
        let sql = "INSERT INTO worker_end (run, target, how) VALUES (?1, ?2, ?3)
                   ON CONFLICT (run, target) DO UPDATE SET how = excluded.how";
        db.execute(sql, values![n, i64::from(target.0), how])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::run::example;
    use super::super::{Journal, Mode};
    use super::*;
    use crate::engine::{ErrorKind, StepError};
    use crate::graph::StepIx;

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
