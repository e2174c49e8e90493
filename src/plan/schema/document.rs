//! The document as it is written. The doc comments here are what an editor shows.
#![expect(dead_code, reason = "these types describe a shape; nothing is ever made of them")]

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::gate::{RolloutGate, WaveGates};
use super::notify::Notify;
use super::snippets;
use super::steps::{EnvValue, OnceStepEntry, PrepareStepEntry, Retries, StepEntry};
use super::values::{
    Amount, BudgetJob, Concurrency, Count, Dates, Day, Duration, Flag, Host, JobName, List, OnFailure,
    OneOrMore, Order, PlanName, PositiveAmount, Text, TimeOfDay, VariableValue, Version, WaveSize, Word,
};

/// A maand plan: how an operation rolls over a fleet of workers.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "maand plan, version 1", extend("defaultSnippets" = snippets::plan()))]
pub(super) struct Plan {
    /// The version of the plan language: 1.
    version: Version,
    /// The name of the plan: 1 to 63 of a-z, 0-9 and -.
    name: PlanName,
    /// What the plan is for; shown where the plan is listed. Default: none.
    description: Option<Text>,
    /// Variables: texts, numbers, truth values and lists of them. `${name}` stands for one in any text; commands
    /// get them as environment variables. `--set name=value` overrides. Default: none.
    #[schemars(extend("propertyNames" = {
        "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$",
        "patternErrorMessage": "Names are letters, digits and _, and begin with no digit.",
        "not": { "pattern": "^(MAAND_.*|BUCKET_ID|WORKER_IP|UID|EUID|PPID|BASHOPTS|SHELLOPTS|BASH_VERSINFO)$" }
    }))]
    vars: Option<BTreeMap<String, VariableValue>>,
    /// The workers to operate on. Default: every worker of the bucket.
    targets: Option<Targets>,
    /// How the rollout proceeds: how many workers at a time, in which order, when, and when to stop. Default: one
    /// worker at a time, in the order of workers.json, until the first failure.
    rollout: Option<RolloutSection>,
    /// Alerts of a worker are silenced in an Alertmanager while it is down because of the run. Default: no silences.
    silence: Option<Silence>,
    /// Who is told of what happens: targets by name, each with a service; none: nobody, not even those whom the bucket
    /// names. Default: those whom the bucket names.
    notify: Option<Notify>,
    /// Options of every step that does not set them itself. Default: those of each kind.
    defaults: Option<Defaults>,
    /// Steps that run once, before the first worker. Default: none.
    #[schemars(length(min = 1))]
    before: Option<Vec<OnceStepEntry>>,
    /// What is done on all workers before the first one is started, while none is down. A worker that fails it is not
    /// touched by `steps`. Default: nothing.
    prepare: Option<PrepareSection>,
    /// Steps that run on every worker; each waits for the one before unless it has `needs`.
    #[schemars(length(min = 1))]
    steps: Vec<StepEntry>,
    /// Steps that run once, after the last worker, unless the rollout was halted. Default: none.
    #[schemars(length(min = 1))]
    after: Option<Vec<OnceStepEntry>>,
}

/// What is done on all workers ahead.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct PrepareSection {
    /// How many workers at a time: a number, or a percentage of the selected workers. Default: `10`.
    concurrency: Option<PositiveAmount>,
    /// Also while the windows of the rollout are closed; a freeze holds all the same. Default: `false`.
    outside_window: Option<Flag>,
    /// Steps that leave a worker and its jobs as they are; each waits for the one before unless it has `needs`.
    #[schemars(length(min = 1))]
    steps: Vec<PrepareStepEntry>,
}

/// The workers to operate on: those that match everything that is given here.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Targets {
    /// Hosts as they are written in workers.json. Default: any.
    workers: Option<List<Host>>,
    /// Workers that carry all of these labels. Default: any.
    labels: Option<List<Text>>,
    /// Workers that have, for each of these tags, one of the values. Default: any.
    #[schemars(extend("minProperties" = 1))]
    tags: Option<BTreeMap<String, OneOrMore<Word>>>,
    /// Workers that host an enabled allocation of one of these jobs. Default: any.
    jobs: Option<List<JobName>>,
    /// Leaves out workers that match any one of these. Default: none.
    exclude: Option<Exclude>,
    /// Refuse to start when the selection has another size. Default: any size but 0.
    expect: Option<Expect>,
}

/// Workers that are left out.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Exclude {
    /// These hosts. Default: none.
    workers: Option<List<Host>>,
    /// Workers that carry one of these labels. Default: none.
    labels: Option<List<Text>>,
    /// Workers that have one of these values of a tag. Default: none.
    #[schemars(extend("minProperties" = 1))]
    tags: Option<BTreeMap<String, OneOrMore<Word>>>,
    /// Workers that host one of these jobs. Default: none.
    jobs: Option<List<JobName>>,
}

/// Bounds for the number of selected workers.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Expect {
    /// At least this many. Default: no bound.
    min: Option<Count<0>>,
    /// At most this many. Default: no bound.
    max: Option<Count<1>>,
}

/// A silence in an Alertmanager for each worker, from when it is started until its steps have ended: short, extended
/// while the run holds it down, and gone by itself when the controller is.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Silence {
    /// The Alertmanager: http:// or https://, with the prefix of its paths if it has one.
    url: Text,
    /// Headers; secrets come from the environment of this machine. Default: those that every request needs.
    headers: Option<BTreeMap<String, EnvValue>>,
    /// What alerts are silenced, as Alertmanager writes it: all matchers hold, and one names the worker with `$MAAND_HOST`,
    /// `$WORKER_IP` or a tag of its own. Values within a regular expression match as they are.
    matchers: OneOrMore<Text>,
    /// How long a silence lasts that is not extended any more, from 5s to 1h. Default: 5m.
    lease: Option<Duration>,
    /// How long it lasts after the worker is back, at most 1h. Default: 2m.
    tail: Option<Duration>,
    /// How long one lasts at most, however long the worker is down; at most 24h. Default: 1h.
    at_most: Option<Duration>,
    /// How long an answer is waited for, from 1s to 30s; the run waits for none but the last. Default: 5s.
    timeout: Option<Duration>,
    /// In front of what every comment says: the worker, the run, the plan and who carries it out. Default: nothing.
    comment: Option<Text>,
}

/// How the rollout proceeds over the workers.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("defaultSnippets" = snippets::rollout()))]
pub(super) struct RolloutSection {
    /// How many workers at a time: a number, a percentage of the selected workers, or auto (as many as
    /// budgets, spread and wave allow). Default: `1`.
    concurrency: Option<Concurrency>,
    /// Sizes of the waves: numbers, percentages, cover for a wave that has every value of some tags, and rest
    /// as the last one. A wave ends before the next one begins; without rest the last size repeats. Default:
    /// one wave with all.
    waves: Option<List<WaveSize>>,
    /// In which order: position (as in workers.json), reverse, host, or a list of hosts to begin with. Default:
    /// `position`.
    order: Option<Order>,
    /// Maximum number of values of a tag, such as zones, that are disturbed at a time. Default: no bound.
    spread: Option<Spread>,
    /// How much of each job must stay available, counted over the whole bucket. Default: no bound.
    budgets: Option<List<Budget>>,
    /// Maximum number of failed workers: a number, or a percentage of the selected workers. The rollout
    /// halts at one more. Default: `0`.
    max_failures: Option<Amount>,
    /// What becomes of a worker that failed: halt leaves it as it is, revert undoes its finished steps first.
    /// Default: `halt`.
    on_failure: Option<OnFailure>,
    /// A pause after each wave, before the next one. Default: `0s`.
    soak: Option<Duration>,
    /// New workers are admitted only within this window, or within one of several. Default: at any time.
    window: Option<OneOrMore<Window>>,
    /// New workers are not admitted then, whatever the windows say. Default: never.
    freeze: Option<Freeze>,
    /// What has to pass before and after each wave. Default: nothing.
    gates: Option<WaveGates>,
    /// What has to pass while workers are under way, and before one is started: measured all the time. When it fails the
    /// rollout halts; while it says nothing, no worker is started. While workers are prepared it is not measured. Default:
    /// nothing.
    guard: Option<OneOrMore<RolloutGate>>,
}

/// A wave with as few workers as have every value of these tags that no earlier wave has had.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct CoverWave {
    /// Tags of workers.json, such as zone, model and kernel. Workers without a tag count as one more value.
    cover: List<Text>,
    /// At most this many workers, also where they do not have every value: a number, or a percentage of the
    /// selected workers. Default: as many as it takes.
    at_most: Option<PositiveAmount>,
}

/// A bound for the number of failure domains that are disturbed at a time.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Spread {
    /// The tag whose values are the failure domains, such as zone.
    tag: Text,
    /// Maximum number of failure domains that are disturbed at a time. Default: `1`.
    at_most: Option<Count<1>>,
}

/// How much of a job must stay available: exactly one of min_available and max_unavailable.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["min_available"] }, { "required": ["max_unavailable"] }]))]
pub(super) struct Budget {
    /// The job, or "*" for every job without a budget of its own.
    job: BudgetJob,
    /// Minimum number of available allocations: a number, or a percentage (rounded up).
    min_available: Option<Amount>,
    /// Maximum number of unavailable allocations: a number, or a percentage (rounded down).
    max_unavailable: Option<Amount>,
}

/// When new workers are admitted. It may cross midnight.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("defaultSnippets" = snippets::window()))]
pub(super) struct Window {
    /// An IANA name, such as Europe/Berlin or UTC.
    timezone: Text,
    /// When it opens, such as "22:00".
    open: TimeOfDay,
    /// When it closes, such as "05:00"; at or before `open` it is on the next day.
    close: TimeOfDay,
    /// The days on which it opens, such as mon, or "2nd tue" for the second Tuesday of each month. Default: all of them.
    days: Option<List<Day>>,
}

/// When no new workers are admitted: whole days, and the events of calendars.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Freeze {
    /// An IANA name, such as Europe/Berlin or UTC: of the dates, and of calendars that name none. Default: that of the
    /// first window.
    timezone: Option<Text>,
    /// Dates, and ranges that include both their ends: 2026-12-24..2027-01-02. Default: none.
    dates: Option<List<Dates>>,
    /// iCalendar files (.ics), by their paths from the folder of the plan or from the bucket: every event in them counts,
    /// also one that is marked as free. Default: none.
    calendars: Option<List<Text>>,
}

/// Options of every step that does not set them itself.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Defaults {
    /// Time-out of one attempt. Default: 5m; wait_for_ssh 10m; pause and approve none.
    timeout: Option<Duration>,
    /// How often a failed step is tried again. Default: not at all.
    retries: Option<Retries>,
}
