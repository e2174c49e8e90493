//! What the signs of a picture mean: of those that it has.

use unicode_width::UnicodeWidthStr;

use super::glyphs::Glyphs;
use super::lanes::seen;
use super::line::{Ink, Line};
use super::run::RunChart;
use crate::timeline::Activity;

/// A sign and its meaning.
struct Entry {
    glyph: char,
    ink: Ink,
    what: &'static str,
}

/// Lines of `width` columns with as many entries as fit in each.
pub(super) fn legend(chart: &RunChart<'_>, width: usize, glyphs: Glyphs) -> Vec<Line> {
    let seen = seen(chart.timeline.lanes.iter(), chart.graph);
    let of_activity = |activity: &Activity| Entry {
        glyph: glyphs.activity(*activity),
        ink: Ink::Of(*activity),
        what: activity.describe(),
    };
    let mut entries: Vec<Entry> = seen.activities.iter().map(of_activity).collect();
    if seen.has_open {
        entries.push(Entry { glyph: glyphs.open(), ink: Ink::Plain, what: "under way" });
    }
    if seen.has_bad {
        entries.push(Entry { glyph: glyphs.bad(), ink: Ink::Bad, what: "did not end well" });
    }
    let mut lines: Vec<Line> = Vec::new();
    for entry in entries {
        let text = format!(" {}", entry.what);
        let wide = 1 + text.width();
        let last = lines.pop().unwrap_or_default();
        let line = match last.width() {
            0 => last,
            used if used + 3 + wide <= width => last.with("   ", Ink::Plain),
            _ => {
                lines.push(last);
                Line::default()
            }
        };
        lines.push(line.with(&entry.glyph.to_string(), entry.ink).with(&text, Ink::Plain));
    }
    lines
}
