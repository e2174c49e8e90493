//! The values of labels. All are of lists that end: a Prometheus keeps a series for each combination.

use crate::engine::{Evidence, Outcome};
use crate::timeline::WaitKind;

/// How an attempt of a step has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// Well.
    Ok,
    /// Well, as nothing had to be done.
    NotNeeded,
    /// It failed.
    Failed,
    /// It took longer than its time-out.
    TimedOut,
    /// Nothing was done, and no worker is to blame.
    NotDone,
    /// Its answer was lost.
    Unknown,
}

impl Ended {
    /// Each of them once.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::NotNeeded, Self::Failed, Self::TimedOut, Self::NotDone, Self::Unknown];

    /// By what is known of an attempt.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Ok { evidence: Evidence::NotNeeded { .. } } => Self::NotNeeded,
            Outcome::Ok { .. } => Self::Ok,
            Outcome::Failed { .. } | Outcome::Unexpected { .. } => Self::Failed,
            Outcome::TimedOut { .. } => Self::TimedOut,
            Outcome::NotDone { .. } => Self::NotDone,
            Outcome::Unknown { .. } => Self::Unknown,
        }
    }

    /// As a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotNeeded => "not_needed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::NotDone => "not_done",
            Self::Unknown => "unknown",
        }
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// By the next worker in line: a limit of the rollout.
    Queue(WaitKind),
    /// By a run: the time between two waves.
    Soak,
    /// By a step: its next attempt.
    Backoff,
    /// By a step: a pause that the plan asks for.
    PauseStep,
    /// By a step: an operator's approval.
    Approval,
    /// By a step: an operator says whether a command ran.
    Decision,
}

impl Wait {
    /// Each of them once.
    pub const ALL: [Self; 14] = [
        Self::Queue(WaitKind::Concurrency),
        Self::Queue(WaitKind::Wave),
        Self::Queue(WaitKind::Spread),
        Self::Queue(WaitKind::Budget),
        Self::Queue(WaitKind::Observation),
        Self::Queue(WaitKind::Window),
        Self::Queue(WaitKind::Failures),
        Self::Queue(WaitKind::Preparation),
        Self::Queue(WaitKind::Paused),
        Self::Soak,
        Self::Backoff,
        Self::PauseStep,
        Self::Approval,
        Self::Decision,
    ];

    /// As a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue(kind) => kind.as_str(),
            Self::Soak => "soak",
            Self::Backoff => "backoff",
            Self::PauseStep => "pause_step",
            Self::Approval => "approval",
            Self::Decision => "decision",
        }
    }
}
