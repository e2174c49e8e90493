//! The verdict of a rehearsal: every promise, whether it held, and what each worker went through. It
//! judges by what the fleet has written down, and holds what the run reports against that.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::RehearsalError;
use super::controllers::Carried;
use super::history::{Evidence, evidence};
use super::judge::Judge;
use super::refusal::refusal;
use super::watcher::Seen;
use crate::graph::RolloutGraph;
use crate::journal::{Journal, Mode, RunHeader};
use crate::report::{PublicRunState, RunInfo, RunView};
use crate::run::{RunError, compile_stored};
use crate::sandbox::{Event, Fault, Sandbox};

/// Name and version of the verdict's JSON; new fields may come, none goes or changes its meaning.
pub(super) const SCHEMA: &str = "maand/verdict/v1";

/// The last line of a rehearsal's JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "The verdict of a rehearsal with maand")]
pub struct Verdict {
    /// Always `verdict`.
    pub r#type: &'static str,
    /// Always `maand/verdict/v1`.
    pub schema: &'static str,
    /// Every promise held, and the run succeeded or was given a fault: the exit code is 0.
    pub all_held: bool,
    /// The run was stopped by a signal before its end.
    pub interrupted: bool,
    /// The exit code of the last command that carried the run out; none when a signal ended it.
    pub run_exit_code: Option<i32>,
    /// How many workers were down at once at most.
    pub most_down_at_once: usize,
    /// The faults that were injected, as `--fault` takes them.
    pub faults: Vec<String>,
    /// Those of them that never happened.
    pub faults_that_never_happened: Vec<String>,
    /// How many controllers were killed.
    pub controllers_killed: u32,
    /// The promises, each held against what the workers have written down.
    pub promises: Vec<Promise>,
    /// What each worker went through, in the order in which they were started.
    pub workers: Vec<WorkerPart>,
}

/// One promise of a run, and whether it was held.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Promise {
    /// Its name, for programs.
    pub name: &'static str,
    /// Whether it was held.
    pub held: bool,
    /// What was promised, as text with figures; and how it was broken.
    pub what: String,
}

/// What a worker went through.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WorkerPart {
    /// As in `workers.json`.
    pub host: String,
    /// Its state as the run reports it.
    pub state: &'static str,
    /// Seconds from its admission to its end.
    pub seconds: Option<f64>,
    /// Number of its reboots by its own log.
    pub reboots: usize,
    /// When it was down by its own log, in seconds since the run began.
    pub down: Vec<Down>,
}

/// A time in which a worker was down or lacked one of its jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Down {
    /// Its beginning, in seconds since the run began.
    pub from: f64,
    /// Its end, in seconds since the run began; `null`: it lasted to the end of the rehearsal.
    pub to: Option<f64>,
}

/// What is judged.
pub(super) struct Case<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) seen: &'a Seen,
    pub(super) faults: &'a [Fault],
    pub(super) graph: &'a Arc<RolloutGraph>,
    pub(super) header: &'a RunHeader,
    pub(super) run_exit: Option<i32>,
    /// How many controllers were killed.
    pub(super) kills: u32,
    pub(super) execute: bool,
}

impl Verdict {
    /// Judges a run by what was seen of it, and by what the workers of the sandbox have written down.
    pub(super) fn of(
        sandbox: &Sandbox,
        seen: &Seen,
        faults: &[Fault],
        carried: &Carried,
        execute: bool,
    ) -> Result<Self, RehearsalError> {
        let evidence = evidence(sandbox);
        let Some(run) = seen.run.as_ref() else {
            return refusal(&evidence, seen, faults, carried).ok_or(RehearsalError::NoRun);
        };
        let header = Journal::open(&sandbox.bucket_dir().join("data"), Mode::ReadOnly)
            .and_then(|journal| journal.run(run))
            .map_err(RunError::Journal)?
            .header;
        let graph = compile_stored(&header)?;
        Ok(Self::judge(&Case {
            evidence: &evidence,
            seen,
            faults,
            graph: &graph,
            header: &header,
            run_exit: carried.exit,
            kills: carried.kills,
            execute,
        }))
    }

    pub(super) fn judge(case: &Case<'_>) -> Self {
        // What an operator is told of the run: the view that `plan status` shows, from the same facts.
        let info = RunInfo { run: String::new(), started_at: case.header.started_at };
        let mut view = RunView::new(info, Arc::clone(case.graph));
        let legal = case.seen.facts.iter().all(|fact| view.fold(fact).is_ok());
        view.set_orphaned(true);
        view.refresh(case.seen.facts.last().map_or(0, |fact| fact.at));
        let judge = Judge::new(case, &view, legal);
        let promises = judge.promises();
        let all_held = promises.iter().all(|promise| promise.held)
            && (view.state == PublicRunState::Succeeded
                || !case.faults.is_empty() && view.state != PublicRunState::Interrupted);
        Self {
            r#type: "verdict",
            schema: SCHEMA,
            all_held,
            interrupted: view.state == PublicRunState::Interrupted,
            run_exit_code: case.run_exit,
            most_down_at_once: judge.most_down().0,
            faults: case.faults.iter().map(ToString::to_string).collect(),
            faults_that_never_happened: never_happened(case.faults, case.evidence),
            controllers_killed: case.kills,
            promises,
            workers: judge.workers(),
        }
    }

    /// Whether one of the promises was broken, however the run itself ended.
    pub fn any_broken(&self) -> bool {
        self.promises.iter().any(|promise| !promise.held)
    }
}

/// The faults of which no worker's log says that they happened.
pub(super) fn never_happened(faults: &[Fault], evidence: &Evidence) -> Vec<String> {
    let happened = |wanted: &String| {
        let entries = evidence.values().flat_map(|told| &told.log);
        entries
            .into_iter()
            .any(|entry| matches!(&entry.event, Event::FaultHappened { fault } if fault == wanted))
    };
    faults.iter().map(ToString::to_string).filter(|fault| !happened(fault)).collect()
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
