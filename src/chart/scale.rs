//! Time to the right, in columns; long times in which nothing happened take two.

use super::glyphs::Glyphs;
use super::line::{Cell, Ink};
use crate::engine::Millis;
use crate::report::{Time, describe_span};
use crate::timeline::{DAY, ROUND_STEPS, Timeline};

/// Columns of a time that was cut out.
const CUT: usize = 2;

/// From moments to columns.
pub(super) struct Scale {
    columns: usize,
    pieces: Vec<Piece>,
}

struct Piece {
    from: Millis,
    to: Millis,
    /// The column of `from`, in fractions.
    at: f64,
    width: f64,
    is_cut: bool,
}

impl Scale {
    /// All of a timeline in so many columns.
    pub(super) fn new(timeline: &Timeline, columns: usize) -> Self {
        let (first, last) = timeline.extent();
        Self::of(first, last, timeline.quiet(), columns)
    }

    /// Of more quiet times than take a quarter of the columns, only the longest are cut out.
    pub(super) fn of(first: Millis, last: Millis, mut quiet: Vec<(Millis, Millis)>, columns: usize) -> Self {
        let columns = columns.max(1);
        quiet.sort_by_key(|(from, to)| std::cmp::Reverse(to.saturating_sub(*from)));
        quiet.truncate(columns / 4 / CUT);
        quiet.sort_unstable();
        let last = last.max(first.saturating_add(1));
        let left_out: f64 = quiet.iter().map(|(from, to)| span(*from, *to)).sum();
        let shown = (span(first, last) - left_out).max(1.0);
        let per_milli = (columns - quiet.len() * CUT) as f64 / shown;
        let mut pieces = Vec::new();
        let (mut at, mut column) = (first, 0.0);
        for (from, to) in quiet.into_iter().chain([(last, last)]) {
            // A time that was cut out begins with a column, so that nothing is drawn over it.
            let width = (column + span(at, from) * per_milli).round() - column;
            pieces.push(Piece { from: at, to: from, at: column, width, is_cut: false });
            column += width;
            if to > from {
                pieces.push(Piece { from, to, at: column, width: CUT as f64, is_cut: true });
                column += CUT as f64;
            }
            at = to;
        }
        Self { columns, pieces }
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// The place of a moment, in columns and their fractions.
    pub(super) fn place(&self, at: Millis) -> f64 {
        let index = self.pieces.partition_point(|piece| piece.to < at).min(self.pieces.len() - 1);
        let piece = &self.pieces[index];
        let long = span(piece.from, piece.to).max(1.0);
        piece.at + piece.width * (span(piece.from, at).max(0.0) / long).min(1.0)
    }

    /// The column of a moment.
    pub(super) fn column(&self, at: Millis) -> usize {
        (self.place(at) as usize).min(self.columns - 1)
    }

    /// The columns of a time: at least one.
    pub(super) fn range(&self, from: Millis, to: Millis) -> std::ops::Range<usize> {
        let first = self.column(from);
        let end = self.place(to.max(from)).ceil() as usize;
        first..end.clamp(first + 1, self.columns.max(first + 1))
    }

    /// An empty row, with what was cut out.
    pub(super) fn row(&self, glyphs: Glyphs) -> Vec<Cell> {
        let mut cells = vec![Cell::EMPTY; self.columns];
        for piece in self.pieces.iter().filter(|piece| piece.is_cut) {
            let from = piece.at as usize;
            for cell in cells.iter_mut().skip(from).take(CUT) {
                *cell = Cell::new(glyphs.cut(), Ink::Dim);
            }
        }
        cells
    }

    /// How long each time is that was cut out.
    pub(super) fn left_out(&self) -> impl Iterator<Item = Millis> + '_ {
        self.pieces.iter().filter(|piece| piece.is_cut).map(|piece| piece.to.saturating_sub(piece.from))
    }

    /// Times along the axis: of the day, in UTC, or since `zero`.
    pub(super) fn axis(&self, glyphs: Glyphs, zero: Option<Millis>) -> Vec<Cell> {
        let mut cells = self.row(glyphs);
        let shown = || self.pieces.iter().filter(|piece| !piece.is_cut);
        // Where a piece begins is said first: a short one has no round time.
        let begins = shown().map(|piece| (piece, piece.from));
        let round = shown().flat_map(|piece| moments(piece, zero).map(move |at| (piece, at)));
        for (piece, at) in begins.chain(round) {
            let from = self.column(at);
            let text = format!("{}{}", glyphs.tick(), label(at, step(piece), zero));
            let end = from + text.chars().count();
            let is_empty = |cell: &Cell| *cell == Cell::EMPTY;
            // No two of them touch; a time that was cut out may be beside one.
            let is_apart = |cell: &Cell| is_empty(cell) || cell.glyph == glyphs.cut();
            let before = cells.get(from.wrapping_sub(1)).is_none_or(is_apart);
            let after = cells.get(end).is_none_or(is_apart);
            if end > self.columns || !before || !after || !cells[from..end].iter().all(is_empty) {
                continue;
            }
            for (cell, glyph) in cells[from..end].iter_mut().zip(text.chars()) {
                *cell = Cell::new(glyph, Ink::Dim);
            }
        }
        cells
    }
}

/// Round moments within a piece, of the day or since `zero`.
fn moments(piece: &Piece, zero: Option<Millis>) -> impl Iterator<Item = Millis> {
    const MOST: usize = 60;
    let (step, zero, to) = (step(piece), zero.unwrap_or(0), piece.to);
    let first = piece.from.saturating_sub(zero).div_euclid(step).saturating_mul(step);
    let first = first.saturating_add(zero).saturating_add(step);
    std::iter::successors(Some(first), move |at| at.checked_add(step))
        .take_while(move |at| *at < to)
        .take(MOST)
}

/// Also of moments that no clock has.
fn span(from: Millis, to: Millis) -> f64 {
    to as f64 - from as f64
}

/// Columns that a time takes, with some air.
const LABEL: f64 = 12.0;

/// The shortest round step that leaves room for its labels.
fn step(piece: &Piece) -> Millis {
    let wanted = (piece.width / LABEL).max(1.0);
    let long = span(piece.from, piece.to);
    let fits = |step: &&Millis| long / **step as f64 <= wanted;
    ROUND_STEPS.iter().find(fits).copied().unwrap_or_else(|| piece.to.saturating_sub(piece.from).max(1))
}

fn label(at: Millis, step: Millis, zero: Option<Millis>) -> String {
    if let Some(zero) = zero {
        return format!("+{}", describe_span(at.saturating_sub(zero)));
    }
    let text = Time(at).to_second();
    let part = if step >= DAY {
        5..10
    } else if step < 60_000 {
        11..19
    } else {
        11..16
    };
    text.get(part).unwrap_or("-").to_owned()
}
