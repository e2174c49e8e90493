//! How an attempt has ended, and how a success is known. Stored within facts: spellings never change.

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
                    Evidence::BootId { boot_id } | Evidence::Rebooted { boot_id } | Evidence::Back { boot_id },
            } => Some(boot_id),
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
    },
    /// Nothing had to be done (`unless` said so).
    NotNeeded,
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
    /// The worker is back and has stayed so through the settle time.
    Back {
        /// Its boot id.
        boot_id: String,
    },
}

impl Evidence {
    /// A note of one line, without secrets.
    pub fn note(text: impl Into<String>) -> Self {
        Self::Note { text: text.into() }
    }
}
