//! The one quoting function for shell text, and the one that makes foreign bytes fit for a terminal.
//!
//! Nothing else in the program puts a value into shell text. It must not know what the text is for.

use std::fmt::Write;

/// One word for any POSIX shell: `quote("it's")` is `'it'\''s'`.
///
/// The value must not contain NUL, which no shell word can hold; such bytes are left out.
pub fn quote(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:,@%+-".contains(&byte);
    // A leading `-` or `~` never reaches this branch as something special: `~` is not plain, and an
    // option is an option with or without quotes.
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    let mut word = String::with_capacity(value.len() + 2);
    word.push('\'');
    for c in value.chars() {
        match c {
            '\'' => word.push_str("'\\''"),
            '\0' => {}
            c => word.push(c),
        }
    }
    word.push('\'');
    word
}

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
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn through_a_shell(value: &str) -> String {
        let script = format!("printf %s {}", quote(value));
        let out = Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert!(out.status.success());
        String::from_utf8(out.stdout).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_real_shell_gives_back_what_was_quoted(value in "[^\0]{0,40}") {
            prop_assert_eq!(through_a_shell(&value), value);
        }

        #[test]
        fn shell_text_stays_text(value in "[$`'\"\\\\(){};&|<>*?~!# \n\t\ra-c-]{0,40}") {
            prop_assert_eq!(through_a_shell(&value), value);
        }

        #[test]
        fn nothing_invisible_is_shown(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let shown = visible(&bytes);
            prop_assert!(shown.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        }
    }

    #[test]
    fn quotes_only_where_needed() {
        assert_eq!(quote("/opt/worker-1/a.b"), "/opt/worker-1/a.b");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("it's"), "'it'\\''s'");
    }

    #[test]
    fn escapes_are_shown() {
        assert_eq!(visible(b"a\x1b[31mred\r\n\x07"), "a\\x1b[31mred\\r\n\\x07");
        assert_eq!(visible("a\u{202e}b\u{85}".as_bytes()), "a\\u{202e}b\\u{85}");
        assert_eq!(visible(b"\xff"), "\u{fffd}");
    }
}
