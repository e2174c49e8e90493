//! One line on a terminal, and in which colour.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::wrapped;
use crate::plan::visible_line;

/// What a colour stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// No colour.
    #[default]
    Plain,
    /// Green: it went well.
    Good,
    /// Yellow: look at it.
    Warn,
    /// Red: it failed.
    Bad,
    /// Faint: it may be of interest.
    Dim,
}

/// One line; no character in it has a meaning to a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) style: Style,
    /// The same with colours of its own.
    painted: Option<String>,
}

impl Row {
    pub(super) fn new(text: &str, style: Style) -> Self {
        Self { text: visible_line(text), style, painted: None }
    }

    #[cfg(test)]
    pub(super) fn plain(text: String) -> Self {
        Self { text, style: Style::Plain, painted: None }
    }

    /// A part of a picture, which has its own colours: visible text, and the same painted.
    pub(super) fn of_picture(text: String, painted: String) -> Self {
        Self { text, style: Style::Plain, painted: Some(painted) }
    }

    /// At most `width` columns of it, with an ellipsis where something was cut.
    #[must_use]
    pub(super) fn cut(self, width: usize) -> Self {
        let text = cut(&self.text, width);
        let painted = self.painted.filter(|_| text == self.text);
        Self { text, painted, ..self }
    }

    /// The same in lines of `width` columns; a word that is longer stays whole.
    pub(super) fn wrapped(self, width: usize) -> Vec<Self> {
        let lines = wrapped(&self.text, width);
        lines.lines().map(|line| Self { text: line.to_owned(), style: self.style, painted: None }).collect()
    }

    pub(super) fn painted(&self, color: bool) -> String {
        if let (true, Some(painted)) = (color, &self.painted) {
            return painted.clone();
        }
        let code = match self.style {
            Style::Plain => return self.text.clone(),
            _ if !color => return self.text.clone(),
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "31",
            Style::Dim => "2",
        };
        format!("\x1b[{code}m{}\x1b[0m", self.text)
    }
}

/// Cut to `width` columns, with an ellipsis where something was cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns + 1 > width {
            break;
        }
        used += columns;
        kept.push(c);
    }
    if width > 0 {
        kept.push('…');
    }
    kept
}

/// Cut or filled up to `width` columns.
pub(super) fn padded(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let pad = width.saturating_sub(text.width());
    text + &" ".repeat(pad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_count_double() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(padded("日本", 6), "日本  ");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn what_stays_is_wrapped_and_not_cut() {
        let row = Row::new("w1  FAILED: it has not come back within 5m", Style::Bad);
        let lines = row.wrapped(24);
        let texts: Vec<_> = lines.iter().map(|row| row.text.as_str()).collect();
        assert_eq!(texts, ["w1  FAILED: it has not", "  come back within 5m"]);
        assert!(lines.iter().all(|row| row.style == Style::Bad));
    }

    #[test]
    fn what_others_have_said_is_text_and_colours_are_ours() {
        let row = Row::new("w1  \x1b[2Jboo\nm", Style::Bad);
        assert_eq!(row.text, "w1  \\x1b[2Jboo m");
        assert_eq!(row.painted(true), "\x1b[31mw1  \\x1b[2Jboo m\x1b[0m");
        assert_eq!(row.painted(false), row.text);
    }
}
