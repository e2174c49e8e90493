//! Coverage canaries: a small set of workers that has every value of some tags.
//!
//! The smallest such set is the set cover problem, which nobody solves fast; the greedy choice (always the worker that
//! adds most) is within a factor of `ln n + 1` of it and the best that is known in general (V. Chvatal, "A greedy
//! heuristic for the set-covering problem", 1979). What later choices have made superfluous is taken out again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use fixedbitset::FixedBitSet;
use serde::Serialize;

use crate::bucket::{Fleet, WorkerIx};

/// What a wave of coverage canaries has of the values of its tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Index of the wave; `None`: no worker was needed, so there is no wave.
    pub wave: Option<u32>,
    /// Each tag, in the order of the plan.
    pub tags: Vec<TagCoverage>,
}

/// What is covered of one tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TagCoverage {
    /// The tag.
    pub tag: String,
    /// Its values on the wave's workers, and on those of earlier waves.
    pub covered: Vec<TagValue>,
    /// Its other values on selected workers.
    pub uncovered: Vec<Uncovered>,
}

/// A value of a tag; `None` is that of the workers without the tag, which count as alike.
pub type TagValue = Option<String>;

/// A value that no canary has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uncovered {
    /// The value.
    pub value: TagValue,
    /// Selected workers that have it.
    pub workers: u32,
    /// Why no canary has it.
    pub why: NotCovered,
}

/// Why no canary has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotCovered {
    /// `at_most` was reached.
    AtMost,
    /// Only workers have it that are disabled already, which a run leaves alone.
    AlreadyDisabled,
}

impl Coverage {
    /// How many values there are and how many of them are covered.
    pub fn counts(&self) -> (usize, usize) {
        let covered: usize = self.tags.iter().map(|tag| tag.covered.len()).sum();
        (covered, covered + self.tags.iter().map(|tag| tag.uncovered.len()).sum::<usize>())
    }
}

/// Chooses of `chosen[begin..]`, at most `limit`, so that they and those before `begin` have every value of `tags`:
/// indices into `chosen`, ascending.
pub(super) fn choose(
    fleet: &Fleet,
    tags: &[&str],
    chosen: &[WorkerIx],
    begin: usize,
    limit: usize,
) -> (Vec<usize>, Coverage) {
    let values = Values::of(fleet, tags, chosen);
    let usable = |at: &usize| !fleet.disabled.workers.contains(fleet.worker(chosen[*at]).host.as_str());
    let mut covered = FixedBitSet::with_capacity(values.all.len());
    for at in (0..begin).filter(usable) {
        values.mark(at, &mut covered);
    }
    let earlier = covered.clone();
    let candidates = (begin..chosen.len()).filter(usable);
    let mut canaries = greedy(&values, candidates, &mut covered, limit);
    drop_superfluous(&values, &earlier, &mut canaries);
    canaries.sort_unstable();
    let reachable = {
        let mut reachable = earlier;
        (begin..chosen.len()).filter(usable).for_each(|at| values.mark(at, &mut reachable));
        reachable
    };
    (canaries, values.coverage(tags, &covered, &reachable))
}

/// The greedy choice, lazily: what a worker adds only becomes less, so that an estimate from before is a bound and most
/// workers are never looked at again. Of those that add as much, the one that is taken first.
fn greedy(
    values: &Values,
    candidates: impl Iterator<Item = usize>,
    covered: &mut FixedBitSet,
    limit: usize,
) -> Vec<usize> {
    let mut heap: BinaryHeap<(usize, Reverse<usize>)> =
        candidates.map(|at| (values.of_worker(at).len(), Reverse(at))).collect();
    let mut canaries = Vec::new();
    while canaries.len() < limit
        && let Some((estimate, Reverse(at))) = heap.pop()
    {
        let adds = values.of_worker(at).iter().filter(|value| !covered.contains(**value as usize)).count();
        if adds == 0 {
            continue;
        }
        if adds < estimate {
            heap.push((adds, Reverse(at)));
            continue;
        }
        values.mark(at, covered);
        canaries.push(at);
    }
    canaries
}

/// Takes out whose values all others of `canaries` and `earlier` have together, the least useful (chosen last) first.
fn drop_superfluous(values: &Values, earlier: &FixedBitSet, canaries: &mut Vec<usize>) {
    let mut times: Vec<u32> = (0..values.all.len()).map(|value| u32::from(earlier.contains(value))).collect();
    for at in canaries.iter() {
        values.of_worker(*at).iter().for_each(|value| times[*value as usize] += 1);
    }
    for index in (0..canaries.len()).rev() {
        let own = values.of_worker(canaries[index]);
        if own.iter().all(|value| times[*value as usize] > 1) {
            own.iter().for_each(|value| times[*value as usize] -= 1);
            canaries.remove(index);
        }
    }
}

/// The values of the tags as numbers.
struct Values {
    /// Tag (as an index), value, and how many selected workers have it; by number.
    all: Vec<(usize, TagValue, u32)>,
    /// Of each selected worker its value of each tag, one after the other.
    of_workers: Vec<u32>,
    tags: usize,
}

impl Values {
    fn of(fleet: &Fleet, tags: &[&str], chosen: &[WorkerIx]) -> Self {
        let mut numbers: HashMap<(usize, Option<&str>), u32> = HashMap::new();
        let mut all: Vec<(usize, TagValue, u32)> = Vec::new();
        let mut of_workers = Vec::with_capacity(chosen.len() * tags.len());
        for worker in chosen {
            for (tag, name) in tags.iter().enumerate() {
                let value = fleet.worker(*worker).tags.get(*name).map(String::as_str);
                let number = *numbers.entry((tag, value)).or_insert_with(|| {
                    all.push((tag, value.map(str::to_owned), 0));
                    all.len() as u32 - 1
                });
                all[number as usize].2 += 1;
                of_workers.push(number);
            }
        }
        Self { all, of_workers, tags: tags.len() }
    }

    fn of_worker(&self, at: usize) -> &[u32] {
        &self.of_workers[at * self.tags..(at + 1) * self.tags]
    }

    fn mark(&self, at: usize, in_set: &mut FixedBitSet) {
        self.of_worker(at).iter().for_each(|value| in_set.insert(*value as usize));
    }

    fn coverage(&self, tags: &[&str], covered: &FixedBitSet, reachable: &FixedBitSet) -> Coverage {
        let mut by_tag: Vec<BTreeMap<&TagValue, usize>> = vec![BTreeMap::new(); tags.len()];
        for (number, (tag, value, _)) in self.all.iter().enumerate() {
            by_tag[*tag].insert(value, number);
        }
        let one = |(name, numbers): (&&str, BTreeMap<&TagValue, usize>)| {
            let mut of_tag =
                TagCoverage { tag: (*name).to_owned(), covered: Vec::new(), uncovered: Vec::new() };
            for (value, number) in numbers {
                if covered.contains(number) {
                    of_tag.covered.push(value.clone());
                    continue;
                }
                let why =
                    if reachable.contains(number) { NotCovered::AtMost } else { NotCovered::AlreadyDisabled };
                of_tag.uncovered.push(Uncovered { value: value.clone(), workers: self.all[number].2, why });
            }
            of_tag
        };
        Coverage { wave: None, tags: tags.iter().zip(by_tag).map(one).collect() }
    }
}
