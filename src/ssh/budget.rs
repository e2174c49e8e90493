//! What a connection may cost: bytes before the login, and after it packets that nobody asked for.
//!
//! It must not know how a stream is cut into packets ([`super::packets`]).

use std::time::Instant;

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
/// libssh2 has 8 KiB for a line of the banner, and takes what is longer for two.
pub(super) const LONGEST_LINE: usize = 8_000;
/// From here on so little is handed over at once, so that each packet is counted.
const COUNTED_FROM: u64 = UNASKED_OPAQUE / 4;
/// Less than the smallest buffer that output is read into: there was no more, so that it is a packet or the rest of one.
const SHORT: usize = 4 * 1024 - 1;

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
        let packet = if (1..=SHORT).contains(&bytes) { around(bytes) } else { bytes };
        self.opaque = self.opaque.saturating_sub(packet as u64);
        if bytes > 0 && std::mem::take(&mut self.pending) == 0 {
            // Of a packet that was given up.
            self.unasked.bytes = self.unasked.bytes.saturating_sub(bytes as u64);
        }
    }

    /// Handed over, as a part of one `packet` or of who knows what.
    pub(super) fn took(&mut self, bytes: u64, packet: bool) {
        match (self.logged_in, packet) {
            (false, _) => self.before_login += bytes,
            (true, true) => self.pending += bytes,
            (true, false) => self.opaque += bytes,
        }
    }

    /// Nothing more comes out of the packet before.
    pub(super) fn settle(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if pending > 0 {
            self.unasked.packets += 1;
            self.unasked.bytes += pending;
        }
    }

    /// A line of the banner does not end.
    pub(super) fn endless_line(&mut self) {
        self.endless_line = true;
    }

    /// Whether so much has come in packets that cannot be told apart that each is to be handed over alone.
    pub(super) fn counts_packets(&self) -> bool {
        self.opaque > COUNTED_FROM
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

/// The length of a packet with so many bytes of output, at least: with its own length before it, fields (RFC 4254, 5.2),
/// padding to a multiple of 8 and at least 4 (RFC 4253, 6), and 16 bytes that prove it.
fn around(output: usize) -> usize {
    4 + (1 + 9 + output + 4).next_multiple_of(8) + 16
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
    fn where_packets_cannot_be_seen_lines_cost_nothing_and_others_do() {
        // A line at a time, as a slow command prints, for ever.
        let mut budget = logged_in();
        for line in 0..1_000_000 {
            let length = 1 + line % 1000;
            budget.took(around(length) as u64, false);
            budget.delivered(length);
        }
        assert_eq!(budget.exceeded(), None);
        // Hidden among lines is what nobody asked for: it costs what it costs.
        let mut budget = logged_in();
        let mut junk = 0;
        while budget.exceeded().is_none() {
            budget.took(around(1) as u64 + 100, false);
            budget.delivered(1);
            junk += 100;
        }
        assert!(junk < UNASKED_OPAQUE + UNASKED_OPAQUE / 10, "{junk}");
        // Long ones come out in several parts.
        let mut budget = logged_in();
        let mut junk = 0;
        while budget.exceeded().is_none() {
            budget.took(around(4096 + 200) as u64 + 100, false);
            budget.delivered(4096);
            budget.delivered(200);
            junk += 100;
        }
        assert!(junk < UNASKED_OPAQUE + UNASKED_OPAQUE / 10, "{junk}");
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
}
