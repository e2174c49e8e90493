//! Why a script was not run, in words that say what to do on the worker.

use super::Captured;
use super::cause::{Cause, missing_tools, sudo_cause};
use super::group::{FENCED, NO_STATE};

/// Why a script was not run; certain, as the worker said so before the script began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRun {
    /// sudo wants a password, is not there, or its rules forbid it.
    #[error("sudo refused")]
    Sudo,
    /// The [`Shell`](super::Shell) of the script is missing there.
    #[error("the shell is not installed there")]
    NoShell,
    /// The state folder cannot be made or written (a full disk, a read-only one).
    #[error("the state folder cannot be written")]
    NoState,
    /// `flock` (util-linux) is missing there.
    #[error("flock is not installed there")]
    NoFlock,
    /// Another script held the worker's lock for the whole deadline.
    #[error("another script held the worker's lock all the time")]
    Locked,
    /// Not a script that can be sent: NUL in it, or a name that is no variable's.
    #[error("the script cannot be sent")]
    BadScript,
    /// A newer controller has taken the run over: the worker has heard from it.
    #[error("a newer controller has taken this run over")]
    Fenced,
    /// What goes before the script ended, with this exit code.
    #[error("it ended with exit code {0} before the command began")]
    Early(i32),
    /// No shell was to be had for it: the channel was refused, or the connection was gone already.
    #[error("no channel for the command was opened")]
    NoChannel,
    /// The server ended the channel and had not executed what it was asked to.
    #[error(
        "logged in, and the command was not executed: look for ForceCommand, `command=` and startup files there"
    )]
    NotExecuted,
}

impl NotRun {
    /// By the word in the end mark, and the code behind it.
    pub(super) fn from_mark(word: &str, code: i32) -> Option<Self> {
        Some(match (word, code) {
            ("sudo", _) => Self::Sudo,
            ("noshell", _) => Self::NoShell,
            ("nostate", _) | ("exit", NO_STATE) => Self::NoState,
            ("noflock", _) => Self::NoFlock,
            ("locked", _) => Self::Locked,
            ("exit", FENCED) => Self::Fenced,
            ("exit", code) => Self::Early(code),
            _ => return None,
        })
    }

    /// What to tell the operator; `stderr` is what was printed about it on `host`.
    pub fn describe(self, host: &str, stderr: &Captured) -> String {
        let printed = super::visible(&stderr.bytes);
        let printed = printed.trim();
        let last = printed.lines().last().map_or_else(String::new, |line| format!(": {}", line.trim()));
        match self {
            // Who logs in is not known here.
            Self::Sudo => {
                let Cause { what, remedy, .. } = sudo_cause("USER", host, printed);
                let what = what.replacen("sudo", &format!("sudo on {host}"), 1);
                format!("{what}: {printed}; {remedy}")
            }
            Self::NoState if printed.contains("No space left") || printed.contains("quota exceeded") => {
                format!("the disk of {host} is full{last}; make room there")
            }
            Self::NoState if printed.contains("Read-only file system") => {
                format!(
                    "the state folder on {host} is on a read-only file system{last}; mount it for writing"
                )
            }
            Self::NoFlock => {
                format!(
                    "not installed on {host}: flock (util-linux); {}",
                    missing_tools(host, &["flock"]).remedy
                )
            }
            Self::Fenced => format!("{host} refused: {self}"),
            reason => format!("{host}: {reason}{last}"),
        }
    }
}
