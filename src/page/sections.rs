//! The parts of a run's page that are text: what was promised, approvals, waits, and what happened.

use maud::{Markup, html};

use super::down::{most_of, overruns};
use super::model::RunPage;
use super::signs::{describe_mark, mark_sign};
use super::words::{Clock, MESSAGE, moment, name, said};
use crate::engine::Millis;
use crate::graph::Lane;
use crate::plan::{StepKind, counted};
use crate::report::{Time, describe_elapsed};
use crate::timeline::{Bar, BarKind, Down, MarkKind, WaitKind};

/// Of more hosts than this the others are counted.
const HOSTS: usize = 40;
/// Of more approvals or events than this the others are counted.
const LISTED: usize = 300;

/// What was promised, and what the record says of it.
pub(super) fn promises(page: &RunPage<'_>) -> Markup {
    let left = &page.view.left_disabled;
    let behind = page.view.workers.iter().filter(|worker| worker.kernel_notice().is_some()).count();
    let unplanned: usize = page.view.workers.iter().map(|worker| worker.unplanned_boots.len()).sum();
    let counts = &page.view.counts;
    html! {
        section #promises aria-labelledby="promises-title" {
            h2 #promises-title { "Promises, and what the record says" }
            ul.promises {
                (at_once(page))
                (budgets(&page.timeline.down))
                (domains(&page.timeline.down))
                @if counts.failures > counts.failures_allowed {
                    (said_of(false, &format!("{} failed: more than max_failures ({}), so that no further one was started", counts.failures, counts.failures_allowed)))
                } @else {
                    (said_of(true, &format!("{} failed (max_failures: {})", counts.failures, counts.failures_allowed)))
                }
                (said_of(true, &reboots(page)))
                @if behind > 0 { (said_of(false, &format!("{} back on an older kernel than the newest installed", counted(behind, "worker")))) }
                @if unplanned > 0 { (said_of(false, &format!("{} that this run did not order", counted(unplanned, "boot")))) }
                @if left.is_empty() {
                    (said_of(true, "nothing of this run is left in disabled.json"))
                } @else {
                    (said_of(false, &format!("left disabled in disabled.json: {}", some_of(left))))
                }
                @if let Some((seq, hash)) = page.record {
                    li { "Record: " (seq) " facts in a chain of hashes; the newest is " code { (name(hash)) }
                        ". " code { "maand plan verify" } " checks it." }
                }
            }
        }
    }
}

/// A line with its sign.
fn said_of(is_well: bool, text: &str) -> Markup {
    html! { li { b class=(if is_well { "good" } else { "bad" }) { (if is_well { "✓" } else { "!" }) } " " (text) } }
}

fn at_once(page: &RunPage<'_>) -> Markup {
    let down = &page.timeline.down;
    let allowed = Some(down.allowed);
    let is_kept = overruns(&down.all, allowed, page.timeline.until).is_empty();
    said_of(is_kept, &format!("{} down at the same time", most_of(&down.all, allowed)))
}

/// Jobs with a budget.
fn budgets(down: &Down) -> Markup {
    let is_over = |allowed: Option<u32>, most: Option<(Millis, u32)>| {
        allowed.zip(most).is_some_and(|(allowed, (_, most))| most > allowed)
    };
    let over: Vec<String> = (down.jobs.iter())
        .filter(|of| is_over(of.allowed, of.series.most()))
        .map(|of| format!("{}: {}", name(&of.name), most_of(&of.series, of.allowed)))
        .collect();
    html! {
        @if !down.jobs.is_empty() {
            @if over.is_empty() {
                (said_of(true, &format!("every budget was kept ({})", counted(down.jobs.len(), "job"))))
            } @else {
                (said_of(false, &format!("below its budget: {}", over.join("; "))))
            }
        }
    }
}

fn domains(down: &Down) -> Markup {
    let (Some(allowed), Some(tag)) = (down.domains_allowed, &down.tag) else { return html! {} };
    let most = most_domains(down);
    let text =
        format!("at most {most} by {} with a worker down at the same time (allowed: {allowed})", name(tag));
    said_of(most <= allowed, &text)
}

/// The most domains with a worker down at the same time.
fn most_domains(down: &Down) -> u64 {
    let mut changes: Vec<(Millis, i64)> = Vec::new();
    for of in &down.domains {
        let mut was_down = false;
        for (at, value) in &of.series.points {
            let is_down = *value > 0;
            if is_down != was_down {
                changes.push((*at, if is_down { 1 } else { -1 }));
                was_down = is_down;
            }
        }
    }
    // Of changes at one moment those that end come first: they made room.
    changes.sort_unstable();
    let mut now = 0_i64;
    let most = changes.iter().map(|(_, by)| {
        now += by;
        now
    });
    most.max().unwrap_or(0).max(0).unsigned_abs()
}

fn reboots(page: &RunPage<'_>) -> String {
    let rebooted = page.view.workers.iter().filter(|worker| worker.boot_id_after.is_some()).count();
    format!("{} seen with a new boot id after a reboot", counted(rebooted, "worker"))
}

fn some_of(hosts: &[String]) -> String {
    let first = hosts.iter().take(HOSTS).map(|host| name(host)).collect::<Vec<_>>().join(", ");
    if hosts.len() > HOSTS { format!("{first} and {} more", hosts.len() - HOSTS) } else { first }
}

/// Questions that the plan asks, who answered them and after how long.
pub(super) fn approvals(page: &RunPage<'_>) -> Markup {
    let asked: Vec<(Lane, &Bar)> = (page.timeline.lanes.iter())
        .flat_map(|track| track.bars.iter().map(|bar| (track.lane, bar)))
        .filter(|(_, bar)| bar.kind == BarKind::Approval)
        .collect();
    let by = |lane: Lane, bar: &Bar| {
        page.timeline.marks.iter().find_map(|mark| match &mark.kind {
            MarkKind::Approved { lane: of, step, by }
                if (*of, *step) == (lane, bar.step) && mark.at >= bar.from =>
            {
                Some(name(by))
            }
            _ => None,
        })
    };
    html! {
        @if !asked.is_empty() {
            section #approvals aria-labelledby="approvals-title" {
                h2 #approvals-title { "Approvals" }
                div.scroll tabindex="0" role="group" aria-label="Approvals, scrolls" {
                    table {
                        thead { tr {
                            th scope="col" { "asked" } th scope="col" { "for" } th scope="col" { "step" } th scope="col" { "question" }
                            th scope="col" { "approved by" } th.r scope="col" { "after" }
                        } }
                        tbody {
                            @for (lane, bar) in asked.iter().take(LISTED) {
                                @let step = &page.graph.steps(*lane)[bar.step.index()];
                                tr {
                                    td.w { (moment(bar.from)) }
                                    td { (whose(page, *lane)) }
                                    th scope="row" { (name(&step.id)) }
                                    td { @if let StepKind::Approve { message: Some(message) } = &step.kind { (said(message, MESSAGE)) } }
                                    td { @if bar.to.is_none() { b { "nobody yet" } } @else { (by(*lane, bar).unwrap_or_else(|| "-".to_owned())) } }
                                    td.r { (describe_elapsed(bar.to.unwrap_or(page.timeline.until) - bar.from)) }
                                }
                            }
                        }
                    }
                }
                @if asked.len() > LISTED { p { (asked.len() - LISTED) " more" } }
            }
        }
    }
}

fn whose(page: &RunPage<'_>, lane: Lane) -> String {
    match lane {
        Lane::Before => "the run, before it".to_owned(),
        Lane::Worker(target) => name(page.graph.host(target)),
        Lane::After => "the run, after it".to_owned(),
    }
}

/// What happened to the run as a whole, and who did what.
pub(super) fn marks(page: &RunPage<'_>) -> Markup {
    let marks = &page.timeline.marks;
    let clock = Clock::of(page.timeline);
    html! {
        section #events aria-labelledby="events-title" {
            h2 #events-title { "What happened" }
            ol.events {
                @for mark in marks.iter().take(LISTED) {
                    li {
                        time datetime=(Time(mark.at).rfc3339()) { (clock.at(mark.at)) }
                        " " b { (mark_sign(&mark.kind).0) } " " (describe_mark(page, mark))
                    }
                }
            }
            @if marks.len() > LISTED { p { (marks.len() - LISTED) " more" } }
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
            section #waits aria-labelledby="waits-title" {
                h2 #waits-title { "What the next worker in line waited for" }
                div.scroll tabindex="0" role="group" aria-label="Waits, scrolls" {
                    table {
                        thead { tr { th scope="col" { "reason" } th.r scope="col" { "time" } th scope="col" { "for example" } } }
                        tbody {
                            @for (kind, (sum, example)) in &sums {
                                tr {
                                    th.w scope="row" { (kind.describe()) }
                                    td.r { (describe_elapsed(*sum)) }
                                    td { (said(example, MESSAGE)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
