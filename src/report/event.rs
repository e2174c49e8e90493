//! The public vocabulary of what happens in a run: one JSON object per line.

use schemars::JsonSchema;
use serde::Serialize;

use super::Time;
use super::silence::SilenceView;
use super::view::ErrorView;

/// Name and version of this vocabulary; new events and fields may come, none goes or changes.
pub const EVENT_SCHEMA: &str = "maand/event/v1";

/// One line of `--output json` of a command that carries out a run.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "An event of a run of maand")]
pub struct EventLine {
    /// Always `maand/event/v1`.
    pub schema: &'static str,
    /// The run's name.
    pub run: String,
    /// Counts the facts of the run; events have gaps, and never go back.
    pub seq: u64,
    /// When it was learnt.
    pub at: Time,
    /// What happened: `type` and the fields that belong to it.
    #[serde(flatten)]
    pub event: Event,
}

/// Whose steps: one worker's, or those of the run, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Scope {
    /// `before`, `prepare`, `steps` or `after`.
    pub list: &'static str,
    /// The worker; absent for `before` and `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The step's id.
    pub step: String,
    /// The step's kind, such as `reboot`.
    pub kind: &'static str,
}

/// A worker that preflight could not use, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotUsed {
    /// As in `workers.json`.
    pub host: String,
    /// In one sentence, such as what kept it from being reached.
    pub reason: String,
}

/// What happened, by its `type`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The run was stored; nothing has been done on a worker yet.
    RunStarted {
        /// The plan's name.
        plan: String,
        /// How many workers were selected.
        workers: u32,
    },
    /// Every worker was looked at.
    PreflightDone {
        /// How many can be used.
        ready: u32,
        /// Who cannot be reached, or lacks something.
        unusable: Vec<NotUsed>,
        /// Workers that an operator had disabled before.
        left_alone: Vec<NotUsed>,
    },
    /// A wave begins: its workers may be started.
    WaveStarted {
        /// Counted from 1.
        wave: u32,
        /// How many waves the run has.
        waves: u32,
        /// How many workers the wave has.
        workers: u32,
    },
    /// All workers of a wave have ended.
    WaveFinished {
        /// Counted from 1.
        wave: u32,
        /// How many waves the run has.
        waves: u32,
        /// When it has soaked: the next wave, or what follows the last one, begins then.
        next_at: Time,
    },
    /// A worker begins the steps of `prepare`, ahead of its turn.
    WorkerPreparing {
        /// The worker.
        host: String,
    },
    /// All steps of `prepare` have ended well on a worker; it is queued for the others.
    WorkerPrepared {
        /// The worker.
        host: String,
    },
    /// A worker starts.
    WorkerStarted {
        /// The worker.
        host: String,
        /// Its wave, counted from 1.
        wave: u32,
    },
    /// An attempt is about to be carried out.
    AttemptStarted {
        /// Whose step: `list`, `host`, `step` and `kind`.
        #[serde(flatten)]
        scope: Scope,
        /// Counted from 1.
        attempt: u32,
        /// What is done, where the step's kind does not say it: `read_boot_id`, or an undo.
        #[serde(skip_serializing_if = "Option::is_none")]
        purpose: Option<&'static str>,
    },
    /// How far a `wait_for_ssh` has come, or what another step waits for. It is told while the run is carried out and is no fact: `seq` is that of the
    /// fact before it.
    StepPhase {
        /// Whose step: `list`, `host`, `step` and `kind`.
        #[serde(flatten)]
        scope: Scope,
        /// Counted from 1.
        attempt: u32,
        /// `going_down`, `down`, `answers` (and is not ready) or `settling`; or `waiting`: something of this machine is
        /// not free.
        phase: &'static str,
        /// What is missing, of a worker that answers; or what is not free, and who has it.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// When it has settled, if nothing comes between.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Time>,
    },
    /// An attempt ended well.
    AttemptSucceeded {
        /// Whose step: `list`, `host`, `step` and `kind`.
        #[serde(flatten)]
        scope: Scope,
        /// Counted from 1.
        attempt: u32,
        /// What was seen, in one line.
        seen: String,
        /// The boot id that was seen.
        #[serde(skip_serializing_if = "Option::is_none")]
        boot_id: Option<String>,
        /// Milliseconds since it was started.
        took_ms: i64,
    },
    /// An attempt did not end well; others may follow.
    AttemptFailed {
        /// Whose step: `list`, `host`, `step` and `kind`.
        #[serde(flatten)]
        scope: Scope,
        /// Counted from 1.
        attempt: u32,
        /// What went wrong.
        error: ErrorView,
        /// Milliseconds since it was started.
        took_ms: i64,
    },
    /// Another attempt follows.
    RetryScheduled {
        /// Whose step: `list`, `host`, `step` and `kind`.
        #[serde(flatten)]
        scope: Scope,
        /// When the next attempt is issued.
        due: Time,
    },
    /// A `pause` or `approve` step was reached.
    StepWaits {
        /// Whose step: `list`, `host`, `step` and `kind`.
        #[serde(flatten)]
        scope: Scope,
        /// When it opens by itself; absent: an operator opens it.
        #[serde(skip_serializing_if = "Option::is_none")]
        opens: Option<Time>,
        /// When the step fails if it was not opened before; absent: never.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires: Option<Time>,
        /// What the plan says to the operator.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// An operator opened a step that waited for an approval.
    StepApproved {
        /// Whose step: `list`, `host`, `step` and `kind`.
        #[serde(flatten)]
        scope: Scope,
        /// Who asked for it: `user@host`.
        by: String,
    },
    /// A step failed for good.
    StepFailed {
        /// Whose step: `list`, `host`, `step` and `kind`.
        #[serde(flatten)]
        scope: Scope,
        /// What went wrong.
        error: ErrorView,
        /// The plan says `on_failure: ignore`: the worker continues with its next step.
        ignored: bool,
    },
    /// The answer was lost, and an operator has to say whether the command ran.
    InDoubt {
        /// Whose step: `list`, `host`, `step` and `kind`.
        #[serde(flatten)]
        scope: Scope,
        /// The attempt, as `plan logs` counts them.
        attempt_id: u64,
    },
    /// It is decided what becomes of an attempt that was in doubt.
    DoubtResolved {
        /// Whose step: `list`, `host`, `step` and `kind`.
        #[serde(flatten)]
        scope: Scope,
        /// The attempt, as `plan logs` counts them.
        attempt_id: u64,
        /// `repeat`, `rerun`, `done` or `skip`.
        how: &'static str,
    },
    /// All steps of a worker ended well.
    WorkerSucceeded {
        /// The worker.
        host: String,
        /// Milliseconds since it was started.
        took_ms: i64,
        /// Its boot id before the reboot.
        boot_id_before: Option<String>,
        /// Its boot id after the reboot.
        boot_id_after: Option<String>,
    },
    /// A worker failed: a step of it did, for good.
    WorkerFailed {
        /// The worker.
        host: String,
        /// The id of the step that failed; `null`: it was not usable at preflight.
        step: Option<String>,
        /// That step is one of `prepare`, and none of `steps` was begun.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        failed_to_prepare: bool,
        /// What went wrong.
        error: ErrorView,
    },
    /// The finished steps of a worker are being undone.
    RevertStarted {
        /// The worker.
        host: String,
    },
    /// The finished steps of a worker were undone.
    WorkerReverted {
        /// The worker.
        host: String,
    },
    /// Undoing a step failed; the worker needs an operator.
    RevertStuck {
        /// The worker.
        host: String,
        /// What went wrong.
        error: ErrorView,
    },
    /// An operator lets a failed worker continue at its failed step.
    WorkerRetried {
        /// The worker.
        host: String,
        /// Who asked for it: `user@host`.
        by: String,
    },
    /// An operator gives a failed worker up: it no longer counts as failed.
    WorkerSkipped {
        /// The worker.
        host: String,
        /// Who asked for it: `user@host`.
        by: String,
    },
    /// What became of a worker's silence in the monitoring system.
    WorkerSilence {
        /// The worker.
        host: String,
        /// `silence` and what belongs to it.
        #[serde(flatten)]
        silence: SilenceView,
    },
    /// A worker takes no further part in an aborted run.
    WorkerCancelled {
        /// The worker.
        host: String,
    },
    /// The gates of the rollout at some place have come to something else than before.
    GateMeasured {
        /// `before_wave`, `after_wave` or `guard`.
        place: &'static str,
        /// Counted from 1; absent: of the guard.
        #[serde(skip_serializing_if = "Option::is_none")]
        wave: Option<u32>,
        /// `passed`, `waiting` (it is measured again, and nobody is started meanwhile) or `failed`.
        standing: &'static str,
        /// What was measured, in one line.
        says: String,
    },
    /// No further worker is started until the run is resumed.
    RunPaused {
        /// Who asked for it, or what.
        by: String,
        /// What `plan status` shows as the reason.
        reason: String,
    },
    /// A signal stops the run: steps in flight are finished first.
    RunInterrupted {
        /// The signal, such as `SIGINT`, or who asked for it.
        by: String,
    },
    /// An operator takes up again a run whose rollout was over.
    RunReopened {
        /// The workers that are retried.
        hosts: Vec<String>,
        /// The operator, `user@host`.
        by: String,
    },
    /// A controller continues the run.
    RunResumed {
        /// Who asked for it: `user@host`.
        by: String,
        /// The run came to this machine in a bundle: SHA-256 of its content.
        #[serde(skip_serializing_if = "Option::is_none")]
        bundle: Option<String>,
    },
    /// The run cannot continue without an operator.
    RunHalted {
        /// What has to be fixed first.
        reason: String,
    },
    /// An operator ends the run for good.
    RunAborted {
        /// Who asked for it: `user@host`.
        by: String,
        /// Workers that were started are reverted first.
        revert: bool,
    },
    /// The run has ended for good.
    RunFinished {
        /// `succeeded`, `failed` or `aborted`.
        state: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{rolled, some_fail};
    use crate::report::{RunView, event_of};

    /// Compares with the file; `MAAND_UPDATE_SCHEMAS=1` writes it.
    fn kept(name: &str, schema: &schemars::Schema) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name);
        let text = format!("{:#}\n", schema.as_value());
        if std::env::var_os("MAAND_UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == text, "schemas/{name} is not what the code says; MAAND_UPDATE_SCHEMAS=1 writes it");
    }

    #[test]
    fn the_schemas_are_those_of_the_code() {
        kept("event.v1.schema.json", &schemars::schema_for!(EventLine));
        kept("run-view.v1.schema.json", &schemars::schema_for!(RunView));
    }

    #[test]
    fn every_line_fits_its_schema() {
        let events = schemars::schema_for!(EventLine).to_value();
        let views = schemars::schema_for!(RunView).to_value();
        let events = jsonschema::validator_for(&events).unwrap();
        let views = jsonschema::validator_for(&views).unwrap();
        let (facts, mut view) = rolled(3, some_fail);
        let mut kinds = std::collections::BTreeSet::new();
        for stamped in &facts {
            view.fold(stamped).unwrap();
            view.refresh(stamped.at);
            views.validate(&serde_json::to_value(&view).unwrap()).unwrap();
            let Some(line) = event_of(stamped, &view) else { continue };
            let value = serde_json::to_value(&line).unwrap();
            assert_eq!(value["schema"], EVENT_SCHEMA);
            kinds.insert(value["type"].as_str().unwrap().to_owned());
            if let Err(error) = events.validate(&value) {
                panic!("{error}: {value:#}");
            }
            assert!(!line.describe().1.is_empty(), "{value:#}");
        }
        for kind in ["run_started", "attempt_started", "attempt_failed", "worker_failed", "run_halted"] {
            assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
        }
    }
}
