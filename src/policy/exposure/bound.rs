//! The most of some workers that may be down at once, and which limits say so.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::Stake;
use crate::graph::{RolloutGraph, TargetIx};
use crate::plan::{Amount, BudgetBound};
use crate::policy::Limits;

/// Maximum number of budgets that are taken together.
const BUDGETS_TOGETHER: usize = 16;

/// A limit that keeps more from being down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "limit")]
pub enum Binding {
    /// So many are active at a time.
    Concurrency {
        /// The plan's `concurrency`, as a number.
        allowed: u32,
        /// So many others have failed and stay down.
        failed: u32,
    },
    /// Workers are taken in waves.
    Wave {
        /// The most of them in one wave.
        most: u32,
        /// So many others have failed and stay down.
        failed: u32,
    },
    /// Budgets, each of which covers another part of them.
    Budgets {
        /// Indices of entries of the plan's `budgets`.
        entries: Vec<usize>,
    },
    /// So many failure domains are disturbed at a time.
    Spread {
        /// The tag.
        tag: String,
        /// The plan's `at_most`.
        at_most: u64,
        /// So many of other domains have failed and stay down.
        failed: u32,
    },
    /// All that go down at all are down.
    Workers {
        /// So many.
        all: u32,
    },
    /// None goes down.
    Never,
}

impl Binding {
    /// As in "at most 2 of 6 down at once (...)".
    pub fn describe(&self, graph: &RolloutGraph) -> String {
        match self {
            Self::Concurrency { allowed, failed } => format!("concurrency {allowed}{}", and_failed(*failed)),
            Self::Wave { most, failed } => {
                format!("no wave has more than {most} of them{}", and_failed(*failed))
            }
            Self::Budgets { entries } => {
                let one = |entry: &usize| {
                    let budget = &graph.plan.rollout.budgets[*entry].value;
                    format!("budget {} {}", budget.job.value, bound(budget.bound))
                };
                entries.iter().map(one).collect::<Vec<_>>().join(" and ")
            }
            Self::Spread { tag, at_most, failed } => {
                format!("spread at most {at_most} {tag}{}", and_failed(*failed))
            }
            Self::Workers { all: 1 } => "no other takes part".to_owned(),
            Self::Workers { .. } => "no limit keeps them from being down together".to_owned(),
            Self::Never => "no step takes one down, or a budget lets none go".to_owned(),
        }
    }
}

/// Those that are no longer active.
fn and_failed(failed: u32) -> String {
    match failed {
        0 => String::new(),
        failed => format!(" and max_failures {failed}, as failed workers stay down"),
    }
}

fn bound(bound: BudgetBound) -> String {
    let (name, amount) = match bound {
        BudgetBound::MinAvailable(amount) => ("min_available", amount),
        BudgetBound::MaxUnavailable(amount) => ("max_unavailable", amount),
    };
    match amount {
        Amount::Count(count) => format!("{name} {count}"),
        Amount::Percent(percent) => format!("{name} {percent}%"),
    }
}

/// What a plan allows, for the question how many of some workers may be down.
pub(super) struct Bounds<'a> {
    graph: &'a RolloutGraph,
    limits: &'a Limits,
    /// For each budget how many may be down by admission.
    may: Vec<u32>,
}

impl<'a> Bounds<'a> {
    pub(super) fn new(graph: &'a RolloutGraph, limits: &'a Limits) -> Self {
        let may = limits.budgets.iter().map(|budget| budget.of.saturating_sub(budget.wants)).collect();
        Self { graph, limits, may }
    }

    pub(super) fn stake(&self, members: &[TargetIx], of: usize, disabled: usize) -> Stake {
        let (down, because) = self.worst(members);
        Stake { down: down.min(of as u32), of: of as u32, disabled: disabled as u32, because }
    }

    /// The most of `members` that are down at once when one of them was admitted last, or later. Those that are disabled
    /// already take no part.
    pub(super) fn worst(&self, members: &[TargetIx]) -> (u32, Vec<Binding>) {
        let takes_part = |target: &TargetIx| !self.graph.target(*target).already_disabled;
        let members: Vec<TargetIx> = members.iter().copied().filter(takes_part).collect();
        let going: Vec<TargetIx> = members.iter().copied().filter(|target| self.goes(*target)).collect();
        if going.is_empty() {
            return (0, vec![Binding::Never]);
        }
        let all = members.len() as u32;
        // Of all that are down so many have failed, or did not answer at the start; the others are active.
        let failed = self.limits.max_failures.min(all);
        let mut bounds = vec![(all, Binding::Workers { all })];
        bounds.push(self.by_places(&going, failed));
        bounds.extend(self.by_budgets(&members));
        bounds.extend(self.by_spread(&members, &going, failed));
        let worst = bounds.iter().map(|(most, _)| *most).min().unwrap_or(0);
        let mut because: Vec<Binding> =
            bounds.into_iter().filter(|(most, _)| *most == worst).map(|(_, binding)| binding).collect();
        let all_of_them = |binding: &Binding| matches!(binding, Binding::Workers { .. });
        if because.iter().all(all_of_them) {
            because.truncate(1);
        } else {
            because.retain(|binding| !all_of_them(binding));
        }
        (worst, because)
    }

    /// Whether it may ever be admitted with a step that takes it down.
    fn goes(&self, target: TargetIx) -> bool {
        let constraint = self.limits.constraint(target);
        constraint.disturbs && constraint.budgets.iter().all(|budget| self.may[*budget as usize] > 0)
    }

    /// Those that are active are of one wave, and hold a place each.
    fn by_places(&self, going: &[TargetIx], failed: u32) -> (u32, Binding) {
        let most = largest(going.iter().map(|target| self.limits.constraint(*target).wave));
        match self.limits.concurrency {
            Some(allowed) if allowed <= most => (allowed + failed, Binding::Concurrency { allowed, failed }),
            _ if self.graph.waves.len() > 1 => (most + failed, Binding::Wave { most, failed }),
            _ => (most + failed, Binding::Workers { all: most }),
        }
    }

    /// Each worker is counted against one of its budgets, so that the sum is small: the one that spares most comes first.
    fn by_budgets(&self, members: &[TargetIx]) -> Option<(u32, Binding)> {
        let mut left: Vec<TargetIx> = members.to_vec();
        let (mut sum, mut taken): (u32, Vec<usize>) = (0, Vec::new());
        while taken.len() < BUDGETS_TOGETHER {
            let mut held: HashMap<u32, u32> = HashMap::new();
            for target in &left {
                for budget in &self.limits.constraint(*target).budgets {
                    *held.entry(*budget).or_default() += 1;
                }
            }
            let spares = |(budget, held): (u32, u32)| {
                let spared = held.saturating_sub(self.may[budget as usize]);
                (spared > 0).then_some((spared, std::cmp::Reverse(budget)))
            };
            let Some((_, std::cmp::Reverse(best))) = held.into_iter().filter_map(spares).max() else { break };
            left.retain(|target| !self.limits.constraint(*target).budgets.contains(&best));
            sum += self.may[best as usize];
            taken.push(best as usize);
        }
        let least = taken.iter().map(|budget| self.may[*budget]).min()?;
        // One that covers all of them was asked at the last admission. Of another one more may be down than it allows, as
        // workers that do not answer at the start are down whether it allows it or not; each of them is a failure.
        let is_one = taken.len() == 1 && left.is_empty();
        let excess = if is_one { 0 } else { self.limits.max_failures.saturating_sub(least) };
        let mut entries: Vec<usize> = taken.iter().map(|budget| self.limits.budgets[*budget].entry).collect();
        entries.sort_unstable();
        entries.dedup();
        Some((sum + left.len() as u32 + excess, Binding::Budgets { entries }))
    }

    /// Those that are down are in few domains. Workers that do not answer at the start may hold more of them, at most as
    /// many as may fail.
    fn by_spread(&self, members: &[TargetIx], going: &[TargetIx], failed: u32) -> Option<(u32, Binding)> {
        let spread = self.limits.spread.as_ref()?;
        let domains = usize::try_from(spread.at_most.max(u64::from(self.limits.max_failures))).ok()?;
        let domain = |target: &TargetIx| self.limits.constraint(*target).domain;
        let whole = of_largest(members.iter().map(domain), domains);
        let mut waves: BTreeMap<u32, Vec<TargetIx>> = BTreeMap::new();
        for target in going {
            waves.entry(self.limits.constraint(*target).wave).or_default().push(*target);
        }
        let active = waves.values().map(|wave| of_largest(wave.iter().map(domain), domains)).max()?;
        let (most, failed) = if whole <= active + failed { (whole, 0) } else { (active + failed, failed) };
        Some((most, Binding::Spread { tag: spread.tag.clone(), at_most: spread.at_most, failed }))
    }
}

/// How often the most frequent one comes.
fn largest<K: Ord>(keys: impl Iterator<Item = K>) -> u32 {
    of_largest(keys, 1)
}

/// How often the `count` most frequent ones come, taken together.
fn of_largest<K: Ord>(keys: impl Iterator<Item = K>, count: usize) -> u32 {
    let mut counts: BTreeMap<K, u32> = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    let mut counts: Vec<u32> = counts.into_values().collect();
    counts.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
    counts.into_iter().take(count).sum()
}
