//! Requests that one operation can serve together, like a group commit: whoever finds no operation under way
//! leads the next one and takes along all that want the same.
//!
//! What came of one request is read from the evidence about that request, never from how the whole went. This
//! file must not know what the operations do.

use std::collections::BTreeMap;

/// The place of one request in the queue; unique, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Requests that wait, and whether an operation is under way. `K`: what makes two requests the same; `I`: what
/// each brings.
#[derive(Debug)]
pub struct Batches<K, I> {
    next: u64,
    waiting: BTreeMap<Ticket, (K, I)>,
    under_way: bool,
}

/// What one operation serves.
#[derive(Debug)]
#[must_use = "a batch that is not completed keeps all others waiting"]
pub struct Batch<K, I> {
    /// What they want.
    pub kind: K,
    /// Each with what it brought.
    pub served: Vec<(Ticket, I)>,
}

impl<K, I> Default for Batches<K, I> {
    fn default() -> Self {
        Self { next: 0, waiting: BTreeMap::new(), under_way: false }
    }
}

impl<K: PartialEq, I> Batches<K, I> {
    /// A request takes its place.
    pub fn join(&mut self, kind: K, item: I) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.insert(ticket, (kind, item));
        ticket
    }

    /// A request that no operation serves yet is taken back; `None`: one serves it, or has.
    pub fn withdraw(&mut self, ticket: Ticket) -> Option<I> {
        self.waiting.remove(&ticket).map(|(_, item)| item)
    }

    /// Begins an operation for this request and all others that want the same, unless one is under way or this
    /// one is served already.
    pub fn lead(&mut self, ticket: Ticket) -> Option<Batch<K, I>> {
        if self.under_way {
            return None;
        }
        let (kind, item) = self.waiting.remove(&ticket)?;
        let mut served = vec![(ticket, item)];
        let same: Vec<Ticket> =
            self.waiting.iter().filter(|(_, (other, _))| *other == kind).map(|(other, _)| *other).collect();
        for other in same {
            served.extend(self.withdraw(other).map(|item| (other, item)));
        }
        self.under_way = true;
        Some(Batch { kind, served })
    }

    /// The operation has ended: the next one may begin. Answers with who has waited longest.
    pub fn ended(&mut self) -> Option<Ticket> {
        self.under_way = false;
        self.waiting.keys().next().copied()
    }

    /// Requests that wait for an operation that has not begun.
    pub fn waiting(&self) -> impl Iterator<Item = (Ticket, &I)> {
        self.waiting.iter().map(|(ticket, (_, item))| (*ticket, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_operation_serves_all_that_waited_and_want_the_same() {
        let mut batches = Batches::default();
        let first = batches.join("all", "h1");
        let batch = batches.lead(first).unwrap();
        assert_eq!(batch.served.len(), 1);
        let (second, third, other) =
            (batches.join("all", "h2"), batches.join("all", "h3"), batches.join("api", "h4"));
        assert!(batches.lead(second).is_none(), "one is under way");
        assert_eq!(batches.ended(), Some(second));
        let batch = batches.lead(third).unwrap();
        let mut served: Vec<_> = batch.served.iter().map(|(_, host)| *host).collect();
        served.sort_unstable();
        assert_eq!(served, ["h2", "h3"]);
        assert_eq!(batches.ended(), Some(other));
    }

    #[test]
    fn who_gives_up_before_its_turn_is_not_served() {
        let mut batches = Batches::default();
        let (first, second) = (batches.join((), "h1"), batches.join((), "h2"));
        assert_eq!(batches.withdraw(second), Some("h2"));
        let batch = batches.lead(first).unwrap();
        assert_eq!(batch.served.len(), 1);
        assert_eq!(batches.withdraw(first), None, "it is served");
    }
}
