//! The timeline: what the run was doing, and a lane for each worker, or for a group of workers where there are many.
//! Each lane opens, without a script, to the same in words.

use maud::{Markup, html};

use super::axis::Axis;
use super::bars::{self, bars};
use super::model::RunPage;
use super::signs::{legend, patterns, state_sign};
use super::words::{Clock, MESSAGE, name, said, shortened};
use super::{groups, strip};
use crate::engine::PublicWorkerState;
use crate::graph::Lane;
use crate::report::describe_elapsed;
use crate::timeline::{Bar, LaneTrack};

/// Of more workers than this, several share a lane.
pub(super) const MOST_LANES: usize = 2000;
/// Characters of a name beside its lane.
pub(super) const NAME_ROOM: usize = 26;
/// Of more attempts than this on one worker the oldest are left out.
const MOST_BARS: usize = 400;

/// The whole timeline.
pub(super) fn lanes(page: &RunPage<'_>, axis: &Axis) -> Markup {
    html! {
        section #timeline aria-labelledby="timeline-title" {
            h2 #timeline-title { "Timeline" }
            (controls(page))
            (patterns())
            div.tl tabindex="0" role="group" aria-label="Timeline, scrolls; each lane opens to the same in words" {
                div.in {
                    (strip::head(page, axis))
                    (strip::behind(page, axis))
                    (strip::rows(page, axis))
                    div #lanes { (rows(page, axis)) }
                }
            }
            (legend())
        }
    }
}

/// Filter and zoom; the script shows them where it runs.
fn controls(page: &RunPage<'_>) -> Markup {
    let mut states: Vec<&str> = page.view.workers.iter().map(|worker| worker.state.describe()).collect();
    states.sort_unstable();
    states.dedup();
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

/// The lanes alone.
fn rows(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let tracks = &page.timeline.lanes;
    let is_grouped = is_grouped(page);
    html! {
        @for track in tracks.iter().filter(|track| track.lane == Lane::Before && !track.bars.is_empty()) {
            (lane(page, axis, track))
        }
        @if is_grouped {
            (groups::groups(page, axis))
        } @else {
            @for track in tracks.iter().filter(|track| matches!(track.lane, Lane::Worker(_))) {
                (lane(page, axis, track))
            }
        }
        @for track in tracks.iter().filter(|track| track.lane == Lane::After && !track.bars.is_empty()) {
            (lane(page, axis, track))
        }
    }
}

/// Whether workers share lanes.
pub(super) fn is_grouped(page: &RunPage<'_>) -> bool {
    page.view.workers.len() > MOST_LANES
}

/// The fragment of a lane; `None`: it has none of its own.
pub(super) fn lane_id(page: &RunPage<'_>, lane: Lane) -> Option<String> {
    match lane {
        Lane::Before => Some("before".to_owned()),
        Lane::After => Some("after".to_owned()),
        Lane::Worker(target) if is_grouped(page) && !groups::is_drawn_alone(page, target) => None,
        Lane::Worker(target) => Some(format!("w{}", target.0 + 1)),
    }
}

/// One lane.
pub(super) fn lane(page: &RunPage<'_>, axis: &Axis, track: &LaneTrack) -> Markup {
    let (host, state) = match track.lane {
        Lane::Worker(target) => (page.graph.host(target), track.state),
        Lane::Before => ("before", None),
        Lane::After => ("after", None),
    };
    let shown = &track.bars[track.bars.len().saturating_sub(MOST_BARS)..];
    html! {
        details.l id=[lane_id(page, track.lane)] data-h=[state.map(|_| name(host))] data-s=[state.map(PublicWorkerState::describe)] {
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
                    @else if let Some(wait) = &worker.waits_for { ": " (said(wait, MESSAGE)) }
                }
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
