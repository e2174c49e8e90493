//! One SSH session in non-blocking mode: every libssh2 call is driven to its end under a deadline and
//! a [`Cancel`], by one thread. None lasts longer than it takes to read what the [`Relay`] has handed over.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use rustix::event::PollFd;
use ssh2::{ErrorCode, Session};

use super::Cancel;
use super::budget::PER_CHANNEL;
use super::relay::Relay;
use super::socket::{Socket, TICK};
use crate::os::limits;

/// libssh2's `LIBSSH2_ERROR_*` that we act on (`libssh2.h`).
pub(super) mod code {
    pub(in crate::ssh) const SOCKET_SEND: i32 = -7;
    pub(in crate::ssh) const KEX_FAILURE: i32 = -5;
    pub(in crate::ssh) const KEY_EXCHANGE: i32 = -8;
    pub(in crate::ssh) const SOCKET_DISCONNECT: i32 = -13;
    pub(in crate::ssh) const FILE: i32 = -16;
    pub(in crate::ssh) const PUBLICKEY_UNVERIFIED: i32 = -19;
    pub(in crate::ssh) const CHANNEL_FAILURE: i32 = -21;
    pub(in crate::ssh) const EAGAIN: i32 = -37;
    pub(in crate::ssh) const BAD_USE: i32 = -39;
    pub(in crate::ssh) const BANNER_RECV: i32 = -2;
    pub(in crate::ssh) const SOCKET_RECV: i32 = -43;
}

/// Why a call did not come to its end.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(ssh2::Error),
    Deadline,
    Cancelled,
}

/// The code of an error, 0 for one that is not libssh2's.
pub(super) fn code_of(error: &ssh2::Error) -> i32 {
    match error.code() {
        ErrorCode::Session(code) => code,
        ErrorCode::SFTP(_) => 0,
    }
}

/// A session and its socket.
pub(super) struct Wire {
    pub(super) session: Session,
    pub(super) socket: Socket,
    relay: RefCell<Relay>,
    /// Why it was ended: the server sent too much.
    flood: RefCell<Option<String>>,
}

impl Wire {
    /// # Errors
    /// In words: no memory, no more descriptors.
    pub(super) fn new(socket: Socket) -> Result<Self, String> {
        let words = |error: ssh2::Error| error.message().to_owned();
        let mut session = Session::new().map_err(words)?;
        let relay = Relay::new().inspect_err(limits::note_exhaustion).map_err(|error| error.to_string())?;
        session.set_tcp_stream(relay.inner());
        session.set_blocking(false);
        Ok(Self { session, socket, relay: RefCell::new(relay), flood: RefCell::default() })
    }

    /// Calls `op` until it no longer would block.
    pub(super) fn drive<T>(
        &self,
        until: Instant,
        cancel: &Cancel,
        mut op: impl FnMut(&mut Session) -> Result<T, ssh2::Error>,
    ) -> Result<T, Stop> {
        let mut session = self.session.clone();
        loop {
            match op(&mut session) {
                Err(error) if code_of(&error) == code::EAGAIN => {}
                done => {
                    // What it has said goes out even when nobody waits next.
                    self.flush();
                    return done.map_err(Stop::Failed);
                }
            }
            if cancel.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            let left = until.checked_duration_since(Instant::now()).ok_or(Stop::Deadline)?;
            self.wait(left.min(TICK));
        }
    }

    /// Waits until libssh2 may get on, at most `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        self.wait_with(&[], true, timeout);
    }

    /// As [`Wire::wait`], or until one of `others` is ready. Without `reads` nothing is read now: who cannot pass
    /// it on takes no more.
    pub(super) fn wait_with(&self, others: &[PollFd<'_>], reads: bool, timeout: Duration) {
        let mut relay = self.relay.borrow_mut();
        if !relay.pump(&self.socket, &self.session, reads) {
            relay.wait(&self.socket, others, reads, timeout);
            relay.pump(&self.socket, &self.session, reads);
        }
        if let Some(why) = relay.budget.exceeded() {
            self.flood.borrow_mut().get_or_insert(why);
            relay.shut_down();
            self.socket.shut_down();
        }
    }

    /// Sends what libssh2 has said, as far as that goes at once; `true` when it may say more.
    pub(super) fn flush(&self) -> bool {
        let mut relay = self.relay.borrow_mut();
        relay.pump_out(&self.socket);
        relay.has_room()
    }

    /// Output is expected from here on.
    pub(super) fn logged_in(&self) {
        self.relay.borrow_mut().budget.logged_in();
    }

    /// A channel is asked for.
    pub(super) fn opens_channel(&self) {
        self.relay.borrow_mut().budget.grant(PER_CHANNEL);
    }

    /// So many bytes came out of a channel.
    pub(super) fn delivered(&self, bytes: usize) {
        self.relay.borrow_mut().budget.delivered(bytes);
    }

    /// Why we have ended the connection, if the server sent too much.
    pub(super) fn flood(&self) -> Option<String> {
        self.flood.borrow().clone()
    }

    /// Ends the connection for all its users; nothing blocks on it from then on.
    pub(super) fn shut_down(&self) {
        self.relay.borrow_mut().shut_down();
        self.socket.shut_down();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // First the goodbye, once and without waiting, then the sockets: freeing a session or a channel
        // on a live socket talks to the server.
        let _ = self.session.disconnect(None, "done", None);
        self.flush();
        self.shut_down();
    }
}
