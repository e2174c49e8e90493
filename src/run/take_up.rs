//! What an operator asks of a run that no process carries out: failed workers are retried or skipped, also behind
//! the end of the run, which is taken up again for that.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bucket::{Bucket, Disabled, DisabledEntry, DisabledFile, JobName, lock};
use crate::controller::offline_facts;
use crate::engine::{
    Control, ErrorKind, Fact, Millis, PublicRunState, PublicWorkerState, RunState, RunStatus,
};
use crate::graph::{RolloutGraph, TargetIx};
use crate::journal::{Journal, RunId};
use crate::runner::{LoopError, StepExecutor};
use crate::ssh::Cancel;

use super::error::NotReady;
use super::preflight::{claim, stale_claims};
use super::{Run, RunError};

/// So long the lock of the bucket's files is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// The facts that a request comes down to while no process carries the run out, which `state` has taken when this
/// returns. They are not stored.
///
/// # Errors
/// [`RunError::Refused`], [`RunError::Unfinished`]: nothing has changed.
pub(super) fn facts_of_request(
    journal: &Journal,
    bucket: &Bucket,
    run: &RunId,
    state: &mut RunState,
    (at, verb, by): (Millis, &Control, &str),
) -> Result<Vec<Fact>, RunError> {
    let mut rehearsed = state.clone();
    let mut facts = offline_facts(&mut rehearsed, at, verb, by).map_err(RunError::Refused)?;
    let reopens = facts.iter().any(|fact| matches!(fact, Fact::Reopened { .. }));
    if !reopens {
        *state = rehearsed;
        return Ok(facts);
    }
    if let Some(other) = journal.unfinished()?.filter(|other| other != run) {
        return Err(unfinished(journal, other)?);
    }
    let (fleet, _) = bucket.load()?;
    for fact in &mut facts {
        if let Fact::Reopened { targets, enabled, .. } = fact {
            *enabled = enabled_since(state, targets, &fleet.disabled)?;
        }
        // It was taken above, and differs by what is no longer the run's own.
        state.replay(at, fact).map_err(|why| RunError::Refused(why.to_string()))?;
    }
    Ok(facts)
}

/// That a bucket has a run which has not finished.
pub(super) fn unfinished(journal: &Journal, run: RunId) -> Result<RunError, RunError> {
    let halted = journal.run(&run)?.state == PublicRunState::Halted;
    Ok(RunError::Unfinished { run, halted })
}

/// Workers whose entries of this run are gone from `disabled.json`. While the run was at its end that is not for it
/// to put right, and whether one that is to be retried is still drained cannot be told.
fn enabled_since(
    state: &RunState,
    retried: &[TargetIx],
    disabled: &Disabled,
) -> Result<Vec<TargetIx>, RunError> {
    let graph = state.graph();
    let mut enabled = Vec::new();
    let mut not_drained = Vec::new();
    for target in state.left_disabled() {
        let own = own_entries_of(graph, state, target);
        if !own.is_empty() && own.iter().all(|entry| disabled.has(entry)) {
            continue;
        }
        if retried.contains(&target) && !own.is_empty() {
            not_drained.push(graph.host(target));
        } else if !own.iter().any(|entry| disabled.has(entry)) {
            enabled.push(target);
        }
    }
    if not_drained.is_empty() {
        return Ok(enabled);
    }
    Err(RunError::Refused(format!(
        "{} failed while disabled, and what the run had put into workspace/disabled.json has been removed since: \
         put it back there, or leave the worker out",
        not_drained.join(", ")
    )))
}

/// The entries of `disabled.json` that the run has made for a worker and not removed.
pub(super) fn own_entries_of(graph: &RolloutGraph, state: &RunState, target: TargetIx) -> Vec<DisabledEntry> {
    let host = &graph.fleet.worker(graph.target(target).worker).host;
    let entry = |entry: &Option<String>| match entry {
        None => Some(DisabledEntry::Worker(host.clone())),
        Some(job) => JobName::parse(job).map(|job| DisabledEntry::Allocation(job, host.clone())),
    };
    state.own_disabled(target).iter().filter_map(entry).collect()
}

impl Run {
    /// Entries that an operator has removed from `disabled.json` while the run was at its end are not put back, as
    /// those that vanish while it is open are.
    ///
    /// # Errors
    /// The record of the run's own entries cannot be written.
    pub(super) fn forget_enabled(&self, state: &RunState) -> Result<(), RunError> {
        let graph = state.graph();
        let left = state.left_disabled();
        let mut hosts = BTreeSet::new();
        for stamped in &self.stored.facts {
            if let Fact::Reopened { enabled, .. } = &stamped.fact {
                let gone = enabled.iter().filter(|target| !left.contains(target));
                hosts
                    .extend(gone.map(|target| graph.fleet.worker(graph.target(*target).worker).host.clone()));
            }
        }
        if hosts.is_empty() {
            return Ok(());
        }
        let who = format!("maand plan, run {}", self.stored.id);
        let path = &self.bucket.paths().catalog_lock;
        let guard = lock::acquire(path, &who, LOCK_WAIT, &|| false)
            .map_err(|error| RunError::Refused(error.to_string()))?;
        DisabledFile::of(&self.bucket, self.stored.id.as_str(), own_entries(graph, state))
            .forget(&guard, &hosts)
            .map_err(|error| RunError::Refused(format!("the record of what it has disabled: {error}")))
    }

    /// A run that was taken up again has let its claims go at its end: the workers that are still to be worked on
    /// are claimed once more. One that cannot be reached is no obstacle, as its steps have to reach it.
    ///
    /// # Errors
    /// [`RunError::NotReady`]: another run has claimed one of them meanwhile.
    pub(super) fn claim_again(&self, state: &RunState, executor: &StepExecutor) -> Result<(), RunError> {
        let ended = matches!(state.status(), RunStatus::Finished(_));
        if ended || !self.stored.facts.iter().any(|stamped| matches!(stamped.fact, Fact::Reopened { .. })) {
            return Ok(());
        }
        let open: Vec<TargetIx> = state.graph().target_indices().filter(|at| is_open(state, *at)).collect();
        let stale = stale_claims(&self.journal)?;
        let claim = claim(&self.bucket, &self.stored);
        let answers = executor.claim_each(&open, &claim, &stale, &Cancel::new());
        if let Some(fenced) = answers.iter().flatten().find(|error| error.kind == ErrorKind::Fenced) {
            return Err(RunError::Stopped(LoopError::TakenOver(fenced.message.clone())));
        }
        let refused: Vec<_> = (open.iter().zip(answers))
            .filter_map(|(target, error)| Some((state.graph().host(*target).to_owned(), error?)))
            .filter(|(_, error)| error.kind == ErrorKind::Claimed)
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        let (_, allowed) = state.failures();
        Err(NotReady { refused, workers: open.len(), allowed }.into())
    }
}

fn is_open(state: &RunState, target: TargetIx) -> bool {
    let at = state.public_worker_state(target);
    at == PublicWorkerState::Queued || at.is_active()
}

/// The entries of `disabled.json` that the run has made so far.
pub(super) fn own_entries(graph: &RolloutGraph, state: &RunState) -> BTreeSet<DisabledEntry> {
    graph.target_indices().flat_map(|target| own_entries_of(graph, state, target)).collect()
}
