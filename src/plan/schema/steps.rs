//! Steps as they are written.
#![expect(dead_code, reason = "these types describe a shape; nothing is ever made of them")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::super::decode::keys;
use super::gate::GateStep;
use super::values::{
    AnyList, CannotTell, Count, Duration, Factor, Flag, Id, JobName, List, Method, OnNoReturn, OnStepFailure,
    OneOrMore, OrNothing, Scope, Shell, Status, Text, Word,
};
use super::{bare, snippets};

/// A step: the name of a kind, or a map with a kind and other keys.
pub(super) struct StepEntry;

impl JsonSchema for StepEntry {
    fn schema_name() -> Cow<'static, str> {
        "StepEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        entry(keys::KINDS, bare::on_worker, generator.subschema_for::<WorkerStep>(), &snippets::steps())
    }
}

/// A step that runs once: the name of a kind, or a map with a kind and other keys.
pub(super) struct OnceStepEntry;

impl JsonSchema for OnceStepEntry {
    fn schema_name() -> Cow<'static, str> {
        "OnceStepEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        entry(keys::ONCE, bare::once, generator.subschema_for::<OnceStep>(), &snippets::once())
    }
}

/// A step of `prepare`: the name of a kind, or a map with a kind and other keys.
pub(super) struct PrepareStepEntry;

impl JsonSchema for PrepareStepEntry {
    fn schema_name() -> Cow<'static, str> {
        "PrepareStepEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<PrepareStep>();
        entry(keys::PREPARING, bare::on_worker, map, &snippets::prepare())
    }
}

/// The names that can stand alone, each with what it does, and the map.
fn entry(
    kinds: &[&str],
    describe: fn(&str) -> Option<&'static str>,
    map: Schema,
    snippets: &Value,
) -> Schema {
    let bare = kinds.iter().filter_map(|kind| Some(json!({ "description": describe(kind)?, "const": kind })));
    let choices: Vec<Value> = bare.chain([map.to_value()]).collect();
    json_schema!({ "anyOf": choices, "defaultSnippets": snippets })
}

/// "Exactly one of these keys."
fn exactly_one(kinds: &[&str]) -> Value {
    kinds.iter().map(|kind| json!({ "required": [kind] })).collect()
}

/// A step of every worker: exactly one kind, and any of the common keys.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = exactly_one(keys::KINDS)))]
pub(super) struct WorkerStep {
    /// Names the step in `needs`, in reports and in commands. Default: the kind, with -2, -3 for repeats.
    id: Option<Id>,
    /// A name to show instead of the id. Default: the id.
    name: Option<Text>,
    /// The ids of the steps that must have finished first; []: none. Default: the step before.
    needs: Option<AnyList<Text>>,
    /// Time-out of one attempt, such as 10m. Default: that of `defaults`, else 5m; wait_for_ssh 10m; pause and
    /// approve none.
    timeout: Option<Duration>,
    /// How often it is tried again. Default: that of `defaults`, else not at all.
    retries: Option<Retries>,
    /// Only on workers that match; on others the step is skipped. Default: every worker.
    when: Option<When>,
    /// What follows when this step fails: fail, or ignore: the worker continues. Default: `fail`.
    on_failure: Option<OnStepFailure>,
    /// Puts the worker, or its allocations of some jobs, into disabled.json.
    disable: Option<OrNothing<Jobs>>,
    /// Removes from disabled.json what this run has put there.
    enable: Option<OrNothing<NoOptions>>,
    /// The same as enable.
    #[schemars(rename = "re-enable")]
    re_enable: Option<OrNothing<NoOptions>>,
    /// Builds, then deploys.
    deploy: Option<OrNothing<Deploy>>,
    /// Builds only.
    build: Option<OrNothing<NoOptions>>,
    /// Starts jobs of this worker.
    start: Option<OrNothing<Jobs>>,
    /// Stops jobs of this worker.
    stop: Option<OrNothing<Jobs>>,
    /// Restarts jobs of this worker.
    restart: Option<OrNothing<Jobs>>,
    /// Reboots the worker, once. Put a wait_for_ssh after it.
    reboot: Option<OrNothing<Reboot>>,
    /// Waits until the worker is back, after a reboot with a new boot id.
    wait_for_ssh: Option<OrNothing<WaitForSsh>>,
    /// A shell command on the worker.
    run: Option<Command>,
    /// A shell command on this machine, in the bucket.
    local: Option<Command>,
    /// An HTTP request from this machine, such as to a load balancer.
    http: Option<Http>,
    /// Measures something, and continues when it is within its limit: exactly one of prometheus, alertmanager, http and
    /// command.
    gate: Option<GateStep>,
    /// Checks the health of jobs.
    health: Option<OrNothing<Health>>,
    /// Checks that worker.json on the worker agrees with the catalog.
    sync_check: Option<OrNothing<SyncCheck>>,
    /// Waits for this duration.
    pause: Option<Duration>,
    /// Waits until an operator runs `maand plan approve`.
    approve: Option<OrNothing<Approve>>,
}

/// A step of `prepare`: exactly one kind, and any of the common keys.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = exactly_one(keys::PREPARING)))]
pub(super) struct PrepareStep {
    /// Names the step in `needs`, in reports and in commands. Default: prepare- and the kind, with -2, -3 for repeats.
    id: Option<Id>,
    /// A name to show instead of the id. Default: the id.
    name: Option<Text>,
    /// The ids of the steps that must have finished first; []: none. Default: the step before.
    needs: Option<AnyList<Text>>,
    /// Time-out of one attempt, such as 10m. Default: that of `defaults`, else 5m.
    timeout: Option<Duration>,
    /// How often it is tried again. Default: that of `defaults`, else not at all.
    retries: Option<Retries>,
    /// Only on workers that match; on others the step is skipped. Default: every worker.
    when: Option<When>,
    /// What follows when this step fails: fail, or ignore: the worker continues. Default: `fail`.
    on_failure: Option<OnStepFailure>,
    /// A shell command on the worker; here `disturbs` is false.
    run: Option<Command>,
    /// A shell command on this machine, in the bucket.
    local: Option<Command>,
    /// An HTTP request from this machine.
    http: Option<Http>,
    /// Checks the health of jobs.
    health: Option<OrNothing<Health>>,
    /// Checks that worker.json on the worker agrees with the catalog; here without a repair.
    sync_check: Option<OrNothing<SyncCheck>>,
}

/// A step that runs once: exactly one kind, and any of the common keys.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = exactly_one(keys::ONCE)))]
pub(super) struct OnceStep {
    /// Names the step in `needs`, in reports and in commands. Default: the kind, with -2, -3 for repeats.
    id: Option<Id>,
    /// A name to show instead of the id. Default: the id.
    name: Option<Text>,
    /// The ids of the steps that must have finished first; []: none. Default: the step before.
    needs: Option<AnyList<Text>>,
    /// Time-out of one attempt, such as 10m. Default: that of `defaults`, else 5m; wait_for_ssh 10m; pause and
    /// approve none.
    timeout: Option<Duration>,
    /// How often it is tried again. Default: that of `defaults`, else not at all.
    retries: Option<Retries>,
    /// What follows when this step fails: fail, or ignore: the run continues. Default: `fail`.
    on_failure: Option<OnStepFailure>,
    /// Builds only.
    build: Option<OrNothing<NoOptions>>,
    /// Builds, then deploys to the selected workers.
    deploy: Option<OrNothing<Deploy>>,
    /// Checks the health of the fleet.
    health: Option<OrNothing<Health>>,
    /// A shell command on this machine, in the bucket.
    local: Option<Command>,
    /// An HTTP request from this machine.
    http: Option<Http>,
    /// Measures something, and continues when it is within its limit: exactly one of prometheus, alertmanager, http and
    /// command.
    gate: Option<GateStep>,
    /// Waits for this duration.
    pause: Option<Duration>,
    /// Waits until an operator runs `maand plan approve`.
    approve: Option<OrNothing<Approve>>,
}

/// How often a step is tried.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("defaultSnippets" = snippets::retries()))]
pub(super) struct Retries {
    /// Maximum number of attempts, the first one included. Default: `1`.
    attempts: Option<Count<1>>,
    /// Delay before the second attempt. Default: `5s`.
    delay: Option<Duration>,
    /// Factor by which each further delay grows. Default: `1`.
    backoff: Option<Factor>,
    /// Maximum delay. Default: `5m`.
    max_delay: Option<Duration>,
}

/// The workers that a step runs on: those that match everything that is given.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct When {
    /// Workers that carry all of these labels. Default: any.
    labels: Option<List<Text>>,
    /// Workers that have, for each of these tags, one of the values. Default: any.
    #[schemars(extend("minProperties" = 1))]
    tags: Option<BTreeMap<String, OneOrMore<Word>>>,
    /// Workers that host an enabled allocation of one of these jobs. Default: any.
    jobs: Option<List<JobName>>,
}

/// No options.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct NoOptions {}

/// The jobs that a step acts on.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Jobs {
    /// These jobs only. Default: all.
    jobs: Option<List<JobName>>,
}

/// Options of deploy.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Deploy {
    /// These jobs only. Default: all.
    jobs: Option<List<JobName>>,
    /// Deploys also what has not changed. Default: `false`.
    force: Option<Flag>,
}

/// Options of reboot.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Reboot {
    /// The command that reboots the worker. Default: `sudo shutdown -r now`.
    command: Option<Shell>,
    /// Maximum time until the worker has gone down. Default: `2m`.
    down_within: Option<Duration>,
    /// not_required: what the worker's own tools and kernels say decides. Else a command on the worker; exit code 0: no
    /// reboot is needed. Default: it is always needed.
    unless: Option<Shell>,
    /// With unless: not_required, what becomes of a worker that cannot tell: fail or reboot. Default: fail.
    cannot_tell: Option<CannotTell>,
    /// What the worker has to have booted; else it fails, and is not rebooted again. Default: anything.
    expect: Option<ExpectedBoot>,
}

/// What a worker has to have booted.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
pub(super) struct ExpectedBoot {
    /// newest: the newest one installed, of the flavour that runs. Else a pattern for `uname -r`, such as 6.1.*. Default: any.
    kernel: Option<Word>,
    /// Words that the kernel's command line has to have, as patterns: nosmt, hugepages=*. Default: none.
    cmdline: Option<OneOrMore<Text>>,
}

/// Options of wait_for_ssh.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct WaitForSsh {
    /// How long it must stay up and healthy. Default: `10s`.
    settle: Option<Duration>,
    /// Time between two probes. Default: `1s`.
    interval: Option<Duration>,
    /// What follows when the worker is not back in time: fail, or power_cycle: its BMC resets it, once, and the wait begins
    /// anew. Default: fail.
    on_no_return: Option<OnNoReturn>,
}

/// A command: exactly one of command and script.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["command"] }, { "required": ["script"] }]))]
pub(super) struct Command {
    /// Shell text. Variables of the plan reach it as environment: "$name".
    command: Option<Shell>,
    /// A script file, relative to the plan; its content is stored when a run starts.
    script: Option<Text>,
    /// It may be repeated after a crash in the middle. Default: `false`.
    idempotent: Option<Flag>,
    /// The worker counts as down while it runs. Default: true for run, false for local and in
    /// prepare.
    disturbs: Option<Flag>,
    /// What it changes refuses a controller that was replaced, by MAAND_EPOCH, so that a standby may take the run over. A
    /// worker does so for every run by itself: this is for local. Default: `false`.
    fenced: Option<Flag>,
    /// A command that decides whether there is anything to do; exit code 0: there is not. Default: there always
    /// is.
    unless: Option<Shell>,
    /// Environment beside the variables of the plan. Default: none.
    #[schemars(extend("propertyNames" = {
        "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$",
        "patternErrorMessage": "Names are letters, digits and _, and begin with no digit.",
        "not": { "pattern": "^(MAAND_.*|BUCKET_ID|WORKER_IP|UID|EUID|PPID|BASHOPTS|SHELLOPTS|BASH_VERSINFO)$" }
    }))]
    env: Option<BTreeMap<String, EnvValue>>,
    /// A command that undoes it, for `on_failure: revert`; none: there is nothing to undo. Default: it cannot be
    /// undone.
    undo: Option<Shell>,
}

/// A request. In url, values of headers and body `$MAAND_HOST` and what else a command finds in its environment stands for
/// that value, encoded as the place needs it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Http {
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
    /// What makes the answer a success. Default: a status of 2xx.
    expect: Option<HttpExpect>,
    /// It may be sent again when its answer was lost. Default: true, and false for POST and PATCH.
    idempotent: Option<Flag>,
    /// A request that undoes it, for `on_failure: revert`; none: there is nothing to undo. Default: it cannot be undone.
    undo: Option<HttpUndo>,
}

/// A request that undoes another.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct HttpRequest {
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
}

/// What undoes a request.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum HttpUndo {
    Request(HttpRequest),
    Nothing(Shell),
}

/// What makes an answer a success: all that is given.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct HttpExpect {
    /// A code such as 204, or all of a hundred such as 2xx; or a list of them. Default: 2xx.
    status: Option<OneOrMore<Status>>,
    /// Values in the JSON document of the answer, by their places: JSON pointers such as /state. Default: any document, or none.
    json: Option<BTreeMap<String, Value>>,
}

/// A value of the environment: as it stands, or a secret of this machine's environment.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum EnvValue {
    Plain(PlainValue),
    Secret(FromEnv),
}

/// A value as it stands.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum PlainValue {
    Text(String),
    Number(f64),
    Flag(bool),
}

/// Read when the step runs, never stored, and masked in output.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct FromEnv {
    /// The name of a variable of this machine's environment.
    from_env: Text,
}

/// Options of health.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Health {
    /// These jobs only. Default: all.
    jobs: Option<List<JobName>>,
    /// Repeat the check until it passes or times out. Default: `true`.
    wait: Option<Flag>,
    /// worker: the jobs of this worker. fleet: all. Default: worker; fleet in before and after.
    scope: Option<Scope>,
}

/// Options of sync_check.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct SyncCheck {
    /// Deploy when it does not agree. Default: `false`.
    repair: Option<Flag>,
}

/// Options of approve.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Approve {
    /// What the operator is asked. Default: nothing but the name of the step.
    message: Option<Text>,
}
