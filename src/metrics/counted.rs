//! What has been counted: durations of steps and waits that are over.

use std::collections::BTreeMap;

use super::labels::{Ended, Wait};
use crate::engine::Millis;

/// Upper bounds of the buckets of a step's duration, in milliseconds: from a command that looks at a file to a worker
/// that boots for an hour.
pub(super) const BOUNDS: [Millis; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_200_000,
    1_800_000, 3_600_000,
];

/// Many durations, by how long they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// For each bound those that are not longer, and longer than the bound before; behind them what is longer than all.
    pub(super) buckets: [u64; BOUNDS.len() + 1],
    pub(super) sum: Millis,
}

impl Durations {
    fn add(&mut self, took: Millis) {
        let at = BOUNDS.partition_point(|bound| *bound < took);
        self.buckets[at] += 1;
        self.sum += took;
    }

    fn add_all(&mut self, more: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(more.buckets) {
            *bucket += more;
        }
        self.sum += more.sum;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// What is only ever added to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Attempts that have ended, by the kind of their step.
    pub(super) steps: BTreeMap<(&'static str, Ended), Durations>,
    /// Milliseconds of waits that are over.
    pub(super) waited: BTreeMap<Wait, Millis>,
}

impl Counted {
    /// An attempt of a step of this kind has ended after `took`.
    pub(super) fn step(&mut self, kind: &'static str, how: Ended, took: Millis) {
        self.steps.entry((kind, how)).or_default().add(took);
    }

    /// A wait is over.
    pub(super) fn wait(&mut self, wait: Wait, took: Millis) {
        *self.waited.entry(wait).or_default() += took;
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, more: &Self) {
        for (key, durations) in &more.steps {
            self.steps.entry(*key).or_default().add_all(durations);
        }
        for (wait, took) in &more.waited {
            self.wait(*wait, *took);
        }
    }
}
