//! A number over time as a row of heights.

use super::glyphs::Glyphs;
use super::line::{Cell, Ink};
use super::scale::Scale;
use crate::engine::Millis;

/// The largest number of each column.
pub(super) fn largest(points: &[(Millis, u32)], until: Millis, scale: &Scale) -> Vec<u32> {
    let mut most = vec![0; scale.columns()];
    for (at, (from, number)) in points.iter().enumerate() {
        let to = points.get(at + 1).map_or(until, |(next, _)| *next);
        for column in scale.range(*from, to) {
            if let Some(most) = most.get_mut(column) {
                *most = (*most).max(*number);
            }
        }
    }
    most
}

/// As heights; more than is allowed is marked by its colour too.
pub(super) fn heights(
    points: &[(Millis, u32)],
    until: Millis,
    scale: &Scale,
    glyphs: Glyphs,
    allowed: Option<u32>,
) -> Vec<Cell> {
    let numbers = largest(points, until, scale);
    let top = numbers.iter().copied().max().unwrap_or(0).max(allowed.unwrap_or(0));
    let mut cells = scale.row(glyphs);
    for (cell, number) in cells.iter_mut().zip(numbers) {
        if number > 0 {
            let ink = if allowed.is_some_and(|allowed| number > allowed) { Ink::Warn } else { Ink::Plain };
            *cell = Cell::new(glyphs.height(number, top), ink);
        }
    }
    cells
}

/// How many of these times are under way, from each moment on.
pub(super) fn under_way(times: impl Iterator<Item = (Millis, Millis)>) -> Vec<(Millis, u32)> {
    let mut changes: Vec<(Millis, i64)> =
        times.flat_map(|(from, to)| [(from, 1), (to.max(from.saturating_add(1)), -1)]).collect();
    changes.sort_unstable();
    let mut points: Vec<(Millis, u32)> = Vec::new();
    let mut now = 0_i64;
    for (at, by) in changes {
        now += by;
        let number = u32::try_from(now).unwrap_or(0);
        match points.last_mut() {
            Some((last, of)) if *last == at => *of = number,
            _ => points.push((at, number)),
        }
    }
    points
}
