//! Lists of hosts in few words: `w0001 .. w0400 (400)`.

/// The hosts in the order given, those that are numbered one after the other as a range. A range has at least three
/// hosts; each item stands by itself.
pub fn ranges<'h>(hosts: impl IntoIterator<Item = &'h str>) -> Vec<String> {
    let mut shown = Vec::new();
    let mut open: Option<Range<'h>> = None;
    for host in hosts {
        let taken = open.as_mut().is_some_and(|range| range.takes(host));
        if !taken && let Some(range) = open.replace(Range::new(host)) {
            range.show(&mut shown);
        }
    }
    if let Some(range) = open {
        range.show(&mut shown);
    }
    shown
}

struct Range<'h> {
    hosts: (&'h str, &'h str, &'h str),
    length: usize,
    /// Where the number that grows begins.
    at: Option<usize>,
}

impl<'h> Range<'h> {
    fn new(host: &'h str) -> Self {
        Self { hosts: (host, host, host), length: 1, at: None }
    }

    /// Whether the host is the next one; then it is in.
    fn takes(&mut self, host: &'h str) -> bool {
        let Some(at) = next_in(self.hosts.2, host) else { return false };
        if self.at.is_some_and(|known| known != at) {
            return false;
        }
        self.at = Some(at);
        if self.length == 1 {
            self.hosts.1 = host;
        }
        self.hosts.2 = host;
        self.length += 1;
        true
    }

    fn show(self, shown: &mut Vec<String>) {
        let (first, second, last) = self.hosts;
        match self.length {
            1 => shown.push(first.to_owned()),
            2 => shown.extend([first.to_owned(), second.to_owned()]),
            length => shown.push(format!("{first} .. {last} ({length})")),
        }
    }
}

/// Where the number begins that is greater by one in `next`, if all else is the same.
fn next_in(host: &str, next: &str) -> Option<usize> {
    let same = host.bytes().zip(next.bytes()).take_while(|(a, b)| a == b).count();
    // Back to where the number begins that differs.
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let before = host.as_bytes()[..same].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let at = same - before;
    let (number, next_number) = (host.get(at..)?, next.get(at..)?);
    let (length, next_length) = (digits(number), digits(next_number));
    let (number, rest) = number.split_at_checked(length)?;
    let (next_number, next_rest) = next_number.split_at_checked(next_length)?;
    // `w9`, `w10` and `w09`, `w10` follow each other; `w9`, `w010` do not.
    let padded = number.starts_with('0') || next_number.starts_with('0');
    let follows = number.parse::<u64>().ok()?.checked_add(1)? == next_number.parse::<u64>().ok()?;
    (follows && rest == next_rest && (!padded || length == next_length)).then_some(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbered_hosts_are_ranges() {
        let shown = |hosts: &str| ranges(hosts.split(' ')).join(", ");
        assert_eq!(shown("w1"), "w1");
        assert_eq!(shown("w1 w2"), "w1, w2");
        assert_eq!(shown("w1 w2 w3"), "w1 .. w3 (3)");
        assert_eq!(shown("w08 w09 w10 w12"), "w08 .. w10 (3), w12");
        assert_eq!(shown("w8 w9 w10 w11"), "w8 .. w11 (4)");
        assert_eq!(shown("w3 w2 w1"), "w3, w2, w1", "a range grows");
        assert_eq!(shown("w9 w010 w011 w012"), "w9, w010 .. w012 (3)");
        assert_eq!(shown("a1.dc1 a2.dc1 a3.dc1 a3.dc2 a3.dc3"), "a1.dc1 .. a3.dc1 (3), a3.dc2, a3.dc3");
        assert_eq!(shown("10.0.0.254 10.0.0.255 10.0.1.0"), "10.0.0.254, 10.0.0.255, 10.0.1.0");
        assert_eq!(shown("db web1 web2 web3 zoo"), "db, web1 .. web3 (3), zoo");
        assert!(ranges([]).is_empty());
        let many: Vec<String> = (1..=400).map(|n| format!("w{n:04}")).collect();
        assert_eq!(ranges(many.iter().map(String::as_str)), ["w0001 .. w0400 (400)"]);
        assert_eq!(
            shown("w18446744073709551615 w18446744073709551616"),
            "w18446744073709551615, w18446744073709551616"
        );
    }

    proptest! {
        /// As many as there are, and never a panic.
        #[test]
        fn nobody_is_lost(hosts in prop::collection::vec("[a-bé]{0,1}[0-9]{0,2}[.]?[0-9]{0,2}", 0..20)) {
            let shown = ranges(hosts.iter().map(String::as_str));
            let count = |item: &String| match item.rsplit_once(" (") {
                Some((_, number)) => number.trim_end_matches(')').parse::<usize>().unwrap(),
                None => 1,
            };
            prop_assert_eq!(shown.iter().map(count).sum::<usize>(), hosts.len());
        }
    }
}
