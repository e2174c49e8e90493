//! Percentages turned into numbers, each with a sentence that says how.

use serde::Serialize;

use super::Target;
use crate::bucket::{Allocation, Fleet, JobIx};
use crate::plan::{Amount, Budget, BudgetBound, Concurrency, Plan, WaveSize};

/// A number and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// The number that applies.
    pub value: u32,
    /// How it came about: "10% of 15 is 1.5, rounded down to 1".
    pub how: String,
}

/// What must stay available of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobBudget {
    /// The job that the budget protects.
    pub job: JobIx,
    /// Its enabled allocations in the whole bucket.
    pub of: u32,
    /// Minimum number of them that stays available; more than `of`: it cannot be met.
    pub wants: u32,
    /// In words, how `wants` came about.
    pub how: String,
    /// Index of the entry of `budgets` that decides (the strictest where several name the job).
    pub entry: usize,
}

/// Every number of a plan that depends on the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Numbers {
    /// How many workers are selected.
    pub targets: u32,
    /// How many at a time; `None`: as many as fit (`auto`).
    pub concurrency: Option<Resolved>,
    /// Maximum number of failed workers; the run halts at one more.
    pub max_failures: Resolved,
    /// The size of each wave.
    pub waves: Vec<Resolved>,
    /// Each job that has a budget and an enabled allocation, by job.
    pub budgets: Vec<JobBudget>,
}

impl Numbers {
    /// `waves` come from [`wave_sizes`].
    pub(super) fn resolve(
        plan: &Plan,
        fleet: &Fleet,
        targets: &[Target],
        enabled: &[Allocation],
        waves: Vec<Resolved>,
    ) -> Self {
        let count = targets.len() as u32;
        let concurrency = match plan.rollout.concurrency.value {
            Concurrency::Auto => None,
            Concurrency::AtMost(amount) => Some(down_to_at_least_one(amount, count)),
        };
        let max_failures = round_down(plan.rollout.max_failures.value, count, "");
        Self { targets: count, concurrency, max_failures, waves, budgets: budgets(plan, fleet, enabled) }
    }
}

/// The sizes of the waves of `count` workers: percentages round down to at least 1, the last size
/// repeats until no worker is left, `rest` takes all that are left. No sizes: one wave.
pub(super) fn wave_sizes(sizes: &[WaveSize], count: u32) -> Vec<Resolved> {
    let mut waves = Vec::new();
    let mut left = count;
    let mut at = 0;
    while left > 0 {
        let size = sizes.get(at).or(sizes.last()).copied().unwrap_or(WaveSize::Rest);
        let mut wave = match size {
            WaveSize::Rest => Resolved { value: left, how: "all that are left".to_owned() },
            WaveSize::Of(amount) => down_to_at_least_one(amount, count),
        };
        if sizes.is_empty() {
            "one wave with all".clone_into(&mut wave.how);
        } else if at >= sizes.len() {
            wave.how = format!("{}; the last size repeats", wave.how);
        }
        if wave.value > left {
            wave.how = format!("{}; only {left} left", wave.how);
            wave.value = left;
        }
        left -= wave.value;
        at += 1;
        waves.push(wave);
    }
    waves
}

fn budgets(plan: &Plan, fleet: &Fleet, enabled: &[Allocation]) -> Vec<JobBudget> {
    let entries = &plan.rollout.budgets;
    if entries.is_empty() {
        return Vec::new();
    }
    let mut counts = vec![0_u32; fleet.jobs.len()];
    for allocation in enabled {
        counts[allocation.job.0 as usize] += 1;
    }
    let mut all = Vec::new();
    for (j, (job, of)) in fleet.jobs.iter().zip(counts).enumerate() {
        let own = |(_, entry): &(usize, &Budget)| entry.job.value == job.name.as_str();
        let entries = || entries.iter().map(|entry| &entry.value).enumerate();
        let any_own = entries().any(|entry| own(&entry));
        let mine =
            entries().filter(|(at, entry)| if any_own { own(&(*at, entry)) } else { entry.job.value == "*" });
        let strictest = mine
            .map(|(at, entry)| (at, wanted(entry.bound, of)))
            .reduce(|a, b| if b.1.value > a.1.value { b } else { a });
        if let (Some((entry, wants)), 1..) = (strictest, of) {
            all.push(JobBudget { job: JobIx(j as u32), of, wants: wants.value, how: wants.how, entry });
        }
    }
    all
}

/// How many of `of` allocations must stay available.
fn wanted(bound: BudgetBound, of: u32) -> Resolved {
    match bound {
        BudgetBound::MinAvailable(amount) => round_up(amount, of),
        BudgetBound::MaxUnavailable(amount) => {
            let may = round_down(amount, of, "");
            let wants = of.saturating_sub(may.value);
            let plain = may.how == may.value.to_string();
            let how = if plain { String::new() } else { format!(" ({})", may.how) };
            Resolved { value: wants, how: format!("at most {} may be unavailable{how}", may.value) }
        }
    }
}

fn down_to_at_least_one(amount: Amount, of: u32) -> Resolved {
    let mut resolved = round_down(amount, of, ", but at least 1");
    if resolved.value == 0 {
        resolved.value = 1;
    } else {
        resolved.how = resolved.how.replace(", but at least 1", "");
    }
    resolved
}

fn round_down(amount: Amount, of: u32, suffix: &str) -> Resolved {
    match amount {
        Amount::Count(count) => {
            Resolved { value: u32::try_from(count).unwrap_or(u32::MAX), how: format!("{count}{suffix}") }
        }
        Amount::Percent(percent) => {
            let hundredths = u64::from(percent) * u64::from(of);
            let value = (hundredths / 100) as u32;
            let rounded =
                if hundredths % 100 == 0 { String::new() } else { format!(", rounded down to {value}") };
            Resolved { value, how: format!("{percent}% of {of} is {}{rounded}{suffix}", decimal(hundredths)) }
        }
    }
}

fn round_up(amount: Amount, of: u32) -> Resolved {
    match amount {
        Amount::Count(_) => round_down(amount, of, ""),
        Amount::Percent(percent) => {
            let hundredths = u64::from(percent) * u64::from(of);
            let value = hundredths.div_ceil(100) as u32;
            let rounded =
                if hundredths % 100 == 0 { String::new() } else { format!(", rounded up to {value}") };
            Resolved { value, how: format!("{percent}% of {of} is {}{rounded}", decimal(hundredths)) }
        }
    }
}

/// 150 is "1.5".
fn decimal(hundredths: u64) -> String {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sizes(sizes: &[WaveSize], count: u32) -> Vec<u32> {
        wave_sizes(sizes, count).into_iter().map(|wave| wave.value).collect()
    }

    #[test]
    fn waves_round_down_repeat_and_end() {
        let of = |count| WaveSize::Of(Amount::Count(count));
        let percent = |percent| WaveSize::Of(Amount::Percent(percent));
        assert_eq!(sizes(&[], 7), [7]);
        assert_eq!(sizes(&[of(1), percent(10), WaveSize::Rest], 25), [1, 2, 22]);
        assert_eq!(sizes(&[of(1), of(3)], 9), [1, 3, 3, 2]);
        assert_eq!(sizes(&[percent(10)], 3), [1, 1, 1]);
        assert_eq!(sizes(&[of(10), WaveSize::Rest], 4), [4]);
        assert_eq!(sizes(&[of(0)], 2), [1, 1], "a wave is never empty");
        assert_eq!(wave_sizes(&[percent(15)], 10)[0].how, "15% of 10 is 1.5, rounded down to 1");
        assert_eq!(
            wave_sizes(&[percent(1)], 10)[0].how,
            "1% of 10 is 0.1, rounded down to 0, but at least 1"
        );
        assert_eq!(wave_sizes(&[percent(10)], 10)[0].how, "10% of 10 is 1");
    }

    #[test]
    fn what_must_stay_rounds_up_and_what_may_go_rounds_down() {
        let min = |percent| wanted(BudgetBound::MinAvailable(Amount::Percent(percent)), 3).value;
        let max = |percent| wanted(BudgetBound::MaxUnavailable(Amount::Percent(percent)), 3).value;
        assert_eq!((min(0), min(50), min(67), min(100)), (0, 2, 3, 3));
        assert_eq!((max(0), max(33), max(50), max(67), max(100)), (3, 3, 2, 1, 0));
        assert_eq!(wanted(BudgetBound::MaxUnavailable(Amount::Count(9)), 3).value, 0);
    }

    proptest! {
        #[test]
        fn waves_cover_everybody_once(
            given in prop::collection::vec((any::<bool>(), 0_u64..40, 0_u8..=100), 0..6),
            rest in any::<bool>(),
            count in 0_u32..500,
        ) {
            let mut given: Vec<_> = given
                .into_iter()
                .map(|(fixed, number, percent)| {
                    WaveSize::Of(if fixed { Amount::Count(number) } else { Amount::Percent(percent) })
                })
                .collect();
            if rest {
                given.push(WaveSize::Rest);
            }
            let waves = wave_sizes(&given, count);
            prop_assert_eq!(waves.iter().map(|wave| wave.value).sum::<u32>(), count);
            prop_assert!(waves.iter().all(|wave| wave.value > 0));
        }

        #[test]
        fn no_percentage_ever_allows_more_than_it_says(percent in 0_u8..=100, of in 0_u32..2_000_000) {
            let exact = f64::from(percent) * f64::from(of) / 100.0;
            prop_assert!(f64::from(round_down(Amount::Percent(percent), of, "").value) <= exact + 1e-9);
            prop_assert!(f64::from(round_up(Amount::Percent(percent), of).value) >= exact - 1e-9);
            let may = of - wanted(BudgetBound::MaxUnavailable(Amount::Percent(percent)), of).value;
            prop_assert!(f64::from(may) <= exact + 1e-9);
        }
    }
}
