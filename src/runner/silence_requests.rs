//! How Alertmanager is asked for a silence (its API, version 2).
//!
//! A silence of ours is looked up each time, by its matchers and who made it: so it does not matter whether this process has
//! made it or the one before, nor whether Alertmanager has forgotten it or somebody has ended it. One that is extended keeps
//! its id as long as its matchers and its start stay as they are. Times are those of Alertmanager's clock, as far as it says
//! what that is.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::{Deserialize, Serialize};
use ureq::http::Request;

use crate::engine::Millis;
use crate::graph::{RolloutGraph, TargetIx};
use crate::http::{self, LARGEST_ANSWER};
use crate::plan::{MatchOp, Matcher, Silence, visible_within};
use crate::silence::{Answer, Ask};
use crate::ssh::Cancel;

use super::environment::Place;
use super::http::{headers, percent, put_in, url};
use super::mask::{Secrets, masked};

/// So much of an answer is shown where it was not the expected one.
const SHOWN: usize = 200;
/// Clocks that differ by less are the same: a date has no parts of a second, and an answer takes its time.
const SAME_CLOCK: Millis = 2_000;
/// A clock that is further away is wrong, or not Alertmanager's: a silence could last for days.
const OTHER_CLOCK: Millis = 24 * 3_600_000;

/// Makes and extends the silences of a run.
pub(super) struct Requests {
    graph: Arc<RolloutGraph>,
    silence: Silence,
    run: String,
    by: String,
    /// Whoever asks does not want to wait any longer.
    given_up: Cancel,
}

/// What came of a look at the silences.
struct Looked {
    place: Place,
    matchers: Vec<WireMatcher>,
    answer: http::Answer,
    all: Vec<Found>,
}

/// A silence as Alertmanager tells of it, as far as it matters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    id: String,
    #[serde(default)]
    created_by: String,
    starts_at: String,
    ends_at: String,
    status: Status,
    matchers: Vec<WireMatcher>,
}

#[derive(Debug, Deserialize)]
struct Status {
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMatcher {
    name: String,
    value: String,
    is_regex: bool,
    /// It is missing in what versions before 0.22 say.
    #[serde(default = "yes")]
    is_equal: bool,
}

fn yes() -> bool {
    true
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wanted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    matchers: &'a [WireMatcher],
    starts_at: &'a str,
    ends_at: String,
    created_by: &'a str,
    comment: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    #[serde(rename = "silenceID")]
    silence_id: String,
}

impl From<&Matcher> for WireMatcher {
    fn from(matcher: &Matcher) -> Self {
        Self {
            name: matcher.name.clone(),
            value: matcher.value.clone(),
            is_regex: matcher.op.is_regex(),
            is_equal: matches!(matcher.op, MatchOp::Equal | MatchOp::Matches),
        }
    }
}

impl Requests {
    /// Of a run that `by`, an operator, carries out.
    pub(super) fn new(graph: Arc<RolloutGraph>, silence: Silence, run: String, by: String) -> Self {
        Self { graph, silence, run, by, given_up: Cancel::new() }
    }

    /// Waits for no answer any more when this is cancelled.
    pub(super) fn until(self, given_up: &Cancel) -> Self {
        Self { given_up: given_up.clone(), ..self }
    }

    /// Sees to it that the worker's silence lasts until then; `clock`: the time of `ask.until`.
    pub(super) fn ask(&self, ask: &Ask, clock: &mut dyn FnMut() -> Millis) -> Answer {
        match self.try_ask(ask, clock) {
            Ok(answer) | Err(answer) => answer,
        }
    }

    fn try_ask(&self, ask: &Ask, clock: &mut dyn FnMut() -> Millis) -> Result<Answer, Answer> {
        let refused = |why: String| Answer::Refused(why);
        let author = format!("maand, run {}", self.run);
        let began = clock();
        let Looked { place, matchers, answer, all } = self.looked(ask.target)?;
        let skew = skew(answer.date.as_deref(), began, clock())?;
        let is_ours = |found: &Found| {
            let mut theirs = found.matchers.clone();
            theirs.sort();
            found.created_by == author && found.status.state != "expired" && theirs == matchers
        };
        // Times are in one format, in which they sort as they follow each other.
        let own = all.iter().filter(|found| is_ours(found)).max_by(|a, b| a.ends_at.cmp(&b.ends_at));
        if own.is_none() && !ask.create {
            return Ok(Answer::Gone);
        }

        let now = time(clock() + skew).map_err(&refused)?;
        let wanted = Wanted {
            id: own.map(|own| own.id.as_str()),
            matchers: &matchers,
            starts_at: own.map_or(&now, |own| &own.starts_at),
            ends_at: time(ask.until + skew).map_err(&refused)?,
            created_by: &author,
            comment: &self.comment(&place, ask.target)?,
        };
        let body = serde_json::to_vec(&wanted).map_err(|error| refused(error.to_string()))?;
        let (answer, secrets) = self.send(&place, "", Some(body))?;
        let Made { silence_id } = read(&answer, &secrets)?;
        if silence_id.is_empty() || silence_id.len() > SHOWN {
            return Err(Answer::Unavailable("its answer does not say which silence it has made".to_owned()));
        }
        let is_new = own.is_none_or(|own| own.id != silence_id);
        Ok(Answer::Held { id: one_line(&silence_id, &secrets), is_new })
    }

    /// The silences that have the worker's matchers, as Alertmanager tells of them.
    fn looked(&self, target: TargetIx) -> Result<Looked, Answer> {
        let place = Place::of_worker(&self.graph, &self.run, target);
        let filled = self.silence.matchers.iter().map(|matcher| matcher.filled(|name| place.value(name)));
        let filled = filled
            .collect::<Result<Vec<_>, _>>()
            .map_err(|name| Answer::Refused(format!("{} has no value for ${name}", self.host(target))))?;
        let mut matchers: Vec<WireMatcher> = filled.iter().map(WireMatcher::from).collect();
        matchers.sort();
        let filters: Vec<String> =
            filled.iter().map(|matcher| format!("filter={}", percent(&matcher.to_string()))).collect();
        let (answer, secrets) = self.send(&place, &format!("?{}", filters.join("&")), None)?;
        let all = read(&answer, &secrets)?;
        Ok(Looked { place, matchers, answer, all })
    }

    /// Whether Alertmanager can be asked for the worker's silences. None is made.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn look(&self, target: TargetIx) -> Result<(), Answer> {
        let Looked { answer, .. } = self.looked(target)?;
        let now = super::clock::now();
        skew(answer.date.as_deref(), now, now).map(|_| ())
    }

    fn host(&self, target: TargetIx) -> &str {
        self.graph.host(target)
    }

    fn comment(&self, place: &Place, target: TargetIx) -> Result<String, Answer> {
        let own = match &self.silence.comment {
            Some(comment) => put_in(comment, place).map_err(|error| Answer::Refused(error.message))? + "; ",
            None => String::new(),
        };
        let (host, plan) = (self.host(target), &self.graph.plan.name);
        Ok(format!("{own}{host} is down for run {} of plan {plan}, carried out by {}", self.run, self.by))
    }

    /// Sends a request to the silences, and returns an answer of 200.
    fn send(
        &self,
        place: &Place,
        query: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(http::Answer, Secrets), Answer> {
        let refused = |error: crate::engine::StepError| Answer::Refused(error.message);
        let base = url(&self.silence.url, place).map_err(refused)?;
        let (headers, secrets) = headers(&self.silence.headers, place).map_err(refused)?;
        let uri = format!("{}/api/v2/silences{query}", base.trim_end_matches('/'));
        let mut request = Request::builder().method(if body.is_some() { "POST" } else { "GET" }).uri(uri);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(body.unwrap_or_default());
        let request = request.map_err(|error| Answer::Refused(format!("{base} cannot be asked: {error}")))?;
        let answer = http::send(request, self.silence.timeout, || self.given_up.is_cancelled());
        let answer = answer.map_err(|none| Answer::Unavailable(format!("{base}: {none}")))?;
        status(&base, &answer, &secrets)?;
        Ok((answer, secrets))
    }
}

/// Whether the answer is that it was done.
fn status(base: &str, answer: &http::Answer, secrets: &Secrets) -> Result<(), Answer> {
    if answer.status == 200 {
        return Ok(());
    }
    let body = String::from_utf8_lossy(&answer.body);
    let said = one_line(&body, secrets);
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let why = format!("{base}: status {}{said}", answer.status);
    match answer.status {
        // Of this silence: another one may be taken.
        400 | 404 | 409 | 413 | 422 => Err(Answer::Refused(why)),
        _ => Err(Answer::Unavailable(why)),
    }
}

/// What a server has said, bounded and without what it should not have said.
fn one_line(text: &str, secrets: &Secrets) -> String {
    let words = masked(text, secrets).split_whitespace().collect::<Vec<_>>().join(" ");
    visible_within(&words, SHOWN)
}

fn read<'a, T: Deserialize<'a>>(answer: &'a http::Answer, secrets: &Secrets) -> Result<T, Answer> {
    if !answer.is_whole {
        let why = format!("its answer has more than {LARGEST_ANSWER} bytes");
        return Err(Answer::Unavailable(why));
    }
    serde_json::from_slice(&answer.body).map_err(|error| {
        Answer::Unavailable(one_line(&format!("its answer is not one of Alertmanager: {error}"), secrets))
    })
}

/// How much later it is at Alertmanager's, by the date of an answer to a request that took from `began` to `ended`. Without a
/// date that can be read, it is as late as here.
fn skew(date: Option<&str>, began: Millis, ended: Millis) -> Result<Millis, Answer> {
    let Some(there) = date.and_then(|date| rfc2822::parse(date).ok()) else { return Ok(0) };
    // In the middle of its second, in the middle of the request.
    let skew = there.timestamp().as_millisecond() + 500 - (began + (ended - began) / 2);
    match skew.abs() {
        0..=SAME_CLOCK => Ok(0),
        ..=OTHER_CLOCK => Ok(skew),
        _ => {
            let spent = crate::plan::duration(Duration::from_secs(skew.unsigned_abs() / 1000));
            Err(Answer::Unavailable(format!("its clock and this one are {spent} apart")))
        }
    }
}

/// As in RFC 3339.
fn time(at: Millis) -> Result<String, String> {
    Timestamp::from_millisecond(at).map(|at| at.to_string()).map_err(|error| error.to_string())
}

/// What fuzzers call: what is said of an answer that is none of Alertmanager's.
#[cfg(any(test, fuzzing))]
pub(super) fn heard(answer: &http::Answer) -> Vec<String> {
    let secrets = Secrets::default();
    let refused = [
        read::<Vec<Found>>(answer, &secrets).err(),
        read::<Made>(answer, &secrets).err(),
        status("http://a", &http::Answer { status: 400, ..answer.clone() }, &secrets).err(),
    ];
    let why = |answer| match answer {
        Answer::Refused(why) | Answer::Unavailable(why) => Some(why),
        Answer::Held { .. } | Answer::Gone => None,
    };
    refused.into_iter().flatten().filter_map(why).collect()
}

/// What fuzzers call: how much later it is there, by the date of an answer.
#[cfg(any(test, fuzzing))]
pub(super) fn clock(date: &str, now: Millis) -> Result<Millis, String> {
    skew(Some(date), now - 100, now + 100).map_err(|answer| match answer {
        Answer::Refused(why) | Answer::Unavailable(why) => why,
        Answer::Held { .. } | Answer::Gone => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_one_line_without_secrets() {
        let secrets = Secrets::of(&["s3cret-of-ours".to_owned()]);
        let answer = |status: u16, body: &str| http::Answer::plain(status, body.as_bytes().to_vec());
        let why = |answer: Answer| match answer {
            Answer::Refused(why) | Answer::Unavailable(why) => why,
            other => panic!("{other:?}"),
        };
        let echoed = read::<Vec<Found>>(&answer(200, "\"Bearer s3cret-of-ours\""), &secrets).unwrap_err();
        let refused =
            status("http://a", &answer(502, "bad\n  gateway\r\n s3cret-of-ours"), &secrets).unwrap_err();
        for said in [why(echoed), why(refused)] {
            assert!(!said.contains("s3cret") && !said.contains(['\n', '\r']), "{said}");
        }
        assert!(!one_line("99 s3cret-of-ours", &secrets).contains("s3cret"));
    }

    #[test]
    fn clocks_are_compared_by_the_date_of_an_answer() {
        let at = |date: Option<&str>, now: Millis| skew(date, now - 100, now + 100);
        let date = Some("Mon, 30 Nov 2026 15:00:00 GMT");
        let there: Timestamp = "2026-11-30T15:00:00Z".parse().unwrap();
        let there = there.as_millisecond();
        for (here, expected) in
            [(there, 0), (there + 2_400, 0), (there - 600_000, 600_500), (there + 600_000, -599_500)]
        {
            assert_eq!(at(date, here), Ok(expected));
        }
        assert_eq!(at(None, there), Ok(0));
        assert_eq!(at(Some("yesterday"), there), Ok(0));
        let days = at(date, there + 3 * OTHER_CLOCK).unwrap_err();
        assert!(matches!(&days, Answer::Unavailable(why) if why.contains("apart")), "{days:?}");
    }
}
