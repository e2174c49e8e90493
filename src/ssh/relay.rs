//! What stands between the network and libssh2: a pair of local sockets, through which this thread hands over the
//! server's bytes packet by packet, and counts them.
//!
//! libssh2 reads for as long as something can be read, drops what it does not want, and queues without a bound
//! what nobody has asked for. So it is never given the network's socket: each of its calls ends when it has read
//! the one packet that is there, and between two calls are our deadline, our [`super::Cancel`] and the [`Budget`].

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use ssh2::Session;

use super::budget::Budget;
use super::packets::Packets;
use super::socket::{Socket, wait_any};

/// So much is read at once; a packet is hardly ever longer.
const CHUNK: usize = 32 * 1024;

/// libssh2's end of the pair.
#[derive(Clone)]
pub(super) struct Inner(Arc<UnixStream>);

impl AsRawFd for Inner {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Inner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Both directions, as far as they are under way.
pub(super) struct Relay {
    ours: UnixStream,
    inner: Inner,
    inbound: Vec<u8>,
    outbound: Vec<u8>,
    packets: Packets,
    pub(super) budget: Budget,
    /// The network has nothing more.
    ended: bool,
    /// libssh2 has been told so.
    told: bool,
}

impl Relay {
    pub(super) fn new() -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        // A packet fits whole, with what the kernel adds; most systems have twice this as their default.
        let _ = sockopt::set_socket_send_buffer_size(&theirs, 3 * CHUNK);
        let _ = sockopt::set_socket_send_buffer_size(&ours, 3 * CHUNK);
        Ok(Self {
            ours,
            inner: Inner(Arc::new(theirs)),
            inbound: Vec::new(),
            outbound: Vec::new(),
            packets: Packets::default(),
            budget: Budget::new(),
            ended: false,
            told: false,
        })
    }

    pub(super) fn inner(&self) -> Inner {
        self.inner.clone()
    }

    /// Ends it for libssh2: whatever it calls fails at once.
    pub(super) fn shut_down(&mut self) {
        (self.ended, self.told) = (true, true);
        let _ = self.ours.shutdown(std::net::Shutdown::Both);
    }

    /// Moves what can be moved at once; `true` when something was.
    pub(super) fn pump(&mut self, socket: &Socket, session: &Session, reads: bool) -> bool {
        self.pump_out(socket) | (reads && self.pump_in(socket, session))
    }

    /// Whether a packet of libssh2's would go out whole. A part of one would keep it from saying anything else.
    pub(super) fn has_room(&self) -> bool {
        self.outbound.is_empty()
    }

    /// From libssh2 to the network.
    pub(super) fn pump_out(&mut self, socket: &Socket) -> bool {
        let mut moved = false;
        let mut chunk = [0; CHUNK];
        loop {
            if self.outbound.is_empty() {
                match (&self.ours).read(&mut chunk) {
                    Ok(n @ 1..) => self.outbound.extend_from_slice(&chunk[..n]),
                    _ => return moved,
                }
            }
            match send(socket, &self.outbound, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(n) => {
                    self.budget.sent(n);
                    self.outbound.drain(..n);
                    moved = true;
                }
                Err(errno) if passes(errno) => return moved,
                // Nobody reads any more; what was said before that can still be read.
                Err(_) => self.outbound.clear(),
            }
        }
    }

    /// The next packet from the network to libssh2, once it has read the one before.
    fn pump_in(&mut self, socket: &Socket, session: &Session) -> bool {
        if self.told || self.has_unread() {
            return false;
        }
        let mut moved = false;
        loop {
            let piece = self.packets.next(&self.inbound, session, &mut self.budget);
            if piece > 0 {
                match (&self.ours).write(&self.inbound[..piece]) {
                    Ok(n) => {
                        self.packets.passed(&self.inbound[..n], &mut self.budget);
                        self.inbound.drain(..n);
                        return true;
                    }
                    Err(_) => return moved,
                }
            }
            if self.ended {
                self.told = true;
                let _ = (&self.ours).write(&self.inbound);
                let _ = self.ours.shutdown(std::net::Shutdown::Write);
                return true;
            }
            let start = self.inbound.len();
            self.inbound.resize(start + CHUNK, 0);
            let got = recv(socket, &mut self.inbound[start..], RecvFlags::DONTWAIT);
            self.inbound.truncate(start + got.map_or(0, |(n, _)| n));
            match got {
                Ok((0, _)) => self.ended = true,
                Ok(_) => moved = true,
                Err(errno) if passes(errno) => {
                    if self.inbound.is_empty() {
                        // A thousand connections may wait at once.
                        self.inbound = Vec::new();
                    }
                    return moved;
                }
                Err(_) => self.ended = true,
            }
        }
    }

    fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(&self.inner).is_ok_and(|unread| unread > 0)
    }

    /// Waits until something can be moved, or one of `others` is ready.
    pub(super) fn wait(&self, socket: &Socket, others: &[PollFd<'_>], reads: bool, timeout: Duration) {
        let mut network = PollFlags::empty();
        network.set(PollFlags::IN, reads && !self.ended && !self.has_unread());
        network.set(PollFlags::OUT, !self.outbound.is_empty());
        let mut fds = others.to_vec();
        // A hang-up is reported whether it was asked for or not.
        if !network.is_empty() {
            fds.push(PollFd::new(socket, network));
        }
        // What libssh2 has left unread it may want now.
        if reads {
            fds.push(PollFd::new(&self.inner, PollFlags::IN));
        }
        wait_any(&mut fds, timeout);
    }
}

fn passes(errno: rustix::io::Errno) -> bool {
    matches!(errno, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR)
}
