//! What the commands of the catalog share: the engine with Ctrl-C and live output, names from the
//! command line, and reports as tables and JSON.
//!
//! These commands have the names and flags of upstream's and, like those, ask nothing: what is typed
//! is done, so that `maand build && maand deploy` works in a script as it is in upstream's guide.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::hosts::{self, HostPattern, Known};
use super::interrupt::{self, Stage};
use super::open_bucket::OpenBucket;
use super::table::{Table, or_dash};
use super::{CliError, Context, Exit, engine, out};
use crate::bucket::{Bucket, Fleet, Host, JobName};
use crate::catalog::{AllocationReport, Call, Catalog, Cuts, Output, Report, WorkerOutcome, action_name};
use crate::plan::{Problem, Problems, on_screen};
use crate::report::BackgroundWriter;
use crate::ssh::{self, Cancel};

/// The bound of an operation without one of its own: a day, so that every wait has an end.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// An opened bucket with its engine.
pub(super) struct Operation {
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) call: Call,
    fleet: Arc<Fleet>,
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
        crate::run::catch_up(&bucket)?;
        let (fleet, _) = if builds { bucket.load_for_build()? } else { bucket.load()? };
        let world = OpenBucket::of(bucket, fleet, context)?;
        let catalog = engine::with_make_timeout(&world, context, make_timeout)?;
        let fleet = Arc::clone(&world.fleet);
        let (stopping, cancel) = (Cancel::new(), Cancel::new());
        let end = Stage { cancel: cancel.clone(), meaning: "ending what is under way" };
        let (interrupted, stages) = match on_signal {
            OnSignal::Finish => {
                let meaning = "stopping; what runs is seen to its end, and nothing more is begun";
                (stopping.clone(), vec![Stage { cancel: stopping.clone(), meaning }, end])
            }
            OnSignal::End => (cancel.clone(), vec![end]),
        };
        interrupt::on_signal(stages, context.manner())?;
        let output = printer(context);
        let call = Call {
            stopping,
            cancel,
            until: Instant::now() + LONGEST,
            output,
            fence: None,
            cuts: Cuts::default(),
        };
        Ok(Self { catalog, call, fleet, interrupted })
    }

    /// The workers that a list means: those of the fleet, and those that wait for their removal. `None`: no list was
    /// given.
    ///
    /// # Errors
    /// A pattern that means nobody, and what cannot be a host.
    pub(super) fn hosts(&self, items: &[HostPattern]) -> Result<Option<Vec<Host>>, CliError> {
        let mut known: Vec<Known<'_>> = self.fleet.workers.iter().map(Known::from).collect();
        // Before the first build there are no others.
        let built = self.catalog.allocations().unwrap_or_default();
        let hosts: BTreeSet<&str> = built.iter().map(|one| one.host.as_str()).collect();
        let others = hosts.into_iter().filter(|host| !known.iter().any(|worker| worker.host == *host));
        let others: Vec<_> = others.map(Known::without_labels).collect();
        known.extend(others);
        hosts::of_catalog(items, &known)
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

/// Writes a line to standard error, without waiting for who reads it; that it cannot be written is ignored.
pub(super) fn say(line: &str) {
    let _ = writeln!(BackgroundWriter::stderr(), "{}", on_screen(line));
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
                Problem::error("maand::usage", format!("`{name}` cannot be the name of a {what}"))
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

/// Says what several workers have in common once: a key file that is missing is this machine's fault, and not one of
/// each worker.
#[derive(Default)]
pub(super) struct Once(BTreeMap<String, String>);

/// Shorter messages are said again: to look them up elsewhere costs more.
const SHORT: usize = 60;

impl Once {
    /// The text; or of whom it was said in the same words before.
    pub(super) fn of(&mut self, host: &str, text: &str) -> String {
        match self.0.get(text) {
            Some(first) if text.len() > SHORT && first != host => format!("as {first}"),
            _ => {
                self.0.entry(text.to_owned()).or_insert_with(|| host.to_owned());
                text.to_owned()
            }
        }
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
    let mut once = Once::default();
    for line in lines {
        let mut row = vec![line.job.to_string(), line.host.to_string(), action_name(line.action).to_owned()];
        match (&line.outcome, dry) {
            (_, true) => row.push(line.reason.clone()),
            (Some(outcome), false) => {
                row.extend([word(outcome).to_owned(), or_dash(once.of(line.host.as_str(), detail(outcome)))])
            }
            (None, false) => row.extend(["-".to_owned(), line.reason.clone()]),
        }
        table.row(row);
    }
    table.render()
}

/// The workers that something went wrong with although no allocation of theirs says so.
pub(super) fn print_bad_workers(report: &Report) {
    let mut once = Once::default();
    for (host, outcome) in report.workers.iter().filter(|(_, outcome)| !outcome.is_ok()) {
        let said = report
            .allocations
            .iter()
            .any(|line| line.host == *host && line.outcome.as_ref().is_some_and(|outcome| !outcome.is_ok()));
        if !said {
            say(&format!("{host}: {}: {}", word(outcome), once.of(host.as_str(), detail(outcome))));
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
    let is_shown = |line: &&AllocationReport| match &line.outcome {
        Some(outcome) => !context.quiet || !outcome.is_ok(),
        None => false,
    };
    let shown: Vec<&AllocationReport> = report.allocations.iter().filter(is_shown).collect();
    if !shown.is_empty() {
        out::print(&allocations_table(shown, false))?;
    }
    print_bad_workers(report);
    print_outputs(report, context);
    Ok(())
}
