//! What has been counted: durations of steps and waits that are over.

use std::borrow::Cow;
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
        self.buckets[at] = self.buckets[at].saturating_add(1);
        self.sum = self.sum.saturating_add(took);
    }

    fn add_all(&mut self, more: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(more.buckets) {
            *bucket = bucket.saturating_add(more);
        }
        self.sum = self.sum.saturating_add(more.sum);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum: u64, count| sum.saturating_add(*count))
    }
}

/// Words of a row, which are those of labels.
const STEP: &str = "step";
const WAIT: &str = "wait";
const SUM: &str = "sum";

/// What is only ever added to. Times come from journals and bundles, where anything may stand: sums end at the largest
/// number that there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Attempts that have ended, by the kind of their step.
    pub(super) steps: BTreeMap<(Cow<'static, str>, Ended), Durations>,
    /// Milliseconds of waits that are over.
    pub(super) waited: BTreeMap<Wait, Millis>,
}

impl Counted {
    /// An attempt of a step of this kind has ended after `took`.
    pub(super) fn step(&mut self, kind: &'static str, how: Ended, took: Millis) {
        self.steps.entry((Cow::Borrowed(kind), how)).or_default().add(took);
    }

    /// A wait is over.
    pub(super) fn wait(&mut self, wait: Wait, took: Millis) {
        let waited = self.waited.entry(wait).or_default();
        *waited = waited.saturating_add(took);
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, more: &Self) {
        for (key, durations) in &more.steps {
            self.steps.entry(key.clone()).or_default().add_all(durations);
        }
        for (wait, took) in &more.waited {
            self.wait(*wait, *took);
        }
    }

    /// As rows that can be added up: `step reboot ok 3` is what the fourth bucket has, `step reboot ok sum` and
    /// `wait window` are milliseconds.
    pub fn rows(&self) -> Vec<(String, i64)> {
        let steps = self.steps.iter().flat_map(|((kind, how), durations)| {
            let name = format!("{STEP} {kind} {}", how.as_str());
            let counts = durations.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
            let mut rows: Vec<_> =
                counts.map(|(at, count)| (format!("{name} {at}"), count.cast_signed())).collect();
            rows.push((format!("{name} {SUM}"), durations.sum));
            rows
        });
        let waits = self.waited.iter().map(|(wait, took)| (format!("{WAIT} {}", wait.as_str()), *took));
        steps.chain(waits).collect()
    }

    /// Of such rows. Those that this version does not know are left out.
    pub fn of_rows(rows: &[(String, i64)]) -> Self {
        let mut counted = Self::default();
        for (name, value) in rows {
            counted.take_row(name, (*value).max(0));
        }
        counted
    }

    fn take_row(&mut self, name: &str, value: i64) -> Option<()> {
        let words: Vec<&str> = name.split(' ').collect();
        match words.as_slice() {
            [STEP, kind, how, which] => {
                let how = Ended::ALL.into_iter().find(|known| known.as_str() == *how)?;
                let at = (*which != SUM).then(|| which.parse::<usize>()).transpose().ok()?;
                if at.is_some_and(|at| at > BOUNDS.len()) {
                    return None;
                }
                let durations = self.steps.entry((Cow::Owned((*kind).to_owned()), how)).or_default();
                match at {
                    None => durations.sum = value,
                    Some(at) => durations.buckets[at] = value.cast_unsigned(),
                }
            }
            [WAIT, reason] => {
                let wait = Wait::ALL.into_iter().find(|known| known.as_str() == *reason)?;
                self.waited.insert(wait, value);
            }
            _ => return None,
        }
        Some(())
    }
}
