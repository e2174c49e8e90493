//! Gates as they are written.
#![expect(dead_code, reason = "these types describe a shape; nothing is ever made of them")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

use super::steps::{EnvValue, HttpExpect};
use super::values::{
    Count, Duration, Flag, GateActionOfRollout, GateActionOfStep, List, Method, Number, OneOrMore, Shell,
    Text,
};

/// A gate: exactly one of prometheus, alertmanager, http and command. In queries, matchers, urls and texts of requests
/// `$worker`, `$wave` and `$down` stand for the worker, the number of the wave, and the workers that are down; a command has
/// them in its environment.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["prometheus"] }, { "required": ["alertmanager"] }, { "required": ["http"] }, { "required": ["command"] }]))]
pub(super) struct GateStep {
    /// A query to a Prometheus: every value of its answer has to be within the limit. Default: none.
    prometheus: Option<Prometheus>,
    /// Alerts of an Alertmanager: none that matches may fire. Default: none.
    alertmanager: Option<Alertmanager>,
    /// A request: its answer has to be the expected one. Default: none.
    http: Option<HttpCheck>,
    /// A command on this machine, in the bucket: exit code 0 passes; 3, 126 and 127 are
    /// inconclusive. Default: none.
    command: Option<Shell>,
    /// The time between two measurements. Default: `10s`.
    interval: Option<Duration>,
    /// How many measurements it takes. Default: `1`.
    count: Option<Count<1>>,
    /// How many of them may fail. Default: 0.
    failures: Option<Count<0>>,
    /// An answer that does not come within this time is inconclusive. Default: `10s`.
    answer_within: Option<Duration>,
    /// What follows when more fail: fail, wait (it is measured again, until the time-out of the step) or ignore.
    /// Default: fail.
    on_fail: Option<GateActionOfStep>,
    /// What follows when nothing is known (no answer, no data, none that can be read): fail, wait or ignore. Default:
    /// wait.
    on_inconclusive: Option<GateActionOfStep>,
}

/// A query and its limit: one of min and max, or both.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Prometheus {
    /// The server: http:// or https://, without /api/v1.
    url: Text,
    /// Headers; secrets come from the environment of this machine. Default: those that every request needs.
    headers: Option<BTreeMap<String, EnvValue>>,
    /// What is asked, in PromQL.
    query: Text,
    /// Values of this time up to now count, such as 10m. Default: only that of now.
    over: Option<Duration>,
    /// The time between two values of `over`. Default: `30s`.
    resolution: Option<Duration>,
    /// Smaller values fail. Default: no bound.
    min: Option<Number>,
    /// Larger values fail. Default: no bound.
    max: Option<Number>,
}

/// Alerts that must not fire. Those that are silenced or inhibited do not count.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Alertmanager {
    /// The server: http:// or https://, without /api/v2.
    url: Text,
    /// Headers; secrets come from the environment of this machine. Default: those that every request needs.
    headers: Option<BTreeMap<String, EnvValue>>,
    /// Matchers, all of which an alert matches, such as severity="critical".
    matching: List<Text>,
    /// Alerts of workers that are down by the run do not count. Default: `true`.
    except_down: Option<Flag>,
    /// So long after a worker has come back its alerts do not count either. Default: `2m`.
    linger: Option<Duration>,
    /// The label that names the worker of an alert, with or without a port. Default: `instance`.
    worker_label: Option<Text>,
}

/// A request and the answer to it that passes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct HttpCheck {
    /// The method. Default: GET.
    method: Option<Method>,
    /// Where to: http:// or https://, without a user.
    url: Text,
    /// Headers; secrets come from the environment of this machine. Default: those that every request needs.
    headers: Option<BTreeMap<String, EnvValue>>,
    /// A body of text; this or `json`. Default: none.
    body: Option<Text>,
    /// A body as a JSON document, written as YAML. Default: none.
    json: Option<Value>,
    /// What passes. Default: a status of 2xx.
    expect: Option<HttpExpect>,
}

/// Gates around waves.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct WaveGates {
    /// Before each wave, after the soak of the one before. Default: nothing.
    before_wave: Option<OneOrMore<RolloutGate>>,
    /// After each wave, before its soak. Default: nothing.
    after_wave: Option<OneOrMore<RolloutGate>>,
}

/// A gate: exactly one of prometheus, alertmanager, http and command. In queries, matchers, urls and texts of requests
/// `$wave` and `$down` stand for the number of the wave, and the workers that are down; a command has them in its environment.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["prometheus"] }, { "required": ["alertmanager"] }, { "required": ["http"] }, { "required": ["command"] }]))]
pub(super) struct RolloutGate {
    /// A name to show instead of what is measured. Default: none.
    name: Option<Text>,
    /// A query to a Prometheus: every value of its answer has to be within the limit. Default: none.
    prometheus: Option<Prometheus>,
    /// Alerts of an Alertmanager: none that matches may fire. Default: none.
    alertmanager: Option<Alertmanager>,
    /// A request: its answer has to be the expected one. Default: none.
    http: Option<HttpCheck>,
    /// A command on this machine, in the bucket: exit code 0 passes; 3, 126 and 127 are
    /// inconclusive. Default: none.
    command: Option<Shell>,
    /// The time between two measurements. Default: `10s`.
    interval: Option<Duration>,
    /// How many measurements it takes; of a guard: how many of the latest count. Default: `1`.
    count: Option<Count<1>>,
    /// How many of them may fail. Default: 0.
    failures: Option<Count<0>>,
    /// An answer that does not come within this time is inconclusive. Default: `10s`.
    answer_within: Option<Duration>,
    /// What follows when more fail: halt, wait (nothing is started, and it is measured again) or ignore. Default:
    /// halt.
    on_fail: Option<GateActionOfRollout>,
    /// What follows when nothing is known (no answer, no data, none that can be read): halt, wait or ignore. Default:
    /// wait.
    on_inconclusive: Option<GateActionOfRollout>,
    /// How long it waits before it halts the rollout. Default: `10m`.
    patience: Option<Duration>,
}
