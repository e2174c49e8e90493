//! The running median of how long workers take.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::engine::Millis;

/// Two heaps that meet in the middle.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Median {
    low: BinaryHeap<Millis>,
    high: BinaryHeap<Reverse<Millis>>,
}

impl PartialEq for Median {
    /// As heaps are filled: the same values in another order may differ.
    fn eq(&self, other: &Self) -> bool {
        self.low.as_slice() == other.low.as_slice() && self.high.as_slice() == other.high.as_slice()
    }
}

impl Median {
    pub(in crate::engine) fn add(&mut self, value: Millis) {
        if self.low.peek().is_none_or(|top| value <= *top) {
            self.low.push(value);
        } else {
            self.high.push(Reverse(value));
        }
        if self.low.len() > self.high.len() + 1 {
            self.high.extend(self.low.pop().map(Reverse));
        } else if self.high.len() > self.low.len() {
            self.low.extend(self.high.pop().map(|Reverse(value)| value));
        }
    }

    /// The lower one of the two in the middle; `None` before the first.
    pub(in crate::engine) fn get(&self) -> Option<Millis> {
        self.low.peek().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_middle_of_the_sorted_list(values in proptest::collection::vec(0i64..1000, 1..60)) {
            let mut median = Median::default();
            let mut sorted = Vec::new();
            for value in values {
                median.add(value);
                sorted.push(value);
                sorted.sort_unstable();
                prop_assert_eq!(median.get(), Some(sorted[(sorted.len() - 1) / 2]));
            }
        }
    }
}
