//! One connection: opens channels for scripts, and gives them up without ever blocking.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh2::Channel;

use super::bootstrap::bootstrap;
use super::client::Inner;
use super::exchange::{End, Exchange, Payload};
use super::frame::{self, NotRun};
use super::group::{Group, end_group};
use super::wire::{Stop, Wire};
use super::{Cancel, Captured, Completion, Connection, OutputSink, Script, UnknownWhy};
use crate::bucket::Host;

/// Opening a channel takes a round trip; the worker that needs longer is gone.
const OPEN_WITHIN: Duration = Duration::from_secs(15);
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
}

/// A channel on which the bootstrap runs.
pub(super) fn open(wire: &Wire, until: Instant, cancel: &Cancel) -> Result<Channel, Stop> {
    let mut channel = wire.drive(until, cancel, |session| session.channel_session())?;
    let command = bootstrap();
    match wire.drive(until, cancel, |_| channel.exec(&command)) {
        Ok(()) => Ok(channel),
        Err(stop) => {
            // The caller drops the wire; a channel must not be freed on a live socket.
            wire.socket.shut_down();
            Err(stop)
        }
    }
}

impl Ssh2Connection {
    pub(super) fn new(wire: Wire, first: Channel, inner: Arc<Inner>, host: Host, cancel: Cancel) -> Self {
        Self { first: Some(first), wire: Some(wire), inner, host, cancel }
    }

    fn give_up(&mut self) {
        if let Some(wire) = &self.wire {
            wire.socket.shut_down();
        }
        self.first = None;
        self.wire = None;
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
        let Some(wire) = &self.wire else {
            return unknown(UnknownWhy::ConnectionLost("the connection was given up before".into()));
        };
        let until = Instant::now() + script.deadline.min(OPEN_WITHIN);
        let channel = match self.first.take().map_or_else(|| open(wire, until, &self.cancel), Ok) {
            Ok(channel) => channel,
            Err(stop) => {
                self.give_up();
                return unknown(match stop {
                    Stop::Cancelled => UnknownWhy::Cancelled,
                    Stop::Deadline => UnknownWhy::ConnectionLost("no channel was opened in time".into()),
                    Stop::Failed(error) => UnknownWhy::ConnectionLost(error.message().to_owned()),
                });
            }
        };
        let mut exchange = Exchange::new(wire, channel, &framed, script, payload, sink, &self.cancel);
        let end = exchange.run();
        let (group, stdout, stderr) = exchange.finish(end.is_known());
        match end {
            End::Exited(code) => Completion::Exited { code, stdout, stderr },
            End::NotRun(reason) => Completion::NotRun { reason, stderr },
            End::Unknown(why) => {
                self.give_up();
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
}

impl Drop for Ssh2Connection {
    fn drop(&mut self) {
        self.give_up();
    }
}
