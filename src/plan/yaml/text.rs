//! From bytes to text that is safe to parse and to show: size, encoding, control characters.

use super::super::{Problem, Source, code};

/// A plan has at most this many bytes: thousands of times what is written by hand, and little enough that the
/// worst text is refused at once.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Makes a source of what a file holds, when it is text of a size that a plan may have.
///
/// The caller need not read more than [`MAX_BYTES`] + 1 bytes.
///
/// # Errors
/// One problem when it is larger, or not UTF-8, with the place of the first bad byte.
pub fn source_from_bytes(name: &str, bytes: &[u8]) -> Result<Source, Problem> {
    if bytes.len() > MAX_BYTES {
        return Err(too_large(name));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(name, text)),
        Err(error) => {
            let at = error.valid_up_to();
            let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
            // The text before the bad byte is unchanged by this, so its place stays right.
            let shown = harmless(&String::from_utf8_lossy(bytes));
            let source = Source::new(name, shown);
            let byte = bytes.get(at).copied().unwrap_or_default();
            Err(Problem::error(code::NOT_UTF8, "the plan is not UTF-8 text")
                .at(&source, at..at + 1, format!("the byte 0x{byte:02x} is not UTF-8"))
                .help(if utf16 {
                    "the file is UTF-16; save it as UTF-8"
                } else {
                    "save the file as UTF-8; if it is not a plan, check the path"
                }))
        }
    }
}

/// The problem of a text that is too large.
pub(super) fn too_large(name: &str) -> Problem {
    let message = format!("the plan {name} is larger than {MAX_BYTES} bytes (1 MiB)");
    Problem::error(code::TOO_LARGE, message).in_file(&Source::new(name, "")).help(
        "check the path; a plan holds a few steps, and long scripts go into files of their own \
             (`run: {script: file}`)",
    )
}

/// Looks for what YAML does not allow in a text at all.
pub(super) fn check(source: &Source) -> Result<(), Problem> {
    if source.text().len() > MAX_BYTES {
        return Err(too_large(source.name()));
    }
    let Some((at, found)) = source.text().char_indices().find(|(_, c)| forbidden(*c)) else {
        return Ok(());
    };
    let shown = Source::new(source.name(), harmless(source.text()));
    Err(Problem::error(code::CONTROL_CHARACTER, "the plan has a control character in it")
        .at(&shown, at..at + found.len_utf8(), format!("the character U+{:04X}", found as u32))
        .help("remove it; in a text within double quotes it can be written as an escape, such as \"\\e\""))
}

/// What is outside of the printable set of YAML 1.2 (https://yaml.org/spec/1.2.2/#51-character-set).
fn forbidden(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => true,
        _ => false,
    }
}

/// The same bytes with everything that could confuse a terminal replaced, each character by one of
/// the same length: places stay right.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match (forbidden(c), c.len_utf8()) {
            (false, _) => c,
            (true, 1) => '?',
            (true, 2) => '¿',
            (true, _) => '\u{fffd}',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_bytes_have_a_place() {
        let problem = source_from_bytes("p", b"name: \xc3\xbc\nx: \xff\xfe\n").unwrap_err();
        assert_eq!(problem.code, code::NOT_UTF8);
        assert_eq!(problem.place(), Some(("p", 2, 4)));
    }

    #[test]
    fn replaced_characters_keep_all_places() {
        let text = "a\0b\u{7f}ü\u{9b}z";
        assert_eq!(harmless(text).len(), text.len());
        assert_eq!(harmless(text), "a?b?ü¿z");
    }

    #[test]
    fn the_size_has_a_limit() {
        assert!(source_from_bytes("p", &vec![b' '; MAX_BYTES]).is_ok());
        let problem = source_from_bytes("p", &vec![b' '; MAX_BYTES + 1]).unwrap_err();
        assert_eq!(problem.code, code::TOO_LARGE);
    }
}
