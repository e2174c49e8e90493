//! The timeline: what the run was doing, and a lane for each worker, or for a group of workers where there are many.
//! Each lane opens, without a script, to the same in words.

use std::ops::Range;

use maud::{Markup, html};

use super::axis::Axis;
use super::bars::{self, bars};
use super::links;
use super::model::RunPage;
use super::signs::{legend, state_sign};
use super::words::{Clock, MESSAGE, name, said, shortened};
use super::{groups, strip};
use crate::engine::PublicWorkerState;
use crate::graph::{Lane, TargetIx};
use crate::report::{WorkerView, describe_elapsed};
use crate::timeline::{Bar, LaneTrack, Timeline};

/// Of more workers than this, several share a lane.
pub(super) const MOST_LANES: usize = 2000;
/// Characters of a name beside its lane.
pub(super) const NAME_ROOM: usize = 26;
/// Of more attempts than this on one worker the oldest are left out.
const MOST_BARS: usize = 400;

/// One row of the picture: a lane, or several workers that share one.
pub(super) struct Row {
    /// The id of its element.
    pub(super) id: String,
    /// The lanes of the timeline that are in it.
    pub(super) tracks: Range<usize>,
    is_group: bool,
}

/// The rows of a timeline, from top to bottom.
pub(super) fn rows(timeline: &Timeline) -> Vec<Row> {
    let workers = timeline.lanes.len().saturating_sub(2);
    let once = |at: usize| {
        let track = timeline.lanes.get(at)?;
        let is_shown = !matches!(track.lane, Lane::Worker(_)) && !track.bars.is_empty();
        is_shown.then(|| alone(at))
    };
    let of_workers: Vec<Row> = if workers > MOST_LANES {
        let group =
            |tracks: Range<usize>| Row { id: format!("group-{}", tracks.start), tracks, is_group: true };
        groups::alone(timeline).map(alone).chain(groups::groups(workers).map(group)).collect()
    } else {
        (1..=workers).map(alone).collect()
    };
    once(0).into_iter().chain(of_workers).chain(once(workers + 1)).collect()
}

fn alone(at: usize) -> Row {
    Row { id: format!("lane-{at}"), tracks: at..at + 1, is_group: false }
}

/// A row as markup.
pub(super) fn row(page: &RunPage<'_>, axis: &Axis, row: &Row) -> Markup {
    match &page.timeline.lanes[row.tracks.clone()] {
        [track] if !row.is_group => lane(page, axis, track, &row.id),
        tracks => groups::lane(page, axis, tracks, &row.id),
    }
}

/// The whole timeline.
pub(super) fn lanes(page: &RunPage<'_>, axis: &Axis) -> Markup {
    html! {
        section #lanes-section aria-labelledby="timeline-title" {
            h2 #timeline-title { "Timeline" }
            (controls(page))
            div.tl tabindex="0" role="group" aria-label="Timeline, scrolls; each lane opens to the same in words" {
                div #timeline data-live[page.served.is_some()] {
                    (strip::head(page, axis))
                    (strip::behind(page, axis))
                    @if page.served.is_some() { (strip::now(page, axis)) }
                    (strip::rows(page, axis))
                    @if is_grouped(page) { (groups::about(page.timeline)) }
                    div #lanes { @for one in rows(page.timeline) { (row(page, axis, &one)) } }
                }
            }
            (legend())
        }
    }
}

/// Filter and zoom; the script shows them where it runs.
fn controls(page: &RunPage<'_>) -> Markup {
    let mut states = vec!["failed", "in doubt", "running", "queued", "succeeded", "reverted", "skipped"];
    for worker in &page.view.workers {
        if !states.contains(&worker.state.describe()) {
            states.push(worker.state.describe());
        }
    }
    html! {
        form #controls hidden {
            label { "Find " input #find type="search" autocomplete="off" placeholder="host"; }
            label { "State "
                select #state {
                    option value="" { "all" }
                    @for state in states { option value=(state) { (state) } }
                }
            }
            label { "Zoom " input #zoom type="range" min="1" max="20" step="0.5" value="1"; }
            output #found aria-live="polite" {}
        }
    }
}

/// Whether workers share lanes.
pub(super) fn is_grouped(page: &RunPage<'_>) -> bool {
    page.view.workers.len() > MOST_LANES
}

/// The fragment of a worker's lane; `None`: it has none of its own.
pub(super) fn lane_id(page: &RunPage<'_>, target: TargetIx) -> Option<String> {
    let at = target.0 as usize + 1;
    let is_drawn = !is_grouped(page) || groups::is_alone(page.timeline, at);
    is_drawn.then(|| format!("lane-{at}"))
}

/// One lane.
fn lane(page: &RunPage<'_>, axis: &Axis, track: &LaneTrack, id: &str) -> Markup {
    let (host, state) = match track.lane {
        Lane::Worker(target) => (page.graph.host(target), track.state),
        Lane::Before => ("before", None),
        Lane::After => ("after", None),
    };
    let shown = &track.bars[track.bars.len().saturating_sub(MOST_BARS)..];
    html! {
        details.lane id=(id) data-host=[state.map(|_| name(host))] data-state=[state.map(PublicWorkerState::describe)] {
            summary {
                span.n {
                    @if let Some(state) = state { b class=(state_class(state)) { (state_sign(state)) } " " }
                    (shortened(host, NAME_ROOM))
                    @if let Some(state) = state.filter(|state| is_worth_saying(*state)) { span.sr { ", " (state.describe()) } }
                }
                svg.t aria-hidden="true" { (bars(page, axis, track.lane, shown)) }
            }
            (words(page, track, host, shown))
        }
    }
}

/// What is read to whoever does not see the sign.
fn is_worth_saying(state: PublicWorkerState) -> bool {
    state != PublicWorkerState::Succeeded
}

/// The class of a state's sign.
pub(super) fn state_class(state: PublicWorkerState) -> &'static str {
    match state {
        PublicWorkerState::Succeeded => "good",
        PublicWorkerState::Failed | PublicWorkerState::InDoubt => "bad",
        PublicWorkerState::Reverted => "hold",
        _ => "dim",
    }
}

/// What a worker waits for. Where the page is served this is in the table: all who are queued may wait for something else
/// at once, and a lane is told again only when something has happened in it.
fn waits_for<'a>(page: &RunPage<'_>, worker: &'a WorkerView) -> Option<&'a String> {
    let is_in_the_table = page.served.is_some() && worker.state == PublicWorkerState::Queued;
    worker.waits_for.as_ref().filter(|_| !is_in_the_table)
}

/// A lane in words.
fn words(page: &RunPage<'_>, track: &LaneTrack, host: &str, bars: &[Bar]) -> Markup {
    let clock = Clock::of(page.timeline);
    let worker = match track.lane {
        Lane::Worker(target) => Some(page.view.worker(target)),
        Lane::Before | Lane::After => None,
    };
    html! {
        div.d {
            @if let Some(worker) = worker {
                p {
                    @if host.chars().count() > NAME_ROOM { (said(host, MESSAGE)) ": " }
                    (worker.state.describe())
                    @if let Some(took) = worker.took() { " in " (describe_elapsed(took)) }
                    @if let Some(error) = &worker.error { ": " (said(&error.message, MESSAGE)) }
                    @else if let Some(wait) = waits_for(page, worker) { ": " (said(wait, MESSAGE)) }
                }
            }
            @if let (Some(served), Some(_)) = (page.served, worker) {
                p { a href=(links::worker_of_run(served.path, host)) { "What it wrote, and what it waits for" } }
            }
            @if track.bars.len() > bars.len() { p { (track.bars.len() - bars.len()) " older are left out." } }
            @if !bars.is_empty() {
                ol {
                    @for one in bars {
                        @let text = bars::line(page, clock, track.lane, one);
                        @if bars::is_bad(one) { li.bad { "× " (text) } } @else { li { (text) } }
                    }
                }
            }
        }
    }
}
