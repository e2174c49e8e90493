//! The model of a valid plan: every variable substituted, every default filled in, every `needs`
//! resolved to step indices.
//!
//! Values that are here are right by themselves; whether they fit a fleet is decided in `graph`.
//! Spans are kept where a later stage may have to point at the text. Nothing here knows YAML.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use super::{Gate, HttpStep, HttpUndo, Notify, Prepare, Problems, RolloutSettings, Silence, Source};

/// A value with the bytes of the plan text that it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Located<T> {
    /// What the text means.
    pub value: T,
    /// Where it stands in the plan text, in bytes.
    #[serde(skip)]
    pub span: Range<usize>,
}

/// A whole plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The text it was read from.
    pub source: Source,
    /// `[a-z0-9-]`, 1 to 63 characters.
    pub name: String,
    /// Free text, shown where the plan is listed.
    pub description: Option<String>,
    /// All variables with `--set` applied; passed to commands as environment.
    pub vars: BTreeMap<String, VarValue>,
    /// Which workers the plan operates on.
    pub targets: Targets,
    /// How many at a time, in which order, when, and when to stop.
    pub rollout: RolloutSettings,
    /// Silences in an Alertmanager for workers while they are down because of the run.
    pub silence: Option<Silence>,
    /// Who is told of what happens, besides those that the bucket names.
    pub notify: Notify,
    /// Run once, before the first worker.
    pub before: Vec<Step>,
    /// How all workers are prepared before the first one is started; its steps are in `steps`.
    pub prepare: Option<Prepare>,
    /// Run on every worker; those of `prepare` come first.
    pub steps: Vec<Step>,
    /// Run once, after the last worker.
    pub after: Vec<Step>,
    /// What is questionable and yet accepted.
    pub warnings: Problems,
}

/// The value of a variable.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum VarValue {
    /// A string.
    String(String),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A list of scalars.
    List(Vec<VarValue>),
}

/// Which workers a plan selects: those that match every part that is given, less `exclude`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Targets {
    /// Hosts as written in `workers.json`; `None`: every host.
    pub workers: Option<Vec<Located<String>>>,
    /// Carries all of these labels.
    pub labels: Vec<Located<String>>,
    /// For each key one of these values.
    pub tags: Vec<(Located<String>, Vec<Located<String>>)>,
    /// Hosts an enabled allocation of one of these jobs.
    pub jobs: Vec<Located<String>>,
    /// Leaves out a worker that matches any one of its parts (hosts, labels, jobs; for tags any
    /// pair of key and value).
    pub exclude: Option<Box<Targets>>,
    /// The selection must have a size inside.
    pub expect: Option<Located<Expect>>,
}

/// Bounds, both included, for the number of selected workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Expect {
    /// At least this many.
    pub min: Option<u64>,
    /// At most this many.
    pub max: Option<u64>,
}

/// One step of `before`, `prepare`, `steps` or `after`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Unique within its list.
    pub id: String,
    /// Free text; `None`: the id is shown.
    pub name: Option<String>,
    /// What it does, with its options.
    pub kind: StepKind,
    /// Indices into the same list of what must have finished (or been skipped) first.
    pub needs: Vec<usize>,
    /// Time-out of one attempt. `None` only for `pause` (it has its duration) and for `approve` without one.
    pub timeout: Option<Duration>,
    /// How often it is tried.
    pub retries: Retries,
    /// On which workers; elsewhere it is skipped.
    pub when: When,
    /// Whether a failure of this step fails the worker.
    pub on_failure: OnStepFailure,
    /// It is a step of `prepare`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub prepares: bool,
    /// Where the step stands in the plan text.
    #[serde(skip)]
    pub span: Range<usize>,
}

/// `when:` a worker must match all that is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct When {
    /// Carries all of these labels.
    pub labels: Vec<Located<String>>,
    /// For each key one of these values.
    pub tags: Vec<(Located<String>, Vec<Located<String>>)>,
    /// Hosts an enabled allocation of one of these jobs.
    pub jobs: Vec<Located<String>>,
}

/// `retries:` of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Retries {
    /// Maximum number of attempts, the first included; at least 1.
    pub attempts: u32,
    /// Delay before the second attempt.
    pub delay: Duration,
    /// Factor by which each further delay grows; at least 1.
    pub backoff: f64,
    /// Maximum delay.
    pub max_delay: Duration,
}

/// `on_failure:` of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStepFailure {
    /// The worker fails.
    Fail,
    /// It is reported, and the worker continues.
    Ignore,
}

/// What a step does; options with their defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StepKind {
    /// Puts the worker, or its allocations of `jobs`, into `disabled.json`.
    Disable {
        /// `None`: the whole worker.
        jobs: Option<Vec<Located<String>>>,
    },
    /// Removes what this run put there.
    Enable,
    /// Build, then deploy.
    Deploy {
        /// `None`: all.
        jobs: Option<Vec<Located<String>>>,
        /// Also what has not changed.
        force: bool,
    },
    /// Build only.
    Build,
    /// `start`, `stop`, `restart`: job control on this worker after the sync check.
    Job {
        /// The Makefile target.
        action: JobAction,
        /// `None`: all enabled ones.
        jobs: Option<Vec<Located<String>>>,
    },
    /// Compare-and-reboot.
    Reboot {
        /// What makes the worker reboot.
        command: String,
        /// Maximum time until the worker has gone down.
        down_within: Duration,
        /// What says that no reboot is needed.
        unless: Option<RebootUnless>,
        /// What the worker has to have booted afterwards.
        #[serde(skip_serializing_if = "Option::is_none")]
        expect: Option<ExpectedBoot>,
    },
    /// Until the worker is back.
    WaitForSsh {
        /// How long it must stay up and healthy.
        settle: Duration,
        /// Time between two probes; jittered.
        interval: Duration,
        /// What follows when it is not back in time.
        #[serde(skip_serializing_if = "OnNoReturn::is_default")]
        on_no_return: OnNoReturn,
    },
    /// A shell command on the worker.
    Run(CommandStep),
    /// A command on this machine, in the bucket.
    Local(CommandStep),
    /// A request from this machine.
    Http(HttpStep),
    /// A measurement that has to pass; changes nothing.
    Gate(Box<Gate>),
    /// Health check of jobs.
    Health {
        /// `None`: those on this worker (scope worker) or all (scope fleet).
        jobs: Option<Vec<Located<String>>>,
        /// Repeat the check until it passes or times out.
        wait: bool,
        /// Of this worker, or of the fleet.
        scope: HealthScope,
    },
    /// `worker.json` on the worker agrees with the catalog.
    SyncCheck {
        /// Deploys when it does not.
        repair: bool,
    },
    /// Waits for a fixed time.
    Pause {
        /// How long.
        duration: Duration,
    },
    /// Waits for `maand plan approve`.
    Approve {
        /// What the operator is asked.
        message: Option<String>,
    },
}

/// What follows when a worker is not back in time: `on_no_return`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNoReturn {
    /// The step fails.
    #[default]
    Fail,
    /// Its BMC is told to reset it, once, and the wait begins anew.
    PowerCycle,
}

impl OnNoReturn {
    /// As in a plan, in the order of the variants.
    pub const WORDS: [&str; 2] = ["fail", "power_cycle"];

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `unless` of a `reboot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RebootUnless {
    /// A command on the worker; exit code 0: none is needed.
    Command(String),
    /// `not_required`: the worker's own tools and kernels are asked.
    NotRequired {
        /// What becomes of a worker that cannot tell.
        #[serde(rename = "not_required")]
        cannot_tell: CannotTell,
    },
}

/// What becomes of a worker that cannot tell whether it needs a reboot: `cannot_tell`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CannotTell {
    /// The step fails before anything is sent, and an operator looks.
    #[default]
    Fail,
    /// It is rebooted.
    Reboot,
}

impl CannotTell {
    /// As in a plan, in the order of the variants.
    pub const WORDS: [&str; 2] = ["fail", "reboot"];
}

/// `expect` of a `reboot`: what the worker has to have booted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExpectedBoot {
    /// The kernel; `None`: any.
    pub kernel: Option<ExpectedKernel>,
    /// Words of the kernel's command line, as patterns: each has to be there.
    pub cmdline: Vec<String>,
}

/// The kernel that is expected after a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedKernel {
    /// The newest one installed, of the flavour that runs.
    Newest,
    /// One whose name (`uname -r`) fits this pattern.
    Like(String),
}

/// What job control does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum JobAction {
    Start,
    Stop,
    Restart,
}

/// What a health check covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthScope {
    /// The allocations on the step's worker.
    Worker,
    /// All workers of the bucket.
    Fleet,
}

/// `run` and `local`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommandStep {
    /// What is run.
    pub action: CommandSource,
    /// It may be repeated after a crash in the middle.
    pub idempotent: bool,
    /// It takes the worker down while it runs (`run` only).
    pub disturbs: bool,
    /// What it changes refuses a controller that was replaced, by `MAAND_EPOCH` (for `local`; a worker does so by itself): a
    /// standby may take the run over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fenced: bool,
    /// Exit 0: nothing to do. Decides after a crash, too.
    pub unless: Option<String>,
    /// Environment beside the plan's variables.
    pub env: BTreeMap<String, EnvValue>,
    /// How it is undone.
    pub undo: Undo,
}

/// Where a command's text comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandSource {
    /// Shell text of the plan.
    Command(String),
    /// A file relative to the plan file (or the bucket); its content is stored when a run starts.
    Script(Located<String>),
}

/// A value of `env`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvValue {
    /// As it stands.
    Plain(String),
    /// A secret: read from the controller's environment when the step runs, never stored, masked.
    FromEnv(String),
}

/// `undo:` of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// The plan does not say.
    Unstated,
    /// `undo: none`: there is nothing to undo.
    Nothing,
    /// This command.
    Command(String),
}

impl Plan {
    /// The variables of this machine that are read for what the plan itself does: by its steps, gates and silences.
    pub fn reads_from_environment(&self) -> BTreeSet<&str> {
        let steps = self.before.iter().chain(&self.steps).chain(&self.after);
        let of_steps = steps.flat_map(|step| step.kind.environment()).map(|(_, value)| value);
        let of_gates = self.rollout.gates.each().filter_map(|(_, gate)| gate.measure.headers());
        let of_silence = self.silence.iter().map(|silence| &silence.headers);
        let headers = of_gates.chain(of_silence).flat_map(BTreeMap::values);
        let from = of_steps.chain(headers).filter_map(|value| match value {
            EnvValue::FromEnv(name) => Some(name.as_str()),
            EnvValue::Plain(_) => None,
        });
        from.collect()
    }

    /// Whether something outside of the run decides about it.
    pub fn has_gates(&self) -> bool {
        self.gates().next().is_some()
    }

    /// All gates: those of the rollout, and those of steps.
    pub fn gates(&self) -> impl Iterator<Item = &Gate> {
        let steps = self.before.iter().chain(&self.steps).chain(&self.after);
        let of_steps = steps.filter_map(|step| match &step.kind {
            StepKind::Gate(gate) => Some(gate.as_ref()),
            _ => None,
        });
        self.rollout.gates.each().map(|(_, gate)| gate).chain(of_steps)
    }
}

impl StepKind {
    /// It is carried out on this machine, by a command or a request of the plan's own.
    pub fn is_here(&self) -> bool {
        matches!(self, Self::Local(_) | Self::Http(_) | Self::Gate(_))
    }

    /// Of a command or a request of the plan's own: whether the plan says how it is taken back; `None`: it does not say
    /// that there is nothing to take back either, or it is another kind.
    pub fn has_own_undo(&self) -> Option<bool> {
        match self {
            Self::Run(command) | Self::Local(command) => match command.undo {
                Undo::Unstated => None,
                Undo::Nothing => Some(false),
                Undo::Command(_) => Some(true),
            },
            Self::Http(step) => match step.undo {
                HttpUndo::Unstated => None,
                HttpUndo::Nothing => Some(false),
                HttpUndo::Request(_) => Some(true),
            },
            _ => None,
        }
    }

    /// The values of `env` and of headers, with their names.
    pub fn environment(&self) -> Vec<(&str, &EnvValue)> {
        fn of(values: &BTreeMap<String, EnvValue>) -> Vec<(&str, &EnvValue)> {
            values.iter().map(|(name, value)| (name.as_str(), value)).collect()
        }
        match self {
            Self::Run(command) | Self::Local(command) => of(&command.env),
            Self::Http(step) => {
                let mut all = of(&step.request.headers);
                if let HttpUndo::Request(undo) = &step.undo {
                    all.extend(of(&undo.headers));
                }
                all
            }
            Self::Gate(gate) => gate.measure.headers().map(of).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// The kind as written in a plan (`re-enable` is `enable`).
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Disable { .. } => "disable",
            Self::Enable => "enable",
            Self::Deploy { .. } => "deploy",
            Self::Build => "build",
            Self::Job { action: JobAction::Start, .. } => "start",
            Self::Job { action: JobAction::Stop, .. } => "stop",
            Self::Job { action: JobAction::Restart, .. } => "restart",
            Self::Reboot { .. } => "reboot",
            Self::WaitForSsh { .. } => "wait_for_ssh",
            Self::Run(_) => "run",
            Self::Local(_) => "local",
            Self::Http(_) => "http",
            Self::Gate(_) => "gate",
            Self::Health { .. } => "health",
            Self::SyncCheck { .. } => "sync_check",
            Self::Pause { .. } => "pause",
            Self::Approve { .. } => "approve",
        }
    }
}
