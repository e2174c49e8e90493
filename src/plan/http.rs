//! `http`: a request to some server, such as a load balancer, from this machine.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::EnvValue;

/// The options of `http`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpStep {
    /// What is sent.
    #[serde(flatten)]
    pub request: HttpRequest,
    /// What makes the answer a success.
    pub expect: HttpExpect,
    /// It may be sent again when the answer was lost.
    pub idempotent: bool,
    /// How it is undone.
    pub undo: HttpUndo,
}

/// A request. In the texts of url, header values and body `$MAAND_HOST` and what else a command finds in its environment
/// stands for that value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpRequest {
    /// The method.
    pub method: HttpMethod,
    /// `http://` or `https://`, without a user.
    pub url: String,
    /// By their names as written; values may be secrets.
    pub headers: BTreeMap<String, EnvValue>,
    /// What is sent along.
    pub body: Option<HttpBody>,
}

/// A method of RFC 9110, or PATCH (RFC 5789).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl HttpMethod {
    /// All, in the order in which they are offered.
    pub const ALL: [Self; 6] = [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// A repetition changes nothing more (RFC 9110, section 9.2.2).
    pub fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch)
    }

    /// It only asks (RFC 9110, section 9.2.1).
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpBody {
    /// As it is.
    Text(String),
    /// As a JSON document.
    Json(serde_json::Value),
}

/// What makes an answer a success: its status, and values in its body.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpExpect {
    /// One of these; never empty.
    pub status: Vec<StatusRange>,
    /// What a JSON document has at these places (RFC 6901), all of them.
    pub json: Vec<(String, serde_json::Value)>,
}

/// `status 2xx, "drained" at /state`.
impl fmt::Display for HttpExpect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status: Vec<String> = self.status.iter().map(ToString::to_string).collect();
        write!(f, "status {}", status.join(" or "))?;
        self.json.iter().try_for_each(|(at, value)| write!(f, ", {value} at {at}"))
    }
}

/// From the first of these codes to the last, both included: `200`, or `2xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct StatusRange {
    pub first: u16,
    pub last: u16,
}

impl StatusRange {
    /// `2xx`.
    pub const SUCCESS: Self = Self { first: 200, last: 299 };

    /// Reads `200` or `2xx`.
    pub fn parse(text: &str) -> Option<Self> {
        let first = text.get(..1)?.parse::<u16>().ok().filter(|first| (1..=5).contains(first))?;
        if text.get(1..) == Some("xx") {
            return Some(Self { first: first * 100, last: first * 100 + 99 });
        }
        let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        let code = is_code.then(|| text.parse().ok()).flatten()?;
        Some(Self { first: code, last: code })
    }

    /// The code is in it.
    pub fn contains(self, code: u16) -> bool {
        (self.first..=self.last).contains(&code)
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}xx", self.first / 100)
        }
    }
}

/// `undo:` of a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpUndo {
    /// The plan does not say.
    Unstated,
    /// `undo: none`: there is nothing to undo.
    Nothing,
    /// This request; any answer of `2xx` is a success.
    Request(Box<HttpRequest>),
}

/// What stands for a value in a gate's texts besides, as in queries it is often written: the worker of the step, the number
/// of the wave, and the workers that are down.
pub const GATE_WORDS: [&str; 3] = ["worker", "wave", "down"];

/// The names that stand for values in a text, `$MAAND_HOST` and the like, with what is between them.
pub fn placeholders(text: &str) -> impl Iterator<Item = Piece<'_>> {
    placeholders_and(&[], text)
}

/// The names that stand for values in a text of a gate.
pub fn gate_placeholders(text: &str) -> impl Iterator<Item = Piece<'_>> {
    placeholders_and(&GATE_WORDS, text)
}

fn placeholders_and<'t>(words: &'static [&'static str], text: &'t str) -> impl Iterator<Item = Piece<'t>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name_of =
            |after: &'_ str, is_in: &dyn Fn(char) -> bool| after.find(|c| !is_in(c)).unwrap_or(after.len());
        if let Some(after) = rest.strip_prefix('$') {
            let end = name_of(after, &is_name);
            let is_known =
                after[..end].starts_with("MAAND_") || ["WORKER_IP", "BUCKET_ID"].contains(&&after[..end]);
            let word = name_of(after, &is_word);
            let end = if is_known { Some(end) } else { words.contains(&&after[..word]).then_some(word) };
            if let Some(end) = end {
                let name = &after[..end];
                rest = &after[end..];
                return Some(Piece::Name(name));
            }
        }
        let next = rest.char_indices().skip(1).find(|(_, c)| *c == '$');
        let end = next.map_or(rest.len(), |(at, _)| at);
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Piece::Text(text))
    })
}

/// A part of a text with placeholders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As it stands.
    Text(&'a str),
    /// The name of a value, without `$`.
    Name(&'a str),
}

/// `POST http://lb/servers`, and the body below it.
impl fmt::Display for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_str(), self.url)?;
        match &self.body {
            None => Ok(()),
            Some(HttpBody::Text(text)) => write!(f, "\n{text}"),
            Some(HttpBody::Json(value)) => write!(f, "\n{value:#}"),
        }
    }
}

impl HttpRequest {
    /// All texts in which placeholders may stand.
    pub fn texts(&self) -> Vec<&str> {
        let mut texts = vec![self.url.as_str()];
        texts.extend(self.headers.values().filter_map(|value| match value {
            EnvValue::Plain(text) => Some(text.as_str()),
            EnvValue::FromEnv(_) => None,
        }));
        match &self.body {
            None => {}
            Some(HttpBody::Text(text)) => texts.push(text),
            Some(HttpBody::Json(value)) => strings(value, &mut texts),
        }
        texts
    }
}

/// All texts in a document.
pub(super) fn strings<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::String(text) => found.push(text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        serde_json::Value::Object(map) => map.values().for_each(|item| strings(item, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_values_are_found_and_all_else_is_text() {
        let pieces = |text: &'static str| placeholders(text).collect::<Vec<_>>();
        use Piece::{Name, Text};
        assert_eq!(pieces("http://lb/$MAAND_HOST/x"), [Text("http://lb/"), Name("MAAND_HOST"), Text("/x")]);
        assert_eq!(pieces("$WORKER_IP$BUCKET_ID"), [Name("WORKER_IP"), Name("BUCKET_ID")]);
        assert_eq!(
            pieces("$5 $HOME ä$ $$MAAND_RUN."),
            [Text("$5 "), Text("$HOME ä"), Text("$ "), Text("$"), Name("MAAND_RUN"), Text(".")]
        );
        assert_eq!(pieces("$worker"), [Text("$worker")]);
        let of_gate = |text: &'static str| gate_placeholders(text).collect::<Vec<_>>();
        assert_eq!(of_gate("=~\"$worker:.+$\""), [Text("=~\""), Name("worker"), Text(":.+"), Text("$\"")]);
        assert_eq!(of_gate("$workers $MAAND_WAVE"), [Text("$workers "), Name("MAAND_WAVE")]);
        assert_eq!(pieces("ä"), [Text("ä")]);
        assert!(pieces("").is_empty());
    }

    #[test]
    fn statuses_are_codes_and_hundreds() {
        let parsed = |text: &str| StatusRange::parse(text).map(|range| range.to_string());
        assert_eq!(parsed("204").as_deref(), Some("204"));
        assert_eq!(parsed("2xx").as_deref(), Some("2xx"));
        assert!(StatusRange::SUCCESS.contains(299) && !StatusRange::SUCCESS.contains(300));
        for wrong in ["", "20", "2000", "0xx", "6xx", "2XX", "2x", "-20", "+20", "abc", "ä0"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
