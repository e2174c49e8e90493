//! Tables as text: columns as wide as what is in them on a screen, nothing cut off.

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::plan::visible_line;

/// Rows under a heading.
pub(super) struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heading: &[&str]) -> Self {
        Self { heading: heading.iter().map(|text| (*text).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row with as many cells as the heading has. Control characters are made visible.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.heading.len());
        self.rows.push(cells.into_iter().map(|cell| visible_line(&cell)).collect());
    }

    /// The text, with a line feed at the end of each line and no space before it.
    pub(super) fn render(&self) -> String {
        let all = || std::iter::once(&self.heading).chain(&self.rows);
        let mut widths = vec![0; self.heading.len()];
        for row in all() {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let mut text = String::new();
        for row in all() {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                // Padding by hand: `{:width$}` counts characters, not columns of the screen.
                let _ = write!(line, "{cell}{}  ", " ".repeat(width - cell.width()));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Rows of cells under one another, those of a column that `right` names at its right end; two blanks between columns, and
/// none at the end of a line. Cells are as they are to be shown.
pub(super) fn padded(rows: Vec<Vec<String>>, right: &[bool]) -> String {
    let mut widths = vec![0; right.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(&widths).zip(right) {
            let pad = " ".repeat(width - cell.width());
            let _ = match right {
                true => write!(line, "{pad}{cell}  "),
                false => write!(line, "{cell}{pad}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A text of at most so many columns; one that is longer ends with dots.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let dots = if columns < 4 { "" } else { "..." };
    let room = columns - dots.len();
    let mut taken = 0;
    let kept: String = text
        .chars()
        .take_while(|c| {
            taken += c.width().unwrap_or(0);
            taken <= room
        })
        .collect();
    kept + dots
}

/// The longest that a name of others is shown: names of plans are no longer, and those of hosts seldom.
const LONGEST_NAME: usize = 64;

/// A name that somebody else may have written, in one line and no longer than a name is.
pub(super) fn name(text: &str) -> String {
    let beginning: String = text.chars().take(LONGEST_NAME + 1).collect();
    cut(&visible_line(&beginning), LONGEST_NAME)
}

/// A cell that says that there is nothing.
pub(super) fn or_dash(text: impl Into<String>) -> String {
    let text = text.into();
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_by_columns() {
        for (columns, expected) in
            [(9, "日本 reb"), (8, "日本 reb"), (7, "日本..."), (6, "日..."), (2, "日"), (0, "")]
        {
            assert_eq!(cut("日本 reb", columns), expected, "{columns}");
        }
        let rows = vec![vec!["A".to_owned(), "N".to_owned()], vec!["日本".to_owned(), "10".to_owned()]];
        assert_eq!(padded(rows, &[false, true]), "A      N\n日本  10\n");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let mut table = Table::new(&["NAME", "N"]);
        table.row(vec!["日本".into(), "1".into()]);
        table.row(vec!["a\u{1b}[2J".into(), "2".into()]);
        table.row(vec!["é".into(), or_dash("")]);
        assert_eq!(table.render(), "NAME      N\n日本      1\na\\x1b[2J  2\né         -\n");
    }
}
