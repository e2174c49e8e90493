//! Foreign bytes made fit for a terminal.

use std::fmt::Write;

/// Text that is safe on a terminal: control characters (but for newline and tab) and the invisible
/// characters that reorder text are shown as escapes, invalid UTF-8 as U+FFFD.
pub fn visible(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' => shown.push_str("\\r"),
            // Bidirectional overrides and isolates, zero-width and separators: they make text look like
            // other text.
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = match u32::from(c) {
                    code @ 0..=0x7f => write!(shown, "\\x{code:02x}"),
                    code => write!(shown, "\\u{{{code:x}}}"),
                };
            }
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_invisible_is_shown(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let shown = visible(&bytes);
            prop_assert!(shown.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        }
    }

    #[test]
    fn escapes_are_shown() {
        assert_eq!(visible(b"a\x1b[31mred\r\n\x07"), "a\\x1b[31mred\\r\n\\x07");
        assert_eq!(visible("a\u{202e}b\u{85}".as_bytes()), "a\\u{202e}b\\u{85}");
        assert_eq!(visible(b"\xff"), "\u{fffd}");
    }
}
