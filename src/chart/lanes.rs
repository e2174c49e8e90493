//! Lanes: what each worker did when, and which workers have one where there are many.

use super::glyphs::Glyphs;
use super::line::{Cell, Ink};
use super::scale::Scale;
use crate::engine::{Millis, PublicWorkerState};
use crate::graph::{Lane, RolloutGraph};
use crate::timeline::{Activity, Bar, BarEnd, BarKind, LaneTrack};

/// Whether an attempt ended, and not well.
fn is_bad(bar: &Bar) -> bool {
    !matches!(bar.end, BarEnd::Ok | BarEnd::Open) && bar.kind != BarKind::Backoff
}

/// What a lane shows in each column: of several bars the one that fills most of it, and in any case an attempt that did
/// not end well. What has not ended is known of up to `heard`.
pub(super) fn cells(
    track: &LaneTrack,
    graph: &RolloutGraph,
    heard: Millis,
    scale: &Scale,
    glyphs: Glyphs,
) -> Vec<Cell> {
    let mut cells = scale.row(glyphs);
    let mut filled = vec![0.0_f64; cells.len()];
    let steps = graph.steps(track.lane);
    for bar in &track.bars {
        let Some(step) = steps.get(bar.step.index()) else { continue };
        let activity = Activity::of(bar, &step.kind);
        let to = bar.to.unwrap_or(heard).max(bar.from);
        let (from_place, to_place) = (scale.place(bar.from), scale.place(to));
        let range = scale.range(bar.from, to);
        let last = range.end - 1;
        for column in range {
            let share = to_place.min(column as f64 + 1.0) - from_place.max(column as f64);
            if share >= filled[column] {
                filled[column] = share;
                let is_open = bar.to.is_none() && column == last;
                let glyph = if is_open { glyphs.open() } else { glyphs.activity(activity) };
                cells[column] = Cell::new(glyph, Ink::Of(activity));
            }
        }
    }
    for bar in track.bars.iter().filter(|bar| is_bad(bar)) {
        let last = scale.range(bar.from, bar.to.unwrap_or(heard)).end - 1;
        cells[last] = Cell::new(glyphs.bad(), Ink::Bad);
    }
    cells
}

/// What the lanes of these workers have, for the legend.
pub(super) struct Seen {
    pub(super) activities: Vec<Activity>,
    pub(super) has_bad: bool,
    pub(super) has_open: bool,
}

pub(super) fn seen<'a>(tracks: impl Iterator<Item = &'a LaneTrack>, graph: &RolloutGraph) -> Seen {
    let mut seen = Seen { activities: Vec::new(), has_bad: false, has_open: false };
    for track in tracks {
        let steps = graph.steps(track.lane);
        for bar in &track.bars {
            if let Some(step) = steps.get(bar.step.index()) {
                seen.activities.push(Activity::of(bar, &step.kind));
            }
            seen.has_bad |= is_bad(bar);
            seen.has_open |= bar.to.is_none();
        }
    }
    seen.activities.sort_unstable();
    seen.activities.dedup();
    seen
}

/// Which workers have a lane, and which do not.
#[derive(Default)]
pub(super) struct Chosen<'a> {
    pub(super) shown: Vec<&'a LaneTrack>,
    pub(super) others: Vec<&'a LaneTrack>,
}

/// All in their order where there is room, else first those that went wrong, then those at work, then the others.
pub(super) fn choose(tracks: &[LaneTrack], room: usize) -> Chosen<'_> {
    let is_worker = |track: &&LaneTrack| matches!(track.lane, Lane::Worker(_));
    let mut all: Vec<&LaneTrack> = tracks.iter().filter(is_worker).collect();
    if all.len() <= room {
        return Chosen { shown: all, others: Vec::new() };
    }
    all.sort_by_key(|track| urgency(track.state));
    let others = all.split_off(room);
    Chosen { shown: all, others }
}

fn urgency(state: Option<PublicWorkerState>) -> u8 {
    match state {
        Some(PublicWorkerState::Failed | PublicWorkerState::InDoubt) => 0,
        Some(PublicWorkerState::Reverting | PublicWorkerState::Retrying) => 1,
        Some(PublicWorkerState::Waiting | PublicWorkerState::Held) => 2,
        Some(PublicWorkerState::Running) => 3,
        Some(PublicWorkerState::Reverted) => 4,
        Some(PublicWorkerState::Skipped | PublicWorkerState::LeftAlone | PublicWorkerState::Cancelled) => 5,
        Some(PublicWorkerState::Succeeded) => 6,
        Some(PublicWorkerState::Queued) | None => 7,
    }
}
