//! [`Ssh2Remote`]: the transport over libssh2. Connects along a route, checks each host key, logs in,
//! and retries a handshake that the server dropped.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh2::Channel;

use super::algorithms;
use super::auth::{self, Failure};
use super::connection::{Ssh2Connection, open};
use super::exchange::CHATTER;
use super::frame::before_ready;
use super::handshake_limiter::{HandshakeLimiters, Pass};
use super::host_key;
use super::kexinit;
use super::remembered::Passphrases;
use super::route::{Hop, Route, route};
use super::settings::Settings;
use super::socket::{Socket, TICK, connect, pause};
use super::wire::{Stop, Wire, code, code_of};
use super::{Cancel, ConnectError, Connection, HostProfile, Remote, Stage};
use crate::bucket::Host;
use crate::os::limits;

/// Real SSH; cheap to clone.
#[derive(Clone)]
pub struct Ssh2Remote {
    inner: Arc<Inner>,
}

/// A login that has come to a shell.
pub(super) struct Dialled {
    pub(super) wire: Wire,
    /// On which the bootstrap runs.
    pub(super) channel: Channel,
    /// What was printed before it began.
    pub(super) greeting: Vec<u8>,
}

/// What all connections share.
pub(super) struct Inner {
    settings: Settings,
    handshakes: HandshakeLimiters,
    passphrases: Passphrases,
}

impl Inner {
    pub(super) fn profile(&self, host: &Host) -> HostProfile {
        (self.settings.profiles)(host)
    }
}

/// Pauses between tries of a dropped handshake grow from the first to the second, with jitter.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What this machine has run out of comes back when something else has ended.
const EXHAUSTED: Duration = Duration::from_millis(400);

impl Ssh2Remote {
    /// Nothing is read or connected yet.
    pub fn new(settings: Settings) -> Self {
        let handshakes = HandshakeLimiters::new(settings.handshakes);
        Self { inner: Arc::new(Inner { settings, handshakes, passphrases: Passphrases::default() }) }
    }

    pub(super) fn from_inner(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// Along the whole route, hop by hop.
    pub(super) fn dial(&self, host: &Host, until: Instant, cancel: &Cancel) -> Result<Dialled, ConnectError> {
        let endpoint = self.inner.settings.endpoints.get(host).cloned().unwrap_or_default();
        let Route { jumps, target } = route(&self.inner.settings, host.as_str(), &endpoint)?;
        let mut delay = RETRY.0;
        loop {
            let addr = target.address();
            let error = match self.dial_once(&target, &jumps, until, cancel) {
                Ok(done) => return Ok(done),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Dropped(stage, why)) => ConnectError::Handshake { addr, stage, why },
                Err(Failure::Late(stage, why)) => ConnectError::LoginTimedOut { addr, stage, why },
            };
            if !pause(jittered(delay), until, cancel) {
                return Err(if cancel.is_cancelled() { ConnectError::Cancelled } else { error });
            }
            delay = (delay * 2).min(RETRY.1);
        }
    }

    fn dial_once(
        &self,
        target: &Hop,
        jumps: &[Hop],
        until: Instant,
        cancel: &Cancel,
    ) -> Result<Dialled, Failure> {
        let mut via: Option<Wire> = None;
        for hop in jumps {
            let named = |failure| match failure {
                Failure::Final(ConnectError::Cancelled) => Failure::Final(ConnectError::Cancelled),
                Failure::Final(source) => {
                    ConnectError::Jump { hop: hop.address(), source: Box::new(source) }.into()
                }
                Failure::Dropped(stage, why) => {
                    Failure::Dropped(stage, format!("jump host {}: {why}", hop.address()))
                }
                Failure::Late(stage, why) => {
                    Failure::Late(stage, format!("jump host {}: {why}", hop.address()))
                }
            };
            let (wire, _pass) = self.log_in(hop, via.take(), until, cancel).map_err(named)?;
            via = Some(wire);
        }
        let (wire, _pass) = self.log_in(target, via, until, cancel)?;
        let auth_until = self.by(self.inner.settings.deadlines.auth, until);
        let (channel, greeting) = first_shell(&wire, target, auth_until, cancel)?;
        Ok(Dialled { wire, channel, greeting })
    }

    fn by(&self, within: Duration, until: Instant) -> Instant {
        until.min(Instant::now() + within)
    }

    fn log_in(
        &self,
        hop: &Hop,
        via: Option<Wire>,
        until: Instant,
        cancel: &Cancel,
    ) -> Result<(Wire, Pass), Failure> {
        let settings = &self.inner.settings;
        let deadlines = settings.deadlines;
        let pass = self.inner.handshakes.enter(&hop.address(), until, cancel).ok_or_else(|| {
            if cancel.is_cancelled() {
                Failure::from(ConnectError::Cancelled)
            } else {
                Failure::Dropped(
                    Stage::Greeting,
                    "too many other handshakes were in flight all the time".into(),
                )
            }
        })?;
        let socket = match via {
            Some(wire) => {
                super::jump::tunnel(wire, &hop.host, hop.port, self.by(deadlines.connect, until), cancel)?
            }
            None => connect(&hop.host, hop.port, hop.family, deadlines.connect, until, cancel)?,
        };
        let handshake_until = self.by(deadlines.handshake, until);
        let wire = self.handshake(hop, socket, handshake_until, cancel)?;
        let auth_until = self.by(deadlines.auth, until);
        auth::authenticate(&wire, hop, settings, &self.inner.passphrases, auth_until, cancel)
            .map_err(|failure| flooded(&wire, hop, failure))?;
        wire.logged_in();
        Ok((wire, pass))
    }

    /// The handshake with a verified host key: nothing else is sent before that.
    fn handshake(&self, hop: &Hop, socket: Socket, until: Instant, cancel: &Cancel) -> Result<Wire, Failure> {
        let failed = |why: String| {
            let stage = Stage::KeyExchange;
            Failure::Final(ConnectError::Handshake { addr: hop.address(), stage, why })
        };
        let known = host_key::known(hop)?;
        let wire = Wire::new(socket).map_err(failed)?;
        algorithms::prefer(&wire.session, &known, &hop.algorithms).map_err(failed)?;
        let stage = || match wire.session.banner_bytes() {
            Some(banner) if banner.starts_with(b"SSH-") => Stage::KeyExchange,
            _ => Stage::Greeting,
        };
        wire.drive(until, cancel, |session| session.handshake()).map_err(|stop| match stop {
            Stop::Failed(_) if wire.flood().is_some() => failed(wire.flood().unwrap_or_default()),
            Stop::Cancelled => Failure::Final(ConnectError::Cancelled),
            Stop::Deadline => Failure::Final(ConnectError::LoginTimedOut {
                addr: hop.address(),
                stage: stage(),
                why: "no answer to the handshake in time".into(),
            }),
            Stop::Failed(error) => match code_of(&error) {
                code::BANNER_RECV => Failure::Dropped(Stage::Greeting, error.message().to_owned()),
                code::SOCKET_DISCONNECT | code::SOCKET_RECV | code::SOCKET_SEND | code::KEY_EXCHANGE => {
                    Failure::Dropped(stage(), error.message().to_owned())
                }
                code::KEX_FAILURE => match kexinit::mismatch(&wire, &known, hop, until) {
                    Some(why) => failed(why),
                    None => Failure::Dropped(stage(), error.message().to_owned()),
                },
                _ => failed(error.message().to_owned()),
            },
        })?;
        let shown = wire.session.host_key().map(|(blob, _)| blob.to_vec());
        let Some(shown) = shown else { return Err(failed("it showed no host key".into())) };
        host_key::check(hop, &self.inner.settings, &known, &shown)?;
        Ok(wire)
    }
}

/// Half of it, and up to half more at random, so that those who were dropped together come back apart.
fn jittered(delay: Duration) -> Duration {
    let random = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    delay / 2 + delay / 512 * random
}

/// A server that sends too much is not tried again.
fn flooded(wire: &Wire, hop: &Hop, failure: Failure) -> Failure {
    match wire.flood() {
        Some(why) => ConnectError::Handshake { addr: hop.address(), stage: Stage::Login, why }.into(),
        None => failure,
    }
}

/// A shell that has said its first word: only then is it certain that logins work. sshd itself, PAM and
/// a login shell such as nologin(8) all refuse as late as this.
fn first_shell(
    wire: &Wire,
    hop: &Hop,
    until: Instant,
    cancel: &Cancel,
) -> Result<(Channel, Vec<u8>), Failure> {
    let dropped = |stop| match stop {
        Stop::Cancelled => Failure::Final(ConnectError::Cancelled),
        Stop::Deadline => Failure::Late(
            Stage::Shell,
            "logged in, and the shell has not got to our command; do its startup files wait for something?"
                .into(),
        ),
        Stop::Failed(error) => Failure::Dropped(Stage::Shell, format!("no shell: {}", error.message())),
    };
    let dropped = |stop| flooded(wire, hop, dropped(stop));
    let mut channel = open(wire, until, cancel).map_err(dropped)?;
    match await_ready(wire, &mut channel, until, cancel) {
        Ok(greeting) => Ok((channel, greeting)),
        Err(refusal) => {
            wire.shut_down();
            Err(match refusal {
                Refusal::Stop(stop) => dropped(stop),
                Refusal::Said { text, status, lives } => refusal_error(hop, &text, status, lives),
            })
        }
    }
}

enum Refusal {
    Stop(Stop),
    /// What came instead, with which exit status, and whether the server `lives` on.
    Said {
        text: String,
        status: i32,
        lives: bool,
    },
}

/// sshd's own exit status when `/etc/nologin` is there (`session.c`, do_nologin).
const NOLOGIN_STATUS: i32 = 254;

/// What a login shell says of itself, at most.
const SAID: usize = 400;

fn refusal_error(hop: &Hop, text: &str, status: i32, lives: bool) -> Failure {
    let addr = hop.address();
    let text = super::visible(text.trim().as_bytes());
    if status == NOLOGIN_STATUS || auth::speaks_of_nologin(&text) {
        return ConnectError::NoLogin { addr, message: text }.into();
    }
    if text.is_empty() && status == 0 && !lives {
        return Failure::Dropped(Stage::Shell, "the shell was gone before it said a word".into());
    }
    // The reason is what it said last.
    let from = text.char_indices().rev().nth(SAID).map_or(0, |(at, _)| at);
    let said =
        if text.is_empty() { "without a word".to_owned() } else { format!("and said: {}", &text[from..]) };
    let why = format!("the login shell ended with exit code {status} {said}");
    ConnectError::NotExecuted { user: hop.user.clone(), addr, why }.into()
}

/// With what startup files have printed before it, and on standard error.
fn await_ready(
    wire: &Wire,
    channel: &mut Channel,
    until: Instant,
    cancel: &Cancel,
) -> Result<Vec<u8>, Refusal> {
    let mut said = [Vec::new(), Vec::new()];
    let mut buffer = [0; 4096];
    loop {
        let mut progress = false;
        for (id, said) in said.iter_mut().enumerate() {
            match channel.stream(i32::from(id == 1)).read(&mut buffer) {
                Ok(n) => {
                    progress |= n > 0;
                    wire.delivered(n);
                    said.extend_from_slice(&buffer[..n]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    let error =
                        ssh2::Error::last_session_error(&wire.session).unwrap_or_else(ssh2::Error::unknown);
                    return Err(Refusal::Stop(Stop::Failed(error)));
                }
            }
        }
        if let Some(before) = before_ready(&said[0]) {
            return Ok([before, &said[1]].concat());
        }
        for said in &mut said {
            let excess = said.len().saturating_sub(CHATTER);
            said.drain(..excess);
        }
        if channel.eof() {
            // The status comes after the end of the output, with the close.
            let _ = wire
                .drive(until.min(Instant::now() + Duration::from_secs(1)), cancel, |_| channel.wait_close());
            let killed = channel.exit_signal().is_ok_and(|signal| signal.exit_signal.is_some());
            let status = channel.exit_status().unwrap_or(0);
            let lives = !killed && !wire.socket.is_closed();
            let text = String::from_utf8_lossy(&said.concat()).into_owned();
            return Err(Refusal::Said { text, status, lives });
        }
        if cancel.is_cancelled() {
            return Err(Refusal::Stop(Stop::Cancelled));
        }
        let left = until.checked_duration_since(Instant::now());
        let left = left.ok_or(Refusal::Stop(Stop::Deadline))?;
        if progress {
            // Of a long packet there may be more, of which no socket tells.
            continue;
        }
        wire.wait(left.min(TICK));
    }
}

impl Remote for Ssh2Remote {
    fn connect(
        &self,
        host: &Host,
        until: Instant,
        cancel: &Cancel,
    ) -> Result<Box<dyn Connection>, ConnectError> {
        if cancel.is_cancelled() {
            return Err(ConnectError::Cancelled);
        }
        let dialled = loop {
            limits::take_exhaustion();
            let error = match self.dial(host, until, cancel) {
                Ok(dialled) => break dialled,
                Err(ConnectError::Cancelled) => return Err(ConnectError::Cancelled),
                Err(error) if error.is_exhausted() => error,
                // Deep in a library (a resolver, OpenSSL) or in a file of keys, and told as something else.
                Err(error) if limits::take_exhaustion() || limits::out_of_descriptors() => {
                    ConnectError::Exhausted { why: error.to_string() }
                }
                Err(error) => return Err(error),
            };
            if !pause(jittered(EXHAUSTED), until, cancel) {
                return Err(if cancel.is_cancelled() { ConnectError::Cancelled } else { error });
            }
        };
        let inner = Arc::clone(&self.inner);
        Ok(Box::new(Ssh2Connection::new(dialled, inner, host.clone(), cancel.clone())))
    }

    fn profile(&self, host: &Host) -> HostProfile {
        self.inner.profile(host)
    }
}
