//! What will happen when. Two things at the same time happen in the order in which they were noted.

use std::collections::VecDeque;

use super::{Event, Sim};
use crate::engine::{AttemptId, Millis};

/// A time has so many digits of four bits.
const DIGITS: usize = 16;

/// A radix heap (Ahuja, Mehlhorn, Orlin, Tarjan 1990) with digits of four bits: time never goes back, so an
/// event stays with those that differ from now in the same highest digit, and have the same there, and is
/// looked at again only when that digit's time has come. With tens of thousands of workers under way a binary
/// heap is one cache miss after the other, and here nearly all is written and read in a row. Events of one
/// moment are always in one bucket, so they keep their order.
#[derive(Default)]
pub(super) struct Calendar {
    /// What happens now.
    due: VecDeque<(Millis, Event)>,
    /// By the highest digit in which the time is not that of now, lowest first, and by that digit.
    later: [[VecDeque<(Millis, Event)>; 16]; DIGITS],
    /// Of each digit which values have an event, a bit each.
    noted: [u16; DIGITS],
    /// The moment of what was taken last; nothing is noted for an earlier one.
    now: Millis,
    /// The bucket that was emptied last: buckets keep what they once needed.
    spare: VecDeque<(Millis, Event)>,
}

impl Calendar {
    /// An event of the past happens now.
    pub(super) fn push(&mut self, at: Millis, event: Event) {
        let at = at.max(self.now);
        let differs = at ^ self.now;
        if differs == 0 {
            self.due.push_back((at, event));
            return;
        }
        let digit = (differs.ilog2() / 4) as usize;
        let value = (at >> (4 * digit)) as usize & 0xf;
        self.later[digit][value].push_back((at, event));
        self.noted[digit] |= 1 << value;
    }

    pub(super) fn pop(&mut self) -> Option<(Millis, Event)> {
        if self.due.is_empty() {
            let digit = self.noted.iter().position(|noted| *noted != 0)?;
            let value = self.noted[digit].trailing_zeros() as usize;
            self.noted[digit] &= !(1 << value);
            let mut bucket = std::mem::take(&mut self.spare);
            std::mem::swap(&mut bucket, &mut self.later[digit][value]);
            self.now = bucket.iter().map(|(at, _)| *at).min()?;
            for (at, event) in bucket.drain(..) {
                self.push(at, event);
            }
            self.spare = bucket;
        }
        self.due.pop_front()
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
