//! Long times in which nothing happened, which a picture may leave out.

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
        let ((first, last), heard) = (self.extent(), self.heard_until());
        let mut activity: Vec<(Millis, Millis)> = self
            .lanes
            .iter()
            .flat_map(|lane| &lane.bars)
            .map(|bar| (bar.from, bar.to.unwrap_or(heard)))
            .chain(self.marks.iter().map(|mark| (mark.at, mark.at)))
            .chain([(first, first), (last, last)])
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
