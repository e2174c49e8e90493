//! A jump host: a TCP channel through its session, bridged to a local socket pair by a thread that
//! owns the session. The next session speaks to the other end of the pair as if it were a TCP socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use ssh2::Channel;

use super::socket::Socket;
use super::wire::{Stop, Wire, code, code_of};
use super::{Cancel, ConnectError};
use crate::os::limits;

/// At most so much is held in each direction.
const HELD: usize = 32 * 1024;
/// The pump only waits for sockets; this bounds what a missed wake-up can cost.
const WAKE: Duration = Duration::from_millis(200);

/// Opens a way from the hop behind `wire` to `host:port`.
pub(super) fn tunnel(
    wire: Wire,
    host: &str,
    port: u16,
    until: Instant,
    cancel: &Cancel,
) -> Result<Socket, ConnectError> {
    let addr = super::socket::address(host, port);
    let from = |why: String, here| ConnectError::Unreachable { addr: addr.clone(), why, here };
    let unreachable = |why: String| from(why, false);
    wire.opens_channel();
    let channel = wire
        .drive(until, cancel, |session| session.channel_direct_tcpip(host, port, None))
        .map_err(|stop| match stop {
            Stop::Cancelled => ConnectError::Cancelled,
            Stop::Deadline => unreachable("the jump host did not get there in time".into()),
            Stop::Failed(error) => unreachable(format!("the jump host says: {}", error.message())),
        })?;
    let io_error = |error: io::Error| {
        limits::note_exhaustion(&error);
        from(error.to_string(), true)
    };
    let (ours, theirs) = UnixStream::pair().map_err(io_error)?;
    theirs.set_nonblocking(true).map_err(io_error)?;
    std::thread::Builder::new()
        .name("ssh-jump".into())
        .stack_size(256 * 1024)
        .spawn(move || {
            let mut pump = Pump { wire, channel, local: theirs, up: Way::default(), down: Way::default() };
            // Either end being gone is the normal end of a pump; the session behind it notices.
            let _ = pump.run();
            pump.wire.shut_down();
        })
        .map_err(io_error)?;
    Socket::tunnel(ours).map_err(io_error)
}

/// One direction: what was read and not yet written.
#[derive(Default)]
struct Way {
    held: Vec<u8>,
    written: usize,
    closed: bool,
}

impl Way {
    fn is_empty(&self) -> bool {
        self.written == self.held.len()
    }
}

struct Pump {
    // Freed before the session, after the socket was shut down.
    channel: Channel,
    wire: Wire,
    local: UnixStream,
    up: Way,
    down: Way,
}

impl Pump {
    fn run(&mut self) -> io::Result<()> {
        loop {
            // To write may be to read, for libssh2: what has come is taken out after it.
            let mut progress = self.write_up()? | self.write_down()?;
            progress |= self.fill_up()? | self.fill_down()?;
            let done = |way: &Way| way.closed && way.is_empty();
            if done(&self.up) || done(&self.down) {
                return Ok(());
            }
            if !progress {
                self.wait();
            }
        }
    }

    fn wait(&self) {
        let mut local = PollFlags::empty();
        local.set(PollFlags::IN, self.up.is_empty() && !self.up.closed);
        local.set(PollFlags::OUT, !self.down.is_empty());
        // To write is to read, too: the other side opens its window by a packet.
        let reads = (self.down.is_empty() && !self.down.closed) || !self.up.is_empty();
        self.wire.wait_with(&[PollFd::new(&self.local, local)], reads, WAKE);
    }

    fn fill_up(&mut self) -> io::Result<bool> {
        if self.up.closed || !self.up.is_empty() {
            return Ok(false);
        }
        fill(&mut self.up, |buffer| self.local.read(buffer))
    }

    fn fill_down(&mut self) -> io::Result<bool> {
        if self.down.closed || !self.down.is_empty() {
            return Ok(false);
        }
        let ended = self.channel.eof();
        let (channel, wire) = (&mut self.channel, &self.wire);
        let got = fill(&mut self.down, |buffer| channel.read(buffer).map_err(|error| passing(wire, error)))?;
        wire.delivered(self.down.held.len());
        // Zero bytes are the end only when the channel says so.
        self.down.closed &= ended || self.channel.eof();
        Ok(got)
    }

    fn write_up(&mut self) -> io::Result<bool> {
        let (channel, wire) = (&mut self.channel, &self.wire);
        if !wire.flush() {
            return Ok(false);
        }
        drain(&mut self.up, |bytes| channel.write(bytes).map_err(|error| passing(wire, error)))
    }

    fn write_down(&mut self) -> io::Result<bool> {
        drain(&mut self.down, |bytes| self.local.write(bytes))
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.wire.shut_down();
    }
}

/// libssh2 refuses one packet while a part of another one waits for the socket; that passes.
fn passing(wire: &Wire, error: io::Error) -> io::Error {
    let code = ssh2::Error::last_session_error(&wire.session).map_or(0, |error| code_of(&error));
    if code == code::BAD_USE || code == code::EAGAIN { io::ErrorKind::WouldBlock.into() } else { error }
}

fn fill(way: &mut Way, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<bool> {
    way.held.resize(HELD, 0);
    way.written = 0;
    let got = read(&mut way.held);
    way.held.truncate(*got.as_ref().unwrap_or(&0));
    match got {
        Ok(0) => {
            way.closed = true;
            Ok(false)
        }
        Ok(_) => Ok(true),
        Err(error) if would_block(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn drain(way: &mut Way, write: impl FnOnce(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
    if way.is_empty() {
        return Ok(false);
    }
    match write(&way.held[way.written..]) {
        Ok(n) => {
            way.written += n;
            Ok(n > 0)
        }
        Err(error) if would_block(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
