//! How an attempt has ended, and how a success is known. Stored within facts: spellings never change.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Millis, StepError};
use crate::plan::without_error_numbers;

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was seen to be done.
    Ok {
        /// How that is known.
        evidence: Evidence,
    },
    /// It is known not to be done.
    Failed {
        /// What is wrong, and what the next attempt depends on.
        error: StepError,
    },
    /// It was sent, and the answer was lost.
    Unknown {
        /// What became of the connection.
        why: String,
        /// The boot in which the worker was seen afterwards, where that is another one than the step began in: the
        /// worker has booted by itself, and what the step had begun is not running any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_id: Option<String>,
    },
    /// It took longer than its time-out.
    TimedOut {
        /// The time-out, in milliseconds.
        after: Millis,
        /// What was under way.
        doing: String,
    },
    /// The worker has booted anew, and is not as the plan expects it to be after a reboot.
    Unexpected {
        /// Its new boot id: the reboot itself was seen.
        boot_id: String,
        /// What it has booted, where that could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kernel: Option<BootedKernel>,
        /// What was expected and is not so.
        error: StepError,
    },
    /// Nothing was done, and no worker is to blame: a build failed, a lock is held, the workspace has
    /// changed. The run pauses.
    NotDone {
        /// Becomes the reason of the pause.
        reason: String,
    },
}

impl Outcome {
    /// A success with a note of one line, without secrets.
    pub fn noted(text: impl Into<String>) -> Self {
        Self::Ok { evidence: Evidence::note(text) }
    }

    /// The boot in which the worker was seen.
    pub fn boot_seen(&self) -> Option<&str> {
        match self {
            Self::Ok {
                evidence:
                    Evidence::BootId { boot_id, .. }
                    | Evidence::Rebooted { boot_id }
                    | Evidence::Back { boot_id, .. },
            }
            | Self::Unexpected { boot_id, .. } => Some(boot_id),
            Self::Unknown { boot_id, .. } => boot_id.as_deref(),
            _ => None,
        }
    }

    /// It was sent, and nothing more is known than `why`.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: without_error_numbers(&why.into()), boot_id: None }
    }
}

/// How a success is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "seen", rename_all = "snake_case")]
pub enum Evidence {
    /// A note for the log, and nothing that a decision reads.
    #[serde(rename = "said")]
    Note {
        /// One line, without secrets.
        text: String,
    },
    /// A boot id.
    BootId {
        /// As read.
        boot_id: String,
        /// The kernel that runs in this boot, where it could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kernel: Option<String>,
    },
    /// Nothing had to be done (`unless` said so).
    NotNeeded {
        /// By what that is known, where more than an exit code is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// `disabled.json` has the entries; these are this run's own.
    Disabled {
        /// The worker itself (`None`) or a job on it.
        own: Vec<Option<String>>,
        /// Entries that an operator had put there already.
        others: Vec<Option<String>>,
    },
    /// A boot id other than B0 was seen.
    Rebooted {
        /// The new one.
        boot_id: String,
    },
    /// The worker has gone away; only `wait_for_ssh` turns this into a verified reboot.
    Departed,
    /// A forced reset was ordered, and the worker's BMC has taken the order: nothing more is known by that.
    PowerCycled {
        /// Which BMC, by its address.
        bmc: String,
        /// The kind of reset, as Redfish names it.
        reset: String,
        /// The state of power before, as the BMC says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        power: Option<String>,
        /// The last reset before, as the BMC says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_reset: Option<String>,
    },
    /// No reset was ordered: just before it somebody has answered at the worker.
    Answers {
        /// What was seen.
        what: String,
    },
    /// The worker is back and has stayed so through the settle time.
    Back {
        /// Its boot id.
        boot_id: String,
        /// What it has booted after a reboot, where that could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kernel: Option<BootedKernel>,
    },
}

/// The kernel that a worker has come back on, and those that it could have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BootedKernel {
    /// The kernel that runs: `uname -r`.
    pub running: String,
    /// The one that ran before the reboot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The newest one installed of its flavour, where that is newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer: Option<String>,
    /// The one that the boot loader starts by itself, as far as its files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

impl BootedKernel {
    /// What an operator would not expect after a reboot: a newer kernel is installed. `None`: nothing.
    pub fn notice(&self) -> Option<String> {
        let newer = self.newer.as_deref()?;
        let running = &self.running;
        let why = match self.default.as_deref() {
            Some(default) if default == running => format!("; {default} is what its boot loader starts"),
            Some(default) => format!("; its boot loader would start {default}"),
            None => String::new(),
        };
        Some(format!("came back on {running}, though {newer} is installed{why}"))
    }

    /// In a few words: `kernel 6.1.0-57-amd64, before 6.1.0-52-amd64`.
    pub fn describe(&self) -> String {
        match self.before.as_deref() {
            Some(before) if before != self.running => format!("kernel {}, before {before}", self.running),
            Some(_) => format!("kernel {}, as before", self.running),
            None => format!("kernel {}", self.running),
        }
    }
}

impl Evidence {
    /// A note of one line, without secrets.
    pub fn note(text: impl Into<String>) -> Self {
        Self::Note { text: text.into() }
    }
}
