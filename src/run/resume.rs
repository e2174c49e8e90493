//! Continues a run from its journal, whatever ended the process before.

use crate::engine::{Fact, Options, Resolution, RunStatus};
use crate::journal::RunLock;

use super::changes::changes;
use super::site::{holder, pick, this_operator};
use super::stored::Stored;
use super::{Change, Run, RunError, Site};

/// Whether the run may be taken away from a controller that still holds the lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TakeOver {
    /// It may not.
    #[default]
    Never,
    /// From one that is stopped or gone on this machine.
    Dead,
    /// Also from one on another machine or in another container, for whose death the operator vouches.
    Elsewhere,
}

/// How a run is resumed.
#[derive(Clone, Debug)]
pub struct Resume {
    /// A run's name, or its beginning or end; `None`: the unfinished one.
    pub run: Option<String>,
    /// What becomes of commands that may or may not have run; `None`: they stay undecided.
    pub in_doubt: Option<Resolution>,
    /// Whether it may be taken away from another controller.
    pub take_over: TakeOver,
    /// The operator has seen that the workspace has changed, and deploys may bring that.
    pub accept_changes: bool,
    /// The operator who resumes it; recorded with the run.
    pub by: String,
}

impl Default for Resume {
    fn default() -> Self {
        Self {
            run: None,
            in_doubt: None,
            take_over: TakeOver::Never,
            accept_changes: false,
            by: this_operator(),
        }
    }
}

impl Run {
    /// Makes this process the controller of a stored run. The run uses what it began with, from the journal;
    /// [`Run::changes`] says what is different on disk.
    ///
    /// # Errors
    /// [`RunError::Finished`], [`RunError::Halted`], [`RunError::Locked`], [`RunError::WorkspaceChanged`]; and
    /// what keeps the journal from being read or the bucket from being used.
    pub fn resume(site: &Site, resume: Resume) -> Result<Self, RunError> {
        let mut journal = site.journal_of_runs()?;
        let id = pick(&journal, resume.run.as_deref())?;
        let lock = match resume.take_over {
            TakeOver::Never => site.lock(Some(&id))?,
            from => {
                let data = &site.bucket.paths().data;
                RunLock::take_over(data, &holder(Some(&id)), from == TakeOver::Elsewhere)?
            }
        };
        let mut stored = Stored::load(&journal, id)?;
        refuse_at_rest(&stored)?;
        let (changes, workspace_hash) = changes(&site.bucket, &stored.header)?;
        if changes.contains(&Change::Workspace) && !resume.accept_changes {
            return Err(RunError::WorkspaceChanged { run: stored.id, changes });
        }
        stored.epoch = journal.raise_epoch(&stored.id)?;
        let first = vec![Fact::Resumed { by: resume.by, fresh_process: true }];
        let run = Self::continued(site, journal, lock, stored, first)?;
        Ok(Self { workspace_hash, changes, in_doubt: resume.in_doubt, ..run })
    }
}

/// A run that has ended, or that would halt again at once.
fn refuse_at_rest(stored: &Stored) -> Result<(), RunError> {
    let state = stored.replay(Options::default())?;
    let run = stored.id.clone();
    match state.status() {
        RunStatus::Finished(end) => Err(RunError::Finished { run, end }),
        RunStatus::Halted(_) => match state.failures() {
            (failed, allowed) if failed > allowed => Err(RunError::Halted { run, failed, allowed }),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
