//! Sets of workers, one bit each. It must not know what they have in common.
//!
//! With tens of thousands of workers under way a tree is a cache miss for each level; the bits of 100,000
//! workers are 12 KB.

use std::marker::PhantomData;

use fixedbitset::FixedBitSet;

use super::TargetIx;
use crate::bucket::WorkerIx;

/// What a set can hold: numbers from 0.
pub trait Index: Copy {
    /// As a number.
    fn number(self) -> u32;
    /// From a number.
    fn of(number: u32) -> Self;
}

impl Index for TargetIx {
    fn number(self) -> u32 {
        self.0
    }

    fn of(number: u32) -> Self {
        Self(number)
    }
}

impl Index for WorkerIx {
    fn number(self) -> u32 {
        self.0
    }

    fn of(number: u32) -> Self {
        Self(number)
    }
}

/// Some of the targets of a graph, in their order.
pub type TargetSet = IndexSet<TargetIx>;

/// Some of the workers of a fleet, in their order.
pub type WorkerSet = IndexSet<WorkerIx>;

/// A set of indices.
#[derive(Clone, Debug)]
pub struct IndexSet<I> {
    bits: FixedBitSet,
    length: usize,
    of: PhantomData<fn() -> I>,
}

impl<I> Default for IndexSet<I> {
    fn default() -> Self {
        Self { bits: FixedBitSet::default(), length: 0, of: PhantomData }
    }
}

impl<I: Index> PartialEq for IndexSet<I> {
    /// The same members, however far each has grown.
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.bits.ones().eq(other.bits.ones())
    }
}

impl<I: Index> Eq for IndexSet<I> {}

impl<I: Index> IndexSet<I> {
    /// Puts it in; `false`: it was there.
    pub fn insert(&mut self, index: I) -> bool {
        self.bits.grow(index.number() as usize + 1);
        let new = !self.bits.put(index.number() as usize);
        self.length += usize::from(new);
        new
    }

    /// Takes it out; `false`: it was not there.
    pub fn remove(&mut self, index: I) -> bool {
        let was_there = self.contains(index);
        if was_there {
            self.bits.remove(index.number() as usize);
            self.length -= 1;
        }
        was_there
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.bits.clear();
        self.length = 0;
    }

    /// Whether it is there.
    pub fn contains(&self, index: I) -> bool {
        self.bits.contains(index.number() as usize)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All, ascending. Costs a 64th of the highest number that was ever in it.
    pub fn iter(&self) -> impl Iterator<Item = I> + '_ {
        self.bits.ones().map(|bit| I::of(bit as u32))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_set(steps in prop::collection::vec((any::<bool>(), 0u32..200), 0..200)) {
            let (mut set, mut model) = (TargetSet::default(), BTreeSet::new());
            for (insert, number) in steps {
                let target = TargetIx(number);
                if insert {
                    prop_assert_eq!(set.insert(target), model.insert(target));
                } else {
                    prop_assert_eq!(set.remove(target), model.remove(&target));
                }
                prop_assert_eq!(set.contains(target), model.contains(&target));
                prop_assert_eq!((set.len(), set.is_empty()), (model.len(), model.is_empty()));
            }
            let mut fresh = TargetSet::default();
            model.iter().for_each(|target| {
                fresh.insert(*target);
            });
            prop_assert_eq!(&fresh, &set, "how it came about makes no difference");
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
            set.clear();
            prop_assert!(set.is_empty() && set.iter().next().is_none());
        }
    }
}
