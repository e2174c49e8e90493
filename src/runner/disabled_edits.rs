//! `disable` and `enable`: edits of `disabled.json` in which this run remembers what is its own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bucket::{
    Bucket, DisabledChange, DisabledEntry, DisabledError, DisabledFile, Fence, Host, WorkspaceDifference,
    lock,
};
use crate::engine::{ErrorKind, Evidence, Outcome, StepError};
use crate::journal::{RunLock, Tenure};
use crate::ssh::Cancel;

use super::access::not_done;
use super::deployer::Before;
use super::workspace::{WorkspaceState, workspace_hash};

/// An operation of another process, or a deploy of another worker of this run, is waited for this long
/// before the run is paused. One command of an upstream program may take minutes for a whole fleet.
const LOCK_WAIT: Duration = Duration::from_secs(600);

/// Changed jobs that are named in one line.
const DIFFERENCES: usize = 4;

const TAKEN_OVER: &str = "another controller has taken this run over";

/// The run's own entries.
pub(super) type OwnEntries = Arc<Mutex<BTreeSet<DisabledEntry>>>;

fn own(entries: &OwnEntries) -> MutexGuard<'_, BTreeSet<DisabledEntry>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What both steps need.
pub(super) struct DisabledEdits<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) lock: &'a RunLock,
    pub(super) own: &'a OwnEntries,
    pub(super) run: &'a str,
    pub(super) cancel: &'a Cancel,
}

impl DisabledEdits<'_> {
    /// Adds entries. One that is there already is ours where the record says so, as after a lost answer;
    /// else it is an operator's.
    pub(super) fn disable(&self, entries: &[DisabledEntry]) -> Outcome {
        let change = match self.edit(&|file, lock, fence| file.disable(lock, entries, fence)) {
            Ok(change) => change,
            Err(outcome) => return outcome,
        };
        if !change.ambiguous.is_empty() {
            return Outcome::Failed { error: in_doubt(&change.ambiguous) };
        }
        Outcome::Ok {
            evidence: Evidence::Disabled {
                own: change.changed.iter().map(job_of).collect(),
                others: change.unchanged.iter().map(job_of).collect(),
            },
        }
    }

    /// Removes this run's own entries of the worker, and no others.
    pub(super) fn enable(&self, host: &Host) -> Outcome {
        let change = match self.edit(&|file, lock, fence| file.enable(lock, host, fence)) {
            Ok(change) => change,
            Err(outcome) => return outcome,
        };
        if !change.ambiguous.is_empty() {
            return Outcome::Failed { error: in_doubt(&change.ambiguous) };
        }
        let gone = change.unchanged.len();
        Outcome::noted(match (change.changed.len() + gone, gone) {
            (0, _) => "nothing of this run's own was disabled".to_owned(),
            (all, 0) => format!("{} enabled again", plural(all)),
            (all, _) => {
                format!("{} enabled again, {gone} of them by another process or operator", plural(all))
            }
        })
    }

    fn edit(&self, edit: Edit<'_>) -> Result<DisabledChange, Outcome> {
        edit_locked(self.bucket, self.lock, self.own, self.run, &|| self.cancel.is_cancelled(), edit)
    }
}

type Edit<'a> = &'a dyn Fn(&DisabledFile, &lock::Guard, Fence<'_>) -> Result<DisabledChange, DisabledError>;

fn edit_locked(
    bucket: &Bucket,
    run_lock: &RunLock,
    entries: &OwnEntries,
    run: &str,
    cancelled: &dyn Fn() -> bool,
    edit: Edit<'_>,
) -> Result<DisabledChange, Outcome> {
    let who = format!("maand plan, run {run}");
    let given_up = || Outcome::unknown("given up before the edit");
    let guard =
        lock::acquire(&bucket.paths().catalog_lock, &who, LOCK_WAIT, cancelled).map_err(
            |error| match error {
                lock::LockError::Cancelled => given_up(),
                error => not_done(&error),
            },
        )?;
    // Asked just before the change: a step that was given up while it held the lock changes nothing.
    let mut fence = || run_lock.wait_until_held(cancelled) && !cancelled();
    let known = own(entries).clone();
    let change =
        edit(&DisabledFile::of(bucket, run, known), &guard, &mut fence).map_err(|error| match error {
            _ if run_lock.tenure() == Tenure::Lost => {
                Outcome::Failed { error: StepError::new(ErrorKind::Fenced, TAKEN_OVER) }
            }
            DisabledError::GivenUp => given_up(),
            error => not_done(&format!("disabled.json was not changed: {error}")),
        })?;
    // While the lock is held: a deploy of another worker would put back what is enabled otherwise.
    own(entries).clone_from(&change.own);
    drop(guard);
    Ok(change)
}

/// After a crash in the middle of an edit, and another change of the file since: it cannot be told whose
/// these are. The safe side is that they are an operator's.
fn in_doubt(entries: &[DisabledEntry]) -> StepError {
    let names: Vec<_> = entries
        .iter()
        .map(|entry| match entry {
            DisabledEntry::Worker(host) => host.to_string(),
            DisabledEntry::Allocation(job, host) => format!("{job} on {host}"),
        })
        .collect();
    let message = format!(
        "disabled.json was changed while this run was cut off in the middle of its own change: whether the run or \
         an operator has disabled {} cannot be told, so it stays. Unless it belongs there, remove the entry, then \
         retry the worker",
        names.join(", ")
    );
    StepError::new(ErrorKind::Unknown, message)
}

/// Before each deploy: entries of ours that have vanished (a git checkout) are put back, and a
/// workspace that is not the one that the run began with pauses it.
pub(super) fn before_deploy(
    bucket: Arc<Bucket>,
    run_lock: Arc<RunLock>,
    entries: OwnEntries,
    expected: WorkspaceState,
    run: String,
) -> Before {
    Box::new(move || {
        let hash = workspace_hash(&bucket.paths().workspace)
            .map_err(|error| not_done(&format!("the workspace cannot be read: {error}")))?;
        if hash != expected.hash {
            let reason = format!(
                "the workspace has changed since the run began{}: put it back, or resume with the change accepted",
                where_changed(&bucket, &expected)
            );
            return Err(Outcome::NotDone { reason });
        }
        if own(&entries).is_empty() {
            return Ok(());
        }
        // What is put back is what the record says under the lock: meanwhile another worker may have
        // been enabled.
        edit_locked(&bucket, &run_lock, &entries, &run, &|| false, &|file, lock, fence| {
            file.ensure(lock, fence)
        })
        .map(drop)
    })
}

/// What has changed, in brackets; nothing where that is not known.
fn where_changed(bucket: &Bucket, expected: &WorkspaceState) -> String {
    // Another look: it may be as it was by now.
    let Ok(now) = WorkspaceState::read(&bucket.paths().workspace) else { return String::new() };
    let lines: Vec<String> = expected.differences(&now).iter().map(WorkspaceDifference::line).collect();
    match lines.len() {
        0 => String::new(),
        all if all > DIFFERENCES => {
            format!(" ({}; and {} more)", lines[..DIFFERENCES].join("; "), all - DIFFERENCES)
        }
        _ => format!(" ({})", lines.join("; ")),
    }
}

fn job_of(entry: &DisabledEntry) -> Option<String> {
    match entry {
        DisabledEntry::Worker(_) => None,
        DisabledEntry::Allocation(job, _) => Some(job.to_string()),
    }
}

fn plural(entries: usize) -> String {
    format!("{entries} {}", if entries == 1 { "entry" } else { "entries" })
}
