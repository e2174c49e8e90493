//! Authentication by public keys: the key files that are named, each with its certificates, then what else
//! the agent has.
//!
//! A server hangs up after some refused keys (`MaxAuthTries`, 6 by default), so that those which are named
//! come first, and what the server would refuse for certain is not offered.

use std::time::Instant;

use super::agent::{Agent, NoLogin};
use super::algorithms::{admits, signatures_of};
use super::identity::{Identity, Private, Public, key_file};
use super::remembered::Passphrases;
use super::route::{Hop, Key, Origin};
use super::settings::Settings;
use super::wire::{Stop, Wire, code, code_of};
use super::{Cancel, ConnectError, Stage};

/// A step of a login that did not work.
pub(super) enum Failure {
    Final(ConnectError),
    /// The server hung up; that passes (`MaxStartups`, or it is on its way down).
    Dropped(Stage, String),
    /// The server said nothing for as long as this part of a login may take; that may pass, too.
    Late(Stage, String),
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
    let mut login = Login {
        wire,
        hop,
        settings,
        passphrases,
        until,
        cancel,
        agent: None,
        offered: Vec::new(),
        refused: 0,
        tried: Vec::new(),
        notes: Vec::new(),
        unusable: None,
    };
    for key in &hop.keys {
        if login.try_key(key)? {
            return Ok(());
        }
    }
    if !hop.identities_only && login.try_agent()? {
        return Ok(());
    }
    Err(login.no_key_fits())
}

impl Hop {
    /// The server takes none of `offered` keys.
    fn refuses(&self, offered: usize, why: String) -> Failure {
        let (user, addr) = (self.user.clone(), self.address());
        let key = self.keys.iter().find(|key| key.path.exists()).map(|key| key.path.display().to_string());
        ConnectError::AuthRefused { user, addr, offered, key, why }.into()
    }
}

struct Login<'a> {
    wire: &'a Wire,
    hop: &'a Hop,
    settings: &'a Settings,
    passphrases: &'a Passphrases,
    until: Instant,
    cancel: &'a Cancel,
    /// Asked when it is needed first.
    agent: Option<Option<Agent>>,
    /// Public keys and certificates that the server has seen.
    offered: Vec<Vec<u8>>,
    refused: usize,
    /// For the message: what the server refused, and what was not offered, and why.
    tried: Vec<String>,
    notes: Vec<String>,
    unusable: Option<ConnectError>,
}

/// What an offer came to.
enum Offer {
    Accepted,
    Refused,
    /// The server would take it, and it cannot sign: a passphrase is missing or wrong, or it is no key.
    CannotSign(String),
}

impl Login<'_> {
    fn agent(&mut self) -> Option<&mut Agent> {
        if self.agent.is_none() {
            let agent = self.hop.agent.as_deref().map(|socket| (socket, Agent::open(socket)));
            self.agent = Some(match agent {
                Some((socket, Ok(agent))) => {
                    if agent.keys.is_empty() {
                        self.notes.push(format!("the SSH agent at {} has no keys", socket.display()));
                    }
                    Some(agent)
                }
                Some((socket, Err(error))) => {
                    self.notes.push(format!("the SSH agent at {}: {error}", socket.display()));
                    None
                }
                None => None,
            });
        }
        self.agent.as_mut().and_then(Option::as_mut)
    }

    fn agent_has(&mut self, blob: &[u8]) -> bool {
        self.agent().is_some_and(|agent| agent.has(blob))
    }

    fn try_key(&mut self, key: &Key) -> Result<bool, Failure> {
        let identity = match Identity::read(key) {
            Ok(Some(identity)) => identity,
            Ok(None) => return Ok(false),
            Err(error) if key.origin == Origin::Default => {
                self.notes.push(error.to_string());
                return Ok(false);
            }
            // A key that is there and not to be used is final: the next key must not hide it. One that is
            // missing leaves the others.
            Err(error) if key.path.exists() => return Err(error.into()),
            Err(error) => {
                self.unusable.get_or_insert(error);
                return Ok(false);
            }
        };
        let (certificates, bad) = identity.certificates(key, &self.hop.certificates);
        self.notes.extend(bad);
        for certificate in &certificates {
            let what = format!("the certificate of {}", key.path.display());
            if self.try_one(key, &what, &identity, Some(certificate))? {
                return Ok(true);
            }
        }
        let what = key.path.display().to_string();
        self.try_one(key, &what, &identity, identity.public.as_ref())
    }

    /// A key, or one of its certificates: by the agent where that has it and the file needs a passphrase.
    fn try_one(
        &mut self,
        key: &Key,
        what: &str,
        identity: &Identity,
        public: Option<&Public>,
    ) -> Result<bool, Failure> {
        let private = identity.private.as_ref();
        if let Some(public) = public {
            if self.offered.contains(&public.blob) || !self.may_offer(public.kind(), what) {
                return Ok(false);
            }
            let locked = private
                .is_none_or(|private| private.is_encrypted && self.passphrases.given(&key.path).is_none());
            let signer = [Some(public), identity.public.as_ref()].into_iter().flatten();
            if (locked || is_hardware_key(public.kind()))
                && let Some(signer) = signer.into_iter().find(|signer| self.agent_has(&signer.blob))
            {
                return self.by_agent(&public.blob, &signer.blob, what);
            }
        }
        let Some(private) = private else {
            self.notes.push(format!("{what} (its private half is neither there nor in an SSH agent)"));
            return Ok(false);
        };
        if is_hardware_key(public.map_or("", Public::kind)) {
            self.notes.push(format!("{what} (on a security token, which an SSH agent can ask: `ssh-add`)"));
            return Ok(false);
        }
        self.by_file(key, what, private, public)
    }

    fn by_file(
        &mut self,
        key: &Key,
        what: &str,
        private: &Private,
        public: Option<&Public>,
    ) -> Result<bool, Failure> {
        let mut passphrase = self.passphrases.given(&key.path);
        if private.is_encrypted && passphrase.is_none() {
            // Whether the server would take it shows before it is decrypted: the operator is not asked for
            // the passphrase of a key that nobody wants.
            let wanted = match public {
                Some(_) => self.offer_file(private, public, None)?,
                None => Offer::CannotSign(String::new()),
            };
            match wanted {
                Offer::Accepted => return Ok(true),
                Offer::Refused => return Ok(self.was_refused(what)),
                Offer::CannotSign(_) => {}
            }
            passphrase = self.passphrases.of(&key.path, self.settings.ask_passphrase.as_ref());
            if passphrase.is_none() {
                let why = "it has a passphrase and there is no terminal to ask on; load it into an SSH agent, \
                           or use a key without one";
                return self.cannot_use(key, why);
            }
        }
        match self.offer_file(private, public, passphrase.as_deref())? {
            Offer::Accepted => Ok(true),
            Offer::Refused => Ok(self.was_refused(what)),
            Offer::CannotSign(why) => {
                let why = format!("it is not a private key, or the passphrase is wrong ({why})");
                self.cannot_use(key, &why)
            }
        }
    }

    /// Final for a key that is named; one that is only tried waits for the others.
    fn cannot_use(&mut self, key: &Key, why: &str) -> Result<bool, Failure> {
        let error = key_file(&key.path, why);
        if key.origin != Origin::Default {
            return Err(error.into());
        }
        self.unusable.get_or_insert(error);
        Ok(false)
    }

    fn offer_file(
        &mut self,
        private: &Private,
        public: Option<&Public>,
        passphrase: Option<&str>,
    ) -> Result<Offer, Failure> {
        let line = public.map(|public| public.line.as_str());
        if let Some(public) = public {
            self.offered.push(public.blob.clone());
        }
        let attempt = self.wire.drive(self.until, self.cancel, |session| {
            session.userauth_pubkey_memory(&self.hop.user, line, &private.text, passphrase)
        });
        self.judge(attempt)
    }

    fn judge(&mut self, attempt: Result<(), Stop>) -> Result<Offer, Failure> {
        match attempt {
            Ok(()) => Ok(Offer::Accepted),
            Err(Stop::Failed(error)) if is_no_key(&error) => {
                Ok(Offer::CannotSign(error.message().to_owned()))
            }
            Err(stop) => {
                self.refused(stop)?;
                self.refused += 1;
                Ok(Offer::Refused)
            }
        }
    }

    fn was_refused(&mut self, what: &str) -> bool {
        self.tried.push(what.to_owned());
        false
    }

    fn by_agent(&mut self, blob: &[u8], signer: &[u8], what: &str) -> Result<bool, Failure> {
        self.offered.push(blob.to_vec());
        let (wire, user, until, cancel) = (self.wire, &self.hop.user, self.until, self.cancel);
        let Some(agent) = self.agent() else { return Ok(false) };
        let attempt = match agent.log_in(wire, user, blob, signer, until, cancel) {
            Ok(()) => Ok(()),
            Err(NoLogin::Stop(stop)) => Err(stop),
            Err(NoLogin::Agent(_)) if cancel.is_cancelled() => return Err(ConnectError::Cancelled.into()),
            Err(NoLogin::Agent(why)) if Instant::now() >= until => {
                return Err(Failure::Late(Stage::Login, format!("the SSH agent, for {what}: {why}")));
            }
            Err(NoLogin::Agent(why)) => {
                self.notes.push(format!("{what} (the SSH agent: {why})"));
                return Ok(false);
            }
        };
        match self.judge(attempt)? {
            Offer::Accepted => Ok(true),
            Offer::Refused => Ok(self.was_refused(what)),
            Offer::CannotSign(why) => {
                self.notes.push(format!("{what} (the SSH agent does not sign: {why})"));
                Ok(false)
            }
        }
    }

    /// What the agent has besides the keys that are named.
    fn try_agent(&mut self) -> Result<bool, Failure> {
        let keys = self.agent().map(|agent| agent.keys.clone()).unwrap_or_default();
        let before = self.tried.len();
        for blob in keys.into_iter().filter(|blob| !blob.is_empty()) {
            let kind = super::known_hosts::blob_kind(&blob).unwrap_or_default();
            let what = format!("{} {} of the SSH agent", kind, super::known_hosts::fingerprint(&blob));
            if self.offered.contains(&blob) || !self.may_offer(&kind, &what) {
                continue;
            }
            if self.by_agent(&blob, &blob, &what)? {
                return Ok(true);
            }
        }
        let of_agent = self.tried.len() - before;
        if of_agent > 3 {
            self.tried.truncate(before);
            self.tried.push(format!("{of_agent} keys of the SSH agent"));
        }
        Ok(false)
    }

    /// PubkeyAcceptedAlgorithms.
    fn may_offer(&mut self, kind: &str, what: &str) -> bool {
        let stated = self.hop.algorithms.public_key.as_ref();
        if admits(stated, &signatures_of(kind)) {
            return true;
        }
        let by = stated.map_or("not in use any more".into(), |stated| {
            format!("excluded by PubkeyAcceptedAlgorithms at {}", stated.place)
        });
        self.notes.push(format!("{what} (its type is {by})"));
        false
    }

    fn no_key_fits(self) -> Failure {
        if let Some(error) = self.unusable {
            return error.into();
        }
        let mut why = match self.tried.as_slice() {
            [] => "there is no key to try: no key file and no agent".into(),
            tried => format!(
                "it takes none of: {}; the public half of one belongs in ~{}/.ssh/authorized_keys there",
                tried.join(", "),
                self.hop.user
            ),
        };
        if !self.notes.is_empty() {
            why = format!("{why}. Not tried: {}", self.notes.join("; "));
        }
        self.hop.refuses(self.tried.len(), why)
    }

    /// `Ok` when the server merely said no to this one key.
    fn refused(&self, stop: Stop) -> Result<(), Failure> {
        let (wire, hop) = (self.wire, self.hop);
        let error = match stop {
            Stop::Cancelled => return Err(ConnectError::Cancelled.into()),
            Stop::Deadline => {
                return Err(Failure::Late(
                    Stage::Login,
                    "no answer to the authentication in time".to_owned(),
                ));
            }
            Stop::Failed(error) => error,
        };
        let cut = is_cut(&error) || wire.socket.is_closed();
        if cut {
            // PAM tells by a banner why logins are refused, and then hangs up. libssh2 has it among what it has
            // received, and looks at it only when it asks for the ways to log in.
            let _ = wire.drive(self.until, self.cancel, |session| session.auth_methods(&hop.user).map(drop));
        }
        if let Ok(Some(banner)) = wire.session.userauth_banner() {
            let message = super::visible(banner.trim().as_bytes());
            if speaks_of_nologin(&message) {
                return Err(ConnectError::NoLogin { addr: hop.address(), message }.into());
            }
            if cut && !message.is_empty() {
                let why = format!("it hung up and said: {message}");
                return Err(hop.refuses(self.tried.len() + 1, why));
            }
        }
        if cut && self.refused > 0 && self.passphrases.hangs_up_again(&hop.address(), self.refused) {
            let why = format!(
                "it hung up after {} keys that it does not take (its MaxAuthTries): {}; name the right one with \
                 IdentityFile, and leave the others out with `IdentitiesOnly yes`",
                self.refused,
                self.tried.join(", ")
            );
            return Err(hop.refuses(self.refused, why));
        }
        if cut {
            return Err(Failure::Dropped(
                Stage::Login,
                format!("cut during authentication: {}", error.message()),
            ));
        }
        Ok(())
    }
}

/// A security token's. Its file has no key in it; only an agent can have the token sign.
fn is_hardware_key(kind: &str) -> bool {
    kind.starts_with("sk-")
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
    match code_of(error) {
        code::SOCKET_DISCONNECT | code::SOCKET_RECV | code::SOCKET_SEND => true,
        // The same code for an answer that did not come; the words are libssh2's (`userauth.c`).
        code::PUBLICKEY_UNVERIFIED => error.message().starts_with("Waiting for"),
        _ => false,
    }
}

/// The words of `pam_nologin(8)`, systemd and shutdown(8).
pub(super) fn speaks_of_nologin(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["booting up", "going down", "not permitted to log in", "nologin", "shutting down", "logins are disabled"]
        .iter()
        .any(|words| text.contains(words))
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
