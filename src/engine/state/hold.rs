//! What holds a run back, whatever phase it is in: an abort, a signal, a pause, a halt.
//!
//! They may hold at the same time. An abort ends the run and begins nothing; of the others the strongest
//! decides, in the order of [`Held`].

use super::super::HaltReason;
use super::run_chart::RunPhase;

/// Everything that holds a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine) struct Hold {
    /// `Some(revert)`.
    aborted: Option<bool>,
    interrupted: bool,
    paused: Option<String>,
    /// A step was not done and no worker is to blame: the next fact is a pause, for this reason.
    wanted: Option<String>,
    /// With the phase in which it stopped.
    halted: Option<(HaltReason, RunPhase)>,
}

/// Why a run does not continue, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::engine) enum Held<'a> {
    /// A signal: steps in flight finish, no further one is issued.
    Interrupted,
    /// Nobody is admitted; workers that have started go to their end.
    Paused(&'a str),
    /// As paused, and no wave or lane of the run itself begins.
    Halted(&'a HaltReason),
}

impl Hold {
    pub(in crate::engine) fn strongest(&self) -> Option<Held<'_>> {
        if self.interrupted {
            return Some(Held::Interrupted);
        }
        let paused = self.paused.as_deref().map(Held::Paused);
        paused.or_else(|| self.halted.as_ref().map(|(reason, _)| Held::Halted(reason)))
    }

    /// Whether workers may be admitted, as far as this goes.
    pub(in crate::engine) fn admits(&self) -> bool {
        self.paused.is_none() && !self.interrupted && self.aborted.is_none()
    }

    pub(in crate::engine) fn pause(&mut self, reason: &str) {
        self.paused = Some(reason.to_owned());
        self.wanted = None;
    }

    pub(in crate::engine) fn paused(&self) -> Option<&str> {
        self.paused.as_deref()
    }

    pub(in crate::engine) fn want_pause(&mut self, reason: &str) {
        self.wanted = Some(reason.to_owned());
    }

    pub(in crate::engine) fn wanted_pause(&self) -> Option<&str> {
        self.wanted.as_deref()
    }

    pub(in crate::engine) fn interrupt(&mut self) {
        self.interrupted = true;
    }

    pub(in crate::engine) fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// The end of a pause and of a signal; a halt and an abort remain.
    pub(in crate::engine) fn resume(&mut self) {
        (self.paused, self.wanted, self.interrupted) = (None, None, false);
    }

    pub(in crate::engine) fn halt(&mut self, reason: &HaltReason, phase: RunPhase) {
        self.halted = Some((reason.clone(), phase));
    }

    /// Why the run halted, and in which phase.
    pub(in crate::engine) fn halted(&self) -> Option<&(HaltReason, RunPhase)> {
        self.halted.as_ref()
    }

    pub(in crate::engine) fn unhalt(&mut self) {
        self.halted = None;
    }

    pub(in crate::engine) fn abort(&mut self, revert: bool) {
        self.aborted = Some(revert);
    }

    pub(in crate::engine) fn is_aborted(&self) -> bool {
        self.aborted.is_some()
    }

    /// Whether workers that had started are put back by the abort.
    pub(in crate::engine) fn reverts(&self) -> bool {
        self.aborted == Some(true)
    }
}
