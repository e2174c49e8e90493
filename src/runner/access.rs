//! One worker as the steps of a run see it: fresh connections, framed scripts, and every way to fail
//! as a typed error. It must not know what a script is for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bucket::Host;
use crate::catalog::Fence;
use crate::engine::{ErrorKind, Outcome, StepError};
use crate::plan::without_error_numbers;
use crate::ssh::{
    Cancel, Captured, Completion, ConnectError, Connection, HostProfile, NotRun, Remote, Script, Shell,
    UnknownWhy,
};

/// So much of a command's output goes into an error: what an operator reads, not what a log keeps.
const ERROR_LINES: usize = 20;

/// A pause notices within this that it was given up.
const GIVEN_UP_WITHIN: Duration = Duration::from_millis(50);

/// A worker, and how to reach it.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) remote: Arc<dyn Remote>,
    pub(super) host: Host,
    pub(super) profile: HostProfile,
    /// The folder for claims, receipts and locks, as preflight fixed it.
    pub(super) state_dir: String,
    pub(super) fence: Fence,
    pub(super) cancel: Cancel,
}

/// How a script of ours went, when it did not end with exit code 0.
pub(super) enum ScriptError {
    /// There is no connection; nothing was sent.
    Connect(ConnectError),
    /// The worker said before it began why it does not run it.
    NotRun(StepError),
    /// It ended with another code.
    Exit { code: i32, stdout: Captured, stderr: Captured },
    /// It was sent, and how it ended is not known.
    Unknown(UnknownWhy),
}

impl Access {
    /// A script of ours: `sh`, under sudo where the profile says so, with the worker's paths and the
    /// fence in its environment.
    pub(super) fn script(&self, what: &str, text: &str, deadline: Duration) -> Script {
        let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
        Script {
            what: what.to_owned(),
            shell: Shell::Sh,
            sudo: self.profile.use_sudo,
            text: text.to_owned(),
            env: vec![
                ("MAAND_RUN".into(), self.fence.run.clone()),
                ("MAAND_EPOCH".into(), self.fence.epoch.to_string()),
                ("MAAND_MARK".into(), self.fence.mark.clone()),
                ("BOOT_ID_FILE".into(), path(&self.profile.boot_id)),
                ("NOLOGIN_FILE".into(), path(&self.profile.nologin)),
                ("LOOK_AT_SYSTEMD".into(), if self.profile.sandbox { "no" } else { "yes" }.into()),
            ],
            deadline,
            watchdog: true,
            silence: None,
            users_own: false,
            lock: false,
        }
    }

    /// Sleeps; `false` when it was given up meanwhile.
    pub(super) fn pause(&self, duration: Duration) -> bool {
        let until = Instant::now() + duration;
        while !self.cancel.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(GIVEN_UP_WITHIN));
        }
        false
    }

    pub(super) fn connect(&self, until: Instant) -> Result<Box<dyn Connection>, ConnectError> {
        self.remote.connect(&self.host, until, &self.cancel)
    }

    /// Runs a script over a fresh connection; `Ok` is its standard output after exit code 0.
    pub(super) fn run(&self, script: &Script, until: Instant) -> Result<String, ScriptError> {
        let mut connection = self.connect(until).map_err(ScriptError::Connect)?;
        plain(&self.host, connection.run(script, None))
    }

    /// As [`Access::run`] for a script that changes the worker: a newer controller's epoch refuses it,
    /// and it holds the worker's lock.
    pub(super) fn change(&self, mut script: Script, until: Instant) -> Result<String, ScriptError> {
        script.lock = true;
        self.run(&script, until)
    }
}

/// `Ok` with standard output for exit code 0.
pub(super) fn plain(host: &Host, completion: Completion) -> Result<String, ScriptError> {
    match completion {
        Completion::NotRun { reason, stderr } => {
            let kind = match reason {
                NotRun::Sudo => ErrorKind::SudoWantsPassword,
                NotRun::NoShell | NotRun::NoFlock => ErrorKind::MissingTool,
                NotRun::Fenced => ErrorKind::Fenced,
                NotRun::NoChannel => ErrorKind::Unreachable,
                _ => ErrorKind::Command,
            };
            Err(ScriptError::NotRun(StepError::new(kind, reason.describe(host.as_str(), &stderr))))
        }
        Completion::Exited { code: 0, stdout, .. } => Ok(stdout.text()),
        Completion::Exited { code, stdout, stderr } => Err(ScriptError::Exit { code, stdout, stderr }),
        Completion::Unknown { why, .. } => Err(ScriptError::Unknown(why)),
    }
}

/// Nothing was done, and no worker is to blame. What the system says is without its numbers.
pub(super) fn not_done(why: &dyn std::fmt::Display) -> Outcome {
    Outcome::NotDone { reason: without_error_numbers(&why.to_string()) }
}

/// The kind of a failed connection.
pub(super) fn kind_of(error: &ConnectError) -> ErrorKind {
    match error {
        ConnectError::Refused { .. } => ErrorKind::Refused,
        ConnectError::Unresolved { .. }
        | ConnectError::Unreachable { .. }
        | ConnectError::Config { .. }
        | ConnectError::Cancelled => ErrorKind::Unreachable,
        ConnectError::TimedOut { .. } => ErrorKind::TimedOut,
        ConnectError::Handshake { .. }
        | ConnectError::LoginTimedOut { .. }
        | ConnectError::KnownHosts { .. } => ErrorKind::Handshake,
        ConnectError::HostKeyRefused { passes: true, .. } => ErrorKind::Handshake,
        ConnectError::HostKeyChanged { .. } | ConnectError::HostKeyRefused { .. } => {
            ErrorKind::HostKeyChanged
        }
        ConnectError::HostKeyUnknown { .. } => ErrorKind::HostKeyUnknown,
        ConnectError::AuthRefused { .. } | ConnectError::KeyFile { .. } => ErrorKind::AuthRefused,
        ConnectError::NoLogin { .. } => ErrorKind::NoLogin,
        ConnectError::NotExecuted { .. } => ErrorKind::Command,
        ConnectError::Exhausted { .. } => ErrorKind::Controller,
        ConnectError::Jump { source, .. } => kind_of(source),
    }
}

/// As an error of a step.
pub(super) fn connect_error(error: &ConnectError) -> StepError {
    StepError::new(kind_of(error), error.to_string())
}

impl ScriptError {
    /// As the outcome of an attempt: `doing` says what was under way.
    pub(super) fn into_outcome(self, host: &Host, doing: &str) -> Outcome {
        match self {
            Self::Unknown(why) => Outcome::unknown(format!("{doing}: {}", describe_unknown(&why))),
            // No worker is to blame: the run pauses.
            Self::Connect(error) if error.is_exhausted() => not_done(&error),
            other => Outcome::Failed { error: other.into_error(host, doing) },
        }
    }

    /// As an error.
    pub(super) fn into_error(self, host: &Host, doing: &str) -> StepError {
        match self {
            Self::Connect(error) => StepError::new(kind_of(&error), error.told()),
            Self::NotRun(error) => error,
            Self::Exit { code, stdout, stderr } => own_error(host, doing, code, &stdout, &stderr),
            Self::Unknown(why) => {
                StepError::new(ErrorKind::Unknown, format!("{doing}: {}", describe_unknown(&why)))
            }
        }
    }
}

/// Exit codes of our own scripts (`reboot.rs`, `preflight.rs`), which run no command of the user's themselves: the
/// boot id cannot be read, and nothing can be written in the state folder.
mod own {
    pub(super) const NO_BOOT_ID: i32 = 91;
    pub(super) const NO_STATE: i32 = 92;
}

/// The error of a script of ours that ended with a code other than 0.
fn own_error(host: &Host, doing: &str, code: i32, stdout: &Captured, stderr: &Captured) -> StepError {
    match code {
        own::NO_STATE => StepError::new(ErrorKind::Command, NotRun::NoState.describe(host.as_str(), stderr)),
        own::NO_BOOT_ID => {
            let said = last_lines(&Captured::default(), stderr).unwrap_or_default();
            let message = format!("the boot id of {host} cannot be read: {said}");
            StepError::new(ErrorKind::BootIdUnreadable, message)
        }
        code => command_error(doing, code, stdout, stderr),
    }
}

/// The error of a command that ended with a code other than 0, whichever it is: a command of the user's may end with
/// any.
pub(super) fn command_error(doing: &str, code: i32, stdout: &Captured, stderr: &Captured) -> StepError {
    let output = last_lines(stdout, stderr);
    StepError { kind: ErrorKind::Command, message: format!("{doing} ended with exit code {code}"), output }
}

/// The last lines of both streams, errors last.
pub(super) fn last_lines(stdout: &Captured, stderr: &Captured) -> Option<String> {
    let text = format!("{}\n{}", crate::ssh::visible(&stdout.bytes), crate::ssh::visible(&stderr.bytes));
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(ERROR_LINES);
    (!lines.is_empty()).then(|| lines[from..].join("\n"))
}

/// In words, what is not known.
pub(super) fn describe_unknown(why: &UnknownWhy) -> String {
    why.to_string()
}
