//! One connection: opens channels for scripts, and gives them up without ever blocking.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh2::Channel;

use super::bootstrap::COMMAND;
use super::client::{Dialled, Inner};
use super::exchange::{End, Exchange, Opened, Payload};
use super::frame;
use super::group::{Group, end_group};
use super::socket::pause;
use super::wire::{Stop, Wire, code, code_of};
use super::{Cancel, Captured, Completion, ConnectError, Connection, NotRun, OutputSink, Script, UnknownWhy};
use crate::bucket::Host;

/// Opening a channel takes a round trip; the worker that needs longer is gone.
const OPEN_WITHIN: Duration = Duration::from_secs(15);
/// The channel before is not quite closed yet, on a server that allows one at a time (`MaxSessions`).
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Between two tries in that time.
const CLOSE_STEP: Duration = Duration::from_millis(50);
/// For ending a script's group over a fresh connection, all in all.
const END_GROUP_WITHIN: Duration = Duration::from_secs(4);

/// [`Connection`] over one ssh2 session.
pub(super) struct Ssh2Connection {
    /// Channels go before the session; both after the socket was shut down.
    first: Option<Channel>,
    wire: Option<Wire>,
    inner: Arc<Inner>,
    host: Host,
    cancel: Cancel,
    greeting: Vec<u8>,
}

/// A channel on which the bootstrap runs.
pub(super) fn open(wire: &Wire, until: Instant, cancel: &Cancel) -> Result<Channel, Stop> {
    wire.opens_channel();
    let mut channel = wire.drive(until, cancel, |session| session.channel_session())?;
    match wire.drive(until, cancel, |_| channel.exec(COMMAND)) {
        Ok(()) => Ok(channel),
        Err(stop) => {
            // The caller drops the wire; a channel must not be freed on a live socket.
            wire.shut_down();
            Err(stop)
        }
    }
}

impl Ssh2Connection {
    pub(super) fn new(dialled: Dialled, inner: Arc<Inner>, host: Host, cancel: Cancel) -> Self {
        let Dialled { wire, channel, greeting } = dialled;
        Self { first: Some(channel), wire: Some(wire), inner, host, cancel, greeting }
    }

    fn give_up(&mut self) {
        if let Some(wire) = &self.wire {
            wire.shut_down();
        }
        self.first = None;
        self.wire = None;
    }

    /// A channel for the next script: the one that the login has left, another one, or, where the server allows no
    /// other or the connection has been lost meanwhile, the one of another login. Nothing has been sent yet.
    fn channel(&mut self, until: Instant) -> Result<Opened, ConnectError> {
        if let Some(channel) = self.first.take() {
            return Ok(Opened { channel, ready: true });
        }
        let closed_by = Instant::now() + CLOSE_WITHIN;
        while let Some(wire) = &self.wire {
            match open(wire, until, &self.cancel) {
                Ok(channel) => return Ok(Opened { channel, ready: false }),
                Err(Stop::Cancelled) => return Err(ConnectError::Cancelled),
                Err(Stop::Failed(error)) if code_of(&error) == code::CHANNEL_FAILURE => {
                    if !pause(CLOSE_STEP, closed_by.min(until), &self.cancel) {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        self.give_up();
        let remote = super::Ssh2Remote::from_inner(Arc::clone(&self.inner));
        let Dialled { wire, channel, .. } = remote.dial(&self.host, until, &self.cancel)?;
        self.wire = Some(wire);
        Ok(Opened { channel, ready: true })
    }

    fn exchange(
        &mut self,
        script: &Script,
        payload: Option<Payload<'_>>,
        sink: Option<OutputSink<'_>>,
    ) -> Completion {
        let unknown =
            |why| Completion::Unknown { why, stdout: Captured::default(), stderr: Captured::default() };
        let profile = self.inner.profile(&self.host);
        let framed = match frame::frame(script, &profile) {
            Ok(framed) => framed,
            Err(error) => {
                let stderr = Captured { bytes: error.to_string().into_bytes(), dropped: 0 };
                return Completion::NotRun { reason: NotRun::BadScript, stderr };
            }
        };
        if self.wire.is_none() {
            return unknown(UnknownWhy::ConnectionLost("the connection was given up before".into()));
        }
        let opened = match self.channel(Instant::now() + script.deadline.min(OPEN_WITHIN)) {
            Ok(opened) => opened,
            Err(ConnectError::Cancelled) => {
                self.give_up();
                return unknown(UnknownWhy::Cancelled);
            }
            Err(error) => {
                self.give_up();
                let stderr = Captured { bytes: error.to_string().into_bytes(), dropped: 0 };
                return Completion::NotRun { reason: NotRun::NoChannel, stderr };
            }
        };
        let Some(wire) = &self.wire else {
            return unknown(UnknownWhy::ConnectionLost("the connection was given up before".into()));
        };
        let mut exchange = Exchange::new(wire, opened, &framed, script, payload, sink, &self.cancel);
        let end = exchange.run();
        let clean = end.is_clean();
        let (group, stdout, stderr) = exchange.finish(clean);
        if !clean {
            self.give_up();
        }
        match end {
            End::Exited(code) => Completion::Exited { code, stdout, stderr },
            End::NotRun(reason) => Completion::NotRun { reason, stderr },
            End::Unknown(why) => {
                if why_we_left(&why)
                    && let Some((group, started)) = group
                {
                    let group = Group { group, started };
                    let remote = super::Ssh2Remote::from_inner(Arc::clone(&self.inner));
                    end_group(&remote, &self.host, group, script.sudo, END_GROUP_WITHIN);
                }
                Completion::Unknown { why, stdout, stderr }
            }
        }
    }
}

/// Whether it was us who went, so that the script may well be running on.
fn why_we_left(why: &UnknownWhy) -> bool {
    !matches!(why, UnknownWhy::ConnectionLost(_))
}

impl Connection for Ssh2Connection {
    fn run(&mut self, script: &Script, sink: Option<OutputSink<'_>>) -> Completion {
        self.exchange(script, None, sink)
    }

    fn run_with_payload(&mut self, script: &Script, payload: &mut dyn Read, length: u64) -> Completion {
        self.exchange(script, Some(Payload { from: payload, left: length }), None)
    }

    fn is_usable(&self) -> bool {
        self.wire.is_some()
    }

    fn greeting(&self) -> &[u8] {
        &self.greeting
    }
}

impl Drop for Ssh2Connection {
    fn drop(&mut self) {
        self.give_up();
    }
}
