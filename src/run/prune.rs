//! Forgetting old runs: which may go, and which have to stay.

use crate::bucket::{Bucket, Disabled};
use crate::engine::Millis;
use crate::journal::{
    Journal, JournalError, Location, Mode, RUNS_KEPT, RUNS_KEPT_FOR, Reclaimed, RunLock, RunSummary,
};

use super::RunError;
use super::left_behind::owned_entries;
use super::metrics::counted_of;
use super::site::holder;

/// What the run lock's record says while runs are forgotten.
pub const PRUNING: &str = "maand plan prune";

/// Which finished runs are kept. One goes when no part of this keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// So many of the newest.
    pub newest: u32,
    /// Those that ended so many milliseconds ago or less; `None`: none for its age.
    pub younger_than: Option<Millis>,
}

impl Default for Keep {
    /// What each new run keeps by itself.
    fn default() -> Self {
        Self { newest: RUNS_KEPT, younger_than: Some(RUNS_KEPT_FOR) }
    }
}

/// Runs that go, and those that would and have to stay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prunable {
    /// With the bytes that each takes, about; oldest first.
    pub gone: Vec<(RunSummary, u64)>,
    /// Old enough, and needed.
    pub spared: Vec<Spared>,
    /// How many runs stay, the spared among them.
    pub kept: usize,
}

/// A run that has to stay: its entries are still in `disabled.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Spared {
    /// The run.
    pub run: RunSummary,
    /// The workers that it has left disabled; none: the run cannot be read, and something is disabled.
    pub hosts: Vec<String>,
}

/// Pruning that may be carried out: the run lock is held, and nothing was touched.
pub struct Pruning {
    /// What it comes to.
    pub found: Prunable,
    journal: Journal,
    _lock: RunLock,
}

impl Pruning {
    /// Only looks.
    ///
    /// # Errors
    /// There is no journal, or it or the bucket cannot be read.
    pub fn look(bucket: &Bucket, keep: Keep, now: Millis) -> Result<Prunable, RunError> {
        let journal = Location::of(bucket)?.open(Mode::ReadOnly)?;
        prunable(&journal, &disabled(bucket)?, keep, now)
    }

    /// Takes the run lock, and looks.
    ///
    /// # Errors
    /// As [`Self::look`]; [`RunError::Locked`] while a run is carried out.
    pub fn prepare(bucket: &Bucket, keep: Keep, now: Millis) -> Result<Self, RunError> {
        let runs = Location::of(bucket)?;
        drop(runs.open(Mode::ReadOnly)?);
        let lock = runs.lock(&holder(None).doing(PRUNING))?;
        let journal = runs.open(Mode::ReadWrite)?;
        let found = prunable(&journal, &disabled(bucket)?, keep, now)?;
        Ok(Self { found, journal, _lock: lock })
    }

    /// Forgets the runs, one after the other, and gives the room back.
    ///
    /// # Errors
    /// The journal cannot be written: runs that are gone are gone as a whole, the others are whole.
    pub fn carry_out(mut self) -> Result<Reclaimed, RunError> {
        for (run, _) in &self.found.gone {
            let counted = counted_of(&self.journal, &run.id);
            self.journal.forget(&run.id, &counted)?;
        }
        Ok(self.journal.reclaim()?)
    }
}

/// What each new run forgets by itself: the room is used again, and not given back.
///
/// # Errors
/// The journal cannot be written.
pub(super) fn prune_by_itself(
    journal: &mut Journal,
    disabled: &Disabled,
    now: Millis,
) -> Result<(), JournalError> {
    for run in journal.prunable(RUNS_KEPT, now.saturating_sub(RUNS_KEPT_FOR))? {
        if is_needed(journal, disabled, &run).is_none() {
            let counted = counted_of(journal, &run.id);
            journal.forget(&run.id, &counted)?;
        }
    }
    Ok(())
}

fn prunable(journal: &Journal, disabled: &Disabled, keep: Keep, now: Millis) -> Result<Prunable, RunError> {
    let mut found = Prunable::default();
    let before = keep.younger_than.map_or(Millis::MAX, |span| now.saturating_sub(span));
    for run in journal.prunable(keep.newest, before)? {
        match is_needed(journal, disabled, &run) {
            Some(hosts) => found.spared.push(Spared { run, hosts }),
            None => {
                let bytes = journal.size_of(&run.id)?;
                found.gone.push((run, bytes));
            }
        }
    }
    found.kept = journal.runs()?.len() - found.gone.len();
    Ok(found)
}

/// The workers that a run has left disabled; `None`: it may go.
fn is_needed(journal: &Journal, disabled: &Disabled, run: &RunSummary) -> Option<Vec<String>> {
    match owned_entries(journal, disabled, run) {
        Ok(hosts) if hosts.is_empty() => None,
        Ok(hosts) => Some(hosts),
        // Whose entries they are cannot be told without it.
        Err(_) => Some(Vec::new()),
    }
}

fn disabled(bucket: &Bucket) -> Result<Disabled, RunError> {
    let file = &bucket.paths().disabled_json;
    if file.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(Disabled::default());
    }
    Ok(bucket.load()?.0.disabled)
}
