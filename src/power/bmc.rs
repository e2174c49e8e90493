//! One BMC, and requests to it: a bounded number of them within one deadline, and to no other host.

use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::{HeaderValue, Method, Request};

use crate::bucket::{PowerSettings, Worker};
use crate::http::{Answer, NoAnswer, Trust, send_trusting};
use crate::os::open;
use crate::plan::{visible_line, visible_within};

use super::PowerError;
use super::credentials::Credentials;

/// So many requests are sent for one look or one reset.
const REQUESTS: u32 = 16;
/// So much of what a BMC says is shown.
const SHOWN: usize = 200;
/// A path that is longer is nobody's.
const LONGEST_PATH: usize = 512;
/// A file of certificates.
const LARGEST_CA: u64 = 1024 * 1024;

/// A worker's BMC.
pub struct Bmc {
    pub(super) host: String,
    pub(super) url: String,
    pub(super) system: Option<String>,
    pub(super) timeout: Duration,
    pub(super) credentials: Credentials,
    pub(super) trust: Trust,
}

/// Sends a request, and waits for the answer no longer than that.
pub(super) type Send<'a> = Box<dyn FnMut(Request<Vec<u8>>, Duration) -> Result<Answer, NoAnswer> + 'a>;

impl Bmc {
    /// That of a worker; `None`: it names none. Nothing is sent.
    ///
    /// # Errors
    /// Its address is none, or a file or a variable of this machine is missing or cannot be used.
    pub fn of(settings: &PowerSettings, worker: &Worker) -> Option<Result<Self, PowerError>> {
        let url = settings.url_of(worker)?;
        Some(Self::with(settings, worker, url))
    }

    fn with(
        settings: &PowerSettings,
        worker: &Worker,
        url: Result<String, String>,
    ) -> Result<Self, PowerError> {
        let host = worker.host.to_string();
        let url = url.map_err(PowerError::here)?;
        let credentials = Credentials::of(&host, settings.credentials.as_deref())?;
        let mut trust = Trust::default().direct();
        if let Some(path) = &settings.ca {
            let wrong = |why: String| PowerError::here(format!("{} cannot be used: {why}", path.display()));
            let pem = open::plain(path)
                .and_then(|file| open::read_all(&file, LARGEST_CA))
                .map_err(|error| wrong(error.to_string()))?;
            trust = trust.only(&pem).map_err(wrong)?;
        }
        let lacks =
            |key: &str| PowerError::here(format!("{host} lacks a value that `{key}` of maand.conf names"));
        if settings.certificate_name.is_some() {
            let name = settings.certificate_name_of(worker).ok_or_else(|| lacks("bmc_certificate_name"))?;
            trust = trust.named(name);
        }
        let system = match settings.system {
            Some(_) => Some(settings.system_of(worker).ok_or_else(|| lacks("bmc_system"))?),
            None => None,
        };
        Ok(Self { host, url, system, timeout: settings.timeout, credentials, trust })
    }

    /// Where it is: `https://10.1.0.1`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Some requests that belong together. `is_given_up` ends the wait for an answer.
    pub(super) fn session<'a>(&'a self, is_given_up: &'a dyn Fn() -> bool) -> Session<'a> {
        self.session_by(Box::new(move |request, left| send_trusting(request, left, &self.trust, is_given_up)))
    }

    /// As [`Bmc::session`], with answers of `send`.
    pub(super) fn session_by<'a>(&'a self, send: Send<'a>) -> Session<'a> {
        Session { bmc: self, until: Instant::now() + self.timeout, left: REQUESTS, send }
    }
}

/// Requests that belong together.
pub(super) struct Session<'a> {
    pub(super) bmc: &'a Bmc,
    until: Instant,
    left: u32,
    send: Send<'a>,
}

impl Session<'_> {
    /// The JSON object that is at this path.
    pub(super) fn get(&mut self, path: &str) -> Result<Value, PowerError> {
        let answer = self.send(Method::GET, path, Vec::new())?;
        let what = format!("GET {path}");
        match answer.status {
            200 => {}
            401 | 403 => {
                let user = visible_line(&self.bmc.credentials.user);
                return Err(said(
                    &what,
                    &format!("it does not let the user `{user}` in (status {})", answer.status),
                ));
            }
            _ => return Err(said(&what, &status(&answer))),
        }
        if !answer.is_whole {
            return Err(said(&what, "the answer is longer than anything of use"));
        }
        match serde_json::from_slice(&answer.body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            Ok(_) => Err(said(&what, "the answer is JSON, and no object")),
            Err(_) => Err(said(&what, &format!("the answer is no JSON: {}", beginning(&answer.body)))),
        }
    }

    /// Sends a document.
    pub(super) fn post(&mut self, path: &str, document: &Value) -> Result<Answer, PowerError> {
        self.send(Method::POST, path, document.to_string().into_bytes())
    }

    fn send(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, PowerError> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(PowerError::NoAnswer(NoAnswer::Unreachable(format!(
                "it did not answer all that it was asked within {}s",
                self.bmc.timeout.as_secs()
            ))));
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            PowerError::Answer(format!("what it says takes more than {REQUESTS} requests to find out"))
        })?;
        let wrong = |error: String| PowerError::here(format!("{} cannot be asked: {error}", self.bmc.url));
        let mut secret = HeaderValue::from_str(&self.bmc.credentials.header())
            .map_err(|error| wrong(error.to_string()))?;
        secret.set_sensitive(true);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.bmc.url))
            .header("Authorization", secret)
            .header("Accept", "application/json")
            .header("OData-Version", "4.0");
        if !body.is_empty() {
            request = request.header("Content-Type", "application/json");
        }
        let request = request.body(body).map_err(|error| wrong(error.to_string()))?;
        let answer = (self.send)(request, left);
        answer.map(|answer| without(answer, &self.bmc.credentials)).map_err(PowerError::NoAnswer)
    }
}

/// An answer in which nobody finds what the request was authorised with: what is shown of it is kept, too. A password of a
/// few letters stays, as it may be a word of any document.
fn without(mut answer: Answer, credentials: &Credentials) -> Answer {
    let header = credentials.header();
    let encoded = header.rsplit(' ').next().unwrap_or_default();
    let secrets: Vec<&str> =
        [encoded, &credentials.password].into_iter().filter(|secret| secret.len() >= 8).collect();
    let clean = |text: &str| secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
    answer.location = answer.location.map(|to| clean(&to));
    // JSON writes a text in many ways: what counts is what it means.
    let document: Option<Value> =
        answer.body.contains(&b'\\').then(|| serde_json::from_slice(&answer.body).ok()).flatten();
    if let Some(mut document) = document {
        in_all_texts(&mut document, &clean);
        answer.body = document.to_string().into_bytes();
    } else if secrets
        .iter()
        .any(|secret| answer.body.windows(secret.len()).any(|part| part == secret.as_bytes()))
    {
        answer.body = clean(&String::from_utf8_lossy(&answer.body)).into_bytes();
    }
    answer
}

/// Changes each text of a document, keys included.
fn in_all_texts(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| in_all_texts(item, change)),
        Value::Object(members) => {
            let changed = std::mem::take(members).into_iter().map(|(key, mut value)| {
                in_all_texts(&mut value, change);
                (change(&key), value)
            });
            *members = changed.collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What a request has come to, in one line.
pub(super) fn said(what: &str, how: &str) -> PowerError {
    PowerError::Answer(format!("{what}: {how}"))
}

/// The status of an answer, with what its body says of an error.
pub(super) fn status(answer: &Answer) -> String {
    let more = match &answer.location {
        Some(to) if (300..400).contains(&answer.status) => {
            format!("; it points to {}, and no redirection is followed", shown(to))
        }
        _ => serde_json::from_slice::<Value>(&answer.body)
            .ok()
            .as_ref()
            .and_then(message)
            .map_or_else(String::new, |message| format!(": {}", shown(message))),
    };
    format!("the answer has the status {}{more}", answer.status)
}

/// What an error of Redfish says (DSP0266, "Error responses").
fn message(document: &Value) -> Option<&str> {
    let error = document.get("error")?;
    let extended =
        error.get("@Message.ExtendedInfo").and_then(|info| info.get(0)).and_then(|info| info.get("Message"));
    extended.or_else(|| error.get("message"))?.as_str()
}

fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    let text = shown(text.trim());
    if text.is_empty() { "it is empty".to_owned() } else { format!("it begins with `{text}`") }
}

/// A text of a BMC's, in one bounded line.
pub(super) fn shown(text: &str) -> String {
    visible_line(&visible_within(text, SHOWN))
}

/// The path in a link, which leads to the very same host, or the link is not followed.
pub(super) fn path(link: &str) -> Option<&str> {
    let is_path = link.starts_with("/redfish/")
        && link.len() <= LONGEST_PATH
        && link.bytes().all(|byte| byte.is_ascii_graphic() && !br#""\<>^`{|}"#.contains(&byte))
        && !link.split(['/', '?']).any(|part| part == "..")
        && !link.contains("//");
    is_path.then_some(link)
}

/// The path in `"name": {"@odata.id": "..."}`.
pub(super) fn link<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    path(value.get(name)?.get("@odata.id")?.as_str()?)
}

/// For tests and words.
impl std::fmt::Debug for Bmc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bmc({} of {})", self.url, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_on_the_same_host_is_followed() {
        assert_eq!(path("/redfish/v1/Systems/437XR1138R2"), Some("/redfish/v1/Systems/437XR1138R2"));
        assert!(path("/redfish/v1/Systems/1/LogServices/Log1/Entries?$skip=50").is_some());
        for wrong in [
            "https://else.invalid/redfish/v1",
            "//else.invalid/redfish/v1",
            "/redfish//else.invalid",
            "/other/v1",
            "/redfish/../admin",
            "/redfish/v1/a b",
            "/redfish/v1/a\r\nX: y",
            "/redfish/v1/ä",
            "redfish/v1",
            "",
        ] {
            assert_eq!(path(wrong), None, "{wrong}");
        }
        assert_eq!(path(&format!("/redfish/{}", "x".repeat(600))), None);
    }

    #[test]
    fn what_a_request_was_authorised_with_is_in_no_answer() {
        let credentials = Credentials { user: "root".to_owned(), password: "calvin-of-ours".to_owned() };
        let header = credentials.header();
        let answer = Answer {
            status: 301,
            location: Some(format!("http://x/{header}")),
            date: None,
            retry_after: None,
            body: format!("{{\"error\": {{\"message\": \"{header} calvin-of-ours\"}}}}").into_bytes(),
            is_whole: true,
        };
        let clean = without(answer, &credentials);
        let said = format!("{:?} {}", clean.location, String::from_utf8(clean.body).unwrap());
        assert!(!said.contains("calvin") && !said.contains(header.rsplit(' ').next().unwrap()), "{said}");
    }

    /// What is shown is the text that a document means, which can be written in many ways.
    #[test]
    fn what_a_request_was_authorised_with_is_in_no_answer_however_json_writes_it() {
        let password = r#"of"ours/of\all"#;
        let credentials = Credentials { user: "root".to_owned(), password: password.to_owned() };
        let header = credentials.header();
        let encoded = header.rsplit(' ').next().unwrap();
        let escaped: String = encoded.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        let slashed = serde_json::to_string(password).unwrap().replace('/', "\\/");
        for written in [slashed, format!("\"{escaped}\""), serde_json::to_string(password).unwrap()] {
            let body = format!(r#"{{"error": {{"message": {written}}}, "other": [{written}, 1.50]}}"#);
            let answer = Answer::plain(400, body);
            let clean = without(answer, &credentials);
            let said = status(&clean);
            assert!(!said.contains(password) && !said.contains(encoded) && said.contains("***"), "{said}");
            let document: Value = serde_json::from_slice(&clean.body).unwrap();
            assert_eq!((&document["other"][0], &document["other"][1]), (&"***".into(), &1.5.into()));
        }
    }

    #[test]
    fn what_an_error_says_is_one_bounded_line() {
        let answer = |status: u16, body: &str, location: Option<&str>| Answer {
            status,
            location: location.map(str::to_owned),
            date: None,
            retry_after: None,
            body: body.as_bytes().to_vec(),
            is_whole: true,
        };
        let body =
            r#"{"error": {"message": "no", "@Message.ExtendedInfo": [{"Message": "busy\n\u001b[2Jnow"}]}}"#;
        let text = status(&answer(503, body, None));
        assert!(text.contains("status 503: busy") && !text.contains(['\n', '\u{1b}']), "{text}");
        assert_eq!(status(&answer(404, "<html>", None)), "the answer has the status 404");
        assert!(status(&answer(301, "", Some("http://x/"))).contains("no redirection is followed"));
    }
}
