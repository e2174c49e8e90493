//! What fuzzers call of this room.

use unicode_width::UnicodeWidthStr;

use super::row::{Row, Style, cut, padded};
use super::wrapped;
use crate::fuzzing::{choice, is_fit_to_print};
use crate::plan::visible_line;

/// Text in a terminal of some width: nothing is lost where it is broken, and nothing is wider than it may be.
pub(crate) fn text(bytes: &[u8]) {
    let (columns, bytes) = choice(bytes, 130);
    let columns = usize::from(columns);
    let text = String::from_utf8_lossy(bytes);
    let whole = wrapped(&text, columns);
    let words = |text: &str| text.split(|c: char| c.is_ascii_whitespace()).collect::<String>();
    assert_eq!(words(&whole), words(&text), "in {columns} columns");
    assert!(whole.matches('\n').count() >= text.matches('\n').count());
    let line = visible_line(&text);
    let short = cut(&line, columns);
    assert!(short.width() <= columns.max(line.width().min(columns)), "{short:?} is wider than {columns}");
    assert!(padded(&line, columns).width() >= columns.saturating_sub(1), "narrower than {columns}");
    let row = Row::new(&text, Style::Plain);
    is_fit_to_print(&row.text);
    for row in row.wrapped(columns.max(1)) {
        assert!(!row.text.contains('\n'));
    }
}
