//! Time to the right: a scale on which long times in which nothing happened are short.

use maud::{Markup, html};

use crate::engine::Millis;
use crate::report::{Time, describe_span};
use crate::timeline::Timeline;

/// Width of the drawing area, in units of the picture.
pub(super) const WIDTH: f64 = 1000.0;
/// Width of a time that was cut out.
const CUT_WIDTH: f64 = 26.0;
/// A time without activity is cut out if it is longer than this share of all activity.
const CUT_SHARE: i64 = 8;
/// And longer than this.
const CUT_AT_LEAST: Millis = 60_000;

/// From moments to places.
pub(super) struct Axis {
    /// Ascending: from, to, place of `from`, width.
    pieces: Vec<Piece>,
    until: Millis,
}

struct Piece {
    from: Millis,
    to: Millis,
    at: f64,
    width: f64,
    is_cut: bool,
}

impl Axis {
    pub(super) fn new(timeline: &Timeline) -> Self {
        Self::up_to(timeline, timeline.until)
    }

    /// With room until a moment that is still to come.
    pub(super) fn up_to(timeline: &Timeline, until: Millis) -> Self {
        let (began, until) = (timeline.began, until.max(timeline.began + 1));
        let mut activity: Vec<(Millis, Millis)> = timeline
            .lanes
            .iter()
            .flat_map(|lane| &lane.bars)
            .map(|bar| (bar.from, bar.to.unwrap_or(until)))
            .chain(timeline.marks.iter().map(|mark| (mark.at, mark.at)))
            .chain([(began, began), (until, until)])
            .collect();
        activity.sort_unstable();
        let mut busy: Vec<(Millis, Millis)> = Vec::new();
        for (from, to) in activity {
            match busy.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => busy.push((from, to)),
            }
        }
        let total: Millis = busy.iter().map(|(from, to)| to - from).sum();
        let least = (total / CUT_SHARE).max(CUT_AT_LEAST);
        let mut spans: Vec<(Millis, Millis, bool)> = Vec::new();
        for pair in busy.windows(2) {
            let (gap_from, gap_to) = (pair[0].1, pair[1].0);
            if gap_to - gap_from > least {
                spans.push((gap_from, gap_to, true));
            }
        }
        let mut pieces = Vec::new();
        let mut at = began;
        let cuts = spans.len() as f64;
        let shown: Millis = (until - began) - spans.iter().map(|(from, to, _)| to - from).sum::<Millis>();
        let scale = (WIDTH - cuts * CUT_WIDTH).max(WIDTH / 4.0) / (shown.max(1) as f64);
        let mut place = 0.0;
        for (from, to, _) in spans.into_iter().chain([(until, until, false)]) {
            let width = (from - at) as f64 * scale;
            pieces.push(Piece { from: at, to: from, at: place, width, is_cut: false });
            place += width;
            if to > from {
                pieces.push(Piece { from, to, at: place, width: CUT_WIDTH, is_cut: true });
                place += CUT_WIDTH;
            }
            at = to;
        }
        Self { pieces, until }
    }

    /// Its end.
    pub(super) fn until(&self) -> Millis {
        self.until
    }

    /// Since when there is no room for what happens, because nothing did; `None`: there is room up to the end.
    pub(super) fn cut_since(&self) -> Option<Millis> {
        let last = self.pieces.iter().rev().find(|piece| piece.to > piece.from)?;
        last.is_cut.then_some(last.from)
    }

    /// Units to the right that a millisecond at this moment takes.
    pub(super) fn rate(&self, at: Millis) -> f64 {
        let index = self.pieces.partition_point(|piece| piece.to < at).min(self.pieces.len() - 1);
        let piece = &self.pieces[index];
        piece.width / (piece.to - piece.from).max(1) as f64
    }

    /// The place of a moment.
    pub(super) fn x(&self, at: Millis) -> f64 {
        let index = self.pieces.partition_point(|piece| piece.to < at).min(self.pieces.len() - 1);
        let piece = &self.pieces[index];
        let long = (piece.to - piece.from).max(1) as f64;
        piece.at + piece.width * ((at - piece.from).max(0) as f64 / long).min(1.0)
    }

    /// Place and width of a time, which is at least visible.
    pub(super) fn span(&self, from: Millis, to: Millis) -> (f64, f64) {
        let x = self.x(from);
        (x, (self.x(to) - x).max(1.5))
    }

    /// Lines and times along the axis, and what was cut out.
    pub(super) fn grid(&self, height: f64) -> Markup {
        html! {
            g.grid {
                @for piece in self.pieces.iter().filter(|piece| !piece.is_cut && piece.width > 0.0) {
                    @for (at, label) in ticks(piece) {
                        @let x = number(self.x(at));
                        line x1=(x) x2=(x) y1="0" y2=(number(height)) {}
                        text x=(x) y="-6" { (label) }
                    }
                }
                @for cut in self.pieces.iter().filter(|piece| piece.is_cut) {
                    rect.cut x=(number(cut.at)) y="0" width=(number(cut.width)) height=(number(height)) {
                        title { "nothing happened for " (describe_span(cut.to - cut.from)) }
                    }
                    text.cut x=(number(cut.at + cut.width / 2.0)) y=(number(height + 12.0)) {
                        "// " (describe_span(cut.to - cut.from))
                    }
                }
            }
        }
    }
}

/// Round steps between the lines of the grid, in milliseconds.
const STEPS: &[Millis] = &[
    1_000,
    2_000,
    5_000,
    10_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    1_800_000,
    3_600_000,
    7_200_000,
    21_600_000,
    86_400_000,
    604_800_000,
];

/// Round moments within a piece, and how they are written.
fn ticks(piece: &Piece) -> Vec<(Millis, String)> {
    let wanted = (piece.width / 110.0).max(1.0);
    let long = piece.to - piece.from;
    let step = STEPS.iter().copied().find(|step| (long / step) as f64 <= wanted);
    let step = step.unwrap_or_else(|| long.max(1));
    let first = piece.from.div_euclid(step) * step + step;
    let with_seconds = step < 60_000;
    let label = |at: Millis| {
        let text = Time(at).to_second();
        let clock = text.get(11..if with_seconds { 19 } else { 16 }).unwrap_or("-").to_owned();
        if step >= 86_400_000 { text.get(5..10).unwrap_or("-").to_owned() } else { clock }
    };
    std::iter::successors(Some(first), |at| at.checked_add(step))
        .take_while(|at| *at <= piece.to)
        .take(40)
        .map(|at| (at, label(at)))
        .collect()
}

/// A coordinate with a tenth at most.
pub(super) fn number(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    format!("{rounded}")
}
