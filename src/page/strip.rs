//! What the run as a whole was doing, above the lanes and along the same axis: moments, waves, the window, times in which
//! no worker was started, what the next in line waited for, and how many were down.

use maud::{Markup, html};

use super::axis::{Axis, number, percent};
use super::bars::bar;
use super::down;
use super::model::RunPage;
use super::signs::{describe_mark, hold_class, mark_sign, wait_class};
use super::words::{Clock, NOTE, said};
use crate::engine::Millis;
use crate::plan::counted;
use crate::report::describe_elapsed;
use crate::timeline::{HoldKind, Mark};

/// Signs that are closer than this share of the width are one, with a number.
const CLOSE: f64 = 1.6;
/// Of more waits and openings than this the others are not listed; they are drawn.
const LISTED: usize = 100;
/// What is narrower than this share of the width is not drawn among waits,
const SEEN: f64 = 0.05;
/// and no more than so many of them are.
const DRAWN: usize = 1000;

/// The line of times and of moments, which stays while lanes scroll.
pub(super) fn head(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let cuts: Vec<_> = axis.cuts().collect();
    let middle = |cut: &super::axis::Cut| cut.x + cut.width / 2.0;
    let ticks = axis.ticks().into_iter();
    let free = ticks.filter(|tick| cuts.iter().all(|cut| (middle(cut) - tick.x).abs() > 5.0));
    html! {
        div.head #marks {
            span.n { "times in UTC" }
            svg.t aria-hidden="true" {
                @for tick in free {
                    text.tick x=(percent(inside(tick.x))) y="34" { (tick.label) }
                }
                @for cut in &cuts { text.tick x=(percent(inside(middle(cut)))) y="34" { "// " (cut.label) } }
                @for marks in clusters(page, axis) {
                    @let (sign, class) = mark_sign(&marks[0].kind);
                    text class=(class) x=(percent(axis.x(marks[0].at).clamp(1.0, 98.5))) y="15" {
                        title {
                            @for mark in marks.iter().take(20) {
                                (Clock::of(page.timeline).at(mark.at)) " " (describe_mark(page, mark)) "\n"
                            }
                        }
                        (sign) @if marks.len() > 1 { (marks.len()) }
                    }
                }
            }
        }
    }
}

/// Where a label in the middle of a place is not cut by the edge.
pub(super) fn inside(x: f64) -> f64 {
    x.clamp(3.5, 96.5)
}

/// Moments that are close together, in order; the most telling first.
fn clusters<'a>(page: &RunPage<'a>, axis: &Axis) -> Vec<Vec<&'a Mark>> {
    let mut clusters: Vec<(f64, Vec<&Mark>)> = Vec::new();
    for mark in &page.timeline.marks {
        let x = axis.x(mark.at);
        match clusters.last_mut() {
            Some((first, marks)) if x - *first < CLOSE => marks.push(mark),
            _ => clusters.push((x, vec![mark])),
        }
    }
    let telling = |mark: &&Mark| !mark_sign(&mark.kind).1.contains("no");
    clusters.iter_mut().for_each(|(_, marks)| marks.sort_by_key(telling));
    clusters.into_iter().map(|(_, marks)| marks).collect()
}

/// Behind all lanes: lines of the axis, and times in which no worker was started.
pub(super) fn behind(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let until = page.timeline.until;
    html! {
        svg.over #bands aria-hidden="true" {
            @for hold in &page.timeline.holds {
                @let (x, width) = axis.span(hold.from, hold.to.unwrap_or(until));
                rect class=(if hold.kind == HoldKind::Nobody { "band none" } else { "band" })
                    x=(percent(x)) y="0" width=(percent(width)) height="100%" {}
            }
            @for tick in axis.ticks() {
                line.grid x1=(percent(tick.x)) x2=(percent(tick.x)) y1="0" y2="100%" {}
            }
            @for cut in axis.cuts() {
                rect.cut x=(percent(cut.x)) y="0" width=(percent(cut.width)) height="100%" {}
            }
            @for marks in clusters(page, axis) {
                @let x = percent(axis.x(marks[0].at));
                line class=(mark_sign(&marks[0].kind).1) x1=(x) x2=(x) y1="0" y2="100%" {}
            }
        }
    }
}

/// Where the present is on the axis, and how fast it moves: a share of the width for each millisecond.
pub(super) fn now(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let until = page.timeline.until;
    let x = number(axis.x(until));
    let is_over = page.view.state.is_final();
    html! {
        svg.over #now aria-hidden="true" data-at=(until) data-x=(x) data-rate=(format!("{:.9}", if is_over { 0.0 } else { axis.rate(until) }))
            data-end=(number(axis.x(axis.until()))) {
            @if !is_over { line.now x1=(percent(axis.x(until))) x2=(percent(axis.x(until))) y1="0" y2="100%" {} }
        }
    }
}

/// The rows.
pub(super) fn rows(page: &RunPage<'_>, axis: &Axis) -> Markup {
    html! {
        div.strip #strip {
            (down_row(page, axis))
            (waves(page, axis))
            (window(page, axis))
            (holds(page, axis))
            (queue(page, axis))
        }
    }
}

/// A row: its name, its picture, and the same as a list.
fn row(name: &str, about: &str, picture: &Markup, lines: &[String], more: usize) -> Markup {
    html! {
        details.lane {
            summary { span.n { (name) } svg.t aria-hidden="true" { (picture) } }
            div.d {
                p { (about) }
                ol { @for line in lines { li { (line) } } }
                @if more > 0 { p { (more) " more" } }
            }
        }
    }
}

fn down_row(page: &RunPage<'_>, axis: &Axis) -> Markup {
    html! {
        div.lane.down {
            span.n { "down" }
            (down::picture(&page.timeline.down.all, Some(page.timeline.down.allowed), page.timeline.until, axis, 30.0))
        }
    }
}

fn waves(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let waves = &page.timeline.waves;
    let (until, clock) = (page.timeline.until, Clock::of(page.timeline));
    let size = |wave: u32| page.graph.waves.get(wave as usize).map_or(0, |range| range.len());
    html! {
        @if page.graph.waves.len() > 1 {
            @let picture = html! {
                @for wave in waves {
                    @let to = wave.to.unwrap_or(until);
                    @let title = format!("wave {} ({}) {}", wave.wave + 1, counted(size(wave.wave), "worker"), describe_elapsed(to - wave.from));
                    @let short = format!("wave {}", wave.wave + 1);
                    @let number = (wave.wave + 1).to_string();
                    (bar(axis, wave.from, to, if wave.wave % 2 == 0 { "drain" } else { "deploy" }, &title, &[&title, &short, &number]))
                }
            };
            @let lines: Vec<String> = waves.iter().map(|wave| format!(
                "{} wave {} of {}, {}, {}{}", clock.at(wave.from), wave.wave + 1, page.graph.waves.len(),
                counted(size(wave.wave), "worker"), describe_elapsed(wave.to.unwrap_or(until) - wave.from),
                if wave.to.is_none() { ", not at its end" } else { "" })).collect();
            (row("waves", "The workers in waves: the next begins when all of the one before have ended.", &picture, &lines, 0))
        }
    }
}

fn window(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let clock = Clock::of(page.timeline);
    html! {
        @if let Some(open) = &page.timeline.window {
            @let picture = html! {
                @for (from, to) in open {
                    (bar(axis, *from, *to, "health", &format!("window open from {} to {}", clock.at(*from), clock.at(*to)), &["window open", "open"]))
                }
            };
            @let lines: Vec<String> = open.iter().take(LISTED)
                .map(|(from, to)| format!("open from {} to {}", clock.at(*from), clock.at(*to))).collect();
            (row("window", "When the plan's window was open; outside of it no worker is started.", &picture, &lines,
                open.len().saturating_sub(LISTED)))
        }
    }
}

fn holds(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let holds = &page.timeline.holds;
    let (until, clock) = (page.timeline.until, Clock::of(page.timeline));
    let took = |from: Millis, to: Option<Millis>| describe_elapsed(to.unwrap_or(until) - from);
    html! {
        @if !holds.is_empty() {
            @let picture = html! {
                @for hold in holds {
                    @let what = hold.kind.describe();
                    @let title = format!("{what} {}", took(hold.from, hold.to));
                    (bar(axis, hold.from, hold.to.unwrap_or(until), hold_class(hold.kind), &title, &[&title, what]))
                }
            };
            @let lines: Vec<String> = holds.iter().take(LISTED).map(|hold| format!(
                "{} {} {}{}", clock.at(hold.from), hold.kind.describe(), took(hold.from, hold.to),
                if hold.to.is_none() { ", still" } else { "" })).collect();
            (row("held", "When no worker was started, and why.", &picture, &lines, holds.len().saturating_sub(LISTED)))
        }
    }
}

fn queue(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let clock = Clock::of(page.timeline);
    let waits: Vec<_> = page.timeline.waits.iter().filter(|wait| wait.to > wait.from).collect();
    html! {
        @if !waits.is_empty() {
            @let picture = html! {
                @for wait in waits.iter().filter(|wait| axis.span(wait.from, wait.to).1 >= SEEN).take(DRAWN) {
                    @let what = wait.kind.describe();
                    @let title = format!("{} {}", said(&wait.reason, NOTE), describe_elapsed(wait.to - wait.from));
                    (bar(axis, wait.from, wait.to, wait_class(wait.kind), &title, &[what]))
                }
            };
            @let lines: Vec<String> = waits.iter().take(LISTED).map(|wait| format!(
                "{} waited {} for {}: {}", clock.at(wait.from), describe_elapsed(wait.to - wait.from),
                wait.kind.describe(), said(&wait.reason, NOTE))).collect();
            (row("next in line", "What the next worker in line waited for.", &picture, &lines, waits.len().saturating_sub(LISTED)))
        }
    }
}
