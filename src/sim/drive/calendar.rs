//! What will happen when. Two things at the same time happen in the order in which they were noted.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{Event, Sim};
use crate::engine::{AttemptId, Millis};

/// The heap has small keys only: with 10,000 workers under way, moving events about would cost more than
/// what they do.
#[derive(Default)]
pub(super) struct Calendar {
    heap: BinaryHeap<Reverse<(Millis, u64, u32)>>,
    events: Vec<Option<Event>>,
    free: Vec<u32>,
    numbered: u64,
}

impl Calendar {
    pub(super) fn push(&mut self, at: Millis, event: Event) {
        self.numbered += 1;
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
        self.heap.push(Reverse((at, self.numbered, slot)));
    }

    pub(super) fn pop(&mut self) -> Option<(Millis, Event)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        Some((at, self.events[slot as usize].take()?))
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
