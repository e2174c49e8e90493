//! The check of every worker before a run, what it comes to, and the claims of a run that takes place.

use std::collections::BTreeMap;

use crate::bucket::Bucket;
use crate::engine::{Check, ErrorKind, Fact};
use crate::graph::{RolloutGraph, TargetIx};
use crate::journal::Journal;
use crate::plan::StepKind;
use crate::policy::Limits;
use crate::report::Time;
use crate::runner::{Claim, LoopError, StepExecutor};
use crate::ssh::Cancel;

use super::error::NotReady;
use super::left_behind::{LeftBehind, left_behind};
use super::stored::Stored;
use super::{Run, RunError};

/// How far the look at every worker has come.
#[derive(Clone, Copy, Debug)]
pub enum Looked<'a> {
    /// These workers are looked at.
    Begins(&'a [&'a str]),
    /// A worker was looked at, and this was found.
    Ends(&'a str, &'a Check),
}

/// Told how far a look has come; from several threads, the ends in no order.
pub(super) type Progress<'a> = &'a (dyn Fn(Looked<'_>) + Sync);

/// Looks at every worker and touches none. `run` is the run's own name, where it has one: its own claims are
/// no obstacle.
pub(super) fn look(
    executor: &StepExecutor,
    graph: &RolloutGraph,
    journal: &Journal,
    run: Option<&str>,
    left_behind: &[LeftBehind],
    progress: Progress<'_>,
) -> Result<Vec<Check>, RunError> {
    let finished = finished_runs(journal)?;
    let is_over = |claim: &Claim| {
        // A newer controller than this journal knows has taken the run elsewhere, and may drive it there.
        run == Some(claim.run.as_str()) || finished.get(&claim.run).is_some_and(|last| claim.epoch <= *last)
    };
    let hosts: Vec<&str> = graph.target_indices().map(|target| graph.host(target)).collect();
    progress(Looked::Begins(&hosts));
    let report = |target: TargetIx, check: &Check| progress(Looked::Ends(graph.host(target), check));
    let left_alone = |target| left_alone(graph, target, left_behind);
    Ok(executor.preflight(&is_over, &left_alone, &Cancel::new(), &report))
}

/// Refuses a start with too many unusable workers, or with one that another run has claimed.
pub(super) fn refuse_bad_start(
    graph: &RolloutGraph,
    limits: &Limits,
    checks: &[Check],
) -> Result<(), NotReady> {
    let refused: Vec<_> = graph
        .target_indices()
        .zip(checks)
        .filter_map(|(target, check)| match check {
            Check::Unreachable { error } => Some((graph.host(target).to_owned(), error.clone())),
            Check::Ready { .. } | Check::LeftAlone { .. } => None,
        })
        .collect();
    let nobody = !checks.iter().any(|check| matches!(check, Check::Ready { .. }));
    let too_many = refused.len() > limits.max_failures as usize || nobody && !refused.is_empty();
    let bad = NotReady { refused, workers: checks.len(), allowed: limits.max_failures };
    if bad.is_claimed() || too_many { Err(bad) } else { Ok(()) }
}

/// Refuses a start with nobody: an approval would be waited for, and commands executed, for nothing.
pub(super) fn refuse_for_nobody(checks: &[Check]) -> Result<(), RunError> {
    let reason = |check: &Check| match check {
        Check::LeftAlone { reason } => Some(reason.clone()),
        Check::Ready { .. } | Check::Unreachable { .. } => None,
    };
    match checks.iter().map(reason).collect() {
        Some(reasons) => Err(RunError::AllLeftAlone { reasons }),
        None => Ok(()),
    }
}

impl Run {
    /// The fact that ends the preflight: what a look has found before or finds now, less the workers on which
    /// the run's claim cannot be written.
    pub(super) fn preflight(
        &mut self,
        executor: &StepExecutor,
        progress: Progress<'_>,
    ) -> Result<Fact, RunError> {
        let mut checks = match self.checks.take() {
            Some(checks) => checks,
            // The process before this one ended between the start of the run and its preflight.
            None => {
                let graph = &self.stored.graph;
                let hosts: Vec<&str> = graph.target_indices().map(|target| graph.host(target)).collect();
                let left = left_behind(&self.journal, &graph.fleet.disabled, &hosts, Some(&self.stored.id))?;
                let run = self.stored.id.to_string();
                look(executor, graph, &self.journal, Some(&run), &left, progress)?
            }
        };
        let stale = stale_claims(&self.journal)?;
        executor.claim(&mut checks, &claim(&self.bucket, &self.stored), &stale, &Cancel::new());
        let fenced = checks.iter().find_map(|check| match check {
            Check::Unreachable { error } if error.kind == ErrorKind::Fenced => Some(error.message.clone()),
            _ => None,
        });
        if let Some(why) = fenced {
            // The run is another machine's: that is nobody's failure here.
            return Err(RunError::Stopped(LoopError::TakenOver(why)));
        }
        Ok(Fact::Preflight { checks })
    }
}

/// Runs of this bucket that are over, with the epochs of their last controllers: claims of these, and of those before,
/// count for nothing.
pub(super) fn finished_runs(journal: &Journal) -> Result<BTreeMap<String, u64>, RunError> {
    Ok(journal.finished_epochs()?.into_iter().map(|(run, epoch)| (run.to_string(), epoch)).collect())
}

/// The same for a worker.
pub(super) fn stale_claims(journal: &Journal) -> Result<Vec<String>, RunError> {
    Ok(finished_runs(journal)?.into_iter().map(|(run, epoch)| format!("{run}:{epoch}")).collect())
}

pub(super) fn claim(bucket: &Bucket, stored: &Stored) -> Claim {
    Claim {
        run: stored.id.to_string(),
        epoch: stored.epoch,
        who: stored.header.who.clone(),
        since: Time(stored.header.started_at).rfc3339(),
        bucket: bucket.paths().root.display().to_string(),
    }
}

/// A worker that was drained before is left alone by a plan that drains and re-enables: a run never enables what it
/// has not disabled. Whose entry it is, is said.
fn left_alone(graph: &RolloutGraph, target: TargetIx, left_behind: &[LeftBehind]) -> Option<String> {
    let drains = graph.plan.steps.iter().any(|step| matches!(step.kind, StepKind::Disable { .. }));
    let host = graph.host(target);
    (drains && graph.target(target).already_disabled).then(|| {
        let earlier = left_behind.iter().find(|left| left.host == host);
        earlier.map_or_else(
            || format!("{host} was disabled in disabled.json before the run: it is left alone"),
            |left| format!("it is left alone, as it is still disabled: {}", left.describe()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::StepError;
    use crate::graph::testing::{compiled, fleet, plan, worker};

    fn checks(kinds: &[Option<ErrorKind>]) -> Vec<Check> {
        let check = |kind: &Option<ErrorKind>| match kind {
            None => Check::Ready { boot_id: String::new(), state_dir: String::new() },
            Some(kind) => Check::Unreachable { error: StepError::new(*kind, "no") },
        };
        kinds.iter().map(check).collect()
    }

    fn start(max_failures: u32, kinds: &[Option<ErrorKind>]) -> Result<(), NotReady> {
        let workers = (0..kinds.len()).map(|n| worker(&format!("w{n}"), &[], &[])).collect();
        let graph = compiled(&plan(), &fleet(workers, &[]));
        let mut limits = Limits::resolve(&graph);
        limits.max_failures = max_failures;
        refuse_bad_start(&graph, &limits, &checks(kinds))
    }

    #[test]
    fn as_many_may_be_down_as_the_plan_lets_fail_but_not_all() {
        let down = Some(ErrorKind::Unreachable);
        assert!(start(0, &[None, None]).is_ok());
        assert!(start(1, &[None, down]).is_ok());
        let refused = start(0, &[None, down]).unwrap_err();
        assert_eq!((refused.refused.len(), refused.workers, refused.allowed), (1, 2, 0));
        assert_eq!(refused.refused[0].0, "w1");
        assert!(start(2, &[down, down]).is_err(), "no worker is left");
    }

    #[test]
    fn one_claimed_worker_is_enough() {
        let refused = start(9, &[None, Some(ErrorKind::Claimed)]).unwrap_err();
        assert!(refused.is_claimed());
    }

    #[test]
    fn a_run_in_which_nobody_takes_part_does_not_begin() {
        let alone = || Check::LeftAlone { reason: "w0 was disabled".to_owned() };
        let ready = checks(&[None]).remove(0);
        assert!(matches!(refuse_for_nobody(&[alone(), alone()]), Err(RunError::AllLeftAlone { .. })));
        assert!(refuse_for_nobody(&[alone(), ready]).is_ok());
    }
}
