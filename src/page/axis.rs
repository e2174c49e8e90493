//! Time to the right: a scale on which long times in which nothing happened are short.
//!
//! Places are shares of the width, so that a picture is stretched by its width alone and its text is not distorted.

use std::fmt::Write as _;

use crate::engine::Millis;
use crate::report::{Time, describe_span};
use crate::timeline::{DAY, ROUND_STEPS, Timeline};

/// The whole width.
const WIDTH: f64 = 100.0;
/// Width of a time that was cut out.
const CUT_WIDTH: f64 = 3.0;
/// Of more cuts than this, the shortest are not made: they would leave no room.
const CUTS: usize = 12;
/// Labels along the axis.
const TICKS: f64 = 9.0;

/// From moments to places.
pub(super) struct Axis {
    /// Ascending, without gaps; never empty.
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

/// A label of the axis.
pub(super) struct Tick {
    /// Its place.
    pub(super) x: f64,
    /// The time of day, or the day.
    pub(super) label: String,
}

/// A time that was cut out.
pub(super) struct Cut {
    pub(super) x: f64,
    pub(super) width: f64,
    /// How long it was.
    pub(super) label: String,
}

impl Axis {
    pub(super) fn new(timeline: &Timeline) -> Self {
        Self::up_to(timeline, timeline.until, false)
    }

    /// With room until a moment that is still to come; `kept`: although nothing is under way now, it is not cut out.
    pub(super) fn up_to(timeline: &Timeline, until: Millis, kept: bool) -> Self {
        let (began, until) = (timeline.began, until.max(timeline.began + 1));
        let cuts = cuts(timeline, began, until, kept);
        let shown = (until - began) - cuts.iter().map(|(from, to)| to - from).sum::<Millis>();
        let scale = (WIDTH - cuts.len() as f64 * CUT_WIDTH) / (shown.max(1) as f64);
        let (mut pieces, mut at, mut place) = (Vec::new(), began, 0.0);
        for (from, to) in cuts.into_iter().chain([(until, until)]) {
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

    /// Share of the width that a millisecond at this moment takes.
    pub(super) fn rate(&self, at: Millis) -> f64 {
        let index = self.pieces.partition_point(|piece| piece.to < at).min(self.pieces.len() - 1);
        let piece = &self.pieces[index];
        piece.width / (piece.to - piece.from).max(1) as f64
    }

    /// The place of a moment, from 0 to 100.
    pub(super) fn x(&self, at: Millis) -> f64 {
        let index = self.pieces.partition_point(|piece| piece.to < at).min(self.pieces.len() - 1);
        let piece = &self.pieces[index];
        let long = (piece.to - piece.from).max(1) as f64;
        let share = ((at - piece.from).max(0) as f64 / long).min(1.0);
        (piece.at + piece.width * share).clamp(0.0, WIDTH)
    }

    /// Place and width of a time.
    pub(super) fn span(&self, from: Millis, to: Millis) -> (f64, f64) {
        let x = self.x(from);
        (x, (self.x(to) - x).max(0.0))
    }

    /// Round moments along the axis.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let shown = self.pieces.iter().filter(|piece| !piece.is_cut && piece.width > 0.0);
        let days = self.pieces.last().map_or(0, |last| last.to) - self.pieces[0].from > DAY;
        let mut ticks: Vec<Tick> = Vec::new();
        for piece in shown {
            for (at, label) in moments(piece, days) {
                let x = self.x(at);
                // Labels need room: of two that are close the first stays.
                if ticks.last().is_none_or(|last| x - last.x > WIDTH / TICKS / 2.0) {
                    ticks.push(Tick { x, label });
                }
            }
        }
        ticks
    }

    /// What was cut out.
    pub(super) fn cuts(&self) -> impl Iterator<Item = Cut> + '_ {
        self.pieces.iter().filter(|piece| piece.is_cut).map(|piece| Cut {
            x: piece.at,
            width: piece.width,
            label: describe_span(piece.to - piece.from),
        })
    }
}

/// Long times in which nothing happened; the longest, if there are many.
fn cuts(timeline: &Timeline, began: Millis, until: Millis, is_room_kept: bool) -> Vec<(Millis, Millis)> {
    let room = is_room_kept.then_some((timeline.until, until));
    let mut cuts = timeline.quiet_within(began, until, until, room);
    cuts.sort_unstable_by_key(|(from, to)| from - to);
    cuts.truncate(CUTS);
    cuts.sort_unstable();
    cuts
}

/// Round moments within a piece, and how they are written.
fn moments(piece: &Piece, days: bool) -> Vec<(Millis, String)> {
    let wanted = (piece.width / WIDTH * TICKS).max(1.0);
    let long = piece.to - piece.from;
    let step =
        ROUND_STEPS.iter().copied().find(|step| (long / step) as f64 <= wanted).unwrap_or(36_400 * DAY);
    let first = piece.from.div_euclid(step) * step + step;
    let label = |at: Millis| {
        let text = Time(at).to_second();
        let clock = text.get(11..if step < 60_000 { 19 } else { 16 }).unwrap_or("-");
        let day = text.get(5..10).unwrap_or("-");
        match (step >= DAY, days) {
            (true, _) => text.get(..10).unwrap_or("-").to_owned(),
            (false, true) => format!("{day} {clock}"),
            (false, false) => clock.to_owned(),
        }
    };
    std::iter::successors(Some(first), |at| at.checked_add(step))
        .take_while(|at| *at <= piece.to)
        .take(2 * TICKS as usize)
        .map(|at| (at, label(at)))
        .collect()
}

/// A number with two decimals at most; what is no number is 0.
pub(super) fn number(value: f64) -> String {
    let mut text = String::with_capacity(8);
    let hundredths = if value.is_finite() { (value * 100.0).round().clamp(-1e9, 1e9) as i64 } else { 0 };
    let (whole, rest) = (hundredths.abs() / 100, hundredths.abs() % 100);
    if hundredths < 0 {
        text.push('-');
    }
    let _ = match rest {
        0 => write!(text, "{whole}"),
        tens if tens % 10 == 0 => write!(text, "{whole}.{}", tens / 10),
        _ => write!(text, "{whole}.{rest:02}"),
    };
    text
}

/// A share of the width, as an attribute.
pub(super) fn percent(share: f64) -> String {
    number(share) + "%"
}
