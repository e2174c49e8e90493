//! The timeline: a lane for each worker, or for a group of workers where there are many.

use maud::{Markup, html};

use super::axis::{Axis, WIDTH, number};
use super::links;
use super::model::RunPage;
use crate::engine::{Millis, PublicWorkerState};
use crate::graph::{Lane, StepIx, TargetIx};
use crate::plan::{StepKind, visible_line};
use crate::report::{Time, describe_elapsed};
use crate::timeline::{Bar, BarEnd, BarKind, HoldKind, LaneTrack, Mark, MarkKind, Timeline};

/// Width of the column of names.
const NAMES: f64 = 190.0;
/// Above the lanes: the axis, the marks.
const HEAD: f64 = 44.0;
/// Height of a lane.
const LANE: f64 = 18.0;
/// Of more workers than this, several share a lane.
const MOST_LANES: usize = 2000;
/// So many lanes there are about then.
const GROUPS: usize = 500;

/// One row of the picture: a lane, or several workers that share one.
pub(super) struct Row {
    /// The id of its element.
    pub(super) id: String,
    /// The lanes of the timeline that are in it.
    pub(super) tracks: std::ops::Range<usize>,
    is_group: bool,
}

/// The rows of a timeline, from top to bottom.
pub(super) fn rows(timeline: &Timeline) -> Vec<Row> {
    let workers = timeline.lanes.len().saturating_sub(2);
    let per_row = if workers > MOST_LANES { workers.div_ceil(GROUPS) } else { 1 };
    let once = |at: usize| {
        let track = timeline.lanes.get(at)?;
        let is_shown = !matches!(track.lane, Lane::Worker(_)) && !track.bars.is_empty();
        is_shown.then_some(Row { id: format!("lane-{at}"), tracks: at..at + 1, is_group: false })
    };
    let of_workers = (1..=workers).step_by(per_row).map(|from| Row {
        id: format!("lane-{from}"),
        tracks: from..(from + per_row).min(workers + 1),
        is_group: per_row > 1,
    });
    once(0).into_iter().chain(of_workers).chain(once(workers + 1)).collect()
}

/// The row with this number, as markup.
pub(super) fn row(page: &RunPage<'_>, axis: &Axis, row: &Row, number: usize) -> Markup {
    let tracks = &page.timeline.lanes[row.tracks.clone()];
    let y = number as f64 * LANE;
    match tracks {
        [track] if !row.is_group => lane(page, axis, track, &row.id, y),
        tracks => group_lane(page, axis, tracks, &row.id, y),
    }
}

/// The whole timeline.
pub(super) fn lanes(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let rows = rows(page.timeline);
    let height = rows.len() as f64 * LANE;
    html! {
        div.scroll tabindex="0" role="group" aria-label="Timeline, scrolls" {
            svg #timeline data-live[page.served.is_some()] role="img" aria-label=(summary(page))
                width=(number(NAMES + WIDTH + 10.0)) height=(number(HEAD + height + 22.0))
                viewBox=(format!("{} {} {} {}", -NAMES, -HEAD, NAMES + WIDTH + 10.0, HEAD + height + 22.0)) {
                (hatch())
                (bands(page, axis, height))
                (axis.grid(height))
                (marks(page, axis, height))
                @if page.served.is_some() { (now_line(page, axis, height)) }
                g #lanes { @for (at, one) in rows.iter().enumerate() { (row(page, axis, one, at)) } }
            }
        }
    }
}

/// How high the lanes are together.
pub(super) fn height(rows: &[Row]) -> f64 {
    rows.len() as f64 * LANE
}

/// Where the present is on the axis, and how fast it moves: units for each millisecond.
pub(super) fn now_line(page: &RunPage<'_>, axis: &Axis, height: f64) -> Markup {
    let until = page.timeline.until;
    let x = number(axis.x(until));
    let is_over = page.view.state.is_final();
    html! {
        g #now data-at=(until) data-x=(x) data-rate=(format!("{:.9}", if is_over { 0.0 } else { axis.rate(until) }))
            data-end=(number(axis.x(axis.until()))) {
            @if !is_over { line.now x1=(x) x2=(x) y1="-6" y2=(number(height)) {} }
        }
    }
}

fn summary(page: &RunPage<'_>) -> String {
    let counts = &page.view.counts;
    format!(
        "Timeline of {} workers: {} succeeded, {} failed. The same is in the table of workers below.",
        counts.total, counts.succeeded, counts.failed
    )
}

/// Patterns, so that colour is not the only sign.
fn hatch() -> Markup {
    html! {
        defs {
            pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                rect.hatch width="2" height="6" {}
            }
        }
    }
}

/// Times in which nothing new was begun, and the waves.
pub(super) fn bands(page: &RunPage<'_>, axis: &Axis, height: f64) -> Markup {
    let until = page.timeline.until;
    html! {
        g.bands #bands {
            @for hold in &page.timeline.holds {
                @let (x, width) = axis.span(hold.from, hold.to.unwrap_or(until));
                rect class=(hold_class(hold.kind)) x=(number(x)) y="0" width=(number(width)) height=(number(height)) {
                    title {
                        (hold.kind.describe()) ", " (describe_elapsed(hold.to.unwrap_or(until) - hold.from))
                    }
                }
            }
            @if page.timeline.waves.len() > 1 {
                @for wave in &page.timeline.waves {
                    @let x = number(axis.x(wave.from));
                    line.wave x1=(x) x2=(x) y1="-14" y2=(number(height)) {
                        title { "wave " (wave.wave + 1) " begins" }
                    }
                    text.wave x=(x) y=(number(height + 12.0)) { "wave " (wave.wave + 1) }
                }
            }
        }
    }
}

fn hold_class(kind: HoldKind) -> &'static str {
    match kind {
        HoldKind::Soak => "soak",
        HoldKind::Paused => "paused",
        HoldKind::Stopped => "stopped",
        HoldKind::Halted => "halted",
        HoldKind::Nobody => "nobody",
    }
}

pub(super) fn marks(page: &RunPage<'_>, axis: &Axis, height: f64) -> Markup {
    html! {
        g.marks #marks {
            @for mark in &page.timeline.marks {
                @let x = number(axis.x(mark.at));
                @let (sign, class) = sign(mark);
                g class=(class) {
                    title { (Time(mark.at).to_second()) " " (describe_mark(page, mark)) }
                    line x1=(x) x2=(x) y1="-20" y2=(number(height)) {}
                    text x=(x) y="-23" { (sign) }
                }
            }
        }
    }
}

/// A sign and the class of a mark.
fn sign(mark: &Mark) -> (&'static str, &'static str) {
    match &mark.kind {
        MarkKind::Started => ("▶", "mark"),
        MarkKind::Resumed { .. } => ("▶", "mark resumed"),
        MarkKind::ControllerGone => ("✖", "mark gone"),
        MarkKind::Interrupted { .. } => ("■", "mark stop"),
        MarkKind::Paused { .. } => ("‖", "mark stop"),
        MarkKind::Halted { .. } => ("!", "mark gone"),
        MarkKind::Approved { .. } => ("✓", "mark"),
        MarkKind::Retried { .. } => ("↻", "mark"),
        MarkKind::Skipped { .. } => ("–", "mark"),
        MarkKind::Aborted { .. } => ("✖", "mark gone"),
        MarkKind::Finished { .. } => ("●", "mark"),
    }
}

/// A mark in one line.
pub(super) fn describe_mark(page: &RunPage<'_>, mark: &Mark) -> String {
    let host = |target: TargetIx| page.graph.host(target);
    let step = |lane: Lane, step: StepIx| page.graph.steps(lane)[step.index()].id.as_str();
    let text = match &mark.kind {
        MarkKind::Started => format!("started by {}", page.who),
        MarkKind::Resumed { by, from_bundle: false } => format!("resumed by {by}"),
        MarkKind::Resumed { by, from_bundle: true } => format!("taken to another machine by {by}"),
        MarkKind::ControllerGone => {
            "the controller was heard of for the last time (killed, or its machine lost)".to_owned()
        }
        MarkKind::Interrupted { by } => format!("stopped by {by}"),
        MarkKind::Paused { by, reason } => format!("paused by {by}: {reason}"),
        MarkKind::Halted { reason } => format!("halted: {reason}"),
        MarkKind::Approved { lane, step: at, by } => format!("{} approved by {by}", step(*lane, *at)),
        MarkKind::Retried { targets, by } => match targets.as_slice() {
            [one] => format!("{} taken up again by {by}", host(*one)),
            many => format!("{} workers taken up again by {by}", many.len()),
        },
        MarkKind::Skipped { target, by } => format!("{} given up by {by}", host(*target)),
        MarkKind::Aborted { by } => format!("aborted by {by}"),
        MarkKind::Finished { end } => {
            format!("finished: {}", crate::report::PublicRunState::from(*end).as_str())
        }
    };
    visible_line(&text)
}

fn lane(page: &RunPage<'_>, axis: &Axis, track: &LaneTrack, id: &str, y: f64) -> Markup {
    let until = page.timeline.until;
    let (name, state) = match track.lane {
        Lane::Worker(target) => {
            (page.graph.host(target), track.state.map_or("", PublicWorkerState::describe))
        }
        Lane::Before => ("before", ""),
        Lane::After => ("after", ""),
    };
    let name = visible_line(name);
    html! {
        g.lane id=(id) data-host=(name) data-state=(state) transform=(format!("translate(0 {})", number(y))) {
            @let sign = state_sign(track.state);
            @let text = html! { text.name x="-8" y="13" { (shortened(&name)) @if !sign.is_empty() { " " (sign) } } };
            @if let (Some(served), Lane::Worker(target)) = (page.served, track.lane) {
                a href=(links::worker_of_run(served.path, page.graph.host(target))) tabindex="-1" { (text) }
            } @else { (text) }
            @for bar in &track.bars {
                (one_bar(page, axis, track.lane, bar, until))
            }
        }
    }
}

fn one_bar(page: &RunPage<'_>, axis: &Axis, lane: Lane, bar: &Bar, until: Millis) -> Markup {
    let step = &page.graph.steps(lane)[bar.step.index()];
    let to = bar.to.unwrap_or(until);
    let (x, width) = axis.span(bar.from, to);
    let bad = !matches!(bar.end, BarEnd::Ok | BarEnd::Open);
    let is_open = bar.to.is_none();
    let ending = if bad {
        " bad"
    } else if is_open {
        " open"
    } else {
        ""
    };
    let class = format!("{}{ending}", bar_class(bar.kind, &step.kind));
    html! {
        rect class=(class) data-x=[is_open.then(|| number(x))] x=(number(x)) y="3" width=(number(width)) height="12" {
            title { (describe_bar(&step.id, bar, to)) }
        }
        @if bad && bar.kind != BarKind::Backoff {
            text.cross x=(number(x + width)) y="13" { "×" }
        }
    }
}

fn describe_bar(step: &str, bar: &Bar, to: Millis) -> String {
    let what = match bar.kind {
        BarKind::Attempt if bar.attempt > 1 => format!("{step}, attempt {}", bar.attempt),
        BarKind::Attempt => step.to_owned(),
        BarKind::Undo => format!("undo {step}"),
        BarKind::Backoff => format!("{step}: until the next attempt"),
        BarKind::Pause => format!("{step}: pause"),
        BarKind::Approval => format!("{step}: waits for an approval"),
    };
    let end = match (bar.kind, bar.end) {
        (BarKind::Backoff | BarKind::Pause | BarKind::Approval, BarEnd::Ok) => String::new(),
        (_, end) => format!(", {}", end.describe()),
    };
    let note = bar.note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
    visible_line(&format!("{what}, {}{end}{note}", describe_elapsed(to - bar.from)))
}

/// The class by what a step is for.
pub(super) fn bar_class(kind: BarKind, step: &StepKind) -> &'static str {
    match (kind, step) {
        (BarKind::Backoff | BarKind::Pause, _) => "idle",
        (BarKind::Approval, _) => "approval",
        (BarKind::Undo, _) => "undo",
        (BarKind::Attempt, StepKind::Reboot { .. }) => "reboot",
        (BarKind::Attempt, StepKind::WaitForSsh { .. }) => "return",
        (BarKind::Attempt, StepKind::Deploy { .. } | StepKind::Build) => "deploy",
        (BarKind::Attempt, StepKind::Health { .. } | StepKind::SyncCheck { .. }) => "health",
        (BarKind::Attempt, StepKind::Run(_) | StepKind::Local(_)) => "command",
        (BarKind::Attempt, _) => "drain",
    }
}

/// Several workers: when any of them was under way.
fn group_lane(page: &RunPage<'_>, axis: &Axis, tracks: &[LaneTrack], id: &str, y: f64) -> Markup {
    let until = page.timeline.until;
    let mut spans: Vec<(Millis, Millis)> =
        tracks.iter().flat_map(|track| &track.bars).map(|bar| (bar.from, bar.to.unwrap_or(until))).collect();
    spans.sort_unstable();
    let mut busy: Vec<(Millis, Millis)> = Vec::new();
    // What is less than a unit apart is one on the picture.
    let unit = (page.timeline.until - page.timeline.began) / WIDTH as i64;
    for (from, to) in spans {
        match busy.last_mut() {
            Some((_, end)) if from <= *end + unit => *end = to.max(*end),
            _ => busy.push((from, to)),
        }
    }
    let is_bad = |track: &&LaneTrack| {
        matches!(track.state, Some(PublicWorkerState::Failed | PublicWorkerState::InDoubt))
    };
    let bad: Vec<&str> = tracks.iter().filter(is_bad).filter_map(|track| host_of(page, track)).collect();
    let first = tracks.first().and_then(|track| host_of(page, track)).unwrap_or_default();
    let last = tracks.last().and_then(|track| host_of(page, track)).unwrap_or_default();
    let state = if bad.is_empty() { "" } else { "failed" };
    html! {
        g.lane id=(id) data-host=(visible_line(&format!("{first} {last}"))) data-state=(state)
            transform=(format!("translate(0 {})", number(y))) {
            text.name x="-8" y="13" {
                (shortened(&visible_line(first))) " +" (tracks.len() - 1)
                @if !bad.is_empty() { " ×" (bad.len()) }
            }
            @for (from, to) in busy {
                @let (x, width) = axis.span(from, to);
                rect class=(if bad.is_empty() { "deploy" } else { "deploy bad" })
                    x=(number(x)) y="3" width=(number(width)) height="12" {
                    title { (visible_line(first)) " to " (visible_line(last)) }
                }
            }
        }
    }
}

fn host_of<'a>(page: &'a RunPage<'_>, track: &LaneTrack) -> Option<&'a str> {
    match track.lane {
        Lane::Worker(target) => Some(page.graph.host(target)),
        Lane::Before | Lane::After => None,
    }
}

/// A sign beside the name of a worker that is not well or not done.
pub(super) fn state_sign(state: Option<PublicWorkerState>) -> &'static str {
    match state {
        Some(PublicWorkerState::Succeeded) => "✓",
        Some(PublicWorkerState::Failed) => "×",
        Some(PublicWorkerState::InDoubt) => "?",
        Some(PublicWorkerState::Skipped | PublicWorkerState::LeftAlone | PublicWorkerState::Cancelled) => "–",
        Some(PublicWorkerState::Reverted) => "↺",
        Some(PublicWorkerState::Queued) | None => "",
        Some(_) => "…",
    }
}

/// As much of a name as has room.
fn shortened(name: &str) -> String {
    const ROOM: usize = 24;
    if name.chars().count() <= ROOM {
        return name.to_owned();
    }
    let tail: Vec<char> = name.chars().rev().take(ROOM - 1).collect();
    std::iter::once('…').chain(tail.into_iter().rev()).collect()
}
