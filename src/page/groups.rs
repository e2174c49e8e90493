//! Lanes of a large fleet: workers that did not end well have one each, all others share one with those beside them in
//! the order of the run.

use maud::{Markup, html};

use super::axis::{Axis, number};
use super::lanes::{lane, state_class};
use super::model::RunPage;
use super::signs::state_sign;
use super::words::{name, shortened};
use crate::engine::{Millis, PublicWorkerState};
use crate::graph::{Lane, TargetIx};
use crate::plan::counted;
use crate::report::describe_elapsed;
use crate::timeline::LaneTrack;

/// So many lanes of groups there are about.
const GROUPS: usize = 400;
/// Of more workers that did not end well than this, the others are only in their groups.
const ALONE: usize = 500;
/// Points of a group's picture.
const POINTS: usize = 250;

/// Lanes of single workers, then those of groups.
pub(super) fn groups(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let tracks = &page.timeline.lanes;
    let workers: Vec<&LaneTrack> =
        tracks.iter().filter(|track| matches!(track.lane, Lane::Worker(_))).collect();
    let size = workers.len().div_ceil(GROUPS);
    let bad = workers.iter().filter(|track| track.state.is_some_and(is_bad));
    let count = bad.clone().count();
    html! {
        @for track in bad.take(ALONE) { (lane(page, axis, track)) }
        p.note {
            (counted(count, "worker")) " did not end well"
            @if count > ALONE { "; the first " (ALONE) " have lanes of their own above, the others are marked below" }
            ". Below, " (size) " workers share a lane, in the order of the run; its height is how many were at work. \
                A lane opens to its workers."
        }
        @for (nth, group) in workers.chunks(size).enumerate() { (group_lane(page, axis, nth, group)) }
    }
}

fn is_bad(state: PublicWorkerState) -> bool {
    matches!(state, PublicWorkerState::Failed | PublicWorkerState::InDoubt | PublicWorkerState::Reverted)
}

/// Whether a worker of a large fleet has a lane.
pub(super) fn is_drawn_alone(page: &RunPage<'_>, target: TargetIx) -> bool {
    let workers = &page.view.workers;
    let is_bad = |at: usize| workers.get(at).is_some_and(|worker| is_bad(worker.state));
    let target = target.0 as usize;
    is_bad(target) && (0..target).filter(|at| is_bad(*at)).take(ALONE).count() < ALONE
}

/// States of a group with their workers, worst first.
fn states<'a>(group: &[&'a LaneTrack]) -> Vec<(PublicWorkerState, Vec<&'a LaneTrack>)> {
    let mut states: Vec<(PublicWorkerState, Vec<&LaneTrack>)> = Vec::new();
    for track in group {
        let Some(state) = track.state else { continue };
        match states.iter_mut().find(|(known, _)| *known == state) {
            Some((_, tracks)) => tracks.push(track),
            None => states.push((state, vec![track])),
        }
    }
    states.sort_by_key(|(state, _)| (!is_bad(*state), *state == PublicWorkerState::Succeeded));
    states
}

fn group_lane(page: &RunPage<'_>, axis: &Axis, nth: usize, group: &[&LaneTrack]) -> Markup {
    let states = states(group);
    let host = |track: &&LaneTrack| match track.lane {
        Lane::Worker(target) => name(page.graph.host(target)),
        Lane::Before | Lane::After => String::new(),
    };
    let all_states = states.iter().map(|(state, _)| state.describe()).collect::<Vec<_>>().join("|");
    let first = group.first().map(host).unwrap_or_default();
    html! {
        details.l.g id=(format!("g{}", nth + 1)) data-s=(all_states) {
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
fn picture(page: &RunPage<'_>, axis: &Axis, group: &[&LaneTrack]) -> Markup {
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
        if let Some(last) = track.bars.last().filter(|_| track.state.is_some_and(is_bad)) {
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
