//! Syntax errors of the YAML parser in words that say what to do.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::super::{Problem, Source, code};

/// The problem that `error` is, at its place.
pub(super) fn problem(source: &Source, error: &ScanError) -> Problem {
    let text = source.text();
    let mut at = error.marker().byte_offset().unwrap_or_default().min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let rest = &text[at..];
    let mut length = rest.chars().next().map_or(0, char::len_utf8);
    if rest.starts_with(['\n', '\r']) || rest.is_empty() {
        // Nothing to underline at the end of a line: take the last character before it.
        let before = text[..at].trim_end();
        length = before.chars().next_back().map_or(0, char::len_utf8);
        at = before.len() - length;
    }
    let (mut message, mut label, mut help) = describe(error.kind(), rest);
    if matches!(error.kind(), ErrorKind::MappingValueNotAllowed) && deeper_than_a_value(text, at) {
        message = "this line is indented deeper than the one above, which has its value already".to_owned();
        label = "a key cannot be here";
        help = INDENT.to_owned();
    }
    if let (ErrorKind::MappingValueNotAllowed, Some(kind)) = (error.kind(), bare_step_above(text, at)) {
        help = format!("a step that has keys of its own needs a colon: write `- {kind}:` in the line above");
    }
    Problem::error(code::SYNTAX, message).at(source, at..at + length, label).help(help)
}

/// The word of a `- word` in the line above: most likely a step whose colon is missing.
fn bare_step_above(text: &str, at: usize) -> Option<&str> {
    let line_start = text.get(..at)?.rfind('\n')?;
    let above = text[..line_start].lines().next_back()?;
    let word = above.split(" #").next()?.trim().strip_prefix("- ")?.trim();
    let is_word = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    (is_word && !word.is_empty()).then_some(word)
}

/// Whether the line of `at` is indented deeper than a complete `key: value` above it.
fn deeper_than_a_value(text: &str, at: usize) -> bool {
    let lines = || {
        let line_start = text.get(..at)?.rfind('\n')?;
        Some((text[..line_start].lines().next_back()?, &text[line_start + 1..at]))
    };
    let Some((above, line)) = lines() else { return false };
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let first = !line.trim().is_empty() && !line.trim().contains([' ', ':']);
    first && above.contains(": ") && indent(line) > indent(above)
}

const COLON: &str = "a text with `: ` or ` #` in it needs quotes: \"like: this\"";
const INDENT: &str = "indent with spaces, and all keys of one map by the same number of them";
const GENERAL: &str = "check the indentation and the quotes of this line and the one before";

/// Message, label and help.
fn describe(kind: &ErrorKind, rest: &str) -> (String, &'static str, String) {
    let (message, label, help) = match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => (
            "a tab where YAML wants spaces",
            "here",
            "indent with spaces; tabs may stand inside of quotes only",
        ),
        ErrorKind::MappingValueNotAllowed
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::InvalidMappingValueWhitespace => {
            ("a second `:` where one value is expected", "this `:` begins another value", COLON)
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => (
            "a key without its `:`",
            "this line is read as a key",
            "write `key: value` with a space after the colon, or check the indentation of this line",
        ),
        ErrorKind::MissingAnchorOrAliasName | ErrorKind::UnknownAnchor if rest.starts_with('*') => {
            ("a `*` without quotes begins an alias", "here", "put it in quotes: \"*\"")
        }
        ErrorKind::MissingAnchorOrAliasName => {
            ("a `*` or `&` without quotes begins an alias or anchor", "here", "put it in quotes: \"*\"")
        }
        ErrorKind::UnknownAnchor => (
            "an alias of an anchor that is not there",
            "here",
            "a plan has no aliases; a text with `*` needs quotes",
        ),
        ErrorKind::UnexpectedCharacter { character } => {
            let message = format!("a value cannot begin with `{}`", character.escape_default());
            return (message, "here", "put the value in quotes".to_owned());
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            ("a quoted text is never closed", "this quote has no end", "close the text with the same quote")
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofImplicitFlowMapping => {
            ("a bracket is never closed", "open here", "close it with `]` or `}`")
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            let message = format!("a `{open}` is closed by `{close}`");
            return (message, "here", "close each bracket with its own kind".to_owned());
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            ("a closing bracket without an opening one", "here", "remove it, or open it before")
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => (
            "a comma or a closing bracket is missing",
            "before this",
            "close the bracket that is still open, or separate the entries with `,`",
        ),
        ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::InvalidFlowScalarIndent
        | ErrorKind::InvalidBlockScalarIndent => {
            ("the indentation does not fit the lines before", "here", INDENT)
        }
        ErrorKind::BlockSequenceEntryNotAllowed | ErrorKind::BlockEntryInFlowCollection => (
            "a list entry where none can stand",
            "this `-` begins a list entry",
            "put the list below its key, or put a text that begins with `- ` in quotes",
        ),
        ErrorKind::UnknownQuotedScalarEscape => (
            "an unknown escape in a text within double quotes",
            "here",
            "write `\\\\` for a backslash, or use single quotes, in which nothing is escaped",
        ),
        ErrorKind::InvalidTrailingDoubleQuotedScalar | ErrorKind::InvalidTrailingSingleQuotedScalar => (
            "text after a closing quote",
            "here",
            "put the whole value in quotes; inside of double quotes write `\\\"`, inside of single ones `''`",
        ),
        ErrorKind::CommentNotSeparated => {
            ("a comment without a space before it", "here", "put a space before `#`")
        }
        other => return (format!("this is not YAML: {other}"), "here", GENERAL.to_owned()),
    };
    (message.to_owned(), label, help.to_owned())
}
