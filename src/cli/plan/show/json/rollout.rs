//! How a plan takes its workers, and what decides besides, for programs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::commands::{CommandJson, EnvJson, RolloutGate, env_of, rollout_gates};
use super::millis;
use crate::compare::gate_options;
use crate::graph::RolloutGraph;
use crate::plan::{OnFailure, Silence, Window};

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RolloutJson<'a> {
    /// Maximum number of active workers; `null`: as many as fit.
    concurrency: Option<u32>,
    /// Maximum number of failed workers.
    max_failures: u32,
    /// The failure at which the run halts, counted from 1.
    halts_at_failure: u64,
    /// `halt` or `revert`.
    on_failure: &'static str,
    soak_ms: u64,
    spread: Option<SpreadJson<'a>>,
    /// The first of `windows`.
    window: Option<WindowJson<'a>>,
    /// Workers are started within one of them only; none: at any time.
    windows: Vec<WindowJson<'a>>,
    /// When no workers are started, whatever the windows say.
    freeze: Option<FreezeJson<'a>>,
    /// What has to pass before and after each wave, and while workers are down.
    gates: Vec<GateJson<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct GateJson<'a> {
    /// `before_wave`, `after_wave` or `guard`, with a number from the second one on.
    place: String,
    name: Option<&'a str>,
    /// `prometheus`, `alertmanager`, `http` or `command`.
    source: &'static str,
    /// What is asked, and what passes.
    commands: [CommandJson<'a>; 2],
    env: Vec<EnvJson<'a>>,
    /// Every option by its key, as `plan diff` names them, defaults filled in.
    options: BTreeMap<String, String>,
}

/// One for each worker, from when it is started until its steps have ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SilenceJson<'a> {
    url: &'a str,
    /// As Alertmanager writes them, with placeholders.
    matchers: Vec<String>,
    /// So long one lasts that is not extended any more.
    lease_ms: u64,
    /// So long it lasts after the worker is back.
    tail_ms: u64,
    /// None lasts longer.
    at_most_ms: u64,
    /// An answer is waited for so long.
    timeout_ms: u64,
    /// In front of what every comment says; `null`: nothing.
    comment: Option<&'a str>,
    /// Headers of its requests.
    env: Vec<EnvJson<'a>>,
}

impl<'a> From<&'a Silence> for SilenceJson<'a> {
    fn from(silence: &'a Silence) -> Self {
        Self {
            url: &silence.url,
            matchers: silence.matchers.iter().map(ToString::to_string).collect(),
            lease_ms: millis(silence.lease),
            tail_ms: millis(silence.tail),
            at_most_ms: millis(silence.at_most),
            timeout_ms: millis(silence.timeout),
            comment: silence.comment.as_deref(),
            env: env_of(&silence.headers),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct FreezeJson<'a> {
    /// Of the dates, and of calendars that name none.
    timezone: &'a str,
    /// `2026-12-24..2027-01-02`, both included, or one date.
    dates: Vec<String>,
    /// iCalendar files, as the plan names them.
    calendars: Vec<&'a str>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SpreadJson<'a> {
    tag: &'a str,
    at_most: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WindowJson<'a> {
    timezone: &'a str,
    /// `HH:MM`, local.
    open: String,
    /// `HH:MM`, local; at or before `open`: on the next day.
    close: String,
    /// Days on which it opens: `mon` to `sun`, or one of each month: `2nd tue`, `last fri`.
    days: Vec<String>,
}

/// Of a compiled plan.
pub(super) fn rollout(graph: &RolloutGraph) -> RolloutJson<'_> {
    let settings = &graph.plan.rollout;
    let numbers = graph.numbers();
    RolloutJson {
        concurrency: numbers.concurrency.as_ref().map(|resolved| resolved.value),
        max_failures: numbers.max_failures.value,
        halts_at_failure: u64::from(numbers.max_failures.value) + 1,
        on_failure: match settings.on_failure {
            OnFailure::Halt => "halt",
            OnFailure::Revert => "revert",
        },
        soak_ms: millis(settings.soak),
        spread: settings
            .spread
            .as_ref()
            .map(|spread| SpreadJson { tag: &spread.value.tag, at_most: spread.value.at_most }),
        window: settings.windows.first().map(|window| WindowJson::of(&window.value)),
        windows: settings.windows.iter().map(|window| WindowJson::of(&window.value)).collect(),
        freeze: settings.freeze.as_ref().map(|freeze| FreezeJson {
            timezone: &freeze.value.timezone,
            dates: freeze.value.dates.iter().map(ToString::to_string).collect(),
            calendars: freeze.value.calendars.iter().map(|path| path.value.as_str()).collect(),
        }),
        gates: rollout_gates(&graph.plan)
            .into_iter()
            .map(|RolloutGate { place, gate, parts, env }| GateJson {
                place,
                name: gate.name.as_deref(),
                source: gate.measure.keyword(),
                commands: parts,
                env,
                options: gate_options(gate),
            })
            .collect(),
    }
}

impl<'a> WindowJson<'a> {
    fn of(window: &'a Window) -> Self {
        let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        Self {
            timezone: &window.timezone,
            open: clock(window.open),
            close: clock(window.close),
            days: window.days.iter().map(ToString::to_string).collect(),
        }
    }
}
