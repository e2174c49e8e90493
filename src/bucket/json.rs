//! A small JSON reader that keeps the place of every value, so that a wrong one can be underlined.
//!
//! `serde_json` tells line and column of a syntax error and nothing of the values after that. This
//! reader takes RFC 8259 and nothing more (a byte order mark apart), refuses deep nesting, and knows
//! nothing of what the files mean.
//!
//! Not `jsonc-parser` (0.34 was tried with all that is optional switched off): it takes line breaks and
//! tabs in strings, form feeds and no-break spaces, none of which upstream reads, so that a missing quote
//! is found some lines later or never; an empty file is no error to it; and what its edits leave when an
//! entry is removed is not byte for byte what was there before it was added.

use std::ops::Range;

/// Deeper nesting is refused: no file of a bucket needs more than six levels.
const MAX_DEPTH: usize = 64;

/// More values and keys than this are refused: each takes some 70 bytes, whatever it is. It is enough for 40,000 workers
/// with labels and tags.
const MAX_VALUES: usize = 400_000;

/// A value and the bytes of the text that it came from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// Where it stands, in bytes.
    pub(super) span: Range<usize>,
    /// What it is.
    pub(super) value: Json,
}

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// As written; not every number fits into one of ours.
    Number(Box<str>),
    String(Box<str>),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

/// One member of an object, in the order of the text; keys may repeat.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) key: Box<str>,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

impl Json {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<&'static str>,
}

/// Reads one JSON value and nothing after it.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut reader = Reader { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 }, values: 0 };
    reader.space();
    if reader.peek().is_none() {
        return Err(
            reader.error_here("the file is empty", Some("write `{}` into it, or `[]` where a list belongs"))
        );
    }
    let node = reader.value(0)?;
    reader.space();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.error_here("there is more text after the end of the JSON value", None)),
    }
}

/// Writes `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// An error at the character that stands here.
    fn error_here(&self, message: impl Into<String>, help: Option<&'static str>) -> SyntaxError {
        let length = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        SyntaxError { span: self.at..self.at + length, message: message.into(), help }
    }

    /// An error that says what stands here instead of `wanted`.
    fn unexpected(&self, wanted: &str) -> SyntaxError {
        let help = match self.peek() {
            Some(b'/' | b'#') => Some("JSON has no comments: remove it"),
            Some(b'\'') => Some("JSON strings stand in double quotes"),
            Some(b'"' | b'{' | b'[') if wanted.starts_with("`,`") => Some("is a comma missing before it?"),
            Some(b']' | b'}') if wanted.contains("value") || wanted.contains("key") => {
                Some("remove the comma before it")
            }
            _ => None,
        };
        match self.text[self.at..].chars().next() {
            None => self.error_here(format!("the file ends where {wanted} should stand"), help),
            Some(found) => {
                self.error_here(format!("expected {wanted}, found `{}`", found.escape_default()), help)
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(self.error_here(format!("nested deeper than {MAX_DEPTH} levels"), None));
        }
        self.count()?;
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Json::String(self.string()?.into()),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => self.word()?,
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node { span: start..self.at, value })
    }

    fn count(&mut self) -> Result<(), SyntaxError> {
        self.values += 1;
        if self.values <= MAX_VALUES {
            return Ok(());
        }
        Err(self.error_here(format!("more than {MAX_VALUES} values and keys"), None))
    }

    fn word(&mut self) -> Result<Json, SyntaxError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_')) {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            "null" => Ok(Json::Null),
            "true" => Ok(Json::Bool(true)),
            "false" => Ok(Json::Bool(false)),
            word => Err(SyntaxError {
                span: start..self.at,
                message: format!("`{word}` is no JSON value"),
                help: Some("a text stands in double quotes; else it is true, false or null"),
            }),
        }
    }

    fn number(&mut self) -> Result<Json, SyntaxError> {
        let start = self.at;
        let wrong = |reader: &Self| SyntaxError {
            span: start..reader.at.max(start + 1).min(reader.text.len()),
            message: "this is no JSON number".to_owned(),
            help: Some("such as 12, -3, 0.5 or 1e3; no leading zeros"),
        };
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while matches!(reader.peek(), Some(b'0'..=b'9')) {
                reader.at += 1;
            }
            reader.at - from
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let first = self.peek();
        let whole = digits(self);
        if whole == 0 || (first == Some(b'0') && whole > 1) {
            return Err(wrong(self));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if digits(self) == 0 {
                return Err(wrong(self));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if digits(self) == 0 {
                return Err(wrong(self));
            }
        }
        Ok(Json::Number(self.text[start..self.at].into()))
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let plain = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            out.push_str(&self.text[plain..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                None | Some(b'\n' | b'\r') => {
                    return Err(SyntaxError {
                        span: start..self.at,
                        message: "this string has no closing quote on its line".to_owned(),
                        help: None,
                    });
                }
                Some(_) => {
                    return Err(self.error_here(
                        "a control character stands in a string",
                        Some("write it as an escape, such as \\t"),
                    ));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let wrong = |end: usize, text: &str| {
            let mut end = end.min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            SyntaxError {
                span: start..end,
                message: "this is no JSON escape".to_owned(),
                help: Some("JSON has \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u0000"),
            }
        };
        let simple = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let high = self.hex4().ok_or_else(|| wrong(start + 6, self.text))?;
                let code = if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with("\\u") {
                    self.at += 2;
                    let low = self.hex4().ok_or_else(|| wrong(start + 12, self.text))?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(wrong(self.at, self.text));
                    }
                    0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    high
                };
                return char::from_u32(code).ok_or_else(|| wrong(self.at, self.text));
            }
            _ => return Err(wrong(start + 2, self.text)),
        };
        self.at += 1;
        Ok(simple)
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn array(&mut self, depth: usize) -> Result<Json, SyntaxError> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            self.space();
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    items.shrink_to_fit();
                    return Ok(Json::Array(items));
                }
                _ => return Err(self.unexpected("`,` or `]`")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, SyntaxError> {
        self.at += 1;
        let mut members = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            self.count()?;
            let start = self.at;
            let key = self.string()?.into();
            let key_span = start..self.at;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("`:`"));
            }
            self.at += 1;
            self.space();
            members.push(Member { key, key_span, value: self.value(depth + 1)? });
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    // Most have fewer than the four that a list begins with.
                    members.shrink_to_fit();
                    return Ok(Json::Object(members));
                }
                _ => return Err(self.unexpected("`,` or `}`")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(node: &Node) -> serde_json::Value {
        match &node.value {
            Json::Null => serde_json::Value::Null,
            Json::Bool(value) => (*value).into(),
            Json::Number(text) => serde_json::from_str(text).unwrap(),
            Json::String(text) => text.as_ref().into(),
            Json::Array(items) => items.iter().map(plain).collect(),
            Json::Object(members) => serde_json::Value::Object(
                members.iter().map(|m| (m.key.to_string(), plain(&m.value))).collect(),
            ),
        }
    }

    #[test]
    fn mistakes_are_underlined_where_they_are() {
        let cases = [
            ("", 0..0, "empty"),
            ("[1,]", 3..4, "found `]`"),
            ("{\"a\" 1}", 5..6, "expected `:`"),
            ("{a: 1}", 1..2, "a key in double quotes"),
            ("[1 2]", 3..4, "`,` or `]`"),
            ("[01]", 1..3, "no JSON number"),
            ("[yes]", 1..4, "`yes` is no JSON value"),
            ("{\"ä\": \"x}\n", 7..10, "closing quote"),
            ("[] // done", 3..4, "more text"),
            ("[\"\\x\"]", 2..4, "no JSON escape"),
        ];
        for (text, start, message) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.message.contains(message), "{text}: {error:?}");
            assert_eq!(error.span.start, start.start, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_a_stack_overflow() {
        let error = parse(&"[".repeat(100_000)).unwrap_err();
        assert!(error.message.contains("deeper"), "{error:?}");
    }

    #[test]
    fn spans_are_those_of_the_values() {
        let text = "\u{feff}{ \"hört\": [ \"x\", 2 ] }";
        let node = parse(text).unwrap();
        let Json::Object(members) = &node.value else { panic!() };
        assert_eq!(&text[members[0].key_span.clone()], "\"hört\"");
        let Json::Array(items) = &members[0].value.value else { panic!() };
        assert_eq!(&text[items[1].span.clone()], "2");
    }

    proptest! {
        #[test]
        fn never_panics_and_spans_lie_inside(text in "[\\[\\]{}\",:0-9eE.\\\\u -\u{e4}a-f\n]{0,60}") {
            match parse(&text) {
                Ok(node) => prop_assert!(text.get(node.span).is_some()),
                Err(error) => prop_assert!(text.get(error.span).is_some()),
            }
        }

        #[test]
        fn agrees_with_serde_json(text in "[\\[\\]{}\",:0-9eE.tfnrualse\\\\ -]{0,12}") {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match parse(&text) {
                Ok(node) => {
                    // Only numbers beyond a double are refused there and kept as text here.
                    if let Ok(theirs) = theirs {
                        prop_assert_eq!(plain(&node), theirs);
                    }
                }
                Err(_) => prop_assert!(theirs.is_err(), "{}", text),
            }
        }

        #[test]
        fn reads_what_serde_json_writes(text in any::<String>()) {
            let node = parse(&quoted(&text)).unwrap();
            prop_assert_eq!(node.value, Json::String(text.into()));
        }
    }
}
