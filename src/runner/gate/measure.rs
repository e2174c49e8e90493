//! One measurement.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::StepError;
use crate::http::{self, Answer};
use crate::os::CommandEnd;
use crate::plan::{
    EnvValue, Gate, HttpBody, HttpCheck, HttpMethod, HttpRequest, Measure, Plan, Reading, visible_within,
    without_error_numbers,
};
use crate::ssh::Cancel;

use super::super::command::{CommandText, ThisMachine, unmasked_on_this_machine};
use super::super::environment::{Environment, Place};
use super::super::http::{Judged, fill, fill_text, judge, percent};
use super::super::mask::masked;
use super::{DownWorkers, alertmanager, prometheus};

/// So much is said of one measurement.
const SAID: usize = 600;
/// A longer url is sent as a form: servers and what is before them refuse long ones.
const LONGEST_URL: usize = 2000;

/// What was measured, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runner) struct Measurement {
    pub(in crate::runner) reading: Reading,
    /// One line, without secrets.
    pub(in crate::runner) words: String,
}

impl Measurement {
    pub(in crate::runner) fn new(reading: Reading, words: impl AsRef<str>) -> Self {
        let words = without_error_numbers(words.as_ref());
        let line: Vec<&str> = words.split_whitespace().collect();
        Self { reading, words: visible_within(&line.join(" "), SAID) }
    }

    pub(super) fn pass(words: impl AsRef<str>) -> Self {
        Self::new(Reading::Pass, words)
    }

    pub(super) fn fail(words: impl AsRef<str>) -> Self {
        Self::new(Reading::Fail, words)
    }

    pub(super) fn nothing(words: impl AsRef<str>) -> Self {
        Self::new(Reading::Inconclusive, words)
    }
}

/// What a measurement needs to know of the run.
pub(in crate::runner) struct Measuring<'a> {
    pub(in crate::runner) plan: &'a Plan,
    /// Without what is of gates alone.
    pub(in crate::runner) place: &'a Place,
    pub(in crate::runner) wave: Option<u32>,
    pub(in crate::runner) down: &'a Mutex<DownWorkers>,
    pub(in crate::runner) machine: ThisMachine<'a>,
}

impl Measuring<'_> {
    /// Measures once, and takes no longer than `within` for it.
    ///
    /// # Errors
    /// It cannot be asked at all: a value or a secret is not known here.
    pub(in crate::runner) fn once(
        &self,
        gate: &Gate,
        within: Duration,
        cancel: &Cancel,
    ) -> Result<Measurement, StepError> {
        let (down, expected) = {
            let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
            let expected = match &gate.measure {
                Measure::Alertmanager(query) if query.except_down => down.within(query.linger),
                _ => Vec::new(),
            };
            (down.now(), expected)
        };
        let place = self.place.clone().of_gate(self.wave, &down);
        match &gate.measure {
            Measure::Prometheus(query) => {
                let text = query_text(&query.query, &place)?;
                let parameters = prometheus::parameters(query, &text, std::time::SystemTime::now());
                let path = if query.over.is_some() { "query_range" } else { "query" };
                let request = asked(&format!("{}/api/v1/{path}", query.url), &query.headers, &parameters);
                self.ask(&request, &place, within, cancel, |answer| Ok(prometheus::judge(query, answer)))
            }
            Measure::Alertmanager(query) => {
                let filters: Result<Vec<String>, _> =
                    query.matching.iter().map(|matcher| query_text(matcher, &place)).collect();
                let parameters = alertmanager::parameters(filters?);
                let url = format!("{}/api/v2/alerts?{}", query.url, encoded(&parameters));
                let request = get(url, &query.headers);
                self.ask(&request, &place, within, cancel, |answer| {
                    Ok(alertmanager::judge(query, &expected, answer))
                })
            }
            Measure::Http(HttpCheck { request, expect }) => {
                self.ask(request, &place, within, cancel, |answer| {
                    Ok(match judge(answer, expect, &place)? {
                        Judged::Meets(what) => Measurement::pass(what),
                        Judged::Differs(what) => Measurement::fail(what),
                        Judged::Unreadable(what) => Measurement::nothing(what),
                    })
                })
            }
            Measure::Command(text) => self.run(text, &place, within, cancel),
        }
    }

    fn ask(
        &self,
        request: &HttpRequest,
        place: &Place,
        within: Duration,
        cancel: &Cancel,
        judge: impl Fn(&Answer) -> Result<Measurement, StepError>,
    ) -> Result<Measurement, StepError> {
        let filled = fill(request, place)?;
        let measured = match http::send(filled.request, within, || cancel.is_cancelled()) {
            Ok(answer) => judge(&answer)?,
            Err(no_answer) => Measurement::nothing(no_answer.to_string()),
        };
        Ok(Measurement { words: masked(&measured.words, &filled.secrets), ..measured })
    }

    fn run(
        &self,
        text: &str,
        place: &Place,
        within: Duration,
        cancel: &Cancel,
    ) -> Result<Measurement, StepError> {
        let environment = Environment::of(self.plan, None, place)?;
        let command = CommandText { text, is_script: false, unless: None };
        let until = Instant::now() + within;
        let ended = unmasked_on_this_machine(&self.machine, command, &environment, until, cancel, &|_| {});
        let ended = match ended {
            Ok(ended) => ended,
            Err(outcome) => {
                return Ok(Measurement::nothing(format!("the command did not run: {}", why(&outcome))));
            }
        };
        let said = ended.output.as_deref().and_then(|output| output.trim().lines().next_back());
        let said = said.map(|said| format!(": {said}")).unwrap_or_default();
        let measured = match ended.how {
            CommandEnd::Exit(0) => Measurement::pass(format!("exit code 0{said}")),
            // As monitoring plugins say "unknown", and shells "cannot be run" and "not found".
            CommandEnd::Exit(code @ (3 | 126 | 127)) => {
                Measurement::nothing(format!("exit code {code}{said}"))
            }
            CommandEnd::Exit(code) => Measurement::fail(format!("exit code {code}{said}")),
            CommandEnd::Signal(signal) => Measurement::nothing(format!("ended by signal {signal}{said}")),
            CommandEnd::Lost => Measurement::nothing("something has killed it"),
            CommandEnd::Cut(_) => Measurement::nothing(format!("it did not end in time{said}")),
        };
        Ok(Measurement { words: environment.mask(&measured.words), ..measured })
    }
}

fn why(outcome: &crate::engine::Outcome) -> String {
    match outcome {
        crate::engine::Outcome::Failed { error } => error.message.clone(),
        crate::engine::Outcome::NotDone { reason } => reason.clone(),
        _ => "it was given up".to_owned(),
    }
}

/// A query or a matcher with its values put in. They stand in texts with quotes of some kind: a value that could end one
/// is refused.
fn query_text(text: &str, place: &Place) -> Result<String, StepError> {
    let refused = std::cell::Cell::new(false);
    let filled = fill_text(text, place, |value| {
        if value.chars().any(|c| matches!(c, '"' | '\'' | '`' | '\\') || c.is_control()) {
            refused.set(true);
        }
        value.to_owned()
    })?;
    if refused.get() {
        let message = "a value that is put into a query has a quote, a backslash or a control character";
        return Err(StepError::new(crate::engine::ErrorKind::Controller, message));
    }
    Ok(filled)
}

type Headers = BTreeMap<String, EnvValue>;

fn get(url: String, headers: &Headers) -> HttpRequest {
    HttpRequest { method: HttpMethod::Get, url, headers: headers.clone(), body: None }
}

/// A request to a Prometheus, whose parameters are in the url, or in a form where they are long.
fn asked(url: &str, headers: &Headers, parameters: &[(&str, String)]) -> HttpRequest {
    let form = encoded(parameters);
    if url.len() + form.len() < LONGEST_URL {
        return get(format!("{url}?{form}"), headers);
    }
    let mut request = get(url.to_owned(), headers);
    let kind = EnvValue::Plain("application/x-www-form-urlencoded".to_owned());
    request.headers.retain(|name, _| !name.eq_ignore_ascii_case("content-type"));
    request.headers.insert("Content-Type".to_owned(), kind);
    HttpRequest { method: HttpMethod::Post, body: Some(HttpBody::Text(form)), ..request }
}

/// As in a url. What is encoded has no `$`: no value is put in a second time.
fn encoded(parameters: &[(&str, String)]) -> String {
    let one = |(name, value): &(&str, String)| format!("{name}={}", percent(value));
    parameters.iter().map(one).collect::<Vec<_>>().join("&")
}
