//! One SSH session in non-blocking mode: every libssh2 call is driven to its end under a deadline and
//! a [`Cancel`], by one thread.

use std::time::Instant;

use ssh2::{BlockDirections, ErrorCode, Session};

use super::Cancel;
use super::socket::{Socket, TICK};

/// libssh2's `LIBSSH2_ERROR_*` that we act on (`libssh2.h`).
pub(super) mod code {
    pub(in crate::ssh) const SOCKET_SEND: i32 = -7;
    pub(in crate::ssh) const KEX_FAILURE: i32 = -5;
    pub(in crate::ssh) const KEY_EXCHANGE: i32 = -8;
    pub(in crate::ssh) const SOCKET_DISCONNECT: i32 = -13;
    pub(in crate::ssh) const FILE: i32 = -16;
    pub(in crate::ssh) const PUBLICKEY_UNVERIFIED: i32 = -19;
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
}

impl Wire {
    pub(super) fn new(socket: Socket) -> Result<Self, ssh2::Error> {
        let mut session = Session::new()?;
        session.set_tcp_stream(socket.clone());
        session.set_blocking(false);
        Ok(Self { session, socket })
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
                done => return done.map_err(Stop::Failed),
            }
            if cancel.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            let left = until.checked_duration_since(Instant::now()).ok_or(Stop::Deadline)?;
            self.socket.wait(self.wants_to_write(), left.min(TICK));
        }
    }

    /// Whether libssh2 has something to send that did not fit.
    pub(super) fn wants_to_write(&self) -> bool {
        matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // First the goodbye, once and without waiting, then the socket: freeing a session or a channel
        // on a live socket talks to the server.
        let _ = self.session.disconnect(None, "done", None);
        self.socket.shut_down();
    }
}
