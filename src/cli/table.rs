//! Tables as text: columns as wide as what is in them on a screen, nothing cut off.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

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

/// A cell that says that there is nothing.
pub(super) fn or_dash(text: impl Into<String>) -> String {
    let text = text.into();
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns() {
        let mut table = Table::new(&["NAME", "N"]);
        table.row(vec!["日本".into(), "1".into()]);
        table.row(vec!["a\u{1b}[2J".into(), "2".into()]);
        table.row(vec!["é".into(), or_dash("")]);
        assert_eq!(table.render(), "NAME      N\n日本      1\na\\x1b[2J  2\né         -\n");
    }
}
