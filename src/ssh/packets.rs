//! Where packets begin and end in what a server sends.
//!
//! SSH hides what a packet is, but with AES-GCM and with every encrypt-then-MAC algorithm its length is readable (RFC
//! 5647, OpenSSH's PROTOCOL). So packets can be handed to libssh2 one at a time, and one after which nothing came
//! out of a channel is one that nobody asked for: it may lie in libssh2's queue for ever.

use ssh2::{MethodType, Session};

use super::budget::{Budget, LONGEST_LINE};

/// libssh2 takes no packet that is longer (`LIBSSH2_PACKET_MAXPAYLOAD`).
const LONGEST: usize = 40_000;
/// At once, where packets cannot be told apart.
const PIECE: usize = 4 * 1024;
/// The shortest packet there (ChaCha20-Poly1305): its length, 16 bytes, and what proves it. Where no more is handed over
/// at once, what comes out of a channel came in one packet.
const SHORTEST: usize = 4 + 16 + 16;

/// The stream as far as it is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Lines, up to the one that begins with `SSH-`; so much of one, and whether it may be that.
    Hello { line: usize, ssh: bool },
    /// Packets before new keys; the type of the last one.
    Plain { last: u8 },
    /// The server has taken its new keys.
    NewKeys,
    /// Readable lengths, and so many bytes after each packet.
    Sealed { tag: usize },
    /// Nothing can be read.
    Opaque,
}

/// Cuts what a server sends into packets, where libssh2 will.
pub(super) struct Packets {
    stage: Stage,
    /// Of the packet that is being handed over.
    left: usize,
}

impl Default for Packets {
    fn default() -> Self {
        Self { stage: Stage::Hello { line: 0, ssh: true }, left: 0 }
    }
}

/// RFC 4253, 12.
const SSH_MSG_NEWKEYS: u8 = 21;
/// What comes before it: the reply to a key exchange (RFC 4253, 8; RFC 5656, 4), and with a group of the server's
/// choice (RFC 4419, 5).
const KEX_REPLY: u8 = 31;
const KEX_GEX_REPLY: u8 = 33;

impl Packets {
    /// How many of these bytes may be handed over now; 0: more have to come first.
    pub(super) fn next(&mut self, bytes: &[u8], session: &Session, budget: &mut Budget) -> usize {
        if self.left > 0 || bytes.is_empty() {
            return self.left.min(bytes.len());
        }
        match self.stage {
            Stage::NewKeys => self.stage = sealed_by(session),
            // New keys may be for another algorithm.
            Stage::Sealed { .. } if sealed_by(session) != self.stage => self.stage = Stage::Opaque,
            _ => {}
        }
        let length = |extra: usize| match bytes.first_chunk::<4>() {
            Some(length) => usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_add(4 + extra),
            None => Some(0),
        };
        let whole = match self.stage {
            Stage::Hello { .. } => {
                Some(bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1).min(PIECE))
            }
            Stage::Plain { .. } if bytes.len() < 6 => Some(0),
            Stage::Plain { .. } => length(0),
            Stage::Sealed { tag } => length(tag),
            Stage::Opaque if budget.counts_packets() => Some(bytes.len().min(SHORTEST)),
            Stage::NewKeys | Stage::Opaque => Some(bytes.len().min(PIECE)),
        };
        match whole.filter(|whole| *whole <= LONGEST) {
            Some(0) => return 0,
            Some(whole) => self.left = whole,
            None => {
                // libssh2 ends it with its own error.
                self.stage = Stage::Opaque;
                self.left = bytes.len().min(PIECE);
            }
        }
        if let Stage::Plain { last } = self.stage {
            self.stage = match bytes[5] {
                // One that comes early leaves us and libssh2 at different places.
                SSH_MSG_NEWKEYS if is_reply(last, session) => Stage::NewKeys,
                SSH_MSG_NEWKEYS => Stage::Opaque,
                last => Stage::Plain { last },
            };
        }
        budget.settle();
        self.left.min(bytes.len())
    }

    /// These bytes were handed over.
    pub(super) fn passed(&mut self, bytes: &[u8], budget: &mut Budget) {
        self.left -= bytes.len();
        budget.took(bytes.len() as u64, matches!(self.stage, Stage::Sealed { .. }));
        let Stage::Hello { line, ssh } = &mut self.stage else { return };
        for byte in bytes {
            match byte {
                b'\n' if *ssh && *line >= 4 => {
                    self.stage = Stage::Plain { last: 0 };
                    return;
                }
                b'\n' => (*line, *ssh) = (0, true),
                // As libssh2 does.
                b'\r' if *line == 0 => {}
                byte => {
                    *ssh &= b"SSH-".get(*line).is_none_or(|expected| expected == byte);
                    *line += 1;
                }
            }
        }
        if *line > LONGEST_LINE {
            budget.endless_line();
        }
    }
}

fn is_reply(kind: u8, session: &Session) -> bool {
    let own_group = session.methods(MethodType::Kex).is_some_and(|name| name.contains("group-exchange"));
    kind == if own_group { KEX_GEX_REPLY } else { KEX_REPLY }
}

fn sealed_by(session: &Session) -> Stage {
    let name = |kind| session.methods(kind).unwrap_or_default();
    let (cipher, mac) = (name(MethodType::CryptSc), name(MethodType::MacSc));
    match mac {
        _ if is_gcm(cipher) => Stage::Sealed { tag: 16 },
        _ if cipher.contains("poly1305") => Stage::Opaque,
        "hmac-sha2-256-etm@openssh.com" => Stage::Sealed { tag: 32 },
        "hmac-sha2-512-etm@openssh.com" => Stage::Sealed { tag: 64 },
        "hmac-sha1-etm@openssh.com" => Stage::Sealed { tag: 20 },
        _ => Stage::Opaque,
    }
}

fn is_gcm(cipher: &str) -> bool {
    cipher.contains("-gcm@")
}

/// Ciphers and MACs with readable lengths come first, the others stay as they are.
pub(super) fn readable_first(names: &mut [&str]) {
    names.sort_by_key(|name| match *name {
        name if is_gcm(name) || name.contains("-etm@") => 0,
        // Readable together with such a MAC.
        name if name.contains("-ctr") => 1,
        _ => 2,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_is_handed_over_alone_once_many_have_come() {
        let session = Session::new().unwrap();
        let (mut packets, mut budget) = (Packets { stage: Stage::Opaque, left: 0 }, Budget::new());
        budget.logged_in();
        let bytes = [0; 2 * PIECE];
        assert_eq!(packets.next(&bytes, &session, &mut budget), PIECE);
        packets.passed(&bytes[..PIECE], &mut budget);
        budget.took(2 * 1024 * 1024, false);
        assert_eq!(packets.next(&bytes, &session, &mut budget), SHORTEST);
    }

    #[test]
    fn lines_and_packets_are_cut_where_they_end() {
        let session = Session::new().unwrap();
        let (mut packets, mut budget) = (Packets::default(), Budget::new());
        let mut rest: &[u8] = b"hello\r\n\rSSH-2.0-x\r\n\0\0\0\x0c\x0a\x02abcdefghij\0\0";
        let mut pieces = Vec::new();
        loop {
            let n = packets.next(rest, &session, &mut budget);
            if n == 0 {
                break;
            }
            packets.passed(&rest[..n], &mut budget);
            pieces.push(&rest[..n]);
            rest = &rest[n..];
        }
        assert_eq!(pieces, [b"hello\r\n".as_slice(), b"\rSSH-2.0-x\r\n", b"\0\0\0\x0c\x0a\x02abcdefghij"]);
        assert_eq!(rest, b"\0\0");
    }

    #[test]
    fn readable_lengths_come_first() {
        let mut names = ["chacha20-poly1305@openssh.com", "aes128-ctr", "aes256-gcm@openssh.com"];
        readable_first(&mut names);
        assert_eq!(names, ["aes256-gcm@openssh.com", "aes128-ctr", "chacha20-poly1305@openssh.com"]);
    }
}
