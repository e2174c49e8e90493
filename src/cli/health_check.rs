//! `maand health_check`: a round trip to each worker, then the probes of its jobs.

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::engine::catalog_error;
use super::operate::{self, OnSignal, Operation, OutcomeJson, WorkerJson};
use super::table::Table;
use super::{CliError, Context, Exit, out};
use crate::catalog::{AllocationHealth, HealthReport, HealthRequest, WorkerOutcome};
use crate::plan::counted;

/// Arguments of `maand health_check`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Only these jobs
    #[arg(long, value_delimiter = ',', value_name = "JOB,..")]
    jobs: Vec<String>,
    /// Only these workers
    #[arg(long, value_delimiter = ',', value_name = "HOST,..")]
    workers: Vec<String>,
    /// Retry until everything is healthy: 30 times, 1 s apart, or as the manifest says
    #[arg(long)]
    wait: bool,
}

/// Runs the command.
pub(super) fn run(args: &HealthArgs, context: &Context) -> Result<Exit, CliError> {
    let request = HealthRequest {
        jobs: operate::jobs(&args.jobs)?,
        workers: operate::hosts(&args.workers)?,
        wait: args.wait,
    };
    let operation = Operation::open(context, None, false, OnSignal::End)?;
    let report = operation.catalog.health(&request, &operation.call).map_err(catalog_error)?;
    if context.json {
        document::print(&HealthDocument::of(&report))?;
    } else {
        print(&report, context)?;
    }
    Ok(operation.exit(outcomes(&report)))
}

/// All outcomes of a report.
pub(super) fn outcomes(report: &HealthReport) -> impl Iterator<Item = &WorkerOutcome> {
    report.workers.values().chain(report.allocations.iter().map(|line| &line.outcome))
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct HealthDocument<'a> {
    /// Every worker answers, and every probe passes.
    ok: bool,
    /// The round trip to each worker.
    workers: Vec<WorkerJson<'a>>,
    /// The probes of each enabled allocation.
    allocations: Vec<HealthJson<'a>>,
}

/// Health of an allocation in JSON.
#[derive(Serialize, JsonSchema)]
struct HealthJson<'a> {
    /// The job.
    job: &'a str,
    /// The worker.
    host: &'a str,
    /// The job has no probes: the worker's answer was all that was looked at.
    without_probes: bool,
    #[serde(flatten)]
    outcome: OutcomeJson<'a>,
}

impl<'a> HealthDocument<'a> {
    pub(super) fn of(report: &'a HealthReport) -> Self {
        let allocation = |line: &'a AllocationHealth| HealthJson {
            job: line.job.as_str(),
            host: line.host.as_str(),
            without_probes: line.without_probes,
            outcome: OutcomeJson::of(&line.outcome),
        };
        Self {
            ok: outcomes(report).all(WorkerOutcome::is_ok),
            workers: report.workers.iter().map(WorkerJson::of).collect(),
            allocations: report.allocations.iter().map(allocation).collect(),
        }
    }
}

impl Document for HealthDocument<'_> {
    const NAME: &'static str = "health-check";
}

/// As tables: what is healthy only with `-v`, unless there is nothing else.
pub(super) fn print(report: &HealthReport, context: &Context) -> Result<(), CliError> {
    let mut table = Table::new(&["JOB", "WORKER", "OUTCOME", "DETAIL"]);
    let mut rows = 0;
    let mut row = |job: &str, host: &str, outcome: &str, detail: &str| {
        rows += 1;
        table.row(vec![job.to_owned(), host.to_owned(), outcome.to_owned(), detail.to_owned()]);
    };
    for (host, outcome) in &report.workers {
        if context.verbose > 0 || !outcome.is_ok() {
            row("(ssh)", host.as_str(), operate::word(outcome), operate::detail(outcome));
        }
    }
    for line in &report.allocations {
        match (&line.outcome, line.without_probes) {
            (WorkerOutcome::Ok { .. }, true) => {
                row(line.job.as_str(), line.host.as_str(), "skipped", "it has no probes")
            }
            // Said already for the worker as a whole.
            (WorkerOutcome::Unreachable { .. }, _) if context.verbose == 0 => {}
            (outcome, _) => {
                row(line.job.as_str(), line.host.as_str(), operate::word(outcome), operate::detail(outcome));
            }
        }
    }
    if rows > 0 {
        out::print(&table.render())?;
    }
    let well = report.workers.values().filter(|outcome| outcome.is_ok()).count();
    if !context.quiet {
        let all = report.workers.len();
        let answers = if all == 1 { "answers" } else { "answer" };
        operate::say(&format!("{well} of {} {answers}", counted(all, "worker")));
        if report.allocations.iter().any(|line| matches!(line.outcome, WorkerOutcome::Failed { .. })) {
            operate::say("what a reboot has ended is started by `maand job start JOB`");
        }
    }
    Ok(())
}
