//! Percentages turned into numbers, each with a sentence that says how.

use serde::Serialize;

use super::Target;
use crate::bucket::{Allocation, Fleet, JobIx};
use crate::plan::{Amount, Budget, BudgetBound, Concurrency, Plan};

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
    /// How many are prepared at a time; `None`: the plan prepares nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepare: Option<Resolved>,
    /// Maximum number of failed workers; the run halts at one more.
    pub max_failures: Resolved,
    /// The size of each wave.
    pub waves: Vec<Resolved>,
    /// Each job that has a budget and an enabled allocation, by job.
    pub budgets: Vec<JobBudget>,
}

impl Numbers {
    /// `waves` come from `into_waves`.
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
        let prepare = plan.prepare.as_ref();
        let prepare = prepare.map(|prepare| down_to_at_least_one(prepare.concurrency.value, count));
        let max_failures = round_down(plan.rollout.max_failures.value, count, "");
        let budgets = budgets(plan, fleet, enabled);
        Self { targets: count, concurrency, prepare, max_failures, waves, budgets }
    }
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

pub(super) fn down_to_at_least_one(amount: Amount, of: u32) -> Resolved {
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
        fn no_percentage_ever_allows_more_than_it_says(percent in 0_u8..=100, of in 0_u32..2_000_000) {
            let exact = f64::from(percent) * f64::from(of) / 100.0;
            prop_assert!(f64::from(round_down(Amount::Percent(percent), of, "").value) <= exact + 1e-9);
            prop_assert!(f64::from(round_up(Amount::Percent(percent), of).value) >= exact - 1e-9);
            let may = of - wanted(BudgetBound::MaxUnavailable(Amount::Percent(percent)), of).value;
            prop_assert!(f64::from(may) <= exact + 1e-9);
        }
    }
}
