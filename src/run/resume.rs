//! Continues a run from its journal, whatever ended the process before.

use crate::engine::{
    Control, DoubtAnswers, Fact, Options, PublicWorkerState, Resolution, RunState, RunStatus,
};
use crate::graph::TargetIx;
use crate::journal::{Location, RunId};
use crate::runner::now;

use super::changes::changes;
use super::site::{holder, pick, this_operator};
use super::stored::Stored;
use super::take_up::facts_of_request;
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
    /// What is asked of the run first: [`Control::Retry`] and [`Control::Skip`]. A retry takes up a run again that has
    /// ended with failed workers.
    pub first: Vec<Control>,
    /// What becomes of commands that may or may not have run, where no worker is named; `None`: they stay undecided.
    pub in_doubt: Option<Resolution>,
    /// The same for single workers, by their hosts.
    pub in_doubt_of: Vec<(String, Resolution)>,
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
            first: Vec::new(),
            in_doubt: None,
            in_doubt_of: Vec::new(),
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
                let runs = Location::of(&site.bucket)?;
                runs.take_over(&holder(Some(&id)), from == TakeOver::Elsewhere)?
            }
        };
        if journal.is_shared() && !journal.state(&id)?.is_final() {
            // First: whoever had the run before adds nothing to what is read now.
            journal.raise_epoch(&id)?;
        }
        let mut stored = Stored::load(&journal, id)?;
        let in_doubt = doubt_answers(&stored, &resume)?;
        let mut state = stored.replay(Options::default())?;
        let at = now();
        let mut asked = Vec::new();
        for verb in &resume.first {
            let request = (at, verb, resume.by.as_str());
            asked.extend(facts_of_request(&journal, &site.bucket, &stored.id, &mut state, request)?);
        }
        refuse_at_rest(&stored.id, &state)?;
        // Whom it tells has to be known before anything is recorded.
        site.bucket.notify()?;
        let (changes, workspace) = changes(&site.bucket, &stored.header)?;
        let has_changed = changes.iter().any(|change| matches!(change, Change::Workspace(_)));
        if has_changed && !resume.accept_changes {
            return Err(RunError::WorkspaceChanged { run: stored.id, changes });
        }
        if !asked.is_empty() {
            let mut writer = journal.writer(&stored.id, stored.epoch, stored.last_seq())?;
            stored.facts.extend(writer.append(at, &asked, None)?);
        }
        stored.epoch = journal.raise_epoch(&stored.id)?;
        let first = vec![Fact::Resumed { by: resume.by, fresh_process: true, bundle: None }];
        let run = Self::continued(site, journal, lock, stored, first)?;
        Ok(Self { workspace, changes, in_doubt, ..run })
    }
}

/// What was said of attempts in doubt, by worker.
fn doubt_answers(stored: &Stored, resume: &Resume) -> Result<DoubtAnswers, RunError> {
    let mut answers = DoubtAnswers::from(resume.in_doubt);
    for (host, how) in &resume.in_doubt_of {
        let graph = &stored.graph;
        let target = graph.target_indices().find(|target| graph.host(*target) == host);
        let unknown = || RunError::UnknownWorker { run: stored.id.clone(), host: host.clone() };
        answers.of.insert(target.ok_or_else(unknown)?, *how);
    }
    Ok(answers)
}

/// A run that has ended, or that would halt again at once.
fn refuse_at_rest(run: &RunId, state: &RunState) -> Result<(), RunError> {
    let run = run.clone();
    match state.status() {
        RunStatus::Finished(end) => {
            let failed = |target: &TargetIx| {
                state.public_worker_state(*target) == PublicWorkerState::Failed
                    && state.objection_to_retry(*target).is_none()
            };
            let failed = state.graph().target_indices().filter(failed).count();
            Err(RunError::Finished { run, end, failed })
        }
        RunStatus::Halted(_) => match state.failures() {
            (failed, allowed) if failed > allowed => Err(RunError::Halted { run, failed, allowed }),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
