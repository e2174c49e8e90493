//! A notice, and its JSON document.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::Millis;
use crate::plan::NoticeEvent;
use crate::report::Time;

/// Name and version of the document; new fields may come, none goes or changes.
pub const NOTICE_SCHEMA: &str = "maand/notice/v1";

/// Something that happened in a run, as it is told. All texts are fit for a terminal; the one-line ones have no line feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `None`: a test, of no run.
    pub event: Option<NoticeEvent>,
    /// The bucket.
    pub bucket_id: String,
    /// The run's name; of a test: what tells it from others.
    pub run: String,
    /// The plan's name; of a test empty.
    pub plan: String,
    /// The number of the fact that it follows from; 0: none.
    pub seq: u64,
    /// When that was learnt.
    pub at: Millis,
    /// What happened, in a few words, in one line.
    pub title: String,
    /// What happened, where, and how the run stands; several lines.
    pub text: String,
    /// The worker that it is about.
    pub host: Option<String>,
    /// The id of the step that it is about.
    pub step: Option<String>,
    /// Why, in one sentence, or what an operator is asked.
    pub reason: Option<String>,
    /// The wave, counted from 1, and how many there are.
    pub wave: Option<(u32, u32)>,
    /// How a run has ended: `succeeded`, `failed` or `aborted`.
    pub state: Option<&'static str>,
}

impl Notice {
    /// The name of its event; `test` of a test.
    pub fn event_name(&self) -> &'static str {
        self.event.map_or("test", NoticeEvent::as_str)
    }

    /// The same for each try, and after a crash; no other notice has it. Letters, digits, `-`, `_` and `/`.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.run, self.seq, self.event_name())
    }

    /// It calls for an operator.
    pub fn is_urgent(&self) -> bool {
        use NoticeEvent::{Halted, InDoubt, LongerThanUsual, Paused, WaitsForApproval, WorkerFailed};
        match self.event {
            Some(Halted | WorkerFailed | WaitsForApproval | InDoubt | Paused | LongerThanUsual) => true,
            Some(NoticeEvent::Finished) => self.state != Some("succeeded"),
            _ => false,
        }
    }

    /// What stands for a name of [`crate::plan::NOTICE_VALUES`]; others have none.
    pub fn value(&self, name: &str) -> Cow<'_, str> {
        let optional = |value: &Option<String>| value.clone().map_or(Cow::Borrowed(""), Cow::Owned);
        let number = |number: Option<u32>| number.map_or(Cow::Borrowed(""), |n| n.to_string().into());
        match name {
            "BUCKET_ID" => self.bucket_id.as_str().into(),
            "MAAND_NOTICE" => self.id().into(),
            "MAAND_EVENT" => self.event_name().into(),
            "MAAND_RUN" => self.run.as_str().into(),
            "MAAND_PLAN" => self.plan.as_str().into(),
            "MAAND_AT" => Time(self.at).to_second().into(),
            "MAAND_TITLE" => self.title.as_str().into(),
            "MAAND_TEXT" => self.text.as_str().into(),
            "MAAND_HOST" => optional(&self.host),
            "MAAND_STEP" => optional(&self.step),
            "MAAND_REASON" => optional(&self.reason),
            "MAAND_WAVE" => number(self.wave.map(|wave| wave.0)),
            "MAAND_WAVES" => number(self.wave.map(|wave| wave.1)),
            "MAAND_STATE" => self.state.unwrap_or_default().into(),
            _ => "".into(),
        }
    }

    /// As a JSON document.
    pub fn document(&self) -> NoticeDocument<'_> {
        NoticeDocument {
            schema: NOTICE_SCHEMA,
            id: self.id(),
            event: self.event_name(),
            test: self.event.is_none(),
            bucket_id: &self.bucket_id,
            run: &self.run,
            plan: &self.plan,
            seq: self.seq,
            at: Time(self.at),
            title: &self.title,
            text: &self.text,
            host: self.host.as_deref(),
            step: self.step.as_deref(),
            reason: self.reason.as_deref(),
            wave: self.wave.map(|wave| wave.0),
            waves: self.wave.map(|wave| wave.1),
            state: self.state,
        }
    }
}

/// What a webhook gets, and a command on standard input.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "A notice of a run of maand")]
pub struct NoticeDocument<'a> {
    /// Always `maand/notice/v1`.
    schema: &'static str,
    /// The same each time that this notice is sent, also after a crash; no other one has it.
    id: String,
    /// `halted`, `worker_failed`, `waits_for_approval`, `in_doubt`, `paused`, `longer_than_usual`, `wave_done`, `resumed`,
    /// `finished`; `test` of `maand notify test`.
    event: &'static str,
    /// It was sent by `maand notify test`, and nothing has happened.
    test: bool,
    /// The bucket.
    bucket_id: &'a str,
    /// The run's name.
    run: &'a str,
    /// The plan's name.
    plan: &'a str,
    /// The number of the fact that it follows from, as in `maand/event/v1`; 0: none.
    seq: u64,
    /// When that was learnt; it may be sent later.
    at: Time,
    /// What happened, in a few words.
    title: &'a str,
    /// What happened, where, and how the run stands; several lines.
    text: &'a str,
    /// The worker that it is about.
    host: Option<&'a str>,
    /// The id of the step that it is about.
    step: Option<&'a str>,
    /// Why, in one sentence, or what an operator is asked.
    reason: Option<&'a str>,
    /// Of `wave_done`: the wave, counted from 1.
    wave: Option<u32>,
    /// Of `wave_done`: how many waves there are.
    waves: Option<u32>,
    /// Of `finished`: `succeeded`, `failed` or `aborted`.
    state: Option<&'static str>,
}
