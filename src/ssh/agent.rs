//! An SSH agent (draft-ietf-sshm-ssh-agent): which keys it has, and logging in with one.
//!
//! The list is asked for here, since libssh2 waits for an agent's answer without an end: one at the other
//! end of a dead connection would hold a run.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Cancel;
use super::wire::{Stop, Wire};

/// A local program that has its answer at hand.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// OpenSSH's own bound of a message (`authfd.c`).
const LONGEST: usize = 256 * 1024;

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;

/// An agent, with the keys that it has.
pub(super) struct Agent {
    socket: PathBuf,
    /// Public keys and certificates, in its order.
    pub(super) keys: Vec<Vec<u8>>,
    session: Option<ssh2::Agent>,
}

impl Agent {
    /// Asks it for its keys.
    pub(super) fn open(socket: &Path) -> io::Result<Self> {
        let keys = list(socket)?;
        Ok(Self { socket: socket.to_owned(), keys, session: None })
    }

    pub(super) fn has(&self, blob: &[u8]) -> bool {
        self.keys.iter().any(|key| key == blob)
    }

    /// Logs in with one of its keys.
    pub(super) fn log_in(
        &mut self,
        wire: &Wire,
        user: &str,
        blob: &[u8],
        until: Instant,
        cancel: &Cancel,
    ) -> Result<(), Stop> {
        if self.session.is_none() {
            let mut agent = wire.session.agent().map_err(Stop::Failed)?;
            agent.set_identity_path(&self.socket).map_err(Stop::Failed)?;
            agent.connect().map_err(Stop::Failed)?;
            agent.list_identities().map_err(Stop::Failed)?;
            self.session = Some(agent);
        }
        let Some(agent) = &self.session else { return Err(Stop::Failed(ssh2::Error::unknown())) };
        let identities = agent.identities().map_err(Stop::Failed)?;
        let identity = identities.iter().find(|identity| identity.blob() == blob);
        let identity = identity.ok_or_else(|| Stop::Failed(ssh2::Error::unknown()))?;
        wire.drive(until, cancel, |_| agent.userauth(user, identity))
    }
}

fn list(socket: &Path) -> io::Result<Vec<Vec<u8>>> {
    let until = Instant::now() + ANSWER_WITHIN;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(&[0, 0, 0, 1, REQUEST_IDENTITIES])?;
    let mut head = [0; 4];
    read_by(&mut stream, &mut head, until)?;
    let length = u32::from_be_bytes(head) as usize;
    if length > LONGEST {
        return Err(io::Error::other("its answer is too long"));
    }
    let mut answer = vec![0; length];
    read_by(&mut stream, &mut answer, until)?;
    parse(&answer).ok_or_else(|| io::Error::other("it does not tell its keys"))
}

fn read_by(stream: &mut UnixStream, mut buffer: &mut [u8], until: Instant) -> io::Result<()> {
    let late =
        || io::Error::new(io::ErrorKind::TimedOut, format!("it does not answer within {ANSWER_WITHIN:?}"));
    while !buffer.is_empty() {
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        stream.set_read_timeout(Some(left.ok_or_else(late)?))?;
        match stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => buffer = &mut buffer[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(late());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A byte, a number, and so often a key and a comment.
fn parse(answer: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = answer.strip_prefix(&[IDENTITIES_ANSWER])?;
    let number = |rest: &mut &[u8]| {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        *rest = tail;
        Some(u32::from_be_bytes(*head) as usize)
    };
    let count = number(&mut rest)?;
    let mut keys = Vec::new();
    for _ in 0..count {
        let length = number(&mut rest)?;
        let (key, tail) = rest.split_at_checked(length)?;
        rest = tail;
        keys.push(key.to_vec());
        let length = number(&mut rest)?;
        rest = rest.split_at_checked(length)?.1;
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_any_kind_is_read_or_refused() {
        let good =
            [&[12, 0, 0, 0, 2, 0, 0, 0, 1, 7, 0, 0, 0, 0][..], &[0, 0, 0, 2, 8, 9, 0, 0, 0, 1, 65]].concat();
        assert_eq!(parse(&good), Some(vec![vec![7], vec![8, 9]]));
        for cut in 0..good.len() {
            assert_eq!(parse(&good[..cut]), None);
        }
        assert_eq!(parse(&[12, 255, 255, 255, 255]), None);
        assert_eq!(parse(&[5]), None);
    }

    #[test]
    fn an_agent_that_says_nothing_does_not_hold_us() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(list(&socket).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(listener);
        assert!(list(&socket).is_err());
    }
}
