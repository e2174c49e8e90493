//! The public vocabulary of what happens in a run: one JSON object per line.

use schemars::JsonSchema;
use serde::Serialize;

use super::Time;
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
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Whose steps: one worker's, or those of the run, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Scope {
    /// `before`, `steps` or `after`.
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
    /// Which.
    pub host: String,
    /// Why.
    pub reason: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The run exists.
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
        /// Whom a person had disabled.
        left_alone: Vec<NotUsed>,
    },
    /// A wave begins.
    WaveStarted {
        /// From 1.
        wave: u32,
        /// How many there are.
        waves: u32,
        /// How many workers it has.
        workers: u32,
    },
    /// All workers of a wave have ended.
    WaveFinished {
        /// From 1.
        wave: u32,
        /// The next one begins then.
        next_at: Time,
    },
    /// A worker starts.
    WorkerStarted {
        /// Which.
        host: String,
        /// Its wave, from 1.
        wave: u32,
    },
    /// An attempt is about to be carried out.
    AttemptStarted {
        /// Which step.
        #[serde(flatten)]
        scope: Scope,
        /// Counted from 1.
        attempt: u32,
        /// What is done, where the step's kind does not say it: `read_boot_id`, or an undo.
        #[serde(skip_serializing_if = "Option::is_none")]
        purpose: Option<&'static str>,
    },
    /// An attempt ended well.
    AttemptSucceeded {
        /// Which step.
        #[serde(flatten)]
        scope: Scope,
        /// Counted from 1.
        attempt: u32,
        /// What was seen.
        seen: String,
        /// The boot id that was seen.
        #[serde(skip_serializing_if = "Option::is_none")]
        boot_id: Option<String>,
        /// Milliseconds since it was started.
        took_ms: i64,
    },
    /// An attempt did not end well; others may follow.
    AttemptFailed {
        /// Which step.
        #[serde(flatten)]
        scope: Scope,
        /// Counted from 1.
        attempt: u32,
        /// Why.
        error: ErrorView,
        /// Milliseconds since it was started.
        took_ms: i64,
    },
    /// Another attempt follows.
    RetryScheduled {
        /// Which step.
        #[serde(flatten)]
        scope: Scope,
        /// When.
        due: Time,
    },
    /// A `pause` or `approve` step was reached.
    StepWaits {
        /// Which step.
        #[serde(flatten)]
        scope: Scope,
        /// It opens by itself then; absent: a person opens it.
        #[serde(skip_serializing_if = "Option::is_none")]
        opens: Option<Time>,
        /// It fails then.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires: Option<Time>,
        /// What the plan says to the person.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A person approved.
    StepApproved {
        /// Which step.
        #[serde(flatten)]
        scope: Scope,
        /// Who.
        by: String,
    },
    /// A step failed for good.
    StepFailed {
        /// Which step.
        #[serde(flatten)]
        scope: Scope,
        /// Why.
        error: ErrorView,
        /// The plan says to go on.
        ignored: bool,
    },
    /// The answer was lost, and a person has to say whether the command ran.
    InDoubt {
        /// Which attempt.
        attempt_id: u64,
    },
    /// It is settled whether the command ran.
    DoubtResolved {
        /// Which attempt.
        attempt_id: u64,
        /// `repeat`, `rerun`, `done` or `skip`.
        how: &'static str,
    },
    /// All steps of a worker ended well.
    WorkerSucceeded {
        /// Which.
        host: String,
        /// Milliseconds since it was started.
        took_ms: i64,
        /// Before the reboot.
        boot_id_before: Option<String>,
        /// After it.
        boot_id_after: Option<String>,
    },
    /// A worker failed.
    WorkerFailed {
        /// Which.
        host: String,
        /// At which step.
        step: Option<String>,
        /// Why.
        error: ErrorView,
    },
    /// Its steps are being undone.
    RevertStarted {
        /// Which.
        host: String,
    },
    /// It is as it was.
    WorkerReverted {
        /// Which.
        host: String,
    },
    /// Undoing failed.
    RevertStuck {
        /// Which.
        host: String,
        /// Why.
        error: ErrorView,
    },
    /// A person lets it go on.
    WorkerRetried {
        /// Which.
        host: String,
        /// Who.
        by: String,
    },
    /// A person takes it out.
    WorkerSkipped {
        /// Which.
        host: String,
        /// Who.
        by: String,
    },
    /// It takes no further part in an aborted run.
    WorkerCancelled {
        /// Which.
        host: String,
    },
    /// Nobody is admitted until somebody resumes.
    RunPaused {
        /// Who or what.
        by: String,
        /// Why.
        reason: String,
    },
    /// A signal.
    RunInterrupted {
        /// Which signal, or who.
        by: String,
    },
    /// A controller goes on.
    RunResumed {
        /// Who.
        by: String,
    },
    /// It cannot go on by itself.
    RunHalted {
        /// Why.
        reason: String,
    },
    /// A person ends it.
    RunAborted {
        /// Who.
        by: String,
        /// Workers that were started are reverted first.
        revert: bool,
    },
    /// The end.
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
            assert!(!line.event.line().1.is_empty(), "{value:#}");
        }
        for kind in ["run_started", "attempt_started", "attempt_failed", "worker_failed", "run_halted"] {
            assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
        }
    }
}
