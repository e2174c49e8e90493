//! An SSH agent (draft-ietf-sshm-ssh-agent): which keys it has, and logging in with one.
//!
//! libssh2 speaks to an agent, but waits for its answers without an end (one that asks the operator to
//! confirm, or is at the other end of a dead connection, would hold a run), offers only what the agent itself
//! lists, asks for signatures by SHA-1 where an RSA key has a certificate, and drops a part of those of security
//! tokens. So it is shown an agent of our own with one identity, that has the signature made by the real one.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::Cancel;
use super::known_hosts::blob_kind;
use super::socket::{TICK, wait_any};
use super::wire::{Stop, Wire};
use crate::os::limits;
use crate::plan::duration;

/// A local program that has its list at hand.
const LIST_WITHIN: Duration = Duration::from_secs(5);
/// OpenSSH's own bound of a message (`authfd.c`).
const LONGEST: usize = 256 * 1024;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// Flags of a request to sign (RFC 8332).
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// An agent, with the keys that it has.
pub(super) struct Agent {
    socket: PathBuf,
    /// Public keys and certificates, in its order.
    pub(super) keys: Vec<Vec<u8>>,
}

/// Why an agent did not get us in.
pub(super) enum NoLogin {
    /// The server, or the connection.
    Stop(Stop),
    /// The agent itself.
    Agent(String),
}

impl Agent {
    /// Asks it for its keys.
    pub(super) fn open(socket: &Path) -> io::Result<Self> {
        let keys = list(socket, LIST_WITHIN).inspect_err(limits::note_exhaustion)?;
        Ok(Self { socket: socket.to_owned(), keys })
    }

    pub(super) fn has(&self, blob: &[u8]) -> bool {
        self.keys.iter().any(|key| key == blob)
    }

    /// Logs in with a key or certificate, for which one of its keys signs.
    pub(super) fn log_in(
        &self,
        wire: &Wire,
        user: &str,
        blob: &[u8],
        signer: &[u8],
        until: Instant,
        cancel: &Cancel,
    ) -> Result<(), NoLogin> {
        let here = |error: io::Error| {
            limits::note_exhaustion(&error);
            NoLogin::Agent(format!("no way to it: {error}"))
        };
        let folder = tempfile::Builder::new().prefix("maand-agent-").tempdir().map_err(here)?;
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).map_err(here)?;
        let bridge = Bridge {
            socket: self.socket.clone(),
            blob: blob.to_owned(),
            signer: signer.to_owned(),
            until,
            cancel: cancel.clone(),
        };
        let serving = std::thread::Builder::new()
            .name("ssh-agent".into())
            .stack_size(256 * 1024)
            .spawn(move || bridge.serve(&listener))
            .map_err(here)?;
        offer(wire, user, blob, &path, until, cancel).map_err(|stop| match serving.join() {
            // libssh2 calls all of it a "callback" that failed.
            Ok(Err(error)) => {
                limits::note_exhaustion(&error);
                NoLogin::Agent(error.to_string())
            }
            _ => NoLogin::Stop(stop),
        })
    }
}

fn offer(
    wire: &Wire,
    user: &str,
    blob: &[u8],
    path: &Path,
    until: Instant,
    cancel: &Cancel,
) -> Result<(), Stop> {
    let mut agent = wire.session.agent().map_err(Stop::Failed)?;
    agent.set_identity_path(path).map_err(Stop::Failed)?;
    agent.connect().map_err(Stop::Failed)?;
    agent.list_identities().map_err(Stop::Failed)?;
    let identities = agent.identities().map_err(Stop::Failed)?;
    let identity = identities.iter().find(|identity| identity.blob() == blob);
    let identity = identity.ok_or_else(|| Stop::Failed(ssh2::Error::unknown()))?;
    wire.drive(until, cancel, |_| agent.userauth(user, identity))
}

/// The agent that libssh2 is shown.
struct Bridge {
    socket: PathBuf,
    blob: Vec<u8>,
    signer: Vec<u8>,
    until: Instant,
    cancel: Cancel,
}

impl Bridge {
    /// Until libssh2 has no more questions, or the time is up.
    fn serve(&self, listener: &UnixListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let mut stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_any(&mut [PollFd::new(listener, PollFlags::IN)], self.left()?);
                }
                Err(error) => return Err(error),
            }
        };
        stream.set_nonblocking(true)?;
        while let Some(request) = self.receive(&mut stream)? {
            let answer = match request.first() {
                Some(&REQUEST_IDENTITIES) => {
                    let list = [&[IDENTITIES_ANSWER, 0, 0, 0, 1][..], &string(&self.blob), &string(b"")];
                    list.concat()
                }
                Some(&SIGN_REQUEST) => self.sign(&request)?,
                _ => vec![FAILURE],
            };
            self.send(&mut stream, &answer)?;
        }
        Ok(())
    }

    /// The answer of the real agent.
    fn sign(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let request = self.translated(request).ok_or(io::ErrorKind::InvalidData)?;
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_nonblocking(true)?;
        self.send(&mut stream, &request)?;
        let answer = self.receive(&mut stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        match answer.first() {
            Some(&FAILURE) => Err(io::Error::other("it refuses to sign")),
            _ if of_a_token(&self.blob) => {
                for_libssh2(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
            }
            _ => Ok(answer),
        }
    }

    /// With the key that it has, and with what libssh2 forgets of an RSA key's certificate.
    fn translated(&self, request: &[u8]) -> Option<Vec<u8>> {
        let mut rest = request.strip_prefix(&[SIGN_REQUEST])?;
        take(&mut rest)?;
        let data = take(&mut rest)?;
        let mut flags = u32::from_be_bytes(rest.try_into().ok()?);
        if blob_kind(&self.blob).as_deref() == Some("ssh-rsa-cert-v01@openssh.com") {
            let asked = |name: &[u8]| data.windows(name.len()).any(|part| part == name);
            if asked(b"rsa-sha2-512-cert-v01@openssh.com") {
                flags |= RSA_SHA2_512;
            } else if asked(b"rsa-sha2-256-cert-v01@openssh.com") {
                flags |= RSA_SHA2_256;
            }
        }
        Some([&[SIGN_REQUEST][..], &string(&self.signer), &string(data), &flags.to_be_bytes()].concat())
    }

    fn left(&self) -> io::Result<Duration> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let left = self.until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no signature in time: does it ask somebody?");
        left.map(|left| left.min(TICK)).ok_or_else(late)
    }

    /// One message; `None`: there is no more.
    fn receive(&self, stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
        let mut message = Vec::new();
        let mut wanted = 4;
        while message.len() < wanted {
            let have = message.len();
            message.resize(wanted, 0);
            let read = stream.read(&mut message[have..]);
            message.truncate(have + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) if wanted == 4 && message.len() == 4 => {
                    wanted += u32::from_be_bytes([message[0], message[1], message[2], message[3]]) as usize;
                    if wanted > LONGEST {
                        return Err(io::Error::other("a message of it is too long"));
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_any(&mut [PollFd::new(stream, PollFlags::IN)], self.left()?);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        message.drain(..4);
        Ok(Some(message))
    }

    fn send(&self, stream: &mut UnixStream, message: &[u8]) -> io::Result<()> {
        let message = string(message);
        let mut rest = message.as_slice();
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_any(&mut [PollFd::new(stream, PollFlags::OUT)], self.left()?);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A key on a security token, or a certificate of one.
fn of_a_token(blob: &[u8]) -> bool {
    blob_kind(blob).is_some_and(|kind| kind.starts_with("sk-"))
}

/// A token's signature has flags and a counter behind it (OpenSSH's PROTOCOL.u2f). libssh2 takes what an agent calls
/// the signature and drops the rest (`agent.c`, agent_sign), and puts it behind the name of such an algorithm as it is,
/// without a length (`userauth.c`): so all of it is called the signature, with its length.
pub(super) fn for_libssh2(answer: &[u8]) -> Option<Vec<u8>> {
    let mut rest = answer.strip_prefix(&[SIGN_RESPONSE])?;
    let mut blob = take(&mut rest)?;
    let algorithm = take(&mut blob)?;
    let blob = [string(algorithm), string(blob)].concat();
    Some([&[SIGN_RESPONSE][..], &string(&blob)].concat())
}

/// With its length before it.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (bytes, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = tail;
    Some(bytes)
}

fn list(socket: &Path, within: Duration) -> io::Result<Vec<Vec<u8>>> {
    let bridge = Bridge {
        socket: socket.to_owned(),
        blob: Vec::new(),
        signer: Vec::new(),
        until: Instant::now() + within,
        cancel: Cancel::new(),
    };
    let mut stream = UnixStream::connect(socket)?;
    stream.set_nonblocking(true)?;
    let late = |error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut => {
            io::Error::new(error.kind(), format!("it does not answer within {}", duration(within)))
        }
        _ => error,
    };
    bridge.send(&mut stream, &[REQUEST_IDENTITIES]).map_err(late)?;
    let answer = bridge.receive(&mut stream).map_err(late)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    parse(&answer).ok_or_else(|| io::Error::other("it does not tell its keys"))
}

/// A byte, a number, and so often a key and a comment.
pub(super) fn parse(answer: &[u8]) -> Option<Vec<Vec<u8>>> {
    let rest = answer.strip_prefix(&[IDENTITIES_ANSWER])?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut keys = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        keys.push(take(&mut rest)?.to_vec());
        take(&mut rest)?;
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
        let within = Duration::from_millis(300);
        assert_eq!(list(&socket, within).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(listener);
        assert!(list(&socket, within).is_err());
    }
}
