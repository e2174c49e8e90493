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
    if let Some(line) = Line::around(text, at).filter(|_| {
        matches!(
            error.kind(),
            ErrorKind::MappingValueNotAllowed
                | ErrorKind::InvalidColonPlacement
                | ErrorKind::InvalidMappingValueWhitespace
        ) && message.starts_with(SECOND_COLON)
            || matches!(error.kind(), ErrorKind::ExpectedFlowMappingSeparator) && rest.starts_with(": ")
    }) {
        message = SECOND_COLON.to_owned();
        label = "this `:` begins another value";
        help = line.quoted();
    }
    if let ErrorKind::UnclosedFlowCollection { .. } = error.kind()
        && let Some(line) = Line::around(text, line_end(text, at)).filter(|line| line.value.contains(" #"))
    {
        help = format!("` #` begins a comment, which hides the bracket: {}", line.quoted());
    }
    if let (ErrorKind::MappingValueNotAllowed, Some(kind)) = (error.kind(), bare_step_above(text, at)) {
        help = format!("a step that has keys of its own needs a colon: write `- {kind}:` in the line above");
    }
    Problem::error(code::SYNTAX, message).at(source, at..at + length, label).help(help)
}

fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |end| at + end)
}

/// A line of a plan whose value has something in it that YAML takes for its own.
struct Line<'a> {
    key: &'a str,
    /// To the end of the line, or of its bracket.
    value: &'a str,
}

impl<'a> Line<'a> {
    /// The last `key: value` before `at`, in its line; `None`: there is none.
    fn around(text: &'a str, at: usize) -> Option<Self> {
        let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[start..line_end(text, at)].trim_end();
        let before = &line[..(at - start).min(line.len())];
        // Within brackets, as in `run: {command: echo a: b}`, the key behind the last of them.
        let bracket = before.rfind(['{', '[']).map(|at| at + 1);
        let from = bracket.unwrap_or(0);
        let inner = line[from..].trim_start_matches([' ', '-']);
        let (key, value) = inner.split_once(": ")?;
        let value = match bracket {
            Some(_) => value.split([',', '}']).next().unwrap_or_default(),
            None => value,
        };
        let is_key = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let fine =
            !key.is_empty() && key.chars().all(is_key) && !value.trim().starts_with(['"', '\'', '|', '>']);
        fine.then_some(Self { key, value: value.trim() })
    }

    /// The help: how it is written so that all of it is the value.
    fn quoted(&self) -> String {
        let value = in_quotes(self.value);
        match self.key {
            // Most likely what is to be executed: options are inside of the kind.
            "run" | "local" => format!("put the text in quotes: `{}: {{command: {value}}}`", self.key),
            key => format!("put the text in quotes: `{key}: {value}`"),
        }
    }
}

/// A text as YAML takes it whole: between the quotes of which it has none, else with escapes.
pub(crate) fn in_quotes(text: &str) -> String {
    match text {
        text if !text.contains(['"', '\\']) && !text.contains(char::is_control) => format!("\"{text}\""),
        text if !text.contains('\'') && !text.contains(char::is_control) => format!("'{text}'"),
        text => serde_json::Value::from(text).to_string(),
    }
}

/// A text as it is written within brackets: as it is, where YAML finds nothing of its own in it.
pub(crate) fn in_braces(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " _-./=+^~$".contains(c);
    let looks_like_text =
        text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && !text.ends_with(' ');
    let reserved =
        matches!(text, "true" | "false" | "null" | "True" | "False" | "Null" | "TRUE" | "FALSE" | "NULL");
    if looks_like_text && !reserved && text.chars().all(plain) { text.to_owned() } else { in_quotes(text) }
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

const SECOND_COLON: &str = "a second `:` where one value is expected";
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
        | ErrorKind::InvalidMappingValueWhitespace => (SECOND_COLON, "this `:` begins another value", COLON),
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
