//! Timers that the engine has asked for. It must not know what they are for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::engine::{Millis, Timer};

/// Timers by the time at which they fire; two of one time fire in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    set: u64,
}

#[derive(Debug)]
struct Entry {
    at: Millis,
    number: u64,
    timer: Timer,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Timers {
    pub(super) fn set(&mut self, at: Millis, timer: Timer) {
        self.set += 1;
        self.heap.push(Reverse(Entry { at, number: self.set, timer }));
    }

    /// When the next one fires.
    pub(super) fn next(&self) -> Option<Millis> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes the next one that is due.
    pub(super) fn due(&mut self, now: Millis) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_by_time_and_then_in_the_order_in_which_they_were_set() {
        let mut timers = Timers::default();
        for (at, wave) in [(20, 1), (10, 2), (20, 3), (30, 4)] {
            timers.set(at, Timer::Soak { wave });
        }
        let fired: Vec<_> = std::iter::from_fn(|| timers.due(20)).collect();
        assert_eq!(fired, [2, 1, 3].map(|wave| Timer::Soak { wave }));
        assert_eq!(timers.next(), Some(30));
    }
}
