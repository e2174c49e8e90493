//! The history of workers as JSON.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::super::document::Document;
use crate::engine::{Millis, PublicRunState, PublicWorkerState};
use crate::report::{ErrorView, Time};
use crate::run::{AttemptInRun, OperatorAct, RunFilter, RunOnWorkers, StepInRun, WorkerInRun};

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct HistoryDocument<'a> {
    /// The workers that are meant.
    workers: &'a BTreeSet<String>,
    /// What `--since` means.
    since: Option<Time>,
    /// What `--until` means.
    until: Option<Time>,
    /// The runs in which they took part, newest first.
    runs: Vec<RunJson<'a>>,
}

/// A run in JSON.
#[derive(Serialize, JsonSchema)]
struct RunJson<'a> {
    /// Its name.
    run: String,
    /// The plan's name.
    plan: &'a str,
    /// As in the run view.
    state: PublicRunState,
    /// Who started it, `user@host`; empty: that cannot be read.
    by: &'a str,
    /// When it was started.
    started_at: Time,
    /// When something happened last.
    last_at: Time,
    /// When it ended for good.
    finished_at: Option<Time>,
    /// Why it cannot be read as a whole.
    unreadable: Option<String>,
    /// Those of the workers that took part, in the order of the run.
    workers: Vec<WorkerJson<'a>>,
}

/// A worker in a run, in JSON.
#[derive(Serialize, JsonSchema)]
struct WorkerJson<'a> {
    /// As in `workers.json` when the run was started.
    host: &'a str,
    /// Where it stands, or how it ended.
    state: PublicWorkerState,
    /// When it was admitted, for the first time.
    started_at: Option<Time>,
    /// When it ended.
    finished_at: Option<Time>,
    /// Milliseconds from one to the other.
    took_ms: Option<Millis>,
    /// The boot id before the reboot step; without one: at preflight.
    boot_id_before: Option<&'a str>,
    /// The boot id that was seen after the reboot.
    boot_id_after: Option<&'a str>,
    /// Why it failed, or was left alone.
    error: Option<&'a ErrorView>,
    /// What was done on it, in the order of the first attempts.
    steps: Vec<StepJson<'a>>,
    /// What operators did about it, or about the whole run before the worker's end.
    acts: Vec<ActJson<'a>>,
}

/// A step on a worker, in JSON.
#[derive(Serialize, JsonSchema)]
struct StepJson<'a> {
    /// The step's id.
    step: &'a str,
    /// The step's kind.
    kind: &'a str,
    /// It was undone.
    undo: bool,
    /// `done`, `not_needed`, `failed`, `ignored`, `skipped`, `in_doubt`, `waiting`, or `open`: it has no end.
    end: &'static str,
    /// When it began first.
    started_at: Time,
    /// When it ended last.
    finished_at: Option<Time>,
    /// Milliseconds from one to the other, waiting between attempts included.
    took_ms: Option<Millis>,
    /// How often it was tried.
    tries: usize,
    /// All attempts, oldest first.
    attempts: Vec<AttemptJson<'a>>,
}

/// An attempt in JSON.
#[derive(Serialize, JsonSchema)]
struct AttemptJson<'a> {
    /// Its number within the run, as `maand plan logs` has it.
    attempt_id: u64,
    /// What for: `do`, `read_boot_id`, `reboot`, `await_boot`, or an undo.
    purpose: &'static str,
    /// When it was issued.
    started_at: Time,
    /// When it ended.
    finished_at: Option<Time>,
    /// Milliseconds from one to the other.
    took_ms: Option<Millis>,
    /// How it ended, in one sentence.
    result: Option<&'a str>,
    /// Why it did not end well.
    error: Option<&'a ErrorView>,
    /// The boot in which the worker was seen.
    boot_id: Option<&'a str>,
}

/// What an operator did, in JSON.
#[derive(Serialize, JsonSchema)]
struct ActJson<'a> {
    /// When.
    at: Time,
    /// `resumed`, `retried`, `skipped`, `approved`, `reopened`; of an attempt in doubt `taken for done`, `continued
    /// without`, `run again`.
    what: &'static str,
    /// `user@host`; `null`: it is not recorded.
    by: Option<&'a str>,
}

impl Document for HistoryDocument<'_> {
    const NAME: &'static str = "plan-history";
}

/// Milliseconds between two times; never negative, whatever clocks did.
pub(super) fn took(from: Option<Millis>, to: Option<Millis>) -> Option<Millis> {
    Some(to?.saturating_sub(from?).max(0))
}

impl<'a> HistoryDocument<'a> {
    pub(super) fn of(
        workers: &'a BTreeSet<String>,
        filter: &RunFilter,
        runs: &'a [RunOnWorkers<'_>],
    ) -> Self {
        let runs = runs.iter().map(RunJson::of).collect();
        Self { workers, since: filter.since.map(Time), until: filter.until.map(Time), runs }
    }
}

impl<'a> RunJson<'a> {
    fn of(on: &'a RunOnWorkers<'_>) -> Self {
        let run = &on.run.run;
        Self {
            run: run.id.to_string(),
            plan: &run.plan,
            state: on.run.state,
            by: &on.by,
            started_at: Time(run.started_at),
            last_at: Time(run.last_at),
            finished_at: run.finished_at.map(Time),
            unreadable: on.unreadable.as_ref().map(ToString::to_string),
            workers: on.workers.iter().map(WorkerJson::of).collect(),
        }
    }
}

impl<'a> WorkerJson<'a> {
    fn of(worker: &'a WorkerInRun) -> Self {
        Self {
            host: &worker.host,
            state: worker.state,
            started_at: worker.started_at.map(Time),
            finished_at: worker.finished_at.map(Time),
            took_ms: took(worker.started_at, worker.finished_at),
            boot_id_before: worker.boot_id_before.as_deref(),
            boot_id_after: worker.boot_id_after.as_deref(),
            error: worker.error.as_ref(),
            steps: worker.steps.iter().map(StepJson::of).collect(),
            acts: worker.acts.iter().map(ActJson::of).collect(),
        }
    }
}

impl<'a> StepJson<'a> {
    fn of(step: &'a StepInRun) -> Self {
        Self {
            step: &step.id,
            kind: &step.kind,
            undo: step.undo,
            end: step.end.as_str(),
            started_at: Time(step.started_at),
            finished_at: step.finished_at.map(Time),
            took_ms: took(Some(step.started_at), step.finished_at),
            tries: step.tries(),
            attempts: step.attempts.iter().map(AttemptJson::of).collect(),
        }
    }
}

impl<'a> AttemptJson<'a> {
    fn of(attempt: &'a AttemptInRun) -> Self {
        Self {
            attempt_id: attempt.id.0,
            purpose: attempt.purpose,
            started_at: Time(attempt.started_at),
            finished_at: attempt.finished_at.map(Time),
            took_ms: took(Some(attempt.started_at), attempt.finished_at),
            result: attempt.result.as_deref(),
            error: attempt.error.as_ref(),
            boot_id: attempt.boot_id.as_deref(),
        }
    }
}

impl<'a> ActJson<'a> {
    fn of(act: &'a OperatorAct) -> Self {
        Self { at: Time(act.at), what: act.what, by: act.by.as_deref() }
    }
}
