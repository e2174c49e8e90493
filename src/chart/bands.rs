//! Rows about the run as a whole: what happened to it, its waves, when nothing was begun, what the next in line waited for.

use super::glyphs::Glyphs;
use super::line::{Cell, Ink};
use super::scale::Scale;
use crate::engine::Millis;
use crate::timeline::{HoldKind, MarkKind, Timeline};

/// Marks of one column: the one that an operator has to know of.
fn weight(mark: &MarkKind) -> u8 {
    match mark {
        MarkKind::Started | MarkKind::Finished { .. } => 0,
        MarkKind::Approved { .. }
        | MarkKind::Settled { .. }
        | MarkKind::Retried { .. }
        | MarkKind::Skipped { .. }
        | MarkKind::NotSilenced { .. } => 1,
        MarkKind::Resumed { .. } | MarkKind::Paused { .. } | MarkKind::Interrupted { .. } => 2,
        MarkKind::Halted { .. }
        | MarkKind::InDoubt { .. }
        | MarkKind::ControllerGone
        | MarkKind::Aborted { .. } => 3,
    }
}

pub(super) fn marks(timeline: &Timeline, scale: &Scale, glyphs: Glyphs) -> Vec<Cell> {
    let mut cells = scale.row(glyphs);
    let mut weights = vec![0; cells.len()];
    for mark in &timeline.marks {
        let column = scale.column(mark.at);
        if weight(&mark.kind) >= weights[column] {
            weights[column] = weight(&mark.kind);
            let (glyph, ink) = glyphs.mark(&mark.kind);
            cells[column] = Cell::new(glyph, ink);
        }
    }
    cells
}

/// Each wave by its number and a rule up to its end.
pub(super) fn waves(timeline: &Timeline, scale: &Scale, glyphs: Glyphs) -> Vec<Cell> {
    let mut cells = scale.row(glyphs);
    let mut used = 0;
    for wave in &timeline.waves {
        let range = scale.range(wave.from, wave.to.unwrap_or(timeline.until));
        let number = (u64::from(wave.wave) + 1).to_string();
        // A number that would run into the next one says nothing.
        let fits = range.start >= used && range.len() > number.len();
        let text = if fits { number.as_str() } else { "" };
        let signs = text.chars().chain(std::iter::repeat(glyphs.rule()));
        for (cell, glyph) in cells[range.clone()].iter_mut().zip(signs) {
            *cell = Cell::new(glyph, if glyph.is_ascii_digit() { Ink::Plain } else { Ink::Dim });
        }
        // A wave ends where a blank is, so that the next one is told apart.
        if range.len() > 1 + text.len() && wave.to.is_some() {
            cells[range.end - 1] = Cell::EMPTY;
        }
        used = range.end;
    }
    cells
}

/// When and why no worker was admitted; of several reasons the graver one.
pub(super) fn holds(timeline: &Timeline, scale: &Scale, glyphs: Glyphs) -> Vec<Cell> {
    let mut cells = scale.row(glyphs);
    let order = [HoldKind::Soak, HoldKind::Paused, HoldKind::Stopped, HoldKind::Halted, HoldKind::Nobody];
    for kind in order {
        for hold in timeline.holds.iter().filter(|hold| hold.kind == kind) {
            let (glyph, ink) = glyphs.hold(kind);
            for cell in &mut cells[scale.range(hold.from, hold.to.unwrap_or(timeline.until))] {
                *cell = Cell::new(glyph, ink);
            }
        }
    }
    cells
}

/// What the next worker in line waited for.
pub(super) fn waits(timeline: &Timeline, scale: &Scale, glyphs: Glyphs) -> Vec<Cell> {
    let mut cells = scale.row(glyphs);
    let mut filled = vec![0.0_f64; cells.len()];
    for wait in &timeline.waits {
        let (from, to) = (scale.place(wait.from), scale.place(wait.to));
        for column in scale.range(wait.from, wait.to) {
            let share = to.min(column as f64 + 1.0) - from.max(column as f64);
            if share >= filled[column] {
                filled[column] = share;
                cells[column] = Cell::new(glyphs.wait(wait.kind), Ink::Dim);
            }
        }
    }
    cells
}

/// How long of each kind, in the order of the first.
pub(super) fn sums<K: PartialEq + Copy>(times: impl Iterator<Item = (K, Millis)>) -> Vec<(K, Millis)> {
    let mut sums: Vec<(K, Millis)> = Vec::new();
    for (kind, millis) in times {
        match sums.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => *sum = sum.saturating_add(millis),
            None => sums.push((kind, millis)),
        }
    }
    sums
}
