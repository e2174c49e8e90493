//! What a worker is doing, in as many kinds as a picture has colours.

use super::BarKind;
use crate::plan::StepKind;

/// What a bar is about, by what its step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activity {
    /// Disabling, enabling, job control.
    Drain,
    /// Building and deploying.
    Deploy,
    /// Sending a reboot and watching the worker leave.
    Reboot,
    /// Waiting for a worker to come back.
    Return,
    /// Asking whether jobs are well.
    Health,
    /// Commands.
    Command,
    /// Waiting for an operator.
    Approval,
    /// A pause, or the time until the next attempt.
    Idle,
    /// Undoing a step.
    Undo,
}

impl Activity {
    /// All of them, in the order of a legend.
    pub const ALL: [Self; 9] = [
        Self::Drain,
        Self::Deploy,
        Self::Reboot,
        Self::Return,
        Self::Health,
        Self::Command,
        Self::Approval,
        Self::Idle,
        Self::Undo,
    ];

    /// Of a bar of this step.
    pub fn of(kind: BarKind, step: &StepKind) -> Self {
        match (kind, step) {
            (BarKind::Backoff | BarKind::Pause, _) => Self::Idle,
            (BarKind::Approval, _) => Self::Approval,
            (BarKind::Undo, _) => Self::Undo,
            (BarKind::Attempt, StepKind::Reboot { .. }) => Self::Reboot,
            (BarKind::Attempt, StepKind::WaitForSsh { .. }) => Self::Return,
            (BarKind::Attempt, StepKind::Deploy { .. } | StepKind::Build) => Self::Deploy,
            (BarKind::Attempt, StepKind::Health { .. } | StepKind::SyncCheck { .. } | StepKind::Gate(_)) => {
                Self::Health
            }
            (BarKind::Attempt, StepKind::Run(_) | StepKind::Local(_) | StepKind::Http(_)) => Self::Command,
            (BarKind::Attempt, _) => Self::Drain,
        }
    }

    /// As in JSON and in the classes of a page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Deploy => "deploy",
            Self::Reboot => "reboot",
            Self::Return => "return",
            Self::Health => "health",
            Self::Command => "command",
            Self::Approval => "approval",
            Self::Idle => "idle",
            Self::Undo => "undo",
        }
    }

    /// In a few words, for a legend.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Drain => "disable, enable, job control",
            Self::Deploy => "build, deploy",
            Self::Reboot => "reboot",
            Self::Return => "wait for SSH",
            Self::Health => "health",
            Self::Command => "commands",
            Self::Approval => "waits for an approval",
            Self::Idle => "pause, next attempt",
            Self::Undo => "undo",
        }
    }
}
