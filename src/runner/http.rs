//! `http`: a request of the plan's own, sent from this machine.
//!
//! What was not sent has failed; what was sent and got no answer is unknown, and the rules of the run decide whether it may
//! be sent again. No redirection is followed: another place than the plan's is never asked.

use std::collections::BTreeMap;
use std::time::Duration;

use ureq::http::{HeaderName, HeaderValue, Request, Uri};

use crate::engine::{ErrorKind, Millis, Outcome, StepError};
use crate::http::{self, Answer, LARGEST_ANSWER, NoAnswer};
use crate::plan::http::Piece;
use crate::plan::{EnvValue, HttpBody, HttpExpect, HttpRequest, visible_within};
use crate::ssh::Cancel;

use super::command::Sink;
use super::environment::{Place, read_secret};
use super::mask::{Secrets, masked};

/// So much of an answer is shown where it was not the expected one.
const SHOWN: usize = 300;
/// So much of an answer is kept as output.
const KEPT: usize = 16 * 1024;
/// A request with all values put in.
pub(super) struct Filled {
    pub(super) request: Request<Vec<u8>>,
    pub(super) secrets: Secrets,
}

/// Sends it, and looks at the answer.
pub(super) fn send(
    request: &HttpRequest,
    expect: &HttpExpect,
    place: &Place,
    timeout: Duration,
    cancel: &Cancel,
    sink: Sink<'_>,
) -> Outcome {
    let filled = match fill(request, place) {
        Ok(filled) => filled,
        Err(error) => return Outcome::Failed { error },
    };
    let Filled { request, secrets } = filled;
    let to = format!("{} {}", request.method(), request.uri());
    let say = |text: &str| sink(masked(&format!("{text}\n"), &secrets).as_bytes());
    say(&to);
    let outcome = match http::send(request, timeout, || cancel.is_cancelled()) {
        Err(no_answer) => outcome_of(no_answer, timeout),
        Ok(answer) => {
            say(&format!("status {}", answer.status));
            let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(KEPT)]);
            if !body.is_empty() {
                say(&body);
            }
            match judge(&answer, expect, place) {
                Ok(judged) => outcome_of_judged(&to, &answer, judged),
                Err(error) => Outcome::Failed { error },
            }
        }
    };
    outcome.masked(|text| masked(text, &secrets))
}

/// Puts the values in. In a url a value is one part of its path; in JSON it is a text.
pub(super) fn fill(request: &HttpRequest, place: &Place) -> Result<Filled, StepError> {
    let cannot = |error: &dyn std::fmt::Display| {
        StepError::new(ErrorKind::Controller, format!("{} cannot be asked: {error}", request.url))
    };
    let uri: Uri = url(&request.url, place)?.parse().map_err(|error| cannot(&error))?;
    let mut made = Request::builder().method(request.method.as_str()).uri(uri);
    let (headers, secrets) = headers(&request.headers, place)?;
    for (name, value) in headers {
        made = made.header(name, value);
    }
    let has_type = request.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
    let body = match &request.body {
        None => Vec::new(),
        Some(HttpBody::Text(text)) => put_in(text, place)?.into_bytes(),
        Some(HttpBody::Json(value)) => {
            if !has_type {
                made = made.header("content-type", "application/json");
            }
            fill_json(value, place)?.to_string().into_bytes()
        }
    };
    let request = made.body(body).map_err(|error| cannot(&error))?;
    Ok(Filled { request, secrets })
}

/// Headers with all values put in, and what of them is secret.
pub(super) fn headers(
    headers: &BTreeMap<String, EnvValue>,
    place: &Place,
) -> Result<(Vec<(HeaderName, HeaderValue)>, Secrets), StepError> {
    let (mut filled, mut secrets) = (Vec::new(), Vec::new());
    for (name, value) in headers {
        let value = match value {
            EnvValue::Plain(text) => put_in(text, place)?,
            EnvValue::FromEnv(from) => {
                let secret = read_secret(&format!("headers: {name}"), from)?;
                secrets.push(secret.clone());
                secret
            }
        };
        let wrong = || {
            let message =
                format!("the value of the header {name} cannot be sent: it is not one line of plain text");
            StepError::new(ErrorKind::Controller, message)
        };
        let value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        filled.push((name, value));
    }
    Ok((filled, Secrets::of(&secrets)))
}

pub(super) fn put_in(text: &str, place: &Place) -> Result<String, StepError> {
    fill_text(text, place, str::to_owned)
}

pub(super) fn fill_text(
    text: &str,
    place: &Place,
    encode: impl Fn(&str) -> String,
) -> Result<String, StepError> {
    let mut filled = String::new();
    for piece in place.pieces(text) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Name(name) => {
                let value = place.value(name).ok_or_else(|| {
                    let message =
                        format!("there is no value for ${name}: this worker has no tag of that name");
                    StepError::new(ErrorKind::Controller, message)
                })?;
                filled.push_str(&encode(value));
            }
        }
    }
    Ok(filled)
}

/// Values that stand for the host are one, others are one part of a path or a query.
pub(super) fn url(text: &str, place: &Place) -> Result<String, StepError> {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let end = text[begin..].find(['/', '?', '#']).map_or(text.len(), |at| begin + at);
    // An address of IPv6 stands in brackets.
    let host = |value: &str| if value.contains(':') { format!("[{value}]") } else { value.to_owned() };
    let authority = fill_text(&text[..end], place, host)?;
    Ok(authority + &fill_text(&text[end..], place, percent)?)
}

/// All but what is never encoded (RFC 3986, section 2.3).
pub(super) fn percent(value: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    value.bytes().map(one).collect()
}

fn fill_json(value: &serde_json::Value, place: &Place) -> Result<serde_json::Value, StepError> {
    Ok(match value {
        serde_json::Value::String(text) => put_in(text, place)?.into(),
        serde_json::Value::Array(items) => {
            items.iter().map(|item| fill_json(item, place)).collect::<Result<_, _>>()?
        }
        serde_json::Value::Object(map) => {
            let entry = |(key, value): (&String, &_)| Ok((key.clone(), fill_json(value, place)?));
            serde_json::Value::Object(map.iter().map(entry).collect::<Result<_, StepError>>()?)
        }
        other => other.clone(),
    })
}

/// What is known of a request that got no answer.
fn outcome_of(no_answer: NoAnswer, timeout: Duration) -> Outcome {
    let failed = |kind, message: String| Outcome::Failed { error: StepError::new(kind, message) };
    let message = no_answer.to_string();
    match no_answer {
        NoAnswer::Unreachable(_) => failed(ErrorKind::Unreachable, message),
        NoAnswer::Untrusted(_) => failed(ErrorKind::Handshake, message),
        NoAnswer::NotSendable(_) => failed(ErrorKind::Controller, message),
        NoAnswer::NotSent => Outcome::NotDone { reason: format!("a request was not made: {message}") },
        NoAnswer::TimedOut => {
            let after = Millis::try_from(timeout.as_millis()).unwrap_or(Millis::MAX);
            Outcome::TimedOut { after, doing: "waiting for the answer".to_owned() }
        }
        NoAnswer::Broken(_) | NoAnswer::GivenUp => Outcome::unknown(message),
    }
}

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It is all that is expected.
    Meets(String),
    /// It is another one.
    Differs(String),
    /// What is expected of it cannot be read from it.
    Unreadable(String),
}

fn outcome_of_judged(to: &str, answer: &Answer, judged: Judged) -> Outcome {
    match judged {
        Judged::Meets(what) => Outcome::noted(what),
        Judged::Differs(what) | Judged::Unreadable(what) => {
            let body = String::from_utf8_lossy(&answer.body);
            let output = Some(visible_within(body.trim(), SHOWN)).filter(|text| !text.is_empty());
            let message = format!("{to}: {what}");
            Outcome::Failed { error: StepError { kind: ErrorKind::Command, message, output } }
        }
    }
}

/// `; it points to ...`, of a redirection.
pub(super) fn points_to(answer: &Answer) -> String {
    match &answer.location {
        Some(location) if (300..400).contains(&answer.status) => {
            format!("; it points to {}, and no redirection is followed", visible_within(location, SHOWN))
        }
        _ => String::new(),
    }
}

/// The document of an answer, or why there is none.
pub(super) fn document(answer: &Answer) -> Result<serde_json::Value, String> {
    if !answer.is_whole {
        return Err(format!("the answer has more than {LARGEST_ANSWER} bytes, and was not read as JSON"));
    }
    serde_json::from_slice(&answer.body).map_err(|error| format!("the answer is not JSON: {error}"))
}

/// Whether the answer is the expected one.
///
/// # Errors
/// A value that is expected is not known here.
pub(super) fn judge(answer: &Answer, expect: &HttpExpect, place: &Place) -> Result<Judged, StepError> {
    if !expect.status.iter().any(|range| range.contains(answer.status)) {
        let wanted: Vec<String> = expect.status.iter().map(ToString::to_string).collect();
        let (status, moved) = (answer.status, points_to(answer));
        let what = format!("the answer has the status {status}, and not {}{moved}", wanted.join(" or "));
        return Ok(Judged::Differs(what));
    }
    if expect.json.is_empty() {
        return Ok(Judged::Meets(format!("status {}", answer.status)));
    }
    let document = match document(answer) {
        Ok(document) => document,
        Err(why) => return Ok(Judged::Unreadable(why)),
    };
    for (pointer, wanted) in &expect.json {
        let wanted = fill_json(wanted, place)?;
        match document.pointer(pointer) {
            Some(found) if *found == wanted => {}
            Some(found) => {
                let found = visible_within(&found.to_string(), SHOWN);
                return Ok(Judged::Differs(format!(
                    "the answer has {found} at `{pointer}`, and not {wanted}"
                )));
            }
            None => {
                let what = format!("the answer has nothing at `{pointer}`, and not {wanted}");
                return Ok(Judged::Unreadable(what));
            }
        }
    }
    Ok(Judged::Meets(format!("status {}, with the expected values", answer.status)))
}

/// What fuzzers call: what is said of an answer, `Ok` where it is the expected one.
#[cfg(any(test, fuzzing))]
pub(super) fn judged(answer: &Answer, expect: &HttpExpect) -> Option<Result<String, String>> {
    Some(match judge(answer, expect, &Place::default()).ok()? {
        Judged::Meets(words) => Ok(words),
        Judged::Differs(words) | Judged::Unreadable(words) => Err(words),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::StatusRange;

    fn place() -> Place {
        Place::with(&[("MAAND_HOST", "fd00::1"), ("MAAND_TAG_ZONE", "a b/\"c\"")])
    }

    #[test]
    fn values_are_encoded_as_their_places_need_it() {
        let of = |text: &str| url(text, &place()).unwrap();
        assert_eq!(
            of("http://$MAAND_HOST:8080/x?zone=$MAAND_TAG_ZONE"),
            "http://[fd00::1]:8080/x?zone=a%20b%2F%22c%22"
        );
        assert_eq!(of("https://lb/$MAAND_HOST"), "https://lb/fd00%3A%3A1");
        let json = serde_json::json!({"server": "$MAAND_HOST", "zones": ["$MAAND_TAG_ZONE"], "n": 1});
        let filled = fill_json(&json, &place()).unwrap().to_string();
        assert_eq!(filled, r#"{"server":"fd00::1","zones":["a b/\"c\""],"n":1}"#);
        let error = put_in("$MAAND_TAG_RACK", &place()).unwrap_err();
        assert!(error.message.contains("no value for $MAAND_TAG_RACK"), "{}", error.message);
    }

    #[test]
    fn an_answer_is_a_success_when_it_is_all_that_is_expected() {
        let answer = |status: u16, body: &str| Answer {
            status,
            location: Some("http://else/\u{1b}[2J".to_owned()),
            date: None,
            retry_after: None,
            body: body.as_bytes().to_vec(),
            is_whole: true,
        };
        let expect = |json: &[(&str, &str)]| HttpExpect {
            status: vec![StatusRange::SUCCESS],
            json: json.iter().map(|(at, value)| ((*at).to_owned(), (*value).into())).collect(),
        };
        let message =
            |answer: &Answer, json: &[(&str, &str)]| match judge(answer, &expect(json), &place()).unwrap() {
                Judged::Meets(_) => "ok".to_owned(),
                Judged::Differs(what) | Judged::Unreadable(what) => what,
            };
        assert_eq!(message(&answer(204, ""), &[]), "ok");
        assert_eq!(
            message(
                &answer(200, r#"{"state": "drained", "host": "fd00::1"}"#),
                &[("/state", "drained"), ("/host", "$MAAND_HOST")]
            ),
            "ok"
        );
        assert!(
            message(&answer(200, r#"{"state": "up"}"#), &[("/state", "drained")])
                .contains("has \"up\" at `/state`, and not \"drained\"")
        );
        assert!(message(&answer(200, "{}"), &[("/state", "drained")]).contains("has nothing at `/state`"));
        assert!(message(&answer(200, "<html>"), &[("/state", "drained")]).contains("is not JSON"));
        assert!(message(&answer(503, "busy"), &[]).contains("status 503, and not 2xx"));
        let moved = message(&answer(302, ""), &[]);
        assert!(moved.contains("no redirection is followed") && !moved.contains('\u{1b}'), "{moved}");
    }
}
