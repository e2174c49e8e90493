//! Why there is no connection, and what that says about a worker.

use std::time::Duration;

use super::ConfigError;
use super::remote::humane;
use crate::boot::LookFailure;

/// How far a connection had come that was cut, or stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The port is open, and no SSH server has greeted.
    Greeting,
    /// A server has greeted; keys are being agreed on.
    KeyExchange,
    /// The host key is good; logging in.
    Login,
    /// Logged in; waiting for a shell that executes what it is told.
    Shell,
}

/// Why there is no connection. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The port is closed.
    #[error("connection to {addr} refused")]
    Refused {
        /// Address and port.
        addr: String,
    },
    /// The name has no address, or none that may be used.
    #[error("{addr} cannot be reached: {why}")]
    Unresolved {
        /// Name and port.
        addr: String,
        /// What the resolver says.
        why: String,
    },
    /// No route.
    #[error("{addr} cannot be reached: {why}")]
    Unreachable {
        /// Address and port.
        addr: String,
        /// What the system says.
        why: String,
        /// It is this machine that has no way there: that says nothing about the worker.
        here: bool,
    },
    /// The user's ssh config cannot be used for it.
    #[error("{host} cannot be reached: {source}")]
    Config {
        /// The worker.
        host: String,
        /// What is wrong with the config.
        source: ConfigError,
    },
    /// No answer to the TCP connect.
    #[error("no answer from {addr} within {}", humane(*after))]
    TimedOut {
        /// Address and port.
        addr: String,
        /// How long an answer was waited for.
        after: Duration,
    },
    /// The SSH handshake failed or was dropped.
    #[error("SSH handshake with {addr} failed: {why}")]
    Handshake {
        /// Address and port.
        addr: String,
        /// How far it had come.
        stage: Stage,
        /// What libssh2 says.
        why: String,
    },
    /// Something is there, and the login did not come to its end in time.
    #[error("SSH login at {addr} took too long: {why}")]
    LoginTimedOut {
        /// Address and port.
        addr: String,
        /// How far it had come.
        stage: Stage,
        /// What was waited for.
        why: String,
    },
    /// The worker shows another key than the known one: final, nothing is sent.
    #[error("host key of {host} has changed: known {known}, shown {shown}; nothing was sent")]
    HostKeyChanged {
        /// Name in known_hosts.
        host: String,
        /// `SHA256:...` of the known key, and where it is noted.
        known: String,
        /// `SHA256:...` of what was shown.
        shown: String,
    },
    /// Only keys that are known are accepted, and this one is not.
    #[error("host key of {host} is not known ({shown}), and {why}")]
    HostKeyUnknown {
        /// Name in known_hosts.
        host: String,
        /// `SHA256:...` of what was shown.
        shown: String,
        /// What demands that it is known.
        why: String,
    },
    /// The key is revoked, or its certificate is not good; nothing is sent.
    #[error("host key of {host} is refused ({shown}): {why}; nothing was sent")]
    HostKeyRefused {
        /// Name in known_hosts.
        host: String,
        /// `SHA256:...` of what was shown.
        shown: String,
        /// What is wrong with it, and where that is said.
        why: String,
        /// Only its time is not right: the host may get another certificate (after a boot, by a service
        /// that starts after sshd). Else it is final.
        passes: bool,
    },
    /// Our key was refused.
    #[error("{user}@{addr} refused the authentication: {why}")]
    AuthRefused {
        /// The user that the login was for.
        user: String,
        /// Address and port.
        addr: String,
        /// How many keys the server has refused; 0: there was none to offer.
        offered: usize,
        /// The key file whose public half belongs there, where one is named.
        key: Option<String>,
        /// What was tried.
        why: String,
    },
    /// The login has worked, and something else than our command was executed.
    #[error("logged in as {user}@{addr}, and the command was not executed: {why}")]
    NotExecuted {
        /// The user that the login was for.
        user: String,
        /// Address and port.
        addr: String,
        /// What happened instead.
        why: String,
    },
    /// The key file cannot be used (missing, readable by others, passphrase).
    #[error("key file {path}: {why}")]
    KeyFile {
        /// The path of the key file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file of known host keys is there and cannot be read: what is in it might refuse the worker.
    #[error("the known host keys cannot be read: {why}")]
    KnownHosts {
        /// The file, and what the system says.
        why: String,
    },
    /// Logins are off: the worker is booting or shutting down.
    #[error("{addr} accepts no login now: {message}")]
    NoLogin {
        /// Address and port.
        addr: String,
        /// What it printed.
        message: String,
    },
    /// The hop before it failed.
    #[error("jump host {hop}: {source}")]
    Jump {
        /// Which hop.
        hop: String,
        /// Its error.
        source: Box<ConnectError>,
    },
    /// This machine has no descriptor, port or thread left, and had none until the end of the time: it says
    /// nothing about the worker.
    #[error("this machine has run out of what a connection needs: {why}")]
    Exhausted {
        /// What was missing.
        why: String,
    },
    /// We gave it up.
    #[error("cancelled")]
    Cancelled,
}

impl ConnectError {
    /// Whether this machine is to blame, and waiting helps.
    pub fn is_exhausted(&self) -> bool {
        match self {
            Self::Exhausted { .. } => true,
            Self::Jump { source, .. } => source.is_exhausted(),
            _ => false,
        }
    }

    /// What it says about a worker that is watched while it goes down or comes back.
    pub fn look_failure(&self) -> LookFailure {
        match self {
            error if error.is_final() => LookFailure::Final,
            Self::Refused { .. } | Self::Unresolved { .. } | Self::Unreachable { .. } => LookFailure::Refused,
            Self::TimedOut { .. } => LookFailure::NoAnswer,
            Self::LoginTimedOut { .. } => LookFailure::CutShort,
            // A shell may refuse as long as its home or its directory service is not there yet.
            Self::AuthRefused { .. } | Self::NotExecuted { .. } => LookFailure::AuthRefused,
            // It was not looked at, which is no evidence of anything.
            Self::Exhausted { .. } => LookFailure::Strange,
            Self::NoLogin { .. } => LookFailure::NoLogin,
            Self::Jump { source, .. } => source.look_failure(),
            // Given up, too: the one who gave it up does not ask.
            _ => LookFailure::Lost,
        }
    }

    /// Whether trying again cannot help until an operator has acted.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Config { .. }
            | Self::HostKeyChanged { .. }
            | Self::HostKeyUnknown { .. }
            | Self::HostKeyRefused { passes: false, .. }
            | Self::KeyFile { .. } => true,
            Self::Jump { source, .. } => source.is_final(),
            _ => false,
        }
    }
}
