//! The verdict of a rehearsal: every promise, whether it held, and what each worker went through. It
//! judges by what the fleet has written down, and holds what the run reports against that.

use std::fmt::Write as _;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::session::compile_stored;
use super::Carried;
use super::history::{Evidence, evidence};
use super::judge::Judge;
use super::watcher::Seen;
use crate::cli::CliError;
use crate::graph::RolloutGraph;
use crate::journal::{Journal, Mode, RunHeader};
use crate::plan::Problem;
use crate::report::{PublicRunState, RunInfo, RunView};
use crate::sandbox::{Event, Fault, Sandbox};

/// So many workers are listed one by one.
const WORKERS_SHOWN: usize = 30;

/// Name and version of the verdict's JSON; new fields may come, none goes or changes its meaning.
const SCHEMA: &str = "maand/verdict/v1";

/// The last line of a rehearsal's JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "The verdict of a rehearsal with maand")]
pub(super) struct Verdict {
    /// Always `verdict`.
    r#type: &'static str,
    /// Always `maand/verdict/v1`.
    schema: &'static str,
    /// Every promise held, and the run succeeded or was given a fault: the exit code is 0.
    pub(super) all_held: bool,
    /// The run was stopped by a signal before its end.
    pub(super) interrupted: bool,
    /// The exit code of the last command that carried the run out; none when a signal ended it.
    run_exit_code: Option<i32>,
    /// How many workers were down at once at most.
    most_down_at_once: usize,
    /// The faults that were asked for, as they are written.
    faults: Vec<String>,
    /// Those of them that never happened.
    faults_that_never_happened: Vec<String>,
    /// How many controllers were killed.
    controllers_killed: u32,
    /// What was promised.
    pub(super) promises: Vec<Promise>,
    /// What each worker went through, in the order in which they are taken.
    workers: Vec<WorkerPart>,
}

/// A promise.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Promise {
    /// Which, for programs.
    pub(super) name: &'static str,
    /// Whether it held.
    pub(super) held: bool,
    /// Which, for people, with figures; and how it was broken.
    pub(super) what: String,
}

/// What a worker went through.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WorkerPart {
    /// As in `workers.json`.
    pub(super) host: String,
    /// As the run reports it.
    pub(super) state: &'static str,
    /// From its admission to its end.
    pub(super) seconds: Option<f64>,
    /// By its own log.
    pub(super) reboots: usize,
    /// When it was down by its own log, in seconds since the run began.
    pub(super) down: Vec<Down>,
}

/// A time in which a worker was away or lacked one of its jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Down {
    /// From.
    pub(super) from: f64,
    /// To; none: to the end.
    pub(super) to: Option<f64>,
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
    /// Judges.
    pub(super) fn of(
        sandbox: &Sandbox,
        seen: &Seen,
        faults: &[Fault],
        carried: &Carried,
        execute: bool,
    ) -> Result<Self, CliError> {
        let nothing = || {
            Problem::error("maand::rehearse::no_run", "the rehearsal's run did not begin")
                .help("the message above says why; `maand plan validate` checks the plan alone")
        };
        let run = seen.run.clone().ok_or_else(nothing)?;
        let journal = Journal::open(&sandbox.bucket_dir().join("data"), Mode::ReadOnly)?;
        let header = journal.run(&run)?.header;
        let graph = compile_stored(&header)?;
        let evidence = evidence(sandbox);
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
        // What people are told of the run: the view that `plan status` shows, from the same facts.
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
            faults_that_never_happened: never_happened(case),
            controllers_killed: case.kills,
            promises,
            workers: judge.workers(),
        }
    }

    /// Whether one of the promises was broken, however the run itself ended.
    pub(super) fn any_broken(&self) -> bool {
        self.promises.iter().any(|promise| !promise.held)
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::from("\nWhat each worker went through\n");
        for worker in self.workers.iter().take(WORKERS_SHOWN) {
            let took = worker.seconds.map_or_else(|| "-".to_owned(), |took| format!("{took:.1} s"));
            let line = format!(
                "  {:<20} {:<11} {took:>8}   {:<9}  {}",
                worker.host,
                worker.state,
                count(worker.reboots, "reboot"),
                times(&worker.down)
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        if self.workers.len() > WORKERS_SHOWN {
            let _ = writeln!(text, "  and {} more", self.workers.len() - WORKERS_SHOWN);
        }
        let _ = writeln!(text, "\nVerdict, by what the workers have written down themselves");
        for promise in &self.promises {
            let _ = writeln!(text, "  {}  {}", if promise.held { "held  " } else { "BROKEN" }, promise.what);
        }
        for fault in &self.faults_that_never_happened {
            let _ = writeln!(text, "\nThe fault {fault} has never happened: the run did not come to it.");
        }
        let exit = self
            .run_exit_code
            .map_or_else(|| "by a signal".to_owned(), |code| format!("with exit code {code}"));
        let _ = writeln!(text, "\nThe run itself ended {exit}.");
        let _ = writeln!(text, "{} Nothing of the fleet is left.", self.conclusion());
        text
    }

    fn conclusion(&self) -> &'static str {
        if self.any_broken() {
            "Not every promise held."
        } else if self.interrupted {
            "It was stopped before its end; as far as it came all promises held. There is nothing to resume: \
             rehearse again when you like."
        } else if self.all_held {
            "All promises held."
        } else {
            "All promises held, and yet the run did not succeed."
        }
    }

    pub(super) fn to_json(&self) -> Result<serde_json::Value, Problem> {
        serde_json::to_value(self).map_err(|error| {
            Problem::error("maand::output", format!("the verdict can not be written: {error}"))
        })
    }
}

/// The faults of which no worker's log says that they happened.
fn never_happened(case: &Case<'_>) -> Vec<String> {
    let happened = |wanted: &String| {
        let entries = case.evidence.values().flat_map(|told| &told.log);
        entries
            .into_iter()
            .any(|entry| matches!(&entry.event, Event::FaultHappened { fault } if fault == wanted))
    };
    case.faults.iter().map(ToString::to_string).filter(|fault| !happened(fault)).collect()
}

/// So many times in which a worker was down are shown.
const TIMES_SHOWN: usize = 3;

fn times(down: &[Down]) -> String {
    if down.is_empty() {
        return String::new();
    }
    let one = |time: &Down| {
        let to = time.to.map_or_else(|| "to the end".to_owned(), |to| format!("to {to:.1} s"));
        format!("{:.1} {to}", time.from)
    };
    let shown: Vec<_> = down.iter().take(TIMES_SHOWN).map(one).collect();
    let more = if down.len() > TIMES_SHOWN { ", ..." } else { "" };
    format!("down from {}{more}", shown.join(", "))
}

/// `1 reboot`, `2 reboots`.
pub(super) fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
