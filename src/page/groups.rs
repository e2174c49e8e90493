//! Lanes of a large fleet: workers that did not end well have one each, all others share one with those beside them in
//! the order of the run.

use std::ops::Range;

use maud::{Markup, html};

use super::axis::{Axis, number};
use super::lanes::state_class;
use super::model::RunPage;
use super::signs::state_sign;
use super::words::{name, shortened};
use crate::engine::{Millis, PublicWorkerState};
use crate::graph::Lane;
use crate::plan::counted;
use crate::report::describe_elapsed;
use crate::timeline::{LaneTrack, Timeline};

/// So many lanes of groups there are about.
const GROUPS: usize = 400;
/// Of more workers that did not end well than this, the others are only in their groups.
const ALONE: usize = 500;
/// Points of a group's picture.
const POINTS: usize = 250;

/// The groups of so many workers, as lanes of the timeline.
pub(super) fn groups(workers: usize) -> impl Iterator<Item = Range<usize>> {
    let size = workers.div_ceil(GROUPS).max(1);
    (1..=workers).step_by(size).map(move |from| from..(from + size).min(workers + 1))
}

/// Workers that have a lane of their own nevertheless.
pub(super) fn alone(timeline: &Timeline) -> impl Iterator<Item = usize> + '_ {
    let bad = timeline.lanes.iter().enumerate().filter(|(_, track)| is_bad(track));
    bad.map(|(at, _)| at).take(ALONE)
}

/// Whether this lane of the timeline is one of them.
pub(super) fn is_alone(timeline: &Timeline, at: usize) -> bool {
    timeline.lanes.get(at).is_some_and(is_bad) && alone(timeline).any(|other| other == at)
}

/// What is seen.
pub(super) fn about(timeline: &Timeline) -> Markup {
    let bad = timeline.lanes.iter().filter(|track| is_bad(track)).count();
    let size = groups(timeline.lanes.len().saturating_sub(2)).next().map_or(0, |group| group.len());
    html! {
        p.note {
            (counted(bad, "worker")) " did not end well"
            @if bad > ALONE { "; the first " (ALONE) " come first, the others are marked in their groups" }
            @else if bad > 0 { ", and come first" }
            ". Then " (size) " workers share a lane, in the order of the run: its height is how many were at work. A lane opens to \
                its workers."
        }
    }
}

fn is_bad(track: &LaneTrack) -> bool {
    track.state.is_some_and(is_bad_state)
}

fn is_bad_state(state: PublicWorkerState) -> bool {
    matches!(state, PublicWorkerState::Failed | PublicWorkerState::InDoubt | PublicWorkerState::Reverted)
}

/// States of a group with their workers, worst first.
fn states(group: &[LaneTrack]) -> Vec<(PublicWorkerState, Vec<&LaneTrack>)> {
    let mut states: Vec<(PublicWorkerState, Vec<&LaneTrack>)> = Vec::new();
    for track in group {
        let Some(state) = track.state else { continue };
        match states.iter_mut().find(|(known, _)| *known == state) {
            Some((_, tracks)) => tracks.push(track),
            None => states.push((state, vec![track])),
        }
    }
    states.sort_by_key(|(state, _)| (!is_bad_state(*state), *state == PublicWorkerState::Succeeded));
    states
}

/// A lane of a group.
pub(super) fn lane(page: &RunPage<'_>, axis: &Axis, group: &[LaneTrack], id: &str) -> Markup {
    let states = states(group);
    let host = |track: &LaneTrack| match track.lane {
        Lane::Worker(target) => name(page.graph.host(target)),
        Lane::Before | Lane::After => String::new(),
    };
    let all_states = states.iter().map(|(state, _)| state.describe()).collect::<Vec<_>>().join("|");
    let first = group.first().map(host).unwrap_or_default();
    html! {
        details.lane.g id=(id) data-state=(all_states) {
            summary {
                span.n {
                    @for (state, tracks) in states.iter().take(3) {
                        b class=(state_class(*state)) { (state_sign(*state)) } (tracks.len()) " "
                    }
                    (shortened(&first, 14)) "…"
                }
                (picture(page, axis, group))
            }
            div.d {
                @for (state, tracks) in &states {
                    p {
                        b { (tracks.len()) " " (state.describe()) ": " }
                        @for (at, track) in tracks.iter().enumerate() {
                            @if at > 0 { ", " }
                            (host(track))
                            @if let Some(took) = took(page, track) { " " (describe_elapsed(took)) }
                        }
                    }
                }
            }
        }
    }
}

fn took(page: &RunPage<'_>, track: &LaneTrack) -> Option<Millis> {
    match track.lane {
        Lane::Worker(target) => page.view.worker(target).took(),
        Lane::Before | Lane::After => None,
    }
}

/// How many of a group were at work, over time.
fn picture(page: &RunPage<'_>, axis: &Axis, group: &[LaneTrack]) -> Markup {
    let until = page.timeline.until;
    let place = |at: Millis| axis.x(at) / 100.0 * (POINTS - 1) as f64;
    let mut busy = [0_u32; POINTS];
    let mut bad = Vec::new();
    for track in group {
        // A worker that is at work in several bars at a place counts once there.
        let mut next = 0;
        for bar in &track.bars {
            let from = (place(bar.from) as usize).max(next);
            let to = (place(bar.to.unwrap_or(until)) as usize).min(POINTS - 1);
            busy.iter_mut().take(to + 1).skip(from).for_each(|count| *count += 1);
            next = next.max(to + 1);
        }
        if let Some(last) = track.bars.last().filter(|_| is_bad(track)) {
            bad.push(axis.x(last.to.unwrap_or(until)));
        }
    }
    let top = group.len().max(1) as f64;
    html! {
        svg.t aria-hidden="true" {
            svg viewBox=(format!("0 0 {POINTS} 20")) preserveAspectRatio="none" width="100%" height="20" {
                path.busy d=(steps(&busy, top)) {}
            }
            @for x in bad { text.x x=(number(x) + "%") { "×" } }
        }
    }
}

/// As steps; flat stretches are one line.
fn steps(busy: &[u32], top: f64) -> String {
    let mut path = String::from("M0 18");
    let mut before = 0;
    for (x, count) in busy.iter().enumerate() {
        if *count != before {
            let y = 18.0 - f64::from(*count) / top * 16.0 - if *count > 0 { 1.0 } else { 0.0 };
            path.push_str(&format!("H{x}V{}", number(y)));
            before = *count;
        }
    }
    path.push_str(&format!("H{}V18Z", busy.len()));
    path
}
