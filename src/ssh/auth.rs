//! Authentication: the key files, then the agent.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::private_key::{Outside, inspect};
use super::route::{Hop, Key};
use super::settings::{AskPassphrase, Settings};
use super::wire::{Stop, Wire, code, code_of};
use super::{Cancel, ConnectError};
use crate::os::open;

/// Passphrases that the operator has given, so that each is asked for once.
#[derive(Default)]
pub(super) struct Passphrases(Mutex<HashMap<PathBuf, Option<String>>>);

impl Passphrases {
    fn of(&self, key: &Path, ask: Option<&AskPassphrase>) -> Option<String> {
        // The lock is held while the operator types: one question, all threads wait for the one answer.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(key.to_owned()).or_insert_with(|| ask.and_then(|ask| ask(key))).clone()
    }
}

/// A step of a login that did not work.
pub(super) enum Failure {
    Final(ConnectError),
    /// The server hung up; that passes (`MaxStartups`, or it is on its way down).
    Dropped(String),
    /// The server said nothing for as long as this part of a login may take; that may pass, too.
    Late(String),
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Final(error)
    }
}

/// Logs in, or says why not.
pub(super) fn authenticate(
    wire: &Wire,
    hop: &Hop,
    settings: &Settings,
    passphrases: &Passphrases,
    until: Instant,
    cancel: &Cancel,
) -> Result<(), Failure> {
    let mut tried = Vec::new();
    let mut unusable = None;
    for key in &hop.keys {
        let Usable { text, public_line, passphrase } = match usable(key, settings, passphrases) {
            Ok(Some(usable)) => usable,
            Ok(None) => continue,
            // A key that is there and not to be used is final: the next key must not hide it. One that
            // is missing leaves the agent.
            Err(error) if key.path.exists() => return Err(error.into()),
            Err(error) => {
                unusable.get_or_insert(error);
                continue;
            }
        };
        let attempt = wire.drive(until, cancel, |session| {
            session.userauth_pubkey_memory(&hop.user, public_line.as_deref(), &text, passphrase.as_deref())
        });
        match attempt {
            Ok(()) => return Ok(()),
            Err(Stop::Failed(error)) if is_no_key(&error) => {
                let why =
                    format!("it is not a private key, or the passphrase is wrong ({})", error.message());
                return Err(key_file(key, &why).into());
            }
            Err(stop) => {
                refused(wire, hop, stop, until, cancel)?;
                tried.push(key.path.display().to_string());
            }
        }
    }
    if settings.agent {
        match by_agent(wire, hop, until, cancel) {
            Ok(true) => return Ok(()),
            Ok(false) => tried.push("the SSH agent's keys".into()),
            Err(Stop::Failed(error)) if !is_cut(&error) => {
                tried.push(format!("the SSH agent ({})", error.message()));
            }
            Err(stop) => refused(wire, hop, stop, until, cancel)?,
        }
    }
    if let Some(error) = unusable {
        return Err(error.into());
    }
    let why = match tried.as_slice() {
        [] => "there is no key to try: no key file and no agent".into(),
        tried => format!(
            "it takes none of: {}; the public half of one belongs in ~{}/.ssh/authorized_keys there",
            tried.join(", "),
            hop.user
        ),
    };
    Err(ConnectError::AuthRefused { user: hop.user.clone(), addr: hop.address(), why }.into())
}

/// `Ok` when the server merely said no to this one key.
fn refused(wire: &Wire, hop: &Hop, stop: Stop, until: Instant, cancel: &Cancel) -> Result<(), Failure> {
    let error = match stop {
        Stop::Cancelled => return Err(ConnectError::Cancelled.into()),
        Stop::Deadline => {
            return Err(Failure::Late("no answer to the authentication in time".to_owned()));
        }
        Stop::Failed(error) => error,
    };
    let cut = is_cut(&error) || wire.socket.is_closed();
    if cut {
        // PAM tells by a banner why logins are refused, and then hangs up. libssh2 has it among what it has
        // received, and looks at it only when it asks for the ways to log in.
        let _ = wire.drive(until, cancel, |session| session.auth_methods(&hop.user).map(drop));
    }
    if let Ok(Some(banner)) = wire.session.userauth_banner() {
        let message = super::visible(banner.trim().as_bytes());
        if speaks_of_nologin(&message) {
            return Err(ConnectError::NoLogin { addr: hop.address(), message }.into());
        }
        if cut && !message.is_empty() {
            let why = format!("it hung up and said: {message}");
            return Err(ConnectError::AuthRefused { user: hop.user.clone(), addr: hop.address(), why }.into());
        }
    }
    if cut {
        return Err(Failure::Dropped(format!("cut during authentication: {}", error.message())));
    }
    Ok(())
}

/// The key could not be read, or could not sign: the server had no say in it.
fn is_no_key(error: &ssh2::Error) -> bool {
    match code_of(error) {
        code::FILE => true,
        // Also what a refused signature is called; the words are libssh2's (`userauth.c`).
        code::PUBLICKEY_UNVERIFIED => error.message().starts_with("Callback returned error"),
        _ => false,
    }
}

fn is_cut(error: &ssh2::Error) -> bool {
    matches!(code_of(error), code::SOCKET_DISCONNECT | code::SOCKET_RECV | code::SOCKET_SEND)
}

/// The words of `pam_nologin(8)`, systemd and shutdown(8).
pub(super) fn speaks_of_nologin(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["booting up", "going down", "not permitted to log in", "nologin", "shutting down", "logins are disabled"]
        .iter()
        .any(|words| text.contains(words))
}

fn by_agent(wire: &Wire, hop: &Hop, until: Instant, cancel: &Cancel) -> Result<bool, Stop> {
    let mut agent = wire.session.agent().map_err(Stop::Failed)?;
    agent.connect().map_err(Stop::Failed)?;
    agent.list_identities().map_err(Stop::Failed)?;
    for identity in agent.identities().map_err(Stop::Failed)? {
        match wire.drive(until, cancel, |_| agent.userauth(&hop.user, &identity)) {
            Ok(()) => return Ok(true),
            Err(Stop::Failed(error)) if !is_cut(&error) => {}
            Err(stop) => return Err(stop),
        }
    }
    Ok(false)
}

fn key_file(key: &Key, why: &str) -> ConnectError {
    ConnectError::KeyFile { path: key.path.display().to_string(), why: why.into() }
}

/// A private key that can be tried.
struct Usable {
    text: String,
    /// Its public half, where the text shows it.
    public_line: Option<String>,
    /// If it has one.
    passphrase: Option<String>,
}

/// Bytes of a private key's file; the largest RSA keys have 13 KiB.
const KEY_LIMIT: u64 = 64 * 1024;

/// `Ok(None)`: the key is not there and does not have to be.
fn usable(key: &Key, settings: &Settings, passphrases: &Passphrases) -> Result<Option<Usable>, ConnectError> {
    let metadata = match fs::metadata(&key.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !key.required => return Ok(None),
        found => found.map_err(|error| key_file(key, &error.to_string()))?,
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let why = format!("it can be read by others (mode {mode:03o}); do `chmod 600` on it");
        return Err(key_file(key, &why));
    }
    let text = open::read_text(&key.path, KEY_LIMIT).map_err(|error| key_file(key, &error.to_string()))?;
    let Outside { is_encrypted, public_line } = inspect(&text);
    if !is_encrypted {
        return Ok(Some(Usable { text, public_line, passphrase: None }));
    }
    match passphrases.of(&key.path, settings.ask_passphrase.as_ref()) {
        Some(passphrase) => Ok(Some(Usable { text, public_line, passphrase: Some(passphrase) })),
        None => Err(key_file(
            key,
            "it has a passphrase and there is no terminal to ask on; load it into an SSH agent, or use a \
             key without one",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_machine_that_is_not_ready() {
        assert!(speaks_of_nologin(
            "\"System is booting up. Unprivileged users are not permitted to log in yet.\""
        ));
        assert!(!speaks_of_nologin("Authorized users only."));
    }
}
