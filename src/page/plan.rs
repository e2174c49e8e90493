//! The plan: its limits with their numbers, its graph, and its text.

use maud::{Markup, html};

use super::graph;
use super::model::RunPage;
use super::steps::durations;
use super::words::{MESSAGE, name, said};
use crate::graph::RolloutGraph;
use crate::plan::{OnFailure, Order, counted, duration, visible_line};

/// Of more waves or budgets than this the others are counted.
const LISTED: usize = 30;

/// The plan's limits, as they came to be on this fleet.
pub(super) fn limits(page: &RunPage<'_>) -> Markup {
    html! {
        section #plan aria-labelledby="plan-title" {
            h2 #plan-title { "Plan" }
            h3 #policy { "Limits" }
            (policy(page.graph))
        }
    }
}

/// Its steps, with how often each was done.
pub(super) fn steps(page: &RunPage<'_>) -> Markup {
    html! {
        section #graph aria-labelledby="graph-title" {
            h3 #graph-title { "Steps, and what waits for what" }
            (graph::with_counts(page.graph, Some(&durations(page))))
        }
    }
}

/// Its text.
pub(super) fn text(page: &RunPage<'_>) -> Markup {
    html! {
        section #source aria-labelledby="source-title" {
            h3 #source-title { "Text of the plan" }
            details {
                summary { (said(page.plan_file, MESSAGE)) ", as it was when the run began (maand " (name(page.program)) ")" }
                pre tabindex="0" { @for line in page.plan_text.lines() { (visible_line(line)) "\n" } }
            }
        }
    }
}

fn policy(graph: &RolloutGraph) -> Markup {
    let settings = &graph.plan.rollout;
    let numbers = graph.numbers();
    let with_how = |value: u32, how: &str| {
        if how == value.to_string() { how.to_owned() } else { format!("{value} ({})", said(how, MESSAGE)) }
    };
    let mut rows: Vec<(&str, String)> = vec![("workers", numbers.targets.to_string())];
    rows.push((
        "at a time",
        match &numbers.concurrency {
            None => "auto: as many as budgets, spread and wave allow".to_owned(),
            Some(resolved) => with_how(resolved.value, &resolved.how),
        },
    ));
    if let Some((prepare, resolved)) = graph.plan.prepare.as_ref().zip(numbers.prepare.as_ref()) {
        let outside = if prepare.outside_window { ", also outside of windows" } else { "" };
        let at_once = with_how(resolved.value, &resolved.how);
        rows.push(("prepared", format!("all before the first is touched, {at_once} at a time{outside}")));
    }
    rows.push((
        "order",
        match &settings.order {
            Order::Position => "by position in workers.json".to_owned(),
            Order::Reverse => "by position in workers.json, last first".to_owned(),
            Order::Host => "by host".to_owned(),
            Order::Explicit(hosts) => {
                format!("{} first, as listed; the others by position", counted(hosts.len(), "host"))
            }
        },
    ));
    if graph.waves.len() > 1 {
        let waves = graph.waves.iter().zip(&numbers.waves).take(LISTED);
        let sizes: Vec<String> =
            waves.map(|(wave, resolved)| with_how(wave.len() as u32, &resolved.how)).collect();
        rows.push((
            "waves",
            format!("{}: {}{}", graph.waves.len(), sizes.join(", "), more(graph.waves.len())),
        ));
    }
    if !settings.soak.is_zero() {
        rows.push(("soak", format!("{} after each wave, before the next", duration(settings.soak))));
    }
    if let Some(spread) = &settings.spread {
        let (tag, most) = (name(&spread.value.tag), spread.value.at_most);
        rows.push(("spread", format!("at most {most} of tag `{tag}` disturbed at a time")));
    }
    for budget in numbers.budgets.iter().take(LISTED) {
        let job = name(graph.fleet.job(budget.job).name.as_str());
        let wants = with_how(budget.wants, &budget.how);
        rows.push((
            "budget",
            format!(
                "{job}: of {} at least {wants} stay available",
                counted(budget.of as usize, "allocation")
            ),
        ));
    }
    if numbers.budgets.len() > LISTED {
        rows.push(("budget", format!("{} more", numbers.budgets.len() - LISTED)));
    }
    rows.push(("max_failures", with_how(numbers.max_failures.value, &numbers.max_failures.how)));
    rows.push((
        "on failure",
        match settings.on_failure {
            OnFailure::Halt => "the worker is left as it is".to_owned(),
            OnFailure::Revert => "the worker's finished steps are undone, newest first".to_owned(),
        },
    ));
    for window in &settings.windows {
        rows.push(("window", said(&window.value.to_string(), MESSAGE)));
    }
    if let Some(silence) = &graph.plan.silence {
        rows.push(("silence", said(&silence.to_string(), MESSAGE)));
    }
    if let Some(freeze) = &settings.freeze {
        rows.push(("frozen", said(&freeze.value.to_string(), MESSAGE)));
    }
    for (place, gate) in settings.gates.each() {
        let place = match place {
            "before_wave" => "before each wave",
            "after_wave" => "after each wave",
            _ => "guard",
        };
        let text = format!("{}: {}; {}", gate.title(), gate.measure.limit(), gate.rhythm());
        rows.push((place, said(&text, MESSAGE)));
    }
    html! {
        table.policy { tbody { @for (what, text) in rows { tr { th.w scope="row" { (what) } td { (text) } } } } }
    }
}

fn more(count: usize) -> String {
    if count > LISTED { format!(", and {} more", count - LISTED) } else { String::new() }
}
