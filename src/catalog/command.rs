//! `run_command`: a user's shell text on many workers, a few at a time, with honest outcomes.
//!
//! This module knows the transport and how a reboot looks from outside.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod lines;
mod one;
mod reboot_intent;
mod window;

pub use window::run_command;

use std::time::Duration;

use crate::bucket::Host;
use crate::plan::duration;
use crate::ssh::Stream;

/// What is to be run where.
#[derive(Clone, Debug)]
pub struct CommandRequest {
    /// In this order.
    pub hosts: Vec<Host>,
    /// Shell text of the user's own.
    pub command: String,
    /// `BUCKET_ID` for the command.
    pub bucket_id: String,
    /// How many workers at a time; at least 1.
    pub concurrency: usize,
    /// Start further workers after a failure, too.
    pub keep_going: bool,
    /// Of the command on one worker.
    pub timeout: Duration,
    /// The worker ends it then by itself, also when we are gone by then.
    pub watchdog: bool,
    /// Maximum time for a worker that went down to come back.
    pub back_within: Duration,
    /// Instead of a sliding window: whole batches, with a check after each.
    pub batches: bool,
}

/// A worker that was cut off by the command itself, or told to reboot, has this long to come back.
pub const BACK_WITHIN: Duration = Duration::from_secs(600);

/// Sees what happens as it happens; called from several threads at once.
pub trait Observer: Sync {
    /// The command is sent to this worker.
    fn started(&self, host: &Host);
    /// It printed whole lines, separated by line feeds, without one at the end.
    fn lines(&self, host: &Host, stream: Stream, lines: &str);
    /// Something to know about this worker that it did not print.
    fn note(&self, host: &Host, text: &str);
    /// It is done with.
    fn finished(&self, result: &CommandResult);
    /// A batch is done, and all of it well; `Err` says why nothing further is started.
    fn after_batch(&self) -> Result<(), String>;
}

/// The result on one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandResult {
    /// The worker that the command was for.
    pub host: Host,
    /// How it went.
    pub outcome: CommandOutcome,
    /// From the first try to connect to the end.
    pub took: Duration,
}

/// How a command ended on one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum CommandOutcome {
    /// Exit code 0, and where it spoke of a reboot none was seen.
    Succeeded,
    /// The worker is back with another boot id.
    Rebooted {
        /// The new one.
        boot_id: String,
    },
    /// Another exit code.
    Failed {
        /// The exit code.
        code: i32,
    },
    /// The worker is there and has not run it: sudo refused, or a shell is missing.
    NotRun {
        /// What the worker said.
        why: String,
    },
    /// It was to reboot and has not: the boot id is as it was.
    NotRebooted {
        /// What was seen.
        why: String,
    },
    /// It went away and has not come back in time.
    NotBack {
        /// The last error.
        why: String,
    },
    /// It took longer than allowed and was ended.
    TimedOut {
        /// The time that it was allowed.
        after: Duration,
    },
    /// It could not be reached; nothing was sent.
    Unreachable {
        /// The error of the connection.
        why: String,
    },
    /// Something was sent and its end was not seen.
    Unknown {
        /// What cut it off.
        why: String,
    },
    /// Its turn did not come.
    NotStarted {
        /// What stopped the operation before.
        why: String,
    },
}

impl CommandOutcome {
    /// Whether it went well.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Rebooted { .. })
    }

    /// One word for tables and programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Succeeded => "ok",
            Self::Rebooted { .. } => "rebooted",
            Self::Failed { .. } => "failed",
            Self::NotRun { .. } => "not_run",
            Self::NotRebooted { .. } => "not_rebooted",
            Self::NotBack { .. } => "not_back",
            Self::TimedOut { .. } => "timed_out",
            Self::Unreachable { .. } => "unreachable",
            Self::Unknown { .. } => "unknown",
            Self::NotStarted { .. } => "not_started",
        }
    }

    /// What else there is to say; empty where the word says all.
    pub fn detail(&self) -> String {
        match self {
            Self::Succeeded => String::new(),
            Self::Rebooted { boot_id } => format!("new boot id {boot_id}"),
            Self::Failed { code } => format!("exit code {code}"),
            Self::TimedOut { after } => format!("ended after {}", duration(*after)),
            Self::NotRun { why }
            | Self::NotRebooted { why }
            | Self::NotBack { why }
            | Self::Unreachable { why }
            | Self::Unknown { why }
            | Self::NotStarted { why } => why.clone(),
        }
    }
}
