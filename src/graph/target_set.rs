//! A set of targets, one bit each.
//!
//! With tens of thousands of workers under way a tree is a cache miss for each level; the bits of 100,000
//! targets are 12 KB.

use fixedbitset::FixedBitSet;

use super::TargetIx;

/// Some of the targets of a graph, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetSet {
    bits: FixedBitSet,
    length: usize,
}

impl TargetSet {
    /// Puts it in; `false`: it was there.
    pub fn insert(&mut self, target: TargetIx) -> bool {
        self.bits.grow(target.0 as usize + 1);
        let new = !self.bits.put(target.0 as usize);
        self.length += usize::from(new);
        new
    }

    /// Takes it out; `false`: it was not there.
    pub fn remove(&mut self, target: TargetIx) -> bool {
        let was_there = self.contains(target);
        if was_there {
            self.bits.remove(target.0 as usize);
            self.length -= 1;
        }
        was_there
    }

    /// Whether it is there.
    pub fn contains(&self, target: TargetIx) -> bool {
        self.bits.contains(target.0 as usize)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All, ascending. Costs a 64th of the highest number that was ever in it.
    pub fn iter(&self) -> impl Iterator<Item = TargetIx> + '_ {
        self.bits.ones().map(|bit| TargetIx(bit as u32))
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
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
