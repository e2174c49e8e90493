//! Why a step failed: the kinds that a report or a decision tells apart. Part of the vocabulary of facts;
//! it must not know how a failure is found.

use serde::{Deserialize, Serialize};

use crate::plan::without_error_numbers;

/// A failure, as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepError {
    /// What decisions depend on.
    pub kind: ErrorKind,
    /// One sentence that names the worker, without a full stop.
    pub message: String,
    /// The last lines of output, where there was some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

impl StepError {
    /// Without output.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: without_error_numbers(&message.into()), output: None }
    }
}

/// Kinds of errors that a report or a decision tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it, as far as no comment does")]
pub enum ErrorKind {
    Refused,
    Unreachable,
    TimedOut,
    Handshake,
    /// Final at once.
    HostKeyChanged,
    /// Final at once.
    HostKeyUnknown,
    AuthRefused,
    NoLogin,
    SudoWantsPassword,
    BootIdUnreadable,
    /// Two names for one host, or the controller itself.
    SameHost,
    /// A tool is missing on the worker.
    MissingTool,
    /// Another run's claim. Final at once.
    Claimed,
    /// A newer controller has taken over. Final at once.
    Fenced,
    /// The worker knows facts of the run that the journal does not have. Final at once.
    JournalBehind,
    /// A reboot command of another run still runs on the worker, or a shutdown is scheduled there.
    RebootPending,
    /// The worker cannot tell whether it needs a reboot.
    CannotTell,
    /// The reboot command was accepted, and the worker neither went away nor changed its boot id.
    NotRebooted,
    /// It has rebooted, and is not as the plan expects it to be afterwards. Final at once: looking again changes nothing.
    UnexpectedBoot,
    /// The boot id changed again while settling. Final at once.
    CrashLoop,
    /// Came back with the services still starting, or failing to.
    NotSettled,
    /// A command or Makefile target ended with another code than 0.
    Command,
    /// Deploy or job control failed on the worker.
    Catalog,
    Unhealthy,
    OutOfSync,
    /// The answer was lost, and looking did not help either.
    Unknown,
    /// What a gate measured is beyond its limit.
    GateFailed,
    /// A gate could not be measured, or said nothing, until its time was over.
    GateInconclusive,
    /// An approval did not come in time.
    NotApproved,
    /// The plan's order does not allow it (nothing follows a reboot before the boot is verified).
    Unverified,
    /// The controller itself: its disk, its programs.
    Controller,
}

impl ErrorKind {
    /// Nobody answers at the worker: nothing listens, or nothing comes back.
    pub fn is_away(self) -> bool {
        matches!(self, Self::Refused | Self::Unreachable | Self::TimedOut)
    }

    /// Whether another attempt cannot help until an operator has acted.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::HostKeyChanged
                | Self::HostKeyUnknown
                | Self::CrashLoop
                | Self::UnexpectedBoot
                | Self::SudoWantsPassword
                | Self::Claimed
                | Self::Fenced
                | Self::JournalBehind
                | Self::SameHost
                | Self::Unverified
                | Self::NotApproved
        )
    }
}
