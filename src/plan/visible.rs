//! Foreign text made fit for a terminal: the one place that knows what may not be printed as it is.
//!
//! What workers, files and operators of other terminals have said is made visible where it enters (outcomes of
//! attempts, [`crate::plan::Problem`]s) and once more where it leaves for a terminal ([`on_screen`]).

use std::borrow::Cow;
use std::fmt::Write;

/// Neither seen nor harmless: control characters, what reorders text, and what takes no room and so makes text look
/// like other text (zero-width, joiners, tags, fillers). Combining marks and the joiner inside of emoji are the price.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Writes a character as an escape of Rust and of many other languages.
fn escape(c: char, shown: &mut String) {
    let _ = match u32::from(c) {
        0x0d => write!(shown, "\\r"),
        code @ 0..=0x7f => write!(shown, "\\x{code:02x}"),
        code => write!(shown, "\\u{{{code:x}}}"),
    };
}

/// Text that is safe on a terminal: deceptive characters (but for newline and tab) are shown as escapes, invalid UTF-8
/// as U+FFFD.
pub fn visible(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if is_deceptive(c) => escape(c, &mut shown),
            c => shown.push(c),
        }
    }
    shown
}

/// As [`visible`], on one line: newlines and tabs are blanks.
pub fn visible_line(text: &str) -> String {
    visible(text.as_bytes()).replace(['\n', '\t'], " ")
}

/// As [`visible`], at most `most` bytes of it, and how many there are more.
pub fn visible_within(text: &str, most: usize) -> String {
    if text.len() <= most {
        return visible(text.as_bytes());
    }
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{} [{} more bytes]", visible(&text.as_bytes()[..end]), text.len() - end)
}

/// Text of the same length in bytes that is safe on a terminal: a source whose places are known by their offsets.
pub(super) fn masked_in_place(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| is_deceptive(c) && !matches!(c, '\n' | '\t' | '\r');
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    // One each of one to four bytes.
    let same_length = |c: char| match c.len_utf8() {
        1 => '?',
        2 => '\u{bf}',
        3 => '\u{fffd}',
        _ => '\u{1f7e5}',
    };
    Cow::Owned(text.chars().map(|c| if harmful(c) { same_length(c) } else { c }).collect())
}

/// The last guard before a terminal: as [`visible`], but for colours (`ESC [ numbers m`), which are ours.
pub fn on_screen(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| is_deceptive(c) && !matches!(c, '\n' | '\t')) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\x1b' => color_length(rest),
            _ => 0,
        };
        if length > 0 {
            shown.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        match c {
            '\n' | '\t' => shown.push(c),
            c if is_deceptive(c) => escape(c, &mut shown),
            c => shown.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(shown)
}

/// The length of a colour at the beginning of `text`; 0: there is none, or it hides text (8), or moves it (51 and up).
fn color_length(text: &str) -> usize {
    let Some(numbers) = text.strip_prefix("\x1b[") else { return 0 };
    let Some(end) = numbers.find('m').filter(|end| *end <= 20) else { return 0 };
    let plain = numbers[..end].split(';').all(|number| {
        // Rust's own parser would take a sign, and a terminal does not.
        number.bytes().all(|byte| byte.is_ascii_digit())
            && (number.is_empty()
                || number
                    .parse::<u8>()
                    .is_ok_and(|n| matches!(n, 0..=4 | 7 | 9 | 21..=27 | 29..=49 | 90..=107)))
    });
    if plain { "\x1b[".len() + end + 1 } else { 0 }
}

/// JSON text in which every deceptive character is escaped as JSON escapes it: it stands in strings only.
pub fn json_on_screen(json: &str) -> Cow<'_, str> {
    let harmful = |c: char| is_deceptive(c) && !matches!(c, '\n' | '\t' | '\r');
    if !json.contains(harmful) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if harmful(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(shown, "\\u{unit:04x}");
            });
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_safe(text: &str) -> bool {
        text.chars().all(|c| c == '\n' || c == '\t' || !is_deceptive(c))
    }

    proptest! {
        #[test]
        fn nothing_deceptive_is_shown(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "\\PC*|\\p{C}*") {
            prop_assert!(is_safe(&visible(&bytes)) && is_safe(&visible(text.as_bytes())));
            prop_assert!(is_safe(&visible_within(&text, 9)) && is_safe(&visible_line(&text)));
            let places = masked_in_place(&text);
            prop_assert_eq!(places.len(), text.len());
            prop_assert!(is_safe(&places.replace('\r', "")));
            let json = serde_json::to_string(&text).unwrap();
            let shown = json_on_screen(&json).into_owned();
            prop_assert!(is_safe(&shown));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }

        #[test]
        fn only_colours_pass_the_last_guard(text in "(\\x1b|\\[|\\]|[0-9;mHJ]|\\x07|a|\u{9b}|\u{202e})*") {
            let mut rest = on_screen(&text).into_owned();
            while let Some(at) = rest.find('\x1b') {
                let length = color_length(&rest[at..]);
                prop_assert!(length > 0, "{rest:?}");
                rest.replace_range(at..at + length, "");
            }
            prop_assert!(is_safe(&rest), "{rest:?}");
        }
    }

    #[test]
    fn escapes_are_shown() {
        assert_eq!(visible(b"a\x1b[31mred\r\n\x07"), "a\\x1b[31mred\\r\n\\x07");
        assert_eq!(visible("a\u{202e}b\u{85}".as_bytes()), "a\\u{202e}b\\u{85}");
        assert_eq!(visible(b"\xff"), "\u{fffd}");
        assert_eq!(visible_within("aé\u{1b}b", 2), "a [4 more bytes]");
    }

    #[test]
    fn titles_and_cursor_moves_do_not_pass_the_last_guard_and_colours_do() {
        assert_eq!(on_screen("\x1b[1;31mred\x1b[0m"), "\x1b[1;31mred\x1b[0m");
        for hostile in [
            "\x1b]0;title\x07",
            "\x1b[2J",
            "\x1b[8mhidden",
            "\u{9b}31m",
            "\x1bc",
            "\x1b[",
            "\x1b[+1m",
            "\x1b[1;+4m",
        ] {
            assert!(is_safe(&on_screen(hostile)), "{hostile:?}");
        }
    }
}
