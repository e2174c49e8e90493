//! One line of a picture, in parts of one colour each.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::plan::visible_line;
use crate::timeline::Activity;

/// What a colour stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ink {
    /// No colour.
    #[default]
    Plain,
    /// Faint: helps the eye, says nothing new.
    Dim,
    /// It went well.
    Good,
    /// Look at it.
    Warn,
    /// It did not go well.
    Bad,
    /// What a worker is doing.
    Of(Activity),
}

impl Ink {
    /// Numbers of "select graphic rendition" that are readable on a dark and on a light ground.
    fn code(self) -> Option<&'static str> {
        Some(match self {
            Self::Plain | Self::Of(Activity::Drain) => return None,
            Self::Dim | Self::Of(Activity::Idle) => "2",
            Self::Good | Self::Of(Activity::Health) => "32",
            Self::Warn | Self::Of(Activity::Command) => "33",
            Self::Bad => "1;31",
            Self::Of(Activity::Deploy) => "34",
            Self::Of(Activity::Reboot) => "35",
            Self::Of(Activity::Return) => "36",
            Self::Of(Activity::Approval) => "1;33",
            Self::Of(Activity::Undo) => "1;35",
        })
    }
}

/// One sign of a picture, one column wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) glyph: char,
    pub(super) ink: Ink,
}

impl Cell {
    pub(super) const EMPTY: Self = Self { glyph: ' ', ink: Ink::Plain };

    pub(super) fn new(glyph: char, ink: Ink) -> Self {
        Self { glyph, ink }
    }
}

/// One line; no character in it has a meaning to a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    parts: Vec<(String, Ink)>,
}

impl Line {
    pub(super) fn of(text: &str, ink: Ink) -> Self {
        Self::default().with(text, ink)
    }

    /// The same with a text behind it.
    #[must_use]
    pub(super) fn with(mut self, text: &str, ink: Ink) -> Self {
        if !text.is_empty() {
            self.parts.push((visible_line(text), ink));
        }
        self
    }

    /// The same with signs behind it, without the empty ones at the end.
    #[must_use]
    pub(super) fn with_cells(mut self, cells: &[Cell]) -> Self {
        let used = cells.iter().rposition(|cell| *cell != Cell::EMPTY).map_or(0, |last| last + 1);
        for cell in &cells[..used] {
            match self.parts.last_mut() {
                Some((text, ink)) if *ink == cell.ink => text.push(cell.glyph),
                _ => self.parts.push((cell.glyph.to_string(), cell.ink)),
            }
        }
        self
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.parts.iter().map(|(text, _)| text.width()).sum()
    }

    /// Without colours.
    pub fn text(&self) -> String {
        self.parts.iter().map(|(text, _)| text.as_str()).collect::<String>().trim_end().to_owned()
    }

    /// With colours, or without.
    pub fn painted(&self, color: bool) -> String {
        if !color {
            return self.text();
        }
        let paint = |(text, ink): &(String, Ink)| match ink.code() {
            Some(code) if !text.trim().is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.clone(),
        };
        self.parts.iter().map(paint).collect()
    }

    /// At most `width` columns of it, with a sign where something was cut.
    #[must_use]
    pub(super) fn cut(self, width: usize, ellipsis: char) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut room = width.saturating_sub(1);
        let mut kept = Self::default();
        for (text, ink) in self.parts {
            let mut part = String::new();
            let mut is_full = false;
            for c in text.chars() {
                let columns = c.width().unwrap_or(0);
                if columns > room {
                    is_full = true;
                    break;
                }
                room -= columns;
                part.push(c);
            }
            if is_full {
                part.extend((width > 0).then_some(ellipsis));
                kept.parts.push((part, ink));
                break;
            }
            kept.parts.push((part, ink));
        }
        kept
    }
}

/// A name in exactly so many columns: of one that is longer the end, which is what tells names apart.
pub(super) fn in_columns(name: &str, width: usize, ellipsis: char) -> String {
    let name = visible_line(name);
    let mut used = name.width();
    let mut kept = name.as_str();
    if used > width {
        let mut chars = name.chars();
        while used + 1 > width {
            let Some(c) = chars.next() else { break };
            used -= c.width().unwrap_or(0);
        }
        kept = chars.as_str();
        let short = if width == 0 { String::new() } else { format!("{ellipsis}{kept}") };
        return format!("{short}{}", " ".repeat(width.saturating_sub(used + 1)));
    }
    format!("{kept}{}", " ".repeat(width - used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_ends_and_wide_characters_count_double() {
        assert_eq!(in_columns("rack-7-worker-12", 9, '…'), "…orker-12");
        assert_eq!(in_columns("w1", 4, '…'), "w1  ");
        assert_eq!(in_columns("日本語", 4, '…'), "…語 ");
        assert_eq!(in_columns("abc", 0, '…'), "");
        assert_eq!(in_columns("\x1b[2J", 7, '~'), "\\x1b[2J");
    }

    #[test]
    fn a_line_is_cut_between_characters_and_keeps_its_colours() {
        let line = Line::of("w1 ", Ink::Bad).with("日本語", Ink::Good);
        assert_eq!(line.width(), 9);
        assert_eq!(line.clone().cut(9, '…'), line);
        assert_eq!(line.clone().cut(7, '…').text(), "w1 日…");
        assert_eq!(line.cut(6, '~').painted(true), "\x1b[1;31mw1 \x1b[0m\x1b[32m日~\x1b[0m");
        assert_eq!(Line::of("abc", Ink::Plain).cut(0, '…').width(), 0);
    }
}
