//! `disable` and `enable`: edits of `disabled.json` in which this run remembers what is its own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bucket::{Bucket, Disabled, DisabledChange, DisabledEntry, DisabledFile, Host, lock};
use crate::engine::{ErrorKind, Evidence, Outcome, StepError};
use crate::journal::RunLock;
use crate::plan::{Problem, Problems};
use crate::ssh::Cancel;

use super::deployer::{Before, said};
use super::workspace::workspace_hash;

/// An operation of somebody else, or a deploy of another worker of this run, is waited for this long
/// before the run is paused. One command of an upstream program may take minutes for a whole fleet.
const LOCK_WAIT: Duration = Duration::from_secs(600);

/// The run's own entries.
pub(super) type Own = Arc<Mutex<BTreeSet<DisabledEntry>>>;

fn own(entries: &Own) -> MutexGuard<'_, BTreeSet<DisabledEntry>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What both steps need.
pub(super) struct Drain<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) lock: &'a RunLock,
    pub(super) own: &'a Own,
    pub(super) run: &'a str,
    pub(super) cancel: &'a Cancel,
}

impl Drain<'_> {
    /// Adds entries. `at_start` is what people had disabled when the run began; on a `repeat` an entry
    /// that is there already is ours, unless it was there then.
    pub(super) fn disable(&self, entries: &[DisabledEntry], repeat: bool, at_start: &Disabled) -> Outcome {
        let change = match self.edit(|file, lock, fence| file.disable(lock, entries, fence)) {
            Ok(change) => change,
            Err(outcome) => return outcome,
        };
        let is_a_persons = |entry: &&DisabledEntry| !repeat || was_there(entry, at_start);
        let (others, lost_answer): (Vec<_>, Vec<_>) = change.unchanged.iter().partition(is_a_persons);
        let ours: Vec<_> = change.changed.iter().chain(lost_answer).cloned().collect();
        own(self.own).extend(ours.iter().cloned());
        Outcome::Ok {
            evidence: Evidence::Disabled {
                own: ours.iter().map(job_of).collect(),
                others: others.into_iter().map(job_of).collect(),
            },
        }
    }

    /// Removes this run's own entries of the worker, and no others.
    pub(super) fn enable(&self, host: &Host) -> Outcome {
        let ours: Vec<_> = own(self.own).iter().filter(|entry| host_of(entry) == host).cloned().collect();
        if ours.is_empty() {
            return said("nothing of this run's own was disabled");
        }
        let change = self.edit(|file, lock, fence| {
            let change = file.enable(lock, &ours, fence)?;
            // While the lock is held: a deploy of another worker would put them back otherwise.
            own(self.own).retain(|entry| host_of(entry) != host);
            Ok(change)
        });
        match change {
            Ok(change) => {
                let gone = change.unchanged.len();
                said(match gone {
                    0 => format!("{} enabled again", plural(ours.len())),
                    _ => format!("{} enabled again, {gone} of them by somebody else", plural(ours.len())),
                })
            }
            Err(outcome) => outcome,
        }
    }

    fn edit(
        &self,
        edit: impl Fn(
            &DisabledFile,
            &lock::Guard,
            &mut dyn FnMut() -> Result<(), Problem>,
        ) -> Result<DisabledChange, Problems>,
    ) -> Result<DisabledChange, Outcome> {
        edit_locked(self.bucket, self.lock, self.run, &|| self.cancel.is_cancelled(), edit)
    }
}

fn edit_locked(
    bucket: &Bucket,
    run_lock: &RunLock,
    run: &str,
    cancelled: &dyn Fn() -> bool,
    edit: impl Fn(
        &DisabledFile,
        &lock::Guard,
        &mut dyn FnMut() -> Result<(), Problem>,
    ) -> Result<DisabledChange, Problems>,
) -> Result<DisabledChange, Outcome> {
    let who = format!("maand plan, run {run}");
    let guard =
        lock::acquire(&bucket.paths().catalog_lock, &who, LOCK_WAIT, cancelled).map_err(
            |error| match error {
                lock::LockError::Cancelled => Outcome::Unknown { why: "given up before the edit".into() },
                error => Outcome::NotDone { reason: error.to_string() },
            },
        )?;
    let mut fence = || {
        if run_lock.is_held() {
            Ok(())
        } else {
            Err(Problem::error("maand::run::fenced", "another controller has taken this run over"))
        }
    };
    edit(&DisabledFile::of(bucket), &guard, &mut fence).map_err(|problems| {
        if !run_lock.is_held() {
            let message = "another controller has taken this run over";
            return Outcome::Failed { error: StepError::new(ErrorKind::Fenced, message) };
        }
        let words: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Outcome::NotDone { reason: format!("disabled.json was not changed: {}", words.join("; ")) }
    })
}

/// Before each deploy: entries of ours that have vanished (a git checkout) are put back, and a
/// workspace that is not the one that the run began with pauses it.
pub(super) fn before_deploy(
    bucket: Arc<Bucket>,
    run_lock: Arc<RunLock>,
    entries: Own,
    expected_hash: String,
    run: String,
) -> Before {
    Box::new(move || {
        let hash = workspace_hash(&bucket.paths().workspace).map_err(|error| Outcome::NotDone {
            reason: format!("the workspace can not be read: {error}"),
        })?;
        if hash != expected_hash {
            let reason = format!(
                "the workspace has changed since the run began; look at the difference, then `maand plan resume {run} --accept-changes`, or put it back and `maand plan resume {run}`"
            );
            return Err(Outcome::NotDone { reason });
        }
        if own(&entries).is_empty() {
            return Ok(());
        }
        edit_locked(&bucket, &run_lock, &run, &|| false, |file, lock, fence| {
            // Not before the lock is held: meanwhile another worker may have been enabled, and what was
            // ours then would be put back for good.
            let ours: Vec<_> = own(&entries).iter().cloned().collect();
            file.ensure(lock, &ours, fence)
        })
        .map(|_| ())
    })
}

fn was_there(entry: &DisabledEntry, at_start: &Disabled) -> bool {
    match entry {
        DisabledEntry::Worker(host) => at_start.workers.contains(host.as_str()),
        DisabledEntry::Allocation(job, host) => at_start
            .jobs
            .get(job.as_str())
            .is_some_and(|hosts| hosts.is_empty() || hosts.contains(host.as_str())),
    }
}

fn host_of(entry: &DisabledEntry) -> &Host {
    match entry {
        DisabledEntry::Worker(host) | DisabledEntry::Allocation(_, host) => host,
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
