//! The parts of a run's page that are text.

use maud::{Markup, html};

use super::down::most_of;
use super::lanes::{describe_mark, state_sign};
use super::links;
use super::model::RunPage;
use crate::engine::PublicWorkerState;
use crate::plan::{counted, visible_line};
use crate::report::{PublicRunState, Time, WorkerView, describe_elapsed, describe_span};
use crate::timeline::{MarkKind, WaitKind};

/// What, who, when, and what came of it.
pub(super) fn headline(page: &RunPage<'_>) -> Markup {
    let view = page.view;
    let lasted = describe_span(page.timeline.until - page.timeline.began);
    let (sign, class) = badge(view.state);
    html! {
        header {
            p.kind { "maand run " code { (visible_line(&view.run)) } }
            h1 { span class=(format!("badge {class}")) { (sign) " " (view.state.as_str()) } " " (visible_line(&view.plan)) }
            @if let Some(reason) = &view.reason { p.reason { (visible_line(reason)) } }
            @if let Some(wait) = &view.waits_for { p.reason { "Now: " (visible_line(wait)) } }
            dl.facts {
                div { dt { "started" } dd { (Time(page.timeline.began).to_second()) } }
                div { dt { "by" } dd { (visible_line(page.who)) } }
                div { dt { (if view.finished_at.is_some() { "took" } else { "so far" }) } dd { (lasted) } }
                div { dt { "workers" } dd { (counts(page)) } }
            }
            @if !page.next.is_empty() {
                div.next {
                    p { "What to type next:" }
                    pre { @for line in page.next.iter().flat_map(|text| text.lines()) { (visible_line(line)) "\n" } }
                }
            }
        }
    }
}

/// The sign and the class of a run's state.
pub(super) fn badge(state: PublicRunState) -> (&'static str, &'static str) {
    match state {
        PublicRunState::Succeeded => ("✓", "good"),
        PublicRunState::Failed | PublicRunState::Halted | PublicRunState::Aborted => ("×", "bad"),
        PublicRunState::Running => ("▶", "live"),
        PublicRunState::Waiting | PublicRunState::Paused | PublicRunState::Interrupted => ("‖", "held"),
    }
}

fn counts(page: &RunPage<'_>) -> String {
    let counts = &page.view.counts;
    let all = [
        (counts.succeeded, "succeeded"),
        (counts.failed, "failed"),
        (counts.reverted, "reverted"),
        (counts.active, "under way"),
        (counts.queued, "queued"),
        (counts.skipped, "skipped"),
        (counts.left_alone, "left alone"),
        (counts.cancelled, "cancelled"),
    ];
    let parts: Vec<String> =
        all.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    format!("{}: {}", counts.total, parts.join(", "))
}

/// What was promised, and what the record says of it.
pub(super) fn promises(page: &RunPage<'_>) -> Markup {
    let down = &page.timeline.down;
    let most = down.all.most().map_or(0, |(_, most)| most);
    let failed = page.view.counts.failures;
    let over: Vec<String> = down
        .jobs
        .iter()
        .filter(|of| {
            of.allowed.is_some_and(|allowed| of.series.most().is_some_and(|(_, most)| most > allowed))
        })
        .map(|of| format!("{}: {}", visible_line(&of.name), most_of(&of.series, of.allowed)))
        .collect();
    let left = &page.view.left_disabled;
    let unplanned: usize = page.view.workers.iter().map(|worker| worker.unplanned_boots.len()).sum();
    html! {
        h2 #promises { "By the record" }
        ul.promises {
            li {
                (most_of(&down.all, down.at_once)) " down at the same time"
                @if down.at_once.is_some_and(|allowed| most > allowed) {
                    ", " (counted(failed as usize, "failed worker")) " included"
                }
            }
            @if !down.jobs.is_empty() {
                @if over.is_empty() {
                    li { "every budget was kept (" (counted(down.jobs.len(), "job")) ")" }
                } @else {
                    li { "with failed workers counted, below its budget: " (over.join("; ")) }
                }
            }
            li { (reboots(page)) }
            @if unplanned > 0 { li { (counted(unplanned, "boot")) " that this run did not order" } }
            @if left.is_empty() {
                li { "nothing of this run is left in disabled.json" }
            } @else {
                li { b { "left disabled: " } (some_of(left)) }
            }
            @if let Some((seq, hash)) = page.record {
                li { (seq) " facts, chained; hash of the newest: " code { (visible_line(hash)) } }
            }
        }
    }
}

fn reboots(page: &RunPage<'_>) -> String {
    let rebooted = page.view.workers.iter().filter(|worker| worker.boot_id_after.is_some()).count();
    format!("{} seen with a new boot id after a reboot", counted(rebooted, "worker"))
}

fn some_of(hosts: &[String]) -> String {
    const SHOWN: usize = 20;
    let first = hosts.iter().take(SHOWN).map(|host| visible_line(host)).collect::<Vec<_>>().join(", ");
    if hosts.len() > SHOWN { format!("{first} and {} more", hosts.len() - SHOWN) } else { first }
}

/// Workers that failed or are in doubt, with their last words. Of more than so many, the others are in the table.
pub(super) fn failures(page: &RunPage<'_>) -> Markup {
    const SHOWN: usize = 50;
    let bad: Vec<&WorkerView> = page.view.workers.iter().filter(|worker| is_bad(worker)).collect();
    html! {
        @if !bad.is_empty() {
            section.failures aria-labelledby="failures" {
                h2 #failures { "To look at first: " (counted(bad.len(), "worker")) }
                @for worker in bad.iter().take(SHOWN) { (failure(page, worker)) }
                @if bad.len() > SHOWN { p { (bad.len() - SHOWN) " more are in the table of workers." } }
            }
        }
    }
}

fn is_bad(worker: &WorkerView) -> bool {
    matches!(
        worker.state,
        PublicWorkerState::Failed | PublicWorkerState::InDoubt | PublicWorkerState::Reverted
    )
}

fn failure(page: &RunPage<'_>, worker: &WorkerView) -> Markup {
    let output = page.outputs.iter().find(|output| output.host == worker.host);
    let text = output.map(|output| output.text.as_str());
    let text = text.or(worker.error.as_ref().and_then(|error| error.output.as_deref()));
    html! {
        article.failure {
            h3 {
                (state_sign(Some(worker.state))) " " (visible_line(&worker.host)) ": " (worker.state.describe())
                @if let Some(step) = &worker.step { " at " code { (visible_line(step)) } }
            }
            @if let Some(error) = &worker.error { p { (visible_line(&error.message)) } }
            @if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
                pre tabindex="0" { @for line in text.lines() { (visible_line(line)) "\n" } }
            }
        }
    }
}

/// What happened to the run as a whole, and who did what.
pub(super) fn marks(page: &RunPage<'_>) -> Markup {
    const SHOWN: usize = 200;
    let marks = &page.timeline.marks;
    html! {
        h2 #events { "Events" }
        ol.events {
            @for mark in marks.iter().take(SHOWN) {
                li class=(if matches!(mark.kind, MarkKind::Approved { .. }) { "approval" } else { "" }) {
                    time datetime=(Time(mark.at).rfc3339()) { (Time(mark.at).to_second()) }
                    " " (describe_mark(page, mark))
                }
            }
            @if marks.len() > SHOWN { li { (marks.len() - SHOWN) " more" } }
        }
    }
}

/// What the next worker in line waited for, in sum.
pub(super) fn waits(page: &RunPage<'_>) -> Markup {
    let mut sums: std::collections::BTreeMap<WaitKind, (i64, &str)> = std::collections::BTreeMap::new();
    for wait in &page.timeline.waits {
        let sum = sums.entry(wait.kind).or_insert((0, &wait.reason));
        sum.0 += wait.to - wait.from;
    }
    html! {
        @if !sums.is_empty() {
            h2 #waits { "What the next worker in line waited for" }
            table {
                thead { tr { th scope="col" { "reason" } th scope="col" { "time" } th scope="col" { "for example" } } }
                tbody {
                    @for (kind, (sum, example)) in &sums {
                        tr {
                            th scope="row" { (kind.as_str()) }
                            td { (describe_elapsed(*sum)) }
                            td { (visible_line(example)) }
                        }
                    }
                }
            }
        }
    }
}

/// Every worker.
pub(super) fn workers(page: &RunPage<'_>) -> Markup {
    html! {
        h2 #workers { "Workers" }
        div.scroll tabindex="0" role="group" aria-label="Workers, scrolls" {
            table #table data-live[page.served.is_some()] {
                thead { tr {
                    th scope="col" { "worker" } th scope="col" { "state" } th scope="col" { "wave" }
                    th scope="col" { "steps" } th scope="col" { "started" } th scope="col" { "took" }
                    th scope="col" { "boot" } th scope="col" { "besides" }
                } }
                tbody {
                    @for (at, worker) in page.view.workers.iter().enumerate() { (row(page, worker, at)) }
                }
            }
        }
    }
}

/// The row of the worker with this number.
pub(super) fn row(page: &RunPage<'_>, worker: &WorkerView, at: usize) -> Markup {
    let host = visible_line(&worker.host);
    let short = |id: &Option<String>| {
        id.as_deref().map_or_else(|| "-".to_owned(), |id| visible_line(id).chars().take(8).collect())
    };
    html! {
        tr id=(format!("worker-{at}")) data-host=(host) data-state=(worker.state.describe()) {
            th scope="row" {
                @if let Some(served) = page.served {
                    a href=(links::worker_of_run(served.path, &worker.host)) { (host) }
                } @else { (host) }
            }
            td { (state_sign(Some(worker.state))) " " (worker.state.describe()) }
            td { (worker.wave) }
            td { (worker.steps_done) "/" (worker.steps) @if let Some(step) = &worker.step { ", at " (visible_line(step)) } }
            td { @if let Some(at) = worker.started_at { (at.to_second()) } @else { "-" } }
            td { @if let Some(took) = worker.took() { (describe_elapsed(took)) } @else { "-" } }
            td { @if worker.boot_id_after.is_some() { (short(&worker.boot_id_before)) " → " (short(&worker.boot_id_after)) } @else { (short(&worker.boot_id_before)) } }
            td {
                @if let Some(error) = &worker.error { (visible_line(&error.message)) }
                @else if let Some(wait) = &worker.waits_for { (visible_line(wait)) }
                @if worker.retries > 0 { " (taken up again " (worker.retries) "×)" }
            }
        }
    }
}

/// The plan as it was written, and what began the run.
pub(super) fn plan(page: &RunPage<'_>) -> Markup {
    html! {
        h2 #plan { "Plan" }
        details {
            summary { (visible_line(page.plan_file)) ", as it was when the run began (maand " (visible_line(page.program)) ")" }
            pre tabindex="0" { @for line in page.plan_text.lines() { (visible_line(line)) "\n" } }
        }
    }
}
