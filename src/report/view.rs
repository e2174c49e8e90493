//! The run view: what `plan status --output json` prints, and the last line of a run's events.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::{
    AttemptId, BootedKernel, ErrorKind, Millis, PublicRunState, PublicWorkerState, RunState, StepError,
};
use crate::graph::{Lane, StepIx, TargetIx};

use super::Time;
use super::fold::Attempt;
use super::progress::Progress;
use super::silence::SilenceView;

/// Name and version of this vocabulary; new fields may come, none goes or changes its meaning.
pub const RUN_VIEW_SCHEMA: &str = "maand/run-view/v1";

/// A run, as far as facts tell.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "A run of maand")]
pub struct RunView {
    /// Always `run_view`.
    pub r#type: &'static str,
    /// Always `maand/run-view/v1`.
    pub schema: &'static str,
    /// The run's name.
    pub run: String,
    /// The plan's name.
    pub plan: String,
    /// Where the run stands.
    pub state: PublicRunState,
    /// Why it is halted or paused, or what it waits for.
    pub reason: Option<String>,
    /// When it was started.
    pub started_at: Time,
    /// When it ended for good.
    pub finished_at: Option<Time>,
    /// The wave that is open or was last open, counted from 1.
    pub wave: Option<u32>,
    /// How many waves there are.
    pub waves: u32,
    /// When the soak ends that is under way between two waves.
    pub soak_until: Option<Time>,
    /// What the run as a whole waits for, in one sentence; `null`: it is making progress, or nobody carries it out
    /// (see `reason`).
    pub waits_for: Option<String>,
    /// Every selected worker, in the order in which they are started.
    pub workers: Vec<WorkerView>,
    /// Hosts that this run has, or may have, left in `disabled.json`.
    pub left_disabled: Vec<String>,
    /// The run has not ended: it can be resumed, once what it waits for is done.
    pub resumable: bool,
    /// How many workers are in which state.
    pub counts: Counts,
    /// Notices that were not delivered, and are not being tried; absent: there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undelivered_notices: Vec<UndeliveredNotice>,
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) run_state: RunState,
    /// Those without an answer: under way, or lost.
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) open_attempts: HashMap<AttemptId, Attempt>,
    /// The attempt that the newest fact is about.
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) attempt: Option<Attempt>,
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) attempts: HashMap<(Lane, StepIx), u32>,
    /// The next attempt of these steps continues the one that read the boot id.
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) boot_id_read: HashSet<(Lane, StepIx)>,
    /// The boot of each worker that the run has asked to end last.
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) reboots_asked: HashMap<TargetIx, String>,
    /// The boot id that was seen last on each worker.
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) last_boot_ids: Vec<Option<String>>,
    /// Commands that name no run mean another one.
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) has_to_be_named: bool,
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) progress: Progress,
    /// The controller is known to be gone.
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) orphaned: bool,
}

/// A step of `before` or `after` that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Once {
    pub(super) lane: Lane,
    pub(super) step: StepIx,
    pub(super) attempt: u32,
    pub(super) since: Millis,
}

/// A notice that was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UndeliveredNotice {
    /// The target's name.
    pub target: String,
    /// Of what it was to be told, such as `halted`.
    pub event: String,
    /// The number of the fact that it follows from.
    pub seq: u64,
    /// Why it was not delivered.
    pub why: String,
}

/// One selected worker.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WorkerView {
    /// As in `workers.json`.
    pub host: String,
    /// Where the worker stands.
    pub state: PublicWorkerState,
    /// Its wave, counted from 1.
    pub wave: u32,
    /// The id of the step that it is at, or failed at.
    pub step: Option<String>,
    /// Which attempt of that step, counted from 1.
    pub attempt: Option<u32>,
    /// How many of its steps have ended well, were ignored or skipped.
    pub steps_done: u32,
    /// How many steps it has.
    pub steps: u32,
    /// When that attempt was issued, or the wait began.
    pub step_since: Option<Time>,
    /// It is under way with steps of `prepare` alone: nothing of it is down.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preparing: bool,
    /// It failed at a step of `prepare`, and none of `steps` was begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed_to_prepare: bool,
    /// The boot id before the reboot step; without one: at preflight.
    pub boot_id_before: Option<String>,
    /// The boot id that was seen after the reboot.
    pub boot_id_after: Option<String>,
    /// The kernel that it came back on after the reboot, where it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<BootedKernel>,
    /// What was last heard of its silence in the monitoring system, where the plan makes some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence: Option<SilenceView>,
    /// Boots that were seen and that no reboot step has made: the worker has booted by itself, or by somebody else.
    pub unplanned_boots: Vec<UnplannedBoot>,
    /// Why the last attempt failed, or the worker did.
    pub error: Option<ErrorView>,
    /// What it waits for, in one sentence.
    pub waits_for: Option<String>,
    /// When it was admitted, for the first time.
    pub started_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// How often it had failed or was skipped, and an operator has taken it up again.
    pub retries: u32,
}

impl RunView {
    /// Commands about it have to name it, as without a name they mean another run.
    pub fn set_has_to_be_named(&mut self, named: bool) {
        self.has_to_be_named = named;
    }

    /// Its name where commands need it.
    pub(super) fn typed_name(&self) -> Option<&str> {
        self.has_to_be_named.then_some(self.run.as_str())
    }

    /// Whether an operator may let this worker continue at its failed step, also behind the end of the run.
    pub(super) fn is_retryable(&self, target: TargetIx) -> bool {
        self.state != PublicRunState::Aborted && self.run_state.objection_to_retry(target).is_none()
    }

    /// Milliseconds from its start to its end; of one that nobody carries out, to the last thing that happened.
    pub fn lasted(&self, now: Millis) -> Millis {
        let until = match (self.finished_at, self.state) {
            (Some(end), _) => end.0,
            (None, PublicRunState::Running) => now,
            (None, _) => self.run_state.last_at(),
        };
        until - self.started_at.0
    }

    /// The boot id that was seen last on each worker, in the order of the workers.
    pub fn last_boot_ids(&self) -> &[Option<String>] {
        &self.last_boot_ids
    }
}

impl WorkerView {
    /// Milliseconds from its admission to its end.
    pub fn took(&self) -> Option<i64> {
        Some(self.finished_at?.0 - self.started_at?.0)
    }

    /// What an operator would not expect of the kernel that it came back on.
    pub fn kernel_notice(&self) -> Option<String> {
        self.kernel.as_ref()?.notice()
    }
}

/// A boot that no reboot step has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UnplannedBoot {
    /// The boot id that was seen before.
    pub before: String,
    /// The boot id that was seen then.
    pub boot_id: String,
    /// When it was first seen; the boot itself was earlier.
    pub seen_at: Time,
}

/// An error of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ErrorView {
    /// The kind of error, such as `not_rebooted`.
    pub kind: String,
    /// In one sentence.
    pub message: String,
    /// The last lines of output, where there was some.
    pub output: Option<String>,
}

impl From<&StepError> for ErrorView {
    fn from(error: &StepError) -> Self {
        Self {
            kind: kind_name(error.kind),
            message: error.message.clone(),
            output: error.output.clone().filter(|output| !output.trim().is_empty()),
        }
    }
}

/// The name of an error kind as it stands in facts.
fn kind_name(kind: ErrorKind) -> String {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(name)) => name,
        // Unit variants are strings.
        _ => "unknown".to_owned(),
    }
}

/// How many workers are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// All selected workers.
    pub total: u32,
    /// Workers whose turn has not come.
    pub queued: u32,
    /// Workers that were started and have not ended.
    pub active: u32,
    /// Workers whose steps all ended well.
    pub succeeded: u32,
    /// Workers that failed and were neither retried, skipped nor reverted since.
    pub failed: u32,
    /// Workers that failed and whose finished steps were undone.
    pub reverted: u32,
    /// Failed workers that an operator has given up.
    pub skipped: u32,
    /// Workers that an operator had disabled before the run.
    pub left_alone: u32,
    /// Workers that an aborted run does not take any more.
    pub cancelled: u32,
    /// Workers in the failure ledger, unreachable ones included.
    pub failures: u32,
    /// Maximum number of failed workers: the run halts at one more.
    pub failures_allowed: u32,
}

impl Counts {
    pub(super) fn slot(&mut self, state: PublicWorkerState) -> &mut u32 {
        match state {
            PublicWorkerState::Queued => &mut self.queued,
            PublicWorkerState::Succeeded => &mut self.succeeded,
            PublicWorkerState::Failed => &mut self.failed,
            PublicWorkerState::Reverted => &mut self.reverted,
            PublicWorkerState::Skipped => &mut self.skipped,
            PublicWorkerState::LeftAlone => &mut self.left_alone,
            PublicWorkerState::Cancelled => &mut self.cancelled,
            _ => &mut self.active,
        }
    }

    /// Workers whose part is over.
    pub fn ended(&self) -> u32 {
        self.total - self.queued - self.active
    }
}
