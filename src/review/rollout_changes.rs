//! What differs between the rollout that was reviewed and the one that there would be now, in an operator's words.

use std::collections::{BTreeMap, BTreeSet};

use super::difference::differences;
use super::{BudgetRow, Number, Rollout, StepRow};
use crate::plan::counted;

/// At most this many workers of a group are named.
const NAMED: usize = 5;

/// Wave, counted from 1, and place of each selected worker.
pub(super) fn places(rollout: &Rollout) -> BTreeMap<&str, usize> {
    let waves = rollout.waves.iter().zip(1..);
    waves.flat_map(|(wave, number)| wave.workers.iter().map(move |host| (host.as_str(), number))).collect()
}

/// All that differs, but what is to be said of workers that the fleet has or had only once; `others` are those.
pub(super) fn rollout_changes(old: &Rollout, new: &Rollout, others: &BTreeSet<&str>) -> Vec<String> {
    let mut said = Vec::new();
    let (before, now) = (places(old), places(new));
    for host in before.keys().filter(|host| !now.contains_key(*host) && !others.contains(*host)) {
        said.push(format!("{host} is no longer selected"));
    }
    for (host, wave) in now.iter().filter(|(host, _)| !before.contains_key(*host) && !others.contains(*host))
    {
        said.push(format!("{host} is selected now (wave {wave})"));
    }
    if old.waves.len() != new.waves.len() {
        said.push(format!("{} -> {}", counted(old.waves.len(), "wave"), counted(new.waves.len(), "wave")));
    }
    moves(&before, &now, &mut said);
    orders(old, new, &mut said);
    numbers(old, new, &mut said);
    budgets(&old.budgets, &new.budgets, &mut said);
    for (list, old, new) in [
        ("before", &old.steps.before, &new.steps.before),
        ("prepare", &old.steps.prepare, &new.steps.prepare),
        ("steps", &old.steps.steps, &new.steps.steps),
        ("after", &old.steps.after, &new.steps.after),
    ] {
        steps(list, old, new, &mut said);
    }
    said
}

/// Workers that are in both, and in another wave than before.
fn moves(before: &BTreeMap<&str, usize>, now: &BTreeMap<&str, usize>, said: &mut Vec<String>) {
    let mut groups: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    for (host, old) in before {
        if let Some(new) = now.get(host).filter(|new| *new != old) {
            groups.entry((*old, *new)).or_default().push(host);
        }
    }
    for ((old, new), hosts) in groups {
        let is = if hosts.len() == 1 { "is" } else { "are" };
        said.push(format!("{} {is} in wave {new} now, and not in wave {old}", some_of(&hosts)));
    }
}

/// Waves in which workers that were in it before are taken in another order.
fn orders(old: &Rollout, new: &Rollout, said: &mut Vec<String>) {
    for ((old, new), number) in old.waves.iter().zip(&new.waves).zip(1..) {
        let (before, now): (BTreeSet<&String>, BTreeSet<&String>) =
            (old.workers.iter().collect(), new.workers.iter().collect());
        let common = |of: &'_ [String], other: &BTreeSet<&String>| -> Vec<String> {
            of.iter().filter(|host| other.contains(*host)).cloned().collect()
        };
        if common(&old.workers, &now) != common(&new.workers, &before) {
            said.push(format!("wave {number} has another order"));
        }
    }
}

fn numbers(old: &Rollout, new: &Rollout, said: &mut Vec<String>) {
    let number = |number: &Number| match number.how == number.value.to_string() {
        true => number.value.to_string(),
        false => format!("{} ({})", number.value, number.how),
    };
    let concurrency = |of: &Rollout| of.concurrency.as_ref().map_or("as many as fit".to_owned(), number);
    if old.concurrency != new.concurrency {
        said.push(format!("concurrency {} -> {}", concurrency(old), concurrency(new)));
    }
    if old.prepare != new.prepare {
        let at_once = |of: &Rollout| of.prepare.as_ref().map_or("nobody".to_owned(), number);
        said.push(format!("prepared at a time: {} -> {}", at_once(old), at_once(new)));
    }
    if old.max_failures != new.max_failures {
        said.push(format!("max_failures {} -> {}", number(&old.max_failures), number(&new.max_failures)));
    }
    said.extend(
        differences(&old.spread, &new.spread).iter().map(|one| format!("spread: {}", one.describe())),
    );
}

fn budgets(old: &[BudgetRow], new: &[BudgetRow], said: &mut Vec<String>) {
    fn by_job(rows: &[BudgetRow]) -> BTreeMap<&str, &BudgetRow> {
        rows.iter().map(|row| (row.job.as_str(), row)).collect()
    }
    let keeps = |row: &BudgetRow| format!("{} of {}", row.stays_available, row.allocations);
    let (before, now) = (by_job(old), by_job(new));
    for (job, old) in &before {
        match now.get(job) {
            Some(new) if new == old => {}
            Some(new) if keeps(new) == keeps(old) => {
                said.push(format!("budget of {job}: {} -> {}", old.how, new.how));
            }
            Some(new) => said.push(format!("budget of {job}: keeps {} -> {}", keeps(old), keeps(new))),
            None => said.push(format!("job {job} has no budget any more (kept {})", keeps(old))),
        }
    }
    for (job, new) in now.iter().filter(|(job, _)| !before.contains_key(*job)) {
        said.push(format!("job {job} has a budget now (keeps {})", keeps(new)));
    }
}

/// The plan's text is the same, and so are the ids: what differs is where they apply.
fn steps(list: &str, old: &[StepRow], new: &[StepRow], said: &mut Vec<String>) {
    if old.iter().map(|step| &step.id).ne(new.iter().map(|step| &step.id)) {
        said.push(format!("{list}: the steps are others"));
        return;
    }
    for (old, new) in old.iter().zip(new).filter(|(old, new)| old != new) {
        if old.kind != new.kind {
            said.push(format!("step {}: {} -> {}", old.id, old.kind, new.kind));
        }
        if old.applies_to != new.applies_to {
            let workers = |step: &StepRow| counted(step.applies_to as usize, "worker");
            said.push(format!(
                "step {} applies to {}, and no longer to {}",
                old.id,
                workers(new),
                workers(old)
            ));
        }
    }
}

/// `a, b, c and 9 more`.
pub(super) fn some_of(hosts: &[&str]) -> String {
    if hosts.len() <= NAMED + 1 {
        return hosts.join(", ");
    }
    format!("{} and {} more", hosts[..NAMED].join(", "), hosts.len() - NAMED)
}
