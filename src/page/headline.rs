//! What, who, when, what came of it, and what to do next.

use maud::{Markup, html};

use super::axis::percent;
use super::model::RunPage;
use super::signs::run_sign;
use super::words::{MESSAGE, moment, name, said};
use crate::plan::{counted, visible_line};
use crate::report::{PublicRunState, describe_span, describe_undelivered};

/// The first thing to read.
pub(super) fn headline(page: &RunPage<'_>) -> Markup {
    let view = page.view;
    let (sign, class) = run_sign(view.state);
    let lasted = describe_span(view.lasted(page.made_at));
    html! {
        header #headline {
            p.kind { "maand " (page.forecast.map_or("run", |_| "forecast")) " " code { (name(&view.run)) } ": a rolling operation over " (counted(view.workers.len(), "worker")) }
            h1 { span class=(format!("badge {class}")) { (sign) " " (view.state.as_str()) } " " (said(&view.plan, MESSAGE)) }
            @if let Some(text) = &page.graph.plan.description { p.about { (said(text, MESSAGE)) } }
            p.outcome { (outcome(page)) }
            @if let Some(wait) = &view.waits_for { p { "Now: " (said(wait, MESSAGE)) } }
            @if let Some(undelivered) = describe_undelivered(view) { p { (said(&undelivered, MESSAGE)) "." } }
            (progress(page))
            dl.facts {
                div { dt { "started" } dd { (moment(page.timeline.began)) } }
                @if let Some(at) = view.finished_at { div { dt { "ended" } dd { (moment(at.0)) } } }
                div { dt { (if view.finished_at.is_some() { "took" } else { "so far" }) } dd { (lasted) } }
                div { dt { "by" } dd { (name(page.who)) } }
                @if view.waves > 1 {
                    div { dt { "wave" } dd { (view.wave.map_or_else(|| "-".to_owned(), |wave| wave.to_string())) " of " (view.waves) } }
                }
                div { dt { "at a time" } dd {
                    @if let Some(most) = page.timeline.down.at_once { "at most " (most) } @else { "as many as limits allow" }
                } }
            }
            @if !page.next.is_empty() {
                section.next aria-labelledby="next-title" {
                    h2 #next-title { "What to type next" }
                    @for step in page.next { (commands(step)) }
                }
            }
        }
    }
}

/// What came of it, in one sentence for whoever does not know the words.
fn outcome(page: &RunPage<'_>) -> String {
    let view = page.view;
    let what = match view.state {
        _ if page.forecast.is_some() => "So it would go",
        PublicRunState::Succeeded => "All that was planned is done",
        PublicRunState::Failed => "It has ended, and not all went well",
        PublicRunState::Halted => "It has stopped by itself, and waits for a decision",
        PublicRunState::Aborted => "An operator has ended it for good",
        PublicRunState::Running => "It is under way",
        PublicRunState::Waiting => "It waits for an operator",
        PublicRunState::Paused => "It is paused: no further worker is started",
        PublicRunState::Interrupted => "It is not being carried out, and can be continued",
    };
    let reason =
        view.reason.as_deref().map(|reason| said(reason, MESSAGE)).filter(|reason| !reason.trim().is_empty());
    match reason {
        Some(reason) => format!("{what}: {}.", reason.trim_end_matches('.')),
        None => format!("{what}."),
    }
}

/// A bar of all workers by state, with the numbers.
fn progress(page: &RunPage<'_>) -> Markup {
    let counts = &page.view.counts;
    let queued = if page.view.state.is_final() { "never started" } else { "not started yet" };
    let parts = [
        (counts.succeeded, "succeeded", "✓", "health"),
        (counts.failed, "failed", "×", "gone"),
        (counts.reverted, "put back as they were", "↺", "undo"),
        (counts.active, "under way", "…", "deploy"),
        (
            counts.skipped + counts.left_alone + counts.cancelled,
            "skipped, left alone or cancelled",
            "–",
            "cut",
        ),
        (counts.queued, queued, "○", "idle"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(count, ..)| *count > 0).collect();
    let total = f64::from(counts.total.max(1));
    let mut at = 0.0;
    let mut place = |count: u32| {
        let (from, width) = (at, f64::from(count) / total * 100.0);
        at += width;
        (from, width)
    };
    html! {
        svg.progress aria-hidden="true" {
            @for (count, _, _, class) in &parts {
                @let (x, width) = place(*count);
                rect class=(class) x=(percent(x)) width=(percent(width)) {}
            }
        }
        ul.counts {
            li { b { (counts.total) } " " (if counts.total == 1 { "worker" } else { "workers" }) ":" }
            @for (count, what, sign, class) in &parts {
                li { svg.key aria-hidden="true" { rect class=(class) {} } " " b { (sign) " " (count) } " " (what) }
            }
        }
    }
}

/// A sentence, and commands to copy on lines of their own.
pub(super) fn commands(text: &str) -> Markup {
    let (commands, words): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with(' '));
    html! {
        p { @for line in words { (visible_line(line)) " " } }
        @if !commands.is_empty() {
            pre tabindex="0" { @for line in &commands { (visible_line(line.trim())) "\n" } }
        }
    }
}
