//! One step of one lane: what it is doing, and what it has cost so far.

use super::super::backoff::RECHECKS;
use super::super::{AttemptId, Intent, Millis, StepError};
use super::RebootState;

/// What one step is doing.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) enum StepStatus {
    /// Not issued, or to be issued again.
    Pending,
    /// Issued.
    InFlight(AttemptId),
    /// An attempt ended badly, and what follows is not decided yet.
    Ended(Box<Ended>),
    /// Issued by a controller that is gone.
    Orphaned(AttemptId),
    /// An operator has to say whether it ran.
    InDoubt(AttemptId),
    /// To be issued again then.
    BackingOff { due: Millis },
    /// Waits for its time, or for an operator.
    Gated(Box<Gate>),
    /// Nothing was done and no worker is to blame: issued again when the run is resumed.
    Postponed,
    /// Ended well.
    Done,
    /// Its `when` does not hold here, or an operator said to continue without it.
    Skipped,
    /// Failed, and `on_failure: ignore`.
    Ignored,
    /// Failed for good.
    Failed,
}

/// An attempt that ended badly.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Ended {
    pub(in crate::engine) attempt: AttemptId,
    pub(in crate::engine) error: StepError,
    /// Whether it was done is not known.
    pub(in crate::engine) unknown: bool,
}

/// What a step waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::engine) struct Gate {
    /// Its time; `None`: an operator.
    pub(in crate::engine) opens: Option<Millis>,
    pub(in crate::engine) expires: Option<Millis>,
}

impl StepStatus {
    /// The gate that an operator has to open.
    pub(in crate::engine) fn approval(&self) -> Option<&Gate> {
        match self {
            Self::Gated(gate) if gate.opens.is_none() => Some(gate),
            _ => None,
        }
    }

    /// Whether steps that need this one may run.
    pub(in crate::engine) fn satisfies(&self) -> bool {
        matches!(self, Self::Done | Self::Skipped | Self::Ignored)
    }

    /// In words.
    pub(in crate::engine) fn describe(&self) -> &'static str {
        match self {
            Self::Pending => "not started",
            Self::InFlight(_) => "in progress",
            Self::Ended(_) => "failed, not decided yet",
            Self::Orphaned(_) => "answer lost",
            Self::InDoubt(_) => "in doubt: an operator has to decide",
            Self::BackingOff { .. } => "waits for its next attempt",
            Self::Gated(gate) if gate.opens.is_none() => "waits for an approval",
            Self::Gated(_) => "waits",
            Self::Postponed => "held until the run is resumed",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Ignored => "failed, ignored",
            Self::Failed => "failed",
        }
    }
}

/// One step of a lane.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct StepState {
    status: StepStatus,
    /// Attempts that were spent since the start or the last retry by an operator.
    tries: u32,
    /// Unknown outcomes that were looked at again without spending an attempt.
    rechecks: u8,
    /// It was issued at least once: it may have changed something.
    was_issued: bool,
    /// Of a reboot step.
    reboot: Option<Box<RebootState>>,
}

// Two of them in a cache line.
const _: () = assert!(size_of::<StepState>() <= 32);

impl StepState {
    pub(in crate::engine) fn new(applies: bool, is_reboot: bool) -> Self {
        Self {
            status: if applies { StepStatus::Pending } else { StepStatus::Skipped },
            tries: 0,
            rechecks: 0,
            was_issued: false,
            reboot: is_reboot.then(Box::default),
        }
    }

    pub(in crate::engine) fn status(&self) -> &StepStatus {
        &self.status
    }

    pub(in crate::engine) fn set(&mut self, status: StepStatus) {
        self.status = status;
    }

    pub(in crate::engine) fn tries(&self) -> u32 {
        self.tries
    }

    /// Whether its last unknown outcome was to be looked at again for nothing.
    pub(in crate::engine) fn is_rechecked(&self) -> bool {
        (1..=RECHECKS).contains(&self.rechecks)
    }

    pub(in crate::engine) fn was_issued(&self) -> bool {
        self.was_issued
    }

    pub(in crate::engine) fn reboot(&self) -> Option<&RebootState> {
        self.reboot.as_deref()
    }

    pub(in crate::engine) fn reboot_mut(&mut self) -> Option<&mut RebootState> {
        self.reboot.as_deref_mut()
    }

    pub(in crate::engine) fn issue(&mut self, at: Millis, attempt: AttemptId, intent: &Intent) {
        self.status = StepStatus::InFlight(attempt);
        self.was_issued |= *intent != Intent::ReadBootId;
        if let (Intent::Reboot { .. }, Some(reboot)) = (intent, &mut self.reboot) {
            reboot.issued(at);
        }
    }

    pub(in crate::engine) fn succeed(&mut self) {
        self.status = StepStatus::Done;
        self.rechecks = 0;
    }

    /// What was ordered for the worker that it waits for is over: it waits anew, with all its attempts.
    pub(in crate::engine) fn wait_anew(&mut self) {
        self.reset();
    }

    /// An attempt ended badly. An answer that was `lost` costs no attempt for the first few times.
    pub(in crate::engine) fn end(&mut self, ended: Ended, lost: bool) {
        if lost && self.rechecks < RECHECKS {
            self.rechecks += 1;
        } else {
            self.tries += 1;
        }
        self.status = StepStatus::Ended(Box::new(ended));
    }

    /// Pending again, with all its attempts.
    pub(in crate::engine) fn reset(&mut self) {
        (self.status, self.tries, self.rechecks) = (StepStatus::Pending, 0, 0);
    }

    /// A reboot that did not happen is entered again, with the same B0.
    pub(in crate::engine) fn enter_reboot_again(&mut self) {
        self.status = StepStatus::Pending;
        self.void_receipt();
    }

    pub(in crate::engine) fn void_receipt(&mut self) {
        if let Some(reboot) = &mut self.reboot {
            reboot.next_generation();
        }
    }
}
