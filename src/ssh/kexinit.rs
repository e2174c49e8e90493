//! What a server offers, when that has nothing in common with what is offered here: libssh2 says only that
//! there was no agreement, so it is asked once more (RFC 4253, 4.2 and 7.1).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::algorithms::{LISTS, offered};
use super::known_hosts::Known;
use super::route::Hop;
use super::wire::Wire;

/// For all of it; the handshake before it was answered at once.
const WITHIN: Duration = Duration::from_secs(5);
/// What a server may send before its list, and the list itself (RFC 4253, 6.1).
const LONGEST: u64 = 64 * 1024;
/// Of each list, in a message.
const SHOWN: usize = 400;

const SSH_MSG_KEXINIT: u8 = 20;

/// What there is no agreement about, and what each side offers; `None`: it failed for another reason.
pub(super) fn mismatch(wire: &Wire, known: &Known, hop: &Hop, until: Instant) -> Option<String> {
    let ours: Vec<_> = LISTS
        .iter()
        .map(|(kind, _)| offered(&wire.session, *kind, known, &hop.algorithms).unwrap_or_default())
        .collect();
    let Some(peer) = wire.socket.peer() else {
        // Behind a jump host; its lists would take a way of their own.
        let ours = LISTS.iter().zip(&ours).filter(|((_, what), _)| *what != "MAC");
        let ours: Vec<_> = ours.map(|((_, what), ours)| format!("{what}: {}", ours.join(","))).collect();
        return (!wire.socket.is_closed())
            .then(|| format!("no common algorithms; here there are {}", ours.join("; ")));
    };
    let until = until.min(Instant::now() + WITHIN).max(Instant::now() + WITHIN / 5);
    let theirs = ask(peer, until).ok()?;
    let mut found: Vec<String> = Vec::new();
    for (((_, what), ours), theirs) in LISTS.iter().zip(&ours).zip(&theirs) {
        if !ours.iter().any(|name| theirs.split(',').any(|other| other == *name)) {
            let theirs: String = super::visible(theirs.as_bytes()).chars().take(SHOWN).collect();
            let text =
                format!("no common {what} algorithm: it offers {theirs}; here there are {}", ours.join(","));
            if !found.contains(&text) {
                found.push(text);
            }
        }
    }
    (!found.is_empty()).then(|| found.join(". "))
}

/// The first lists of the server's SSH_MSG_KEXINIT.
fn ask(peer: SocketAddr, until: Instant) -> io::Result<Vec<String>> {
    let left = || until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let stream = TcpStream::connect_timeout(&peer, left())?;
    let mut input = Bounded { stream: &stream, until, left: LONGEST };
    loop {
        let mut line = Vec::new();
        let mut byte = [0];
        while byte != *b"\n" {
            input.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        if line.starts_with(b"SSH-") {
            break;
        }
    }
    (&stream).write_all(b"SSH-2.0-maand\r\n")?;
    let mut head = [0; 5];
    input.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let mut packet = Vec::new();
    let bytes = u64::from(length).saturating_sub(1);
    Read::by_ref(&mut input).take(bytes).read_to_end(&mut packet)?;
    parse(&packet).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// A type, a cookie, and lists of names.
pub(super) fn parse(packet: &[u8]) -> Option<Vec<String>> {
    let mut rest = packet.strip_prefix(&[SSH_MSG_KEXINIT])?.get(16..)?;
    let mut lists = Vec::new();
    for _ in LISTS {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (names, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        lists.push(String::from_utf8_lossy(names).into_owned());
        rest = tail;
    }
    Some(lists)
}

/// Neither longer nor later than it may be.
struct Bounded<'a> {
    stream: &'a TcpStream,
    until: Instant,
    left: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let time = self.until.saturating_duration_since(Instant::now());
        if time.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(time))?;
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.stream.read(&mut buffer[..room])?;
        self.left -= n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_what_is_cut_is_not() {
        let mut packet = vec![SSH_MSG_KEXINIT];
        packet.extend([7; 16]);
        for at in 0..LISTS.len() {
            packet.extend([0, 0, 0, 3]);
            packet.extend(format!("a,{at}").bytes());
        }
        assert_eq!(parse(&packet).unwrap()[5], "a,5");
        for cut in 0..packet.len() {
            assert_eq!(parse(&packet[..cut]), None);
        }
    }
}
