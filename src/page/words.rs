//! Foreign text on a page: visible, on one line, and no longer than there is room.

use crate::engine::Millis;
use crate::plan::visible_line;
use crate::report::Time;
use crate::timeline::Timeline;

/// Of an error or a note so many characters are shown.
pub(super) const MESSAGE: usize = 600;
/// Of a note beside a bar.
pub(super) const NOTE: usize = 160;
/// Of a name that stands in running text.
pub(super) const NAME: usize = 255;

/// Text of others, with at most `most` characters.
pub(super) fn said(text: &str, most: usize) -> String {
    let end = text.char_indices().nth(most).map(|(end, _)| end);
    let shown = visible_line(&text[..end.unwrap_or(text.len())]);
    let cut = end.is_some() || shown.chars().nth(most).is_some();
    if cut { shown.chars().take(most).chain(['…']).collect() } else { shown }
}

/// A host, a step or another name in running text.
pub(super) fn name(text: &str) -> String {
    said(text, NAME)
}

/// As much of a name as has room in a column of about `room` characters: its beginning and its end, which tell it
/// from others.
pub(super) fn shortened(text: &str, room: usize) -> String {
    // Of a longer text neither end is looked for beyond this.
    let shown = said(text, 4 * room);
    let count = shown.chars().count();
    if count <= room {
        return shown;
    }
    let head = room / 2;
    let tail = room - head - 1;
    shown.chars().take(head).chain(['…']).chain(shown.chars().skip(count - tail)).collect()
}

/// Times of a run: the time of day, with the day where the run has seen more than one.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    with_day: bool,
}

impl Clock {
    pub(super) fn of(timeline: &Timeline) -> Self {
        let day = |at: Millis| at.div_euclid(86_400_000);
        Self { with_day: day(timeline.began) != day(timeline.until) }
    }

    /// `08:25:43`, or `11-30 08:25:43`.
    pub(super) fn at(self, at: Millis) -> String {
        let text = Time(at).to_second();
        match (text.get(5..10), text.get(11..19)) {
            (Some(day), Some(time)) if self.with_day => format!("{day} {time}"),
            (_, Some(time)) => time.to_owned(),
            _ => text,
        }
    }
}

/// A moment in full, for reading: `2026-11-30 08:25:43 UTC`.
pub(super) fn moment(at: Millis) -> String {
    let text = Time(at).to_second();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}
