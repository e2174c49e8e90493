//! Whether a plan could ever be carried out on a fleet where all is well.

use super::limits::Limits;
use super::window::{self, Schedule};
use crate::graph::{JobBudget, RolloutGraph};
use crate::plan::{Amount, BudgetBound, OnFailure, Problem, Problems, counted};

/// Maximum number of jobs that a message lists.
const SHOWN: usize = 5;

/// Limits under which a worker could never be admitted, even with no other worker down; and budgets that
/// bind no worker, as warnings.
pub fn feasibility(graph: &RolloutGraph) -> Problems {
    let limits = Limits::resolve(graph);
    let mut problems = Problems::new();
    check_budgets(graph, &limits, &mut problems);
    check_failures(graph, &limits, &mut problems);
    check_window(graph, &limits, &mut problems);
    problems.sort();
    problems
}

fn check_budgets(graph: &RolloutGraph, limits: &Limits, problems: &mut Problems) {
    // For each budget: how many targets that would go down hold an allocation of its job.
    let mut held = vec![0_u32; limits.budgets.len()];
    for constraint in limits.constraints.iter().filter(|constraint| constraint.disturbs) {
        for budget in &constraint.budgets {
            held[*budget as usize] += 1;
        }
    }
    for (number, entry) in graph.plan.rollout.budgets.iter().enumerate() {
        let mine: Vec<_> =
            limits.budgets.iter().zip(&held).filter(|(budget, _)| budget.entry == number).collect();
        let impossible: Vec<_> = mine
            .iter()
            .filter(|(budget, held)| **held > 0 && budget.wants + 1 > budget.of)
            .copied()
            .collect();
        let span = || entry.span.clone();
        if let Some(first) = impossible.first() {
            let mut message = sentence(graph, *first);
            if impossible.len() > 1 {
                let others = impossible[1..].iter().map(|(budget, _)| name(graph, budget));
                let listed = others.take(SHOWN).collect::<Vec<_>>().join(", ");
                let more = impossible.len().saturating_sub(1 + SHOWN);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                message = format!("{message}; the same is true of {listed}{more}");
            }
            let problem = Problem::error("maand::plan::budget_infeasible", message);
            let plain = first.0.how == first.0.wants.to_string();
            let how =
                if plain { format!("{} must stay available", first.0.wants) } else { first.0.how.clone() };
            let problem = problem.at(&graph.plan.source, span(), how);
            problems.push(problem.help(advice(first.0, entry.value.bound)));
        } else if mine.is_empty() && !has_allocation(graph, &entry.value.job.value) {
            let message = format!(
                "the budget of `{}` binds no worker: it has no enabled allocation",
                entry.value.job.value
            );
            let problem = Problem::warning("maand::plan::budget_without_effect", message);
            problems.push(
                problem
                    .at(&graph.plan.source, span(), "binds no worker")
                    .help("take it out, or look at the job's selectors"),
            );
        }
    }
}

/// Failures that are allowed and would never be counted: a failed worker stays down, and counts against every limit
/// that it counted against before.
fn check_failures(graph: &RolloutGraph, limits: &Limits, problems: &mut Problems) {
    let (settings, allowed) = (&graph.plan.rollout, limits.max_failures);
    if allowed == 0 || settings.on_failure == OnFailure::Revert {
        return;
    }
    let warning = |limit: String, span, label: String| {
        let how = &graph.numbers().max_failures.how;
        let message = format!(
            "`max_failures` ({how}) has no effect beyond {limit}: a failed worker stays down and counts against it"
        );
        Problem::warning("maand::plan::failures_moot", message)
            .at(&graph.plan.source, span, label)
            .help("allow more there, let failed workers be put back (`on_failure: revert`), or allow fewer failures")
    };
    // Of plain numbers the plan alone has warned.
    let is_share = matches!(settings.max_failures.value, Amount::Percent(_));
    if let (Some(spread), Some(limit)) = (&settings.spread, &limits.spread)
        && is_share
        && u64::from(allowed) >= limit.at_most
        && limit.domains.len() as u64 > limit.at_most
    {
        let label = format!("with {} disturbed by failed workers no other one begins", limit.at_most);
        problems.push(warning("`spread`".to_owned(), spread.span.clone(), label));
    }
    let mut held = vec![0_u32; limits.budgets.len()];
    for constraint in limits.constraints.iter().filter(|constraint| constraint.disturbs) {
        constraint.budgets.iter().for_each(|budget| held[*budget as usize] += 1);
    }
    for (number, entry) in settings.budgets.iter().enumerate() {
        let spent = |(budget, held): &(&JobBudget, &u32)| {
            let room = budget.of.saturating_sub(budget.wants);
            budget.entry == number && (1..=allowed).contains(&room) && **held > room
        };
        let mut spent = limits.budgets.iter().zip(&held).filter(spent);
        let Some((first, _)) = spent.next() else { continue };
        let others = match spent.count() {
            0 => String::new(),
            more => format!(" and of {}", counted(more, "other job")),
        };
        let room = first.of - first.wants;
        let label =
            format!("with {} no other one of its workers begins", counted(room as usize, "failed worker"));
        problems.push(warning(
            format!("the budget of {}{others}", name(graph, first)),
            entry.span.clone(),
            label,
        ));
    }
}

fn has_allocation(graph: &RolloutGraph, job: &str) -> bool {
    graph.enabled_allocations().iter().any(|one| job == "*" || graph.fleet.job(one.job).name.as_str() == job)
}

fn name(graph: &RolloutGraph, budget: &JobBudget) -> String {
    format!("`{}`", graph.fleet.job(budget.job).name)
}

fn sentence(graph: &RolloutGraph, (budget, held): (&JobBudget, &u32)) -> String {
    let allocations = |count: u32| format!("{count} allocation{}", if count == 1 { "" } else { "s" });
    let elsewhere = if *held < budget.of {
        format!(" ({held} of them on the targets)")
    } else {
        " on the targets".to_owned()
    };
    format!(
        "job {} has {}{elsewhere} and wants {} available: no worker could ever be admitted",
        name(graph, budget),
        allocations(budget.of),
        budget.wants
    )
}

fn advice(budget: &JobBudget, bound: BudgetBound) -> String {
    let most = budget.of.saturating_sub(1);
    match bound {
        BudgetBound::MinAvailable(_) if most == 0 => {
            "the job has a single allocation: allow it to go down (`max_unavailable: 1`), or exclude its worker".to_owned()
        }
        BudgetBound::MinAvailable(_) => format!("at most `min_available: {most}` lets one worker at a time go down"),
        BudgetBound::MaxUnavailable(_) => "at least `max_unavailable: 1` lets one worker at a time go down".to_owned(),
    }
}

fn check_window(graph: &RolloutGraph, limits: &Limits, problems: &mut Problems) {
    let rollout = &graph.plan.rollout;
    let freeze = rollout.freeze.as_ref().map(|freeze| freeze.span.clone());
    let Some(span) = rollout.windows.first().map(|window| window.span.clone()).or(freeze) else { return };
    let at = |problem: Problem| problem.at(&graph.plan.source, span.clone(), "never opens");
    if limits.window_unknown {
        let unknown = Schedule::of(graph).and_then(Result::err).unwrap_or_default();
        let problem =
            at(Problem::error("maand::plan::bad_timezone", format!("there is no time zone `{unknown}`")));
        problems.push(problem.help("use an IANA name, such as Europe/Berlin or UTC"));
    } else if limits.window.as_ref().is_some_and(|schedule| !window::ever_opens(schedule)) {
        let problem = at(Problem::error("maand::plan::window_never_opens", "the window never opens"));
        problems.push(problem.help(
            "give `open` and `close` different times, and at least one day that `freeze` does not cover",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::{budget, compiled, fleet, located, plan, worker};
    use crate::plan::{Spread, Weekday, Window};

    fn codes(problems: &Problems) -> Vec<&'static str> {
        problems.iter().map(|problem| problem.code.trim_start_matches("maand::plan::")).collect()
    }

    #[test]
    fn a_budget_that_leaves_no_room_is_named_with_its_numbers() {
        let workers = vec![worker("w1", &["api"], &[]), worker("w2", &["api"], &[])];
        let fleet = fleet(workers, &["api", "db"]);
        let mut plan = plan();
        plan.rollout.budgets = vec![budget("api", BudgetBound::MinAvailable(Amount::Count(2)))];
        let problems = feasibility(&compiled(&plan, &fleet));
        let message = "job `api` has 2 allocations on the targets and wants 2 available: no worker could ever be admitted";
        assert_eq!(problems.iter().map(|p| p.message.as_str()).collect::<Vec<_>>(), [message]);
        plan.rollout.budgets = vec![budget("api", BudgetBound::MinAvailable(Amount::Count(1)))];
        assert!(feasibility(&compiled(&plan, &fleet)).is_empty());
        plan.rollout.budgets = vec![budget("db", BudgetBound::MinAvailable(Amount::Count(1)))];
        assert_eq!(codes(&feasibility(&compiled(&plan, &fleet))), ["budget_without_effect"]);
    }

    #[test]
    fn a_time_zone_that_is_not_there_and_a_window_without_days_never_open() {
        let window = |timezone: &str, days: &[Weekday]| {
            let mut plan = plan();
            plan.rollout.windows = vec![located(Window {
                timezone: timezone.to_owned(),
                open: 60,
                close: 120,
                days: days.iter().copied().map(Into::into).collect(),
            })];
            let problems = feasibility(&compiled(&plan, &fleet(vec![worker("w1", &[], &[])], &[])));
            codes(&problems)
        };
        assert_eq!(window("Mars/Olympus", &[Weekday::Mon]), ["bad_timezone"]);
        assert_eq!(window("UTC", &[]), ["window_never_opens"]);
        assert!(window("UTC", &[Weekday::Mon]).is_empty());
    }

    #[test]
    fn failures_that_a_limit_never_lets_happen_are_warned_of() {
        let workers: Vec<_> = ["a", "b", "c"]
            .iter()
            .map(|zone| worker(&format!("w-{zone}"), &["api"], &[&format!("zone={zone}")]))
            .collect();
        let fleet = fleet(workers, &["api"]);
        let warned = |bound: Option<Amount>,
                      at_most: Option<u64>,
                      failures: Amount,
                      on_failure: OnFailure| {
            let mut plan = plan();
            plan.rollout.budgets =
                bound.map(|amount| budget("api", BudgetBound::MaxUnavailable(amount))).into_iter().collect();
            plan.rollout.spread = at_most.map(|at_most| located(Spread { tag: "zone".to_owned(), at_most }));
            plan.rollout.max_failures = located(failures);
            plan.rollout.on_failure = on_failure;
            feasibility(&compiled(&plan, &fleet)).iter().filter(|p| p.code.ends_with("failures_moot")).count()
        };
        let (one, two, most) = (Amount::Count(1), Amount::Count(2), Amount::Percent(50));
        assert_eq!(warned(Some(one), None, one, OnFailure::Halt), 1);
        assert_eq!(warned(Some(two), None, one, OnFailure::Halt), 0);
        assert_eq!(warned(Some(one), None, Amount::Count(0), OnFailure::Halt), 0);
        assert_eq!(warned(Some(one), None, one, OnFailure::Revert), 0);
        assert_eq!(warned(None, Some(1), most, OnFailure::Halt), 1);
        assert_eq!(warned(None, Some(2), most, OnFailure::Halt), 0);
        assert_eq!(warned(None, Some(1), one, OnFailure::Halt), 0, "the plan alone has said so");
    }
}
