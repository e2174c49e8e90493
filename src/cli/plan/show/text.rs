//! A plan as text. Its length does not grow with the fleet: of long lists the first and the last
//! are shown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::at_stake;
use super::commands::{self, rollout_gates};
use super::coverage;
use super::describe::{describe_halt, details};
use super::{Shown, pending, probe, time};
use crate::compare::variables;
use crate::graph::{JobBudget, RolloutGraph, TargetIx};
use crate::plan::{
    HealthScope, OnFailure, OnStepFailure, Order, Problem, Severity, Step, StepKind, counted, duration,
    visible_line, visible_within,
};
use crate::policy;

/// Of more waves than this the first and the last are shown.
pub(super) const WAVES: usize = 12;
/// Of more hosts than this the first and the last are shown.
const HOSTS: usize = 5;
/// Of more jobs than this the first are shown.
const JOBS: usize = 20;

/// Writing into a `String` cannot fail, so results of `writeln!` are dropped.
pub(super) fn render(shown: &Shown<'_>) -> String {
    let graph = shown.graph;
    let mut text = String::new();
    head(&mut text, graph);
    reviewed(&mut text, shown);
    workers(&mut text, graph);
    rollout(&mut text, graph);
    waves(&mut text, graph);
    let [(_, before), (_, ahead), (_, main), (_, after)] = graph.plan.lists();
    steps(&mut text, "Before, once", &before, graph, None);
    steps(&mut text, &prepare(graph), &ahead, graph, Some(0));
    steps(&mut text, "Steps of a worker", &main, graph, Some(ahead.len()));
    steps(&mut text, "After, once", &after, graph, None);
    vars(&mut text, graph);
    commands::section(&mut text, graph);
    notices(&mut text, graph);
    jobs(&mut text, graph);
    at_stake::section(&mut text, graph);
    beyond(&mut text, graph);
    if let Some(changes) = shown.pending {
        pending::section(&mut text, changes);
        pending::differences(&mut text, shown.diffs.as_deref().unwrap_or_default());
    }
    if let Some(probed) = &shown.probed {
        probe::section(&mut text, probed);
    }
    time::section(&mut text, shown);
    warnings(&mut text, shown);
    text
}

fn head(text: &mut String, graph: &RolloutGraph) {
    let plan = &graph.plan;
    let _ = writeln!(text, "Plan {}", plan.name);
    if let Some(description) = &plan.description {
        let _ = writeln!(text, "  about    {}", prose(description));
    }
    let _ = writeln!(text, "  file     {}\n  graph    {}", plan.source.name(), &graph.hash()[..16]);
    if graph.fleet.synthetic {
        let all = counted(graph.fleet.workers.len(), "worker");
        let _ = writeln!(
            text,
            "  fleet    MADE UP: {all} that do not exist, with the labels, tags and jobs that the plan names"
        );
    }
}

/// The file that holds all of this.
fn reviewed(text: &mut String, shown: &Shown<'_>) {
    if let Some(of) = &shown.reviewed {
        let inputs = &of.reviewed.document().inputs;
        let (hash, program) = (&of.reviewed.sha256()[..16], &inputs.program);
        let file = visible_within(&of.file, 200);
        let _ = writeln!(
            text,
            "  reviewed {file} ({hash}, by maand {program})\n  bucket   {}",
            inputs.fleet.bucket_id
        );
    }
}

/// A description as one paragraph. With blanks and line feeds of its own it could draw rows that look like ours.
fn prose(description: &str) -> String {
    const SHOWN: usize = 500;
    visible_within(&description.split_whitespace().collect::<Vec<_>>().join(" "), SHOWN)
}

/// What commands get of the plan itself.
fn vars(text: &mut String, graph: &RolloutGraph) {
    let all = variables(&graph.plan.vars);
    if !all.is_empty() {
        let _ = writeln!(text, "\nVariables");
    }
    for (name, value) in all {
        let _ = writeln!(text, "  {name}: {}", visible_within(&visible_line(&value), 200));
    }
}

/// Whom the plan tells; those of the bucket are not its own.
fn notices(text: &mut String, graph: &RolloutGraph) {
    let all = graph.plan.notify.describe();
    if all.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nWho is told, besides those whom the bucket names");
    for (name, what) in all {
        let _ = writeln!(text, "  {name}: {}", visible_line(&what));
    }
}

fn workers(text: &mut String, graph: &RolloutGraph) {
    let selection = graph.selection();
    let _ = writeln!(text, "\nWorkers: {} of {} selected", graph.targets.len(), selection.fleet);
    if selection.parts.is_empty() {
        let _ = writeln!(text, "  the plan names no targets: every worker of the bucket");
    }
    for part in &selection.parts {
        let _ = writeln!(text, "  {:<40} {:>7}", part.what, part.matching);
    }
    if graph.plan.targets.exclude.is_some() {
        let _ = writeln!(text, "  {:<40} {:>7}", "left out by `exclude`", selection.excluded);
    }
    if let Some(expect) = &graph.plan.targets.expect {
        let bound = |bound: Option<u64>| bound.map_or_else(|| "any".to_owned(), |bound| bound.to_string());
        let (min, max) = (bound(expect.value.min), bound(expect.value.max));
        let _ =
            writeln!(text, "  {:<40} {:>7}", format!("expected: min {min}, max {max}"), selection.by_plan);
    }
    if let Some(left) = selection.narrowed_to {
        let _ = writeln!(text, "  {:<40} {left:>7}", "narrowed by --workers to");
    }
}

fn rollout(text: &mut String, graph: &RolloutGraph) {
    let settings = &graph.plan.rollout;
    let numbers = graph.numbers();
    let _ = writeln!(text, "\nRollout");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    row(
        "concurrency",
        match &numbers.concurrency {
            None => "auto: as many as budgets, spread and wave allow".to_owned(),
            Some(resolved) => with_how(resolved.value, &resolved.how),
        },
    );
    row(
        "order",
        match &settings.order {
            Order::Position => "by position in workers.json".to_owned(),
            Order::Reverse => "by position in workers.json, last first".to_owned(),
            Order::Host => "by host".to_owned(),
            Order::Explicit(hosts) => {
                format!("{} first, as listed; the others by position", counted(hosts.len(), "host"))
            }
        },
    );
    if !settings.waves.is_empty() {
        row("waves", settings.waves.iter().map(|size| size.value.to_string()).collect::<Vec<_>>().join(", "));
    }
    if let Some(spread) = &settings.spread {
        let spread = &spread.value;
        row("spread", format!("at most {} of tag `{}` disturbed at a time", spread.at_most, spread.tag));
    }
    for budget in &settings.budgets {
        row("budget", format!("{} {}", budget.value.job.value, budget.value.bound));
    }
    let allowed = numbers.max_failures.value;
    let how = &numbers.max_failures.how;
    row("failures", describe_halt(allowed, &with_how(allowed, how)));
    row(
        "on failure",
        match settings.on_failure {
            OnFailure::Halt => "halt: the worker is left as it is".to_owned(),
            OnFailure::Revert => "revert: its finished steps are undone, newest first".to_owned(),
        },
    );
    if !settings.soak.is_zero() {
        row("soak", format!("{} after each wave, before the next", duration(settings.soak)));
    }
    for window in &settings.windows {
        row("window", window.value.to_string());
    }
    if let Some(freeze) = &settings.freeze {
        row("frozen", freeze.value.to_string());
    }
    for gate in rollout_gates(&graph.plan) {
        let title = visible_line(&gate.gate.title());
        row(&gate.place, format!("{title}: {}; {}", gate.gate.measure.limit(), gate.gate.consequences()));
    }
    if let Some(silence) = &graph.plan.silence {
        row("silence", silence.to_string());
    }
}

/// "1 (10% of 12 is 1.2, rounded down to 1)"; a plain number explains itself.
fn with_how(value: u32, how: &str) -> String {
    if how == value.to_string() { how.to_owned() } else { format!("{value} ({how})") }
}

fn waves(text: &mut String, graph: &RolloutGraph) {
    let waves = &graph.waves;
    let _ = writeln!(text, "\nWaves: {}", waves.len());
    for (number, wave) in waves.iter().enumerate() {
        if waves.len() > WAVES && (WAVES - 2..waves.len() - 1).contains(&number) {
            if number == WAVES - 2 {
                let _ = writeln!(text, "  ... {} more waves ...", waves.len() - WAVES + 1);
            }
            continue;
        }
        let resolved = &graph.numbers().waves[number];
        let size = format!("{} ({})", counted(wave.len(), "worker"), resolved.how);
        let hosts = hosts(graph, wave.clone().map(TargetIx));
        let _ = writeln!(text, "  {:>3}  {size}: {hosts}", number + 1);
        for of_wave in graph.coverage().iter().filter(|of| of.wave == Some(number as u32)) {
            coverage::text(text, of_wave);
        }
    }
    for without_wave in graph.coverage().iter().filter(|of| of.wave.is_none()) {
        coverage::text(text, without_wave);
    }
}

/// All of a few, else the first and the last.
fn hosts(
    graph: &RolloutGraph,
    targets: impl ExactSizeIterator<Item = TargetIx> + DoubleEndedIterator + Clone,
) -> String {
    let number = targets.len();
    if number <= HOSTS {
        return targets.map(|target| graph.host(target)).collect::<Vec<_>>().join(", ");
    }
    let first =
        targets.clone().take(HOSTS - 2).map(|target| graph.host(target)).collect::<Vec<_>>().join(", ");
    let last = targets.clone().next_back().map_or("", |target| graph.host(target));
    format!("{first}, ... {} more ..., {last}", number - HOSTS + 1)
}

/// How workers are prepared, as a title.
fn prepare(graph: &RolloutGraph) -> String {
    let at_once = graph.numbers().prepare.as_ref().map_or_else(String::new, |resolved| {
        let how = with_how(resolved.value, &resolved.how);
        format!(", at most {how} at a time")
    });
    let is_outside = graph.plan.prepare.as_ref().is_some_and(|prepare| prepare.outside_window);
    let outside = if is_outside && graph.waits_for_times() { ", also outside of windows" } else { "" };
    format!("Prepare all workers, before the first is touched{at_once}{outside}")
}

/// `of_workers`: the place of the first of them among a worker's steps.
fn steps(text: &mut String, title: &str, steps: &[Step], graph: &RolloutGraph, of_workers: Option<usize>) {
    if steps.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    let wide = steps.iter().map(|step| step.id.chars().count()).max().unwrap_or(0).max(4);
    for (at, step) in steps.iter().enumerate() {
        let mut line = format!("  {:>2}  {:<wide$}  {:<9}", at + 1, step.id, time_out(step));
        let in_order = at.checked_sub(1).map_or(step.needs.is_empty(), |before| step.needs == [before]);
        let mut notes = Vec::new();
        if step.id != step.kind.keyword() {
            notes.push(step.kind.keyword().to_owned());
        }
        let details = details(&step.kind);
        if !details.is_empty() {
            notes.push(details);
        }
        if !in_order {
            let needs: Vec<_> = step.needs.iter().map(|need| steps[*need].id.as_str()).collect();
            notes.push(if needs.is_empty() {
                "needs nothing".to_owned()
            } else {
                format!("needs {}", needs.join(", "))
            });
        }
        if step.retries.attempts > 1 {
            notes.push(retries(step));
        }
        if step.on_failure == OnStepFailure::Ignore {
            notes.push("failures are ignored".to_owned());
        }
        if let Some(first) = of_workers {
            let on = graph.targets.iter().filter(|target| target.applies[first + at]).count();
            if on < graph.targets.len() {
                notes.push(format!("only on {on} of {}", counted(graph.targets.len(), "worker")));
            }
            if step.kind.traits().disturbs {
                notes.push("disturbs".to_owned());
            }
        }
        if !notes.is_empty() {
            let _ = write!(line, "  {}", notes.join("; "));
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn time_out(step: &Step) -> String {
    match (step.timeout, &step.kind) {
        (Some(timeout), _) => duration(timeout),
        (None, StepKind::Pause { duration: of }) => duration(*of),
        (None, _) => "no limit".to_owned(),
    }
}

fn retries(step: &Step) -> String {
    let retries = &step.retries;
    let mut text = format!("{} attempts", retries.attempts);
    if !retries.delay.is_zero() {
        let _ = write!(text, ", {} between", duration(retries.delay));
        if retries.backoff > 1.0 {
            let _ = write!(text, ", each {} times longer", retries.backoff);
        }
    }
    text
}

fn jobs(text: &mut String, graph: &RolloutGraph) {
    let limits = policy::Limits::resolve(graph);
    let mut on_targets = vec![0_u32; graph.fleet.jobs.len()];
    for target in graph.target_indices().filter(|target| limits.disturbs(*target)) {
        for job in &graph.target(target).jobs {
            on_targets[job.0 as usize] += 1;
        }
    }
    let touched = on_targets.iter().filter(|number| **number > 0).count();
    let _ = writeln!(text, "\nJobs touched: {touched}");
    if touched == 0 {
        let why = if limits_disturb_none(&limits, graph) {
            "no step takes a worker down"
        } else {
            "no worker that goes down hosts one"
        };
        let _ = writeln!(text, "  {why}");
        return;
    }
    let mut of = vec![0_u32; graph.fleet.jobs.len()];
    for allocation in graph.enabled_allocations() {
        of[allocation.job.0 as usize] += 1;
    }
    let with_some =
        graph.fleet.jobs.iter().zip(on_targets).zip(of).enumerate().filter(|(_, ((_, some), _))| *some > 0);
    for (at, ((job, some), of)) in with_some.take(JOBS) {
        let budget = limits.budgets.iter().find(|budget| budget.job.0 as usize == at);
        let _ = writeln!(
            text,
            "  {:<20} {some} of {of} allocations on these workers; {}",
            job.name,
            stays(budget)
        );
    }
    if touched > JOBS {
        let _ = writeln!(text, "  ... {} more", touched - JOBS);
    }
}

fn limits_disturb_none(limits: &policy::Limits, graph: &RolloutGraph) -> bool {
    !graph.target_indices().any(|target| limits.disturbs(target))
}

fn stays(budget: Option<&JobBudget>) -> String {
    budget.map_or_else(
        || "no budget".to_owned(),
        |budget| {
            let plain = budget.how == budget.wants.to_string();
            let how = if plain { String::new() } else { format!(" ({})", budget.how) };
            format!("{} of {} stay available{how}", budget.wants, budget.of)
        },
    )
}

/// Steps that contact workers which are not selected.
fn beyond(text: &mut String, graph: &RolloutGraph) {
    let lists = graph.plan.lists();
    let all = lists.iter().flat_map(|(list, steps)| steps.iter().map(move |step| (*list, step)));
    let fleet = |step: &Step| matches!(&step.kind, StepKind::Health { scope: HealthScope::Fleet, .. });
    let names: Vec<_> =
        all.filter(|(_, step)| fleet(step)).map(|(list, step)| format!("{list}: {}", step.id)).collect();
    if !names.is_empty() {
        let _ = writeln!(text, "\nContacts the whole fleet\n  {}", names.join(", "));
    }
    // A budget counts all allocations of its job, so all of them are looked at.
    let selected: BTreeSet<_> = graph.targets.iter().map(|target| target.worker).collect();
    let outside: BTreeSet<_> = graph
        .enabled_allocations()
        .iter()
        .filter(|allocation| !selected.contains(&allocation.worker))
        .map(|allocation| allocation.job)
        .collect();
    let budgets = &graph.numbers().budgets;
    let jobs: Vec<_> = budgets.iter().filter(|budget| outside.contains(&budget.job)).collect();
    if !jobs.is_empty() {
        let mut names: Vec<_> =
            jobs.iter().take(JOBS).map(|b| graph.fleet.job(b.job).name.as_str()).collect();
        if jobs.len() > JOBS {
            names.push("...");
        }
        let names = names.join(", ");
        let _ = writeln!(text, "\nProbes workers that are not selected, for its budgets\n  {names}");
    }
}

/// Errors are shown after everything else, with the lines of the plan.
fn warnings(text: &mut String, shown: &Shown<'_>) {
    let all = shown.graph.warnings.iter().chain(shown.feasibility.iter());
    let warnings: Vec<&Problem> = all.filter(|problem| problem.severity == Severity::Warning).collect();
    if warnings.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nWarnings: {}", warnings.len());
    for problem in warnings {
        let place = problem
            .place()
            .map_or_else(String::new, |(file, line, column)| format!("{file}:{line}:{column}: "));
        let _ = writeln!(text, "  {place}{} [{}]", problem.message, problem.code);
        if let Some(help) = &problem.help {
            let _ = writeln!(text, "    {help}");
        }
    }
}
