//! What a deploy has to do, as a pure function: what the catalog knows and what is asked for, in;
//! one action per allocation with its reason, out.
//!
//! It contacts no worker and changes nothing, so that `--dry-run` and the deploy itself are the same
//! decision. What a worker's receipt may still change is written in [`Planned::receipt_check`].

use std::collections::BTreeSet;

use super::state::{AllocationKey, AllocationRow, Attempt, State, WorkerRow};
use super::tree::Tree;
use crate::bucket::{Host, JobName, RestartPolicy, path_globs};
use crate::catalog::{Action, DeployRequest};

/// What is to be done to one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Which job.
    pub(crate) job: JobName,
    /// On which worker.
    pub(crate) host: Host,
    /// What is done to the allocation.
    pub(crate) action: Action,
    /// Why, in one line for a report.
    pub(crate) reason: String,
    /// Whether the files there are known to be those that are wanted. Where they are not, they are
    /// sent before anything is run.
    pub(crate) has_files: bool,
    /// What of a receipt on the worker counts as already done.
    pub(crate) receipt_check: ReceiptCheck,
    /// The attempt that is taken up again; `None`: a new one.
    pub(crate) takes_up: Option<String>,
}

/// Which receipt on the worker says that an action has been done already. It also has to be of this
/// boot, of the wanted tree and of an action that leaves the job running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceiptCheck {
    /// Any such receipt.
    SameTree,
    /// Only one of the same attempt: the tree was there before, so that it proves nothing.
    SameAttempt,
    /// None: it is known to have gone wrong.
    Never,
}

/// All of a deploy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeployPlan {
    /// Each allocation in scope; skipped ones too. By `deployment_seq`, then job, then worker.
    pub(crate) allocations: Vec<Planned>,
    /// Workers whose `worker.json` has to be written although no allocation of theirs has anything
    /// to do.
    pub(crate) resync: BTreeSet<Host>,
}

impl DeployPlan {
    /// Whether there is nothing to do at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.resync.is_empty() && self.work().next().is_none()
    }

    /// What is not skipped.
    pub(crate) fn work(&self) -> impl Iterator<Item = &Planned> {
        self.allocations.iter().filter(|planned| planned.action != Action::Skip)
    }
}

/// Decides. `tree` gives the file list of a hash, where it is still known: it decides between reload
/// and restart.
pub(crate) fn plan(
    state: &State,
    request: &DeployRequest,
    tree: impl Fn(&str) -> Option<Tree>,
) -> DeployPlan {
    let jobs: Option<BTreeSet<&JobName>> = request.jobs.as_ref().map(|jobs| jobs.iter().collect());
    let workers: Option<BTreeSet<&Host>> = request.workers.as_ref().map(|hosts| hosts.iter().collect());
    let mut trees = Trees { read: &tree, changed: Default::default() };
    let mut plan = DeployPlan::default();
    for (key, row) in &state.allocations {
        let in_scope = jobs.as_ref().is_none_or(|jobs| jobs.contains(&key.job))
            && workers.as_ref().is_none_or(|hosts| hosts.contains(&key.host));
        if in_scope && let Some(planned) = decide(state, key, row, request.force, &mut trees) {
            plan.allocations.push(planned);
        }
    }
    plan.allocations.sort_by(|a, b| {
        let key = |planned: &Planned| state.jobs.get(&planned.job).map_or(0, |job| job.deployment_seq);
        (key(a), &a.job, &a.host).cmp(&(key(b), &b.job, &b.host))
    });
    let busy: BTreeSet<&Host> = plan.work().map(|planned| &planned.host).collect();
    plan.resync = state
        .workers
        .iter()
        .filter(|(host, row)| {
            let in_scope = workers.as_ref().is_none_or(|hosts| hosts.contains(host));
            in_scope && !row.removed && needs_sync(row) && !busy.contains(host)
        })
        .map(|(host, _)| host.clone())
        .collect();
    plan
}

/// Whether `worker.json` there is not known to be right.
fn needs_sync(row: &WorkerRow) -> bool {
    row.out_of_sync || row.sent_seq != row.confirmed_seq
}

/// Paths that differ between two trees, worked out once for all workers of a job.
struct Trees<'a, F> {
    read: &'a F,
    changed: std::collections::BTreeMap<(String, String), Option<Vec<String>>>,
}

impl<F: Fn(&str) -> Option<Tree>> Trees<'_, F> {
    fn changed(&mut self, old: &str, new: &str) -> Option<&[String]> {
        self.changed
            .entry((old.to_owned(), new.to_owned()))
            .or_insert_with(|| Some((self.read)(new)?.changed_since(&(self.read)(old)?)))
            .as_deref()
    }
}

fn decide<F: Fn(&str) -> Option<Tree>>(
    state: &State,
    key: &AllocationKey,
    row: &AllocationRow,
    force: bool,
    trees: &mut Trees<'_, F>,
) -> Option<Planned> {
    let planned = |action, reason: String| Planned {
        job: key.job.clone(),
        host: key.host.clone(),
        action,
        reason,
        has_files: false,
        receipt_check: ReceiptCheck::Never,
        takes_up: None,
    };
    let touched = row.current_hash.is_some() || row.attempt.is_some();
    let may_run = touched && !row.stopped || row.attempt.as_ref().is_some_and(|attempt| !attempt.is_stop());
    let stop = row.attempt.as_ref().filter(|attempt| attempt.is_stop());
    let stopping = |action, reason: &str| Planned {
        // A stop whose answer was lost is found again by its receipt.
        receipt_check: ReceiptCheck::SameAttempt,
        takes_up: stop.filter(|attempt| !attempt.failed).map(|attempt| attempt.deploy_id.clone()),
        ..planned(action, reason.to_owned())
    };
    if row.removed {
        return touched.then(|| stopping(Action::Remove, "no longer selected for this worker"));
    }
    if row.disabled {
        return Some(if may_run || stop.is_some() {
            stopping(Action::Stop, "disabled")
        } else {
            planned(Action::Skip, if touched { "disabled and stopped" } else { "disabled" }.to_owned())
        });
    }
    let job = state.jobs.get(&key.job)?;
    let wanted = &job.hash;
    let is_current = row.current_hash.as_ref() == Some(wanted);
    let lost = state.workers.get(&key.host).is_some_and(|worker| worker.out_of_sync);
    let files_only = job.job.restart_policy == RestartPolicy::Never;
    let start = |reason: String| (Action::Start, reason);

    let (action, reason) = match (&row.current_hash, &row.attempt) {
        (None, _) => start("new on this worker".to_owned()),
        (Some(_), _) if row.stopped => start("enabled again".to_owned()),
        (Some(_), Some(attempt)) if attempt.is_stop() => {
            start("enabled again, a stop did not end well".to_owned())
        }
        (Some(current), _) if !is_current => changed_action(job, current, row, trees),
        (Some(_), Some(attempt)) if !attempt.failed => {
            (attempt.action, "how it ended is not known".to_owned())
        }
        (Some(_), Some(attempt)) => (attempt.action, "it failed before".to_owned()),
        (Some(_), None) if force => {
            (if files_only { Action::Sync } else { Action::Restart }, "forced".to_owned())
        }
        (Some(_), None) if lost && !files_only => start("worker.json there does not agree".to_owned()),
        (Some(_), None) if lost => (Action::Sync, "worker.json there does not agree".to_owned()),
        (Some(_), None) => return Some(planned(Action::Skip, "deployed as built".to_owned())),
    };
    let in_doubt = row.attempt.as_ref().filter(|attempt| !attempt.failed && attempt.hash == *wanted);
    let failed = row.attempt.as_ref().is_some_and(|attempt| attempt.failed && attempt.hash == *wanted);
    let receipt_check = if force || failed {
        // A forced one that is in doubt is still found again by its own id.
        if in_doubt.is_some() { ReceiptCheck::SameAttempt } else { ReceiptCheck::Never }
    } else if is_current && !row.stopped && !lost {
        ReceiptCheck::SameAttempt
    } else {
        ReceiptCheck::SameTree
    };
    let reason = match &row.attempt {
        Some(attempt) if !is_current && attempt.failed => format!("{reason}; it failed before"),
        Some(attempt) if !is_current && !attempt.is_stop() => {
            format!("{reason}; how the last try ended is not known")
        }
        _ => reason,
    };
    Some(Planned {
        has_files: !force && ((is_current && row.attempt.is_none()) || in_doubt.is_some()),
        receipt_check,
        takes_up: in_doubt
            .filter(|attempt| attempt.action == action)
            .map(|attempt| attempt.deploy_id.clone()),
        ..planned(action, reason)
    })
}

/// What `restart_policy` and `restart_globs` say about a change.
fn changed_action<F: Fn(&str) -> Option<Tree>>(
    job: &super::state::JobRow,
    current: &str,
    row: &AllocationRow,
    trees: &mut Trees<'_, F>,
) -> (Action, String) {
    let version = match &row.current_version {
        Some(old) if *old != job.job.version => format!("version {old} to {}", job.job.version),
        _ => "changed".to_owned(),
    };
    let changed = trees.changed(current, &job.hash);
    let reason = match changed {
        Some([]) => format!("{version}: other ports"),
        Some([one]) => format!("{version}: {one}"),
        Some([one, rest @ ..]) => format!("{version}: {one} and {} more", rest.len()),
        None => version,
    };
    let action = match job.job.restart_policy {
        RestartPolicy::Always => Action::Restart,
        RestartPolicy::Never => Action::Sync,
        RestartPolicy::Reload => {
            let restart = changed.is_none_or(|paths| {
                // A catalog of an earlier build may hold what is no pattern: then a restart is the safe side.
                paths.is_empty()
                    || path_globs(&job.job.restart_globs)
                        .map_or(true, |globs| paths.iter().any(|path| globs.is_match(path)))
            });
            if restart { Action::Restart } else { Action::Reload }
        }
    };
    (action, reason)
}

impl Attempt {
    /// Whether it was to end with the job stopped.
    pub(crate) fn is_stop(&self) -> bool {
        matches!(self.action, Action::Stop | Action::Remove)
    }
}

#[cfg(test)]
mod tests;
