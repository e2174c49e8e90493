//! The controllers of a rehearsal's run, one after the other: applied, killed, resumed, approved, until the run
//! is at rest.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::mpsc::Receiver;

use crate::journal::{Journal, Mode};
use crate::os::signals::Signal;
use crate::ssh::Cancel;

use super::child::{self, RESUMABLE};
use super::{RehearsalError, RehearsalOptions, Stage};

/// A plan whose gates keep closing is approved at most this often.
const APPROVALS: u32 = 1000;

/// What follows a controller that was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// Another one resumes the run.
    Resumes,
    /// The run had no name yet: the plan is applied again.
    StartsAgain,
    /// None: the run had ended.
    None,
}

/// How the run was carried out.
pub(super) struct Carried {
    /// The exit code of the last command; `None`: a signal ended it.
    pub(super) exit: Option<i32>,
    /// How many controllers were killed.
    pub(super) kills: u32,
}

/// What the controllers have in common.
pub(super) struct Controllers<'a> {
    pub(super) bucket: &'a Path,
    /// The plan, in that bucket.
    pub(super) plan_file: PathBuf,
    pub(super) options: &'a RehearsalOptions,
    pub(super) cancel: &'a Cancel,
    pub(super) signals: &'a Receiver<Signal>,
}

impl Controllers<'_> {
    /// Applies and resumes until the run is at rest.
    pub(super) fn carry_out(&self, show: &mut dyn FnMut(Stage)) -> Result<Carried, RehearsalError> {
        let plan_file = self.plan_file.to_string_lossy();
        let mut apply = vec!["plan", "apply", &plan_file, "--yes"];
        let sets: Vec<String> =
            self.options.overrides.iter().map(|(name, value)| format!("--set={name}={value}")).collect();
        apply.extend(sets.iter().map(String::as_str));
        let kill_at = self.options.kill_controller;
        let mut status = self.child(&apply, kill_at)?;
        let mut kills = 0;
        for _ in 0..APPROVALS {
            if self.cancel.is_cancelled() {
                break;
            }
            if status.signal().is_some() {
                kills += 1;
                let replacement = self.replacement();
                show(Stage::Killed(replacement));
                status = match replacement {
                    Replacement::Resumes => self.child(&["plan", "resume"], None)?,
                    Replacement::StartsAgain => self.child(&apply, None)?,
                    Replacement::None => break,
                };
            } else if status.code() == Some(RESUMABLE) && self.child(&["plan", "approve"], None)?.success() {
                status = self.child(&["plan", "resume"], None)?;
            } else {
                break;
            }
        }
        if let Some(at) = kill_at.filter(|_| kills == 0 && !self.cancel.is_cancelled()) {
            show(Stage::NotKilled { at });
        }
        Ok(Carried { exit: status.code(), kills })
    }

    fn child(&self, arguments: &[&str], crash: Option<u64>) -> Result<ExitStatus, RehearsalError> {
        child::run(self.bucket, arguments, &self.options.child_flags, crash, self.signals)
    }

    /// By what there is of the rehearsal's one run.
    fn replacement(&self) -> Replacement {
        let Ok(journal) = Journal::open(&self.bucket.join("data"), Mode::ReadOnly) else {
            return Replacement::StartsAgain;
        };
        match (journal.unfinished(), journal.find(None)) {
            (Ok(Some(_)), _) => Replacement::Resumes,
            (_, Ok(_)) => Replacement::None,
            _ => Replacement::StartsAgain,
        }
    }
}
