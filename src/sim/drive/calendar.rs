//! What will happen when. Two things at the same time happen in the order in which they were noted.

use std::collections::VecDeque;

use super::{Event, Sim};
use crate::engine::{AttemptId, Millis};

/// One bucket for each bit of a time, and one for now.
const BUCKETS: usize = 65;

/// A radix heap (Ahuja, Mehlhorn, Orlin, Tarjan 1990): time never goes back, so an event stays with those
/// that differ from now in the same highest bit, and is looked at again only when that bit's time has come.
/// With tens of thousands of workers under way a binary heap is one cache miss after the other, and here
/// nearly all is written and read in a row. Events of one moment are always in one bucket, so they keep
/// their order.
pub(super) struct Calendar {
    buckets: [VecDeque<(Millis, u32)>; BUCKETS],
    /// The moment of what was taken last; nothing is noted for an earlier one.
    now: Millis,
    /// The events lie still: moving them about would cost more than what they do.
    events: Vec<Option<Event>>,
    free: Vec<u32>,
}

impl Default for Calendar {
    fn default() -> Self {
        let buckets = std::array::from_fn(|_| VecDeque::new());
        Self { buckets, now: 0, events: Vec::new(), free: Vec::new() }
    }
}

impl Calendar {
    /// An event of the past happens now.
    pub(super) fn push(&mut self, at: Millis, event: Event) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.events[slot as usize] = Some(event);
                slot
            }
            None => {
                self.events.push(Some(event));
                self.events.len() as u32 - 1
            }
        };
        let at = at.max(self.now);
        self.buckets[self.bucket(at)].push_back((at, slot));
    }

    pub(super) fn pop(&mut self) -> Option<(Millis, Event)> {
        if self.buckets[0].is_empty() {
            let next = self.buckets.iter().position(|bucket| !bucket.is_empty())?;
            let due = std::mem::take(&mut self.buckets[next]);
            self.now = due.iter().map(|(at, _)| *at).min()?;
            for (at, slot) in due {
                let bucket = self.bucket(at);
                self.buckets[bucket].push_back((at, slot));
            }
        }
        let (at, slot) = self.buckets[0].pop_front()?;
        self.free.push(slot);
        Some((at, self.events[slot as usize].take()?))
    }

    /// By the highest bit in which the time is not that of now.
    fn bucket(&self, at: Millis) -> usize {
        (Millis::BITS - (at ^ self.now).leading_zeros()) as usize
    }
}

/// Attempts with the same time-out, in the order in which they are due; only the first is noted in the
/// calendar, for nearly all end long before.
pub(super) type Deadlines = VecDeque<(Millis, u32, AttemptId)>;

impl Sim {
    /// The attempt, which begins now, ends after so long.
    pub(in crate::sim) fn bound(&mut self, attempt: AttemptId, timeout: Millis) {
        let due = self.now + timeout;
        let process = self.process;
        let deadlines = self.deadlines.entry(timeout).or_default();
        deadlines.push_back((due, process, attempt));
        if deadlines.len() == 1 {
            self.push(timeout, Event::Deadline { timeout });
        }
    }

    pub(super) fn deadline(&mut self, timeout: Millis) {
        let Some(deadlines) = self.deadlines.get_mut(&timeout) else { return };
        let (process, flights, now) = (self.process, &self.flights, self.now);
        let first =
            deadlines.pop_front().filter(|(_, of, attempt)| *of == process && flights.contains_key(attempt));
        while deadlines
            .front()
            .is_some_and(|(_, of, attempt)| *of != process || !flights.contains_key(attempt))
        {
            deadlines.pop_front();
        }
        if let Some((due, _, _)) = deadlines.front() {
            let after = due - now;
            self.push(after, Event::Deadline { timeout });
        }
        if let Some((_, _, attempt)) = first {
            self.timed_out(attempt);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As a list that is sorted by time, those of one time in the order in which they were noted.
        #[test]
        fn events_come_by_their_time_and_then_by_their_order(
            steps in prop::collection::vec(prop::option::weighted(0.6, 0i64..5_000), 1..300),
        ) {
            let mut calendar = Calendar::default();
            let mut wanted: Vec<(Millis, u64)> = Vec::new();
            let (mut now, mut noted) = (1_772_438_400_000, 0);
            for step in steps {
                match step {
                    Some(after) => {
                        noted += 1;
                        calendar.push(now + after, Event::Deadline { timeout: noted as i64 });
                        wanted.push((now + after, noted));
                    }
                    None => {
                        let first = wanted.iter().copied().min();
                        wanted.retain(|one| Some(*one) != first);
                        let popped = calendar.pop().map(|(at, event)| match event {
                            Event::Deadline { timeout } => (at, timeout as u64),
                            other => panic!("{other:?}"),
                        });
                        prop_assert_eq!(popped, first);
                        now = first.map_or(now, |(at, _)| at);
                    }
                }
            }
        }
    }
}
