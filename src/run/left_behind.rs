//! Workers that earlier runs of the bucket have disabled and left so: who did it, and what takes it up.

use std::collections::BTreeMap;

use crate::bucket::{Disabled, DisabledEntry};
use crate::engine::{Options, PublicRunState, PublicWorkerState, RunState};
use crate::graph::TargetIx;
use crate::journal::{Journal, RunId, RunSummary};

use super::RunError;
use super::stored::Stored;
use super::take_up::own_entries_of;

/// So many earlier runs are looked through: each is read whole.
const RUNS_LOOKED_AT: usize = 50;

/// What an earlier run has put into `disabled.json` for one worker, and has not removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// The worker.
    pub host: String,
    /// The jobs that are disabled on it; none: all of it is.
    pub jobs: Vec<String>,
    /// The run.
    pub run: RunId,
    /// Its plan.
    pub plan: String,
    /// How the run stands.
    pub state: PublicRunState,
    /// How the worker stands in it.
    pub worker: PublicWorkerState,
    /// The step at which it failed.
    pub step: Option<String>,
    /// The run can be taken up again for this worker.
    pub can_be_retried: bool,
}

impl LeftBehind {
    /// What is disabled, by whom: `w3, by run 20261130-0153-9d20 of plan patch, failed at `upgrade``.
    pub fn describe(&self) -> String {
        let Self { host, run, plan, .. } = self;
        let what = if self.jobs.is_empty() { String::new() } else { format!("{} on ", self.jobs.join(", ")) };
        let how = match (self.state, &self.step) {
            (PublicRunState::Aborted, _) => ", which was aborted".to_owned(),
            (_, Some(step)) => format!(", {} at `{step}`", self.worker.describe()),
            (_, None) => format!(", {}", self.worker.describe()),
        };
        format!("{what}{host}, by run {run} of plan {plan}{how}")
    }
}

/// What earlier runs have left in `disabled.json`, as it is now, for these workers. `own`: the run that asks.
///
/// # Errors
/// The journal cannot be read. Runs that this program cannot read are passed over.
pub(super) fn left_behind(
    journal: &Journal,
    disabled: &Disabled,
    hosts: &[&str],
    own: Option<&RunId>,
) -> Result<Vec<LeftBehind>, RunError> {
    // Nothing is disabled for most runs, and then no earlier run has to be read.
    let concerned = |host: &&&str| {
        disabled.workers.contains(**host)
            || disabled.jobs.values().any(|hosts| hosts.is_empty() || hosts.contains(**host))
    };
    // `None`: not known yet.
    let mut found: BTreeMap<&str, Option<LeftBehind>> =
        hosts.iter().filter(concerned).map(|host| (*host, None)).collect();
    let mut settled = 0;
    let runs = journal.runs()?.into_iter().filter(|run| Some(&run.id) != own);
    for summary in runs.take(RUNS_LOOKED_AT) {
        if settled == found.len() {
            break;
        }
        if summary.state == PublicRunState::Succeeded {
            continue;
        }
        let Ok(stored) = Stored::load(journal, summary.id.clone()) else { continue };
        let Ok(state) = stored.replay(Options::default()) else { continue };
        for target in stored.graph.target_indices() {
            let Some(slot) = found.get_mut(stored.graph.host(target)).filter(|slot| slot.is_none()) else {
                continue;
            };
            let mut entries = own_entries_of(&stored.graph, &state, target);
            entries.retain(|entry| disabled.has(entry));
            if !entries.is_empty() {
                *slot = Some(of_worker(&stored, &state, target, &entries, summary.state));
                settled += 1;
            }
        }
    }
    Ok(found.into_values().flatten().collect())
}

/// The workers of which a finished run still has entries in `disabled.json`, as it is now.
///
/// # Errors
/// Something is disabled, and this program cannot read the run.
pub(super) fn owned_entries(
    journal: &Journal,
    disabled: &Disabled,
    run: &RunSummary,
) -> Result<Vec<String>, RunError> {
    // Most runs have gone well, and for most nothing is disabled: then no run has to be read.
    if run.state == PublicRunState::Succeeded || (disabled.workers.is_empty() && disabled.jobs.is_empty()) {
        return Ok(Vec::new());
    }
    let stored = Stored::load(journal, run.id.clone())?;
    let state = stored.replay(Options::default())?;
    let graph = &stored.graph;
    let owns =
        |target: &TargetIx| own_entries_of(graph, &state, *target).iter().any(|entry| disabled.has(entry));
    Ok(graph.target_indices().filter(owns).map(|target| graph.host(target).to_owned()).collect())
}

fn of_worker(
    stored: &Stored,
    state: &RunState,
    target: TargetIx,
    entries: &[DisabledEntry],
    run_state: PublicRunState,
) -> LeftBehind {
    let job = |entry: &DisabledEntry| match entry {
        DisabledEntry::Worker(_) => None,
        DisabledEntry::Allocation(job, _) => Some(job.to_string()),
    };
    let whole = entries.iter().any(|entry| matches!(entry, DisabledEntry::Worker(_)));
    let step = state.failed_step(target);
    let aborted = run_state == PublicRunState::Aborted;
    LeftBehind {
        can_be_retried: !aborted && state.objection_to_retry(target).is_none(),
        host: stored.graph.host(target).to_owned(),
        jobs: if whole { Vec::new() } else { entries.iter().filter_map(job).collect() },
        run: stored.id.clone(),
        plan: stored.header.plan.clone(),
        state: run_state,
        worker: state.public_worker_state(target),
        step: step.map(|step| stored.graph.plan.steps[step.index()].id.clone()),
    }
}
