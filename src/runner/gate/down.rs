//! Which workers are down by the run, as far as gates ask for it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Workers that are down, and those that were.
#[derive(Debug, Default)]
pub(in crate::runner) struct DownWorkers {
    /// By their hosts; since when each is back, `None`: it is down.
    seen: BTreeMap<String, Option<Instant>>,
}

impl DownWorkers {
    /// These are down now, and no others.
    pub(in crate::runner) fn are(&mut self, hosts: impl Iterator<Item = String>) {
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.seen);
        self.seen = hosts.map(|host| (host, None)).collect();
        before.retain(|host, _| !self.seen.contains_key(host));
        self.seen.extend(before.into_iter().map(|(host, back)| (host, Some(back.unwrap_or(now)))));
    }

    /// Those that are down, in order.
    pub(in crate::runner) fn now(&self) -> Vec<String> {
        self.seen.iter().filter(|(_, back)| back.is_none()).map(|(host, _)| host.clone()).collect()
    }

    /// Those that are down, or were a moment ago.
    pub(super) fn within(&self, moment: Duration) -> Vec<String> {
        let is_near = |back: &Option<Instant>| back.is_none_or(|back| back.elapsed() < moment);
        self.seen.iter().filter(|(_, back)| is_near(back)).map(|(host, _)| host.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_come_back_is_remembered_for_a_while() {
        let mut down = DownWorkers::default();
        let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        down.are(hosts(&["a", "b"]).into_iter());
        down.are(hosts(&["b", "c"]).into_iter());
        assert_eq!(down.now(), ["b", "c"]);
        assert_eq!(down.within(Duration::from_secs(3600)), ["a", "b", "c"]);
        assert_eq!(down.within(Duration::ZERO), ["b", "c"]);
        down.are(hosts(&["a"]).into_iter());
        assert_eq!(down.now(), ["a"]);
    }
}
