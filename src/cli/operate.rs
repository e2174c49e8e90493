//! What the commands of the catalog share: the engine with Ctrl-C and live output, names from the
//! command line, and reports as tables and JSON.
//!
//! These commands have the names and flags of upstream's and, like those, ask nothing: what is typed
//! is done, so that `maand build && maand deploy` works in a script as it is in upstream's guide.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::interrupt::{self, Stage};
use super::open_bucket::OpenBucket;
use super::table::{Table, or_dash};
use super::{CliError, Context, Exit, engine, out};
use crate::bucket::{Bucket, Host, JobName};
use crate::catalog::{AllocationReport, Call, Catalog, Cuts, Output, Report, WorkerOutcome, action_name};
use crate::plan::{Problem, Problems, on_screen};
use crate::ssh::{self, Cancel};

/// The bound of an operation without one of its own: a day, so that every wait has an end.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// An opened bucket with its engine.
pub(super) struct Operation {
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) call: Call,
    /// Set by the first Ctrl-C.
    interrupted: Cancel,
}

/// What a first Ctrl-C does to an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnSignal {
    /// What runs on workers is seen to its end, nothing more is begun: half a `make restart` leaves a
    /// service down. A second one ends it.
    Finish,
    /// It only looks, and ends.
    End,
}

impl Operation {
    /// Opens the bucket and its engine; `make_timeout` bounds one run of make. What a build refuses is
    /// an error where `builds`; warnings are left to the build, which shows them once.
    pub(super) fn open(
        context: &Context,
        make_timeout: Option<Duration>,
        builds: bool,
        on_signal: OnSignal,
    ) -> Result<Self, CliError> {
        let bucket = Bucket::find(context.bucket.as_deref())?;
        let (fleet, _) = if builds { bucket.load_for_build()? } else { bucket.load()? };
        let world = OpenBucket::of(bucket, fleet, context)?;
        let catalog = engine::with_make_timeout(&world, context, make_timeout)?;
        let (stopping, cancel) = (Cancel::new(), Cancel::new());
        let end = Stage { cancel: cancel.clone(), meaning: "ending what is under way" };
        let (interrupted, stages) = match on_signal {
            OnSignal::Finish => {
                let meaning = "stopping; what runs is seen to its end, and nothing more is begun";
                (stopping.clone(), vec![Stage { cancel: stopping.clone(), meaning }, end])
            }
            OnSignal::End => (cancel.clone(), vec![end]),
        };
        interrupt::on_signal(stages)?;
        let output = printer(context);
        let call = Call {
            stopping,
            cancel,
            until: Instant::now() + LONGEST,
            output,
            fence: None,
            cuts: Cuts::default(),
        };
        Ok(Self { catalog, call, interrupted })
    }

    /// Whether a Ctrl-C has come.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.is_cancelled()
    }

    /// The exit code of what was seen. Stopped by Ctrl-C with nothing else wrong can be continued.
    pub(super) fn exit<'o>(&self, outcomes: impl IntoIterator<Item = &'o WorkerOutcome>) -> Exit {
        let bad: Vec<&WorkerOutcome> = outcomes.into_iter().filter(|outcome| !outcome.is_ok()).collect();
        let by_us = |outcome: &&WorkerOutcome| match outcome {
            WorkerOutcome::NotBegun { .. }
            | WorkerOutcome::Unknown { .. }
            | WorkerOutcome::Unreachable { .. } => true,
            WorkerOutcome::Failed { .. } | WorkerOutcome::Ok { .. } => false,
        };
        match (bad.is_empty(), self.is_interrupted()) {
            (true, _) => Exit::Done,
            (false, true) if bad.iter().all(by_us) => Exit::Resumable,
            (false, _) => Exit::Failed,
        }
    }
}

/// Writes a line to standard error; that it cannot be written is ignored.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", on_screen(line));
}

/// Shows lines as they come, as upstream does: `host | line` on standard error.
pub(super) fn printer(context: &Context) -> Output {
    let quiet = context.quiet;
    Arc::new(move |host, line| {
        if quiet {
            return;
        }
        let line = ssh::visible(line.as_bytes());
        match host {
            Some(host) => say(&format!("{host} | {line}")),
            None => say(&line),
        }
    })
}

/// Job names from the command line.
pub(super) fn jobs(names: &[String]) -> Result<Option<Vec<JobName>>, CliError> {
    parsed(names, "job", JobName::parse)
}

/// Hosts from the command line.
pub(super) fn hosts(names: &[String]) -> Result<Option<Vec<Host>>, CliError> {
    parsed(names, "worker", Host::parse)
}

fn parsed<T>(
    names: &[String],
    what: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<Vec<T>>, CliError> {
    not_blank(names, what)?;
    let mut problems = Problems::new();
    let mut all = Vec::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        match parse(name) {
            Some(name) => all.push(name),
            None => problems.push(
                Problem::error("maand::usage", format!("{name:?} cannot be the name of a {what}"))
                    .help(format!("see `maand cat {what}s`")),
            ),
        }
    }
    if !problems.is_empty() {
        return Err(problems.into());
    }
    Ok((!names.is_empty()).then_some(all))
}

/// A list that was given and names nothing, as `--workers "$HOSTS"` with an empty variable: neither all
/// nor none is what was meant.
///
/// # Errors
/// Wrong usage.
pub(super) fn not_blank(names: &[String], what: &str) -> Result<(), CliError> {
    if names.is_empty() || names.iter().any(|name| !name.trim().is_empty()) {
        return Ok(());
    }
    Err(CliError::usage(
        format!("a list of {what}s was given, and it names no {what}"),
        format!("name at least one, or leave the list out for all; see `maand cat {what}s`"),
    ))
}

/// One word for an outcome.
pub(super) fn word(outcome: &WorkerOutcome) -> &'static str {
    match outcome {
        WorkerOutcome::Ok { .. } => "ok",
        WorkerOutcome::NotBegun { .. } => "not_begun",
        WorkerOutcome::Failed { .. } => "failed",
        WorkerOutcome::Unreachable { .. } => "unreachable",
        WorkerOutcome::Unknown { .. } => "unknown",
    }
}

/// What there is to say about an outcome, in one line.
pub(super) fn detail(outcome: &WorkerOutcome) -> &str {
    outcome.message()
}

/// An outcome in JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct OutcomeJson<'a> {
    /// `ok`, `failed`, `not_begun` (interrupted before its turn, or after what it demands has failed),
    /// `unreachable` (nothing was done there) or `unknown` (the answer was lost).
    outcome: &'static str,
    /// What was seen, or what went wrong, in one line.
    detail: &'a str,
    /// The last lines of output of what failed.
    output: Option<&'a str>,
}

impl<'a> OutcomeJson<'a> {
    pub(super) fn of(outcome: &'a WorkerOutcome) -> Self {
        let output = match outcome {
            WorkerOutcome::Failed { output, .. } => output.as_deref(),
            _ => None,
        };
        Self { outcome: word(outcome), detail: detail(outcome), output }
    }
}

/// A worker of a report in JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct WorkerJson<'a> {
    /// The worker.
    host: &'a str,
    #[serde(flatten)]
    outcome: OutcomeJson<'a>,
}

impl<'a> WorkerJson<'a> {
    pub(super) fn of((host, outcome): (&'a Host, &'a WorkerOutcome)) -> Self {
        Self { host: host.as_str(), outcome: OutcomeJson::of(outcome) }
    }
}

/// An allocation of a report in JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct AllocationJson<'a> {
    /// The job.
    job: &'a str,
    /// The worker.
    host: &'a str,
    /// What was, or is to be, done: `start`, `restart`, `reload`, `stop`, `sync`, `remove` or `skip`; of
    /// `maand job` the target.
    action: &'a str,
    /// Why that was, or is to be, done.
    reason: &'a str,
    /// How it went; absent in a dry run, and where nothing was to do.
    #[serde(flatten)]
    outcome: Option<OutcomeJson<'a>>,
}

impl<'a> AllocationJson<'a> {
    pub(super) fn of(line: &'a AllocationReport) -> Self {
        Self {
            job: line.job.as_str(),
            host: line.host.as_str(),
            action: action_name(line.action),
            reason: &line.reason,
            outcome: line.outcome.as_ref().map(OutcomeJson::of),
        }
    }

    /// With another name of the action than the catalog's.
    pub(super) fn with_action(self, action: &'a str) -> Self {
        Self { action, ..self }
    }
}

/// Allocations as a table. `what` heads the column of actions.
pub(super) fn allocations_table<'l>(
    lines: impl IntoIterator<Item = &'l AllocationReport>,
    dry: bool,
) -> String {
    let mut table = if dry {
        Table::new(&["JOB", "WORKER", "ACTION", "REASON"])
    } else {
        Table::new(&["JOB", "WORKER", "ACTION", "OUTCOME", "DETAIL"])
    };
    for line in lines {
        let mut row = vec![line.job.to_string(), line.host.to_string(), action_name(line.action).to_owned()];
        match (&line.outcome, dry) {
            (_, true) => row.push(line.reason.clone()),
            (Some(outcome), false) => row.extend([word(outcome).to_owned(), or_dash(detail(outcome))]),
            (None, false) => row.extend(["-".to_owned(), line.reason.clone()]),
        }
        table.row(row);
    }
    table.render()
}

/// The workers that something went wrong with although no allocation of theirs says so.
pub(super) fn print_bad_workers(report: &Report) {
    for (host, outcome) in report.workers.iter().filter(|(_, outcome)| !outcome.is_ok()) {
        let said = report
            .allocations
            .iter()
            .any(|line| line.host == *host && line.outcome.as_ref().is_some_and(|outcome| !outcome.is_ok()));
        if !said {
            say(&format!("{host}: {}: {}", word(outcome), detail(outcome)));
        }
    }
}

/// The last lines of output of what failed, on standard error.
pub(super) fn print_outputs(report: &Report, context: &Context) {
    for line in &report.allocations {
        if let Some(WorkerOutcome::Failed { output: Some(output), .. }) = &line.outcome
            && context.verbose > 0
        {
            say(&format!("--- {} on {}", line.job, line.host));
            output.lines().for_each(|text| say(&ssh::visible(text.as_bytes())));
        }
    }
}

/// Prints a report as tables.
pub(super) fn print_report(report: &Report, context: &Context) -> Result<(), CliError> {
    let shown: Vec<&AllocationReport> =
        report.allocations.iter().filter(|line| line.outcome.is_some()).collect();
    if !shown.is_empty() {
        out::print(&allocations_table(shown, false))?;
    }
    print_bad_workers(report);
    print_outputs(report, context);
    Ok(())
}
