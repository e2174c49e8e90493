//! The one vocabulary in which others are told how a run and its workers are, and the one projection to it:
//! status, explanations, lists and events use no other.

use schemars::JsonSchema;
use serde::Serialize;

use super::run_state::RunState;
use super::state::{Presence, WorkerState};
use super::{RunEnd, RunStatus};
use crate::graph::TargetIx;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PublicRunState {
    /// A controller is at work.
    Running,
    /// Only an operator can continue it: an approval, a decision about an attempt in doubt.
    Waiting,
    /// Paused by an operator, or because something has to be put right.
    Paused,
    /// The controller was stopped or is gone.
    Interrupted,
    /// It cannot continue by itself, for example after too many failures.
    Halted,
    /// All workers succeeded.
    Succeeded,
    /// It went to its end, and not all is well.
    Failed,
    /// An operator ended it.
    Aborted,
}

impl PublicRunState {
    /// Each of them once.
    pub const ALL: [Self; 8] = [
        Self::Running,
        Self::Waiting,
        Self::Paused,
        Self::Interrupted,
        Self::Halted,
        Self::Succeeded,
        Self::Failed,
        Self::Aborted,
    ];

    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Interrupted => "interrupted",
            Self::Halted => "halted",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }

    /// What [`PublicRunState::as_str`] has said.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// What [`RunState::status`] comes to. A run that is busy and `orphaned` (no process carries it out) is
    /// interrupted.
    pub fn of(status: &RunStatus, orphaned: bool) -> Self {
        match status {
            RunStatus::Busy if orphaned => Self::Interrupted,
            RunStatus::Busy => Self::Running,
            RunStatus::WaitsForOperator { .. } => Self::Waiting,
            RunStatus::Paused(_) => Self::Paused,
            RunStatus::Interrupted => Self::Interrupted,
            RunStatus::Halted(_) => Self::Halted,
            RunStatus::Finished(end) => (*end).into(),
        }
    }

    /// Nothing can change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Aborted)
    }
}

impl From<RunEnd> for PublicRunState {
    fn from(end: RunEnd) -> Self {
        match end {
            RunEnd::Succeeded => Self::Succeeded,
            RunEnd::Failed => Self::Failed,
            RunEnd::Aborted => Self::Aborted,
        }
    }
}

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PublicWorkerState {
    /// Its turn has not come.
    Queued,
    /// Steps are under way.
    Running,
    /// A failed step waits for its next try.
    Retrying,
    /// The answer of a step was lost, and is being looked for; maybe an operator has to decide.
    InDoubt,
    /// A `pause` or `approve` step.
    Waiting,
    /// Held between two steps.
    Held,
    /// Its steps are being undone.
    Reverting,
    /// All steps ended well.
    Succeeded,
    /// Failed; it is as the failure left it.
    Failed,
    /// Failed, and as it was before.
    Reverted,
    /// Taken out by an operator.
    Skipped,
    /// An operator had disabled it before: nothing was done to it.
    LeftAlone,
    /// The run was aborted.
    Cancelled,
}

impl PublicWorkerState {
    /// Each of them once.
    pub const ALL: [Self; 13] = [
        Self::Queued,
        Self::Running,
        Self::Retrying,
        Self::InDoubt,
        Self::Waiting,
        Self::Held,
        Self::Reverting,
        Self::Succeeded,
        Self::Failed,
        Self::Reverted,
        Self::Skipped,
        Self::LeftAlone,
        Self::Cancelled,
    ];

    /// As in JSON, with spaces.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::InDoubt => "in doubt",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Reverting => "reverting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Reverted => "reverted",
            Self::Skipped => "skipped",
            Self::LeftAlone => "left alone",
            Self::Cancelled => "cancelled",
        }
    }

    /// What is to be said of a worker: `{host} has failed`.
    pub fn predicate(self) -> &'static str {
        match self {
            Self::Queued => "is queued",
            Self::Running => "is running",
            Self::Retrying => "waits for its next attempt",
            Self::InDoubt => "is in doubt",
            Self::Waiting => "waits",
            Self::Held => "is held",
            Self::Reverting => "is being reverted",
            Self::Succeeded => "has succeeded",
            Self::Failed => "has failed",
            Self::Reverted => "was reverted",
            Self::Skipped => "was skipped",
            Self::LeftAlone => "is left alone",
            Self::Cancelled => "was cancelled",
        }
    }

    /// Started and not ended.
    pub fn is_active(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Retrying | Self::InDoubt | Self::Waiting | Self::Held | Self::Reverting
        )
    }
}

impl RunState {
    /// How a worker is, for others.
    pub fn public_worker_state(&self, target: TargetIx) -> PublicWorkerState {
        let worker = self.known.lanes.worker(target);
        match worker.state() {
            WorkerState::Queued => PublicWorkerState::Queued,
            WorkerState::Stepping => PublicWorkerState::Running,
            WorkerState::BackingOff => PublicWorkerState::Retrying,
            WorkerState::Resolving => PublicWorkerState::InDoubt,
            WorkerState::Awaiting => PublicWorkerState::Waiting,
            WorkerState::Held => PublicWorkerState::Held,
            WorkerState::Reverting => PublicWorkerState::Reverting,
            WorkerState::Succeeded => PublicWorkerState::Succeeded,
            WorkerState::Failed => PublicWorkerState::Failed,
            WorkerState::Reverted => PublicWorkerState::Reverted,
            WorkerState::Skipped if worker.presence() == Presence::LeftAlone => PublicWorkerState::LeftAlone,
            WorkerState::Skipped => PublicWorkerState::Skipped,
            WorkerState::Cancelled => PublicWorkerState::Cancelled,
        }
    }
}
