//! Where packets begin and end in what a server sends, and what a connection may cost.
//!
//! SSH hides what a packet is, but with AES-GCM and with every encrypt-then-MAC algorithm its length is readable (RFC
//! 5647, OpenSSH's PROTOCOL). So packets can be handed to libssh2 one at a time, and one after which nothing came
//! out of a channel is one that nobody asked for: it may lie in libssh2's queue for ever.

use std::time::Instant;

use ssh2::{MethodType, Session};

/// Bytes before the login is complete: banners, key exchange, certificates, replies to keys that were offered.
const BEFORE_LOGIN: u64 = 1024 * 1024;
/// What may come after it that is not output: replies, keepalives, new keys.
const UNASKED: Cost = Cost { packets: 8 * 1024, bytes: 8 * 1024 * 1024 };
/// The same where packets cannot be counted: the shortest costs libssh2 four times its length.
const UNASKED_OPAQUE: u64 = 5 * 1024 * 1024;
/// A keepalive each second, if a server is so minded.
const PER_SECOND: u64 = 1;
/// The server answers what it is sent by new windows: one for each so many bytes.
const BYTES_PER_WINDOW: u64 = 8 * 1024;
/// Confirmation, window, success, end, status and close of one channel, and some to spare.
pub(super) const PER_CHANNEL: u64 = 16;
/// Of a packet that is granted.
const GRANTED_BYTES: u64 = 128;
/// libssh2 takes no packet that is longer (`LIBSSH2_PACKET_MAXPAYLOAD`).
const LONGEST: usize = 40_000;
/// libssh2 has 8 KiB for a line of the banner, and takes what is longer for two.
const LONGEST_LINE: usize = 8_000;
/// At once, where packets cannot be told apart.
const PIECE: usize = 4 * 1024;

/// Of packets that nobody asked for.
#[derive(Clone, Copy, Default)]
struct Cost {
    packets: u64,
    bytes: u64,
}

/// What a connection may cost, and has cost.
pub(super) struct Budget {
    since: Instant,
    logged_in: bool,
    before_login: u64,
    endless_line: bool,
    sent: u64,
    /// Packets, beyond [`UNASKED`].
    granted: u64,
    unasked: Cost,
    /// Bytes that came in no packet that we know of, and did not come out of a channel.
    opaque: u64,
    /// Bytes of the packet that was handed over last, with nothing come out of it yet.
    pending: u64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            logged_in: false,
            before_login: 0,
            endless_line: false,
            sent: 0,
            granted: 0,
            unasked: Cost::default(),
            opaque: 0,
            pending: 0,
        }
    }

    /// From here on output is expected.
    pub(super) fn logged_in(&mut self) {
        self.logged_in = true;
    }

    /// We have sent so much.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
    }

    /// Something was asked for that is answered by so many packets.
    pub(super) fn grant(&mut self, packets: u64) {
        self.granted = self.granted.saturating_add(packets);
    }

    /// So many bytes came out of a channel.
    pub(super) fn delivered(&mut self, bytes: usize) {
        self.opaque = self.opaque.saturating_sub(bytes as u64);
        if bytes > 0 && std::mem::take(&mut self.pending) == 0 {
            // Of a packet that was given up.
            self.unasked.bytes = self.unasked.bytes.saturating_sub(bytes as u64);
        }
    }

    /// Handed over, as a part of one `packet` or of who knows what.
    fn took(&mut self, bytes: u64, packet: bool) {
        match (self.logged_in, packet) {
            (false, _) => self.before_login += bytes,
            (true, true) => self.pending += bytes,
            (true, false) => self.opaque += bytes,
        }
    }

    /// Nothing more comes out of the packet before.
    fn settle(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if pending > 0 {
            self.unasked.packets += 1;
            self.unasked.bytes += pending;
        }
    }

    /// Why the connection has to end, if it has cost more than it may.
    pub(super) fn exceeded(&self) -> Option<String> {
        if self.before_login > BEFORE_LOGIN {
            let most = BEFORE_LOGIN / 1024;
            return Some(format!("it sent more than {most} KiB before the login was complete"));
        }
        if self.endless_line {
            return Some(format!("its banner has a line of more than {LONGEST_LINE} bytes"));
        }
        let granted =
            self.granted + self.since.elapsed().as_secs() * PER_SECOND + self.sent / BYTES_PER_WINDOW;
        let over = |cost: u64, allowed: u64, each: u64| cost > allowed.saturating_add(granted * each);
        (over(self.unasked.packets, UNASKED.packets, 1)
            || over(self.unasked.bytes, UNASKED.bytes, GRANTED_BYTES)
            || over(self.opaque, UNASKED_OPAQUE, GRANTED_BYTES))
        .then(|| {
            let most = UNASKED.bytes / (1024 * 1024);
            format!("it sent more than {most} MiB or {} packets that nobody had asked for", UNASKED.packets)
        })
    }
}

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
            budget.endless_line = true;
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

    fn logged_in() -> Budget {
        let mut budget = Budget::new();
        budget.logged_in();
        budget
    }

    #[test]
    fn what_comes_out_of_a_channel_costs_nothing() {
        let mut budget = logged_in();
        for _ in 0..10 * UNASKED.packets {
            budget.settle();
            budget.took(40, true);
            budget.delivered(1);
        }
        assert_eq!(budget.exceeded(), None);
    }

    #[test]
    fn packets_and_their_bytes_have_a_bound_each() {
        for (packets, bytes) in [(UNASKED.packets + 2, 40), (UNASKED.bytes / 30_000 + 2, 30_000)] {
            let mut budget = logged_in();
            for _ in 0..packets {
                budget.settle();
                budget.took(bytes, true);
            }
            assert!(budget.exceeded().is_some(), "{packets} of {bytes}");
        }
    }

    #[test]
    fn what_is_asked_for_is_granted() {
        let mut budget = logged_in();
        for _ in 0..10_000 {
            budget.grant(PER_CHANNEL);
            for _ in 0..6 {
                budget.settle();
                budget.took(60, true);
            }
        }
        assert_eq!(budget.exceeded(), None);
        // A gigabyte that the server has taken, with a new window for each 16 KiB.
        let mut budget = logged_in();
        for _ in 0..64 * 1024 {
            budget.sent(16 * 1024);
            budget.settle();
            budget.took(60, true);
        }
        assert_eq!(budget.exceeded(), None);
    }

    #[test]
    fn before_the_login_everything_counts() {
        let mut budget = Budget::new();
        budget.took(BEFORE_LOGIN, true);
        assert_eq!(budget.exceeded(), None);
        budget.took(1, false);
        assert!(budget.exceeded().unwrap().contains("before the login"));
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
