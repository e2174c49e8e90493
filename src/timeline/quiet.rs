//! What the axes of pictures have in common: long times in which nothing happened may be left out, and steps are round.

use super::model::{HoldKind, Timeline};
use crate::engine::Millis;

/// A quiet time may be left out if it is longer than this share of all activity.
const SHARE: Millis = 6;
/// And longer than this.
const AT_LEAST: Millis = 20_000;

impl Timeline {
    /// From its earliest moment to its latest: a clock may have been set back meanwhile.
    pub fn extent(&self) -> (Millis, Millis) {
        let bars = || self.lanes.iter().flat_map(|lane| &lane.bars);
        let moments = || {
            let of_bars = bars().flat_map(|bar| [bar.from, bar.to.unwrap_or(bar.from)]);
            of_bars.chain(self.marks.iter().map(|mark| mark.at)).chain([self.began, self.until])
        };
        (moments().min().unwrap_or(0), moments().max().unwrap_or(0))
    }

    /// Up to when anybody has told of the run: what has not ended is known of up to here.
    pub fn heard_until(&self) -> Millis {
        let gone = self.holds.iter().find(|hold| hold.kind == HoldKind::Nobody && hold.to.is_none());
        gone.map_or(self.until, |hold| hold.from)
    }

    /// Times of some length in which nothing was under way and nothing happened, in order.
    pub fn quiet(&self) -> Vec<(Millis, Millis)> {
        let (first, last) = self.extent();
        self.quiet_within(first, last, self.heard_until(), None)
    }

    /// The same between two moments. What has not ended is under way until `open_until`; a time that is `kept` counts as
    /// one in which something was.
    pub fn quiet_within(
        &self,
        first: Millis,
        last: Millis,
        open_until: Millis,
        kept: Option<(Millis, Millis)>,
    ) -> Vec<(Millis, Millis)> {
        let inside = |at: Millis| at.clamp(first, last);
        let bars = self.lanes.iter().flat_map(|lane| &lane.bars);
        let mut activity: Vec<(Millis, Millis)> = bars
            .map(|bar| (bar.from, bar.to.unwrap_or(open_until)))
            .chain(self.marks.iter().map(|mark| (mark.at, mark.at)))
            .chain([(first, first), (last, last)])
            .chain(kept)
            .map(|(from, to)| (inside(from), inside(to)))
            .collect();
        activity.sort_unstable();
        let mut busy: Vec<(Millis, Millis)> = Vec::new();
        for (from, to) in activity {
            match busy.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => busy.push((from, to)),
            }
        }
        let total = busy.iter().fold(0_i64, |sum, (from, to)| sum.saturating_add(to.saturating_sub(*from)));
        let least = (total / SHARE).max(AT_LEAST);
        let gaps = busy.windows(2).map(|pair| (pair[0].1, pair[1].0));
        gaps.filter(|(from, to)| to.saturating_sub(*from) > least).collect()
    }
}

/// A day, in milliseconds.
pub const DAY: Millis = 86_400_000;

/// Round steps between the times of an axis, ascending, in milliseconds.
pub const ROUND_STEPS: &[Millis] = &[
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    1_200_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    21_600_000,
    43_200_000,
    DAY,
    7 * DAY,
    28 * DAY,
    364 * DAY,
    3_640 * DAY,
];
