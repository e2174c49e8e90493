//! `maand job`: a Makefile target on the allocations of a job, after the sync check.

use std::time::Duration;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::engine::catalog_error;
use super::health_check::{self, HealthDocument};
use super::hosts::HostPattern;
use super::operate::{self, AllocationJson, OnSignal, Operation, WorkerJson};
use super::table::{Table, or_dash};
use super::{CliError, Context, Exit, out};
use crate::catalog::{HealthRequest, JobRequest, Report};
use crate::plan::Problem;

/// The commands below `maand job`.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Run `make start`, max_concurrent_starts at a time
    Start(JobArgs),
    /// Run `make stop`
    Stop(JobArgs),
    /// Run `make restart`, max_concurrent_upgrades at a time
    Restart(JobArgs),
    /// Run `make status`: one line for each allocation
    Status(JobArgs),
    /// Run another target of the Makefile
    Run(RunArgs),
}

/// The allocations of a job that a target is run on.
#[derive(Debug, Args)]
pub struct JobArgs {
    /// The job
    #[arg(add = crate::cli::complete::jobs())]
    job: String,
    /// Only on these workers; disabled ones too
    #[arg(long, visible_aliases = ["workers", "worker"], value_delimiter = ',', value_name = "HOST,..")]
    #[arg(add = crate::cli::complete::hosts())]
    allocations: Vec<HostPattern>,
    /// Then wait until the job's probes pass
    #[arg(long = "health_check", alias = "health-check")]
    health_check: bool,
    /// Timeout of one run of make [default: 900]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    make_timeout: Option<u64>,
}

/// Arguments of `maand job run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The target
    #[arg(long, value_name = "TARGET")]
    target: String,
    /// Which allocations
    #[command(flatten)]
    job: JobArgs,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct JobDocument<'a> {
    /// The target ran well everywhere.
    ok: bool,
    /// Each worker that took part.
    workers: Vec<WorkerJson<'a>>,
    /// Each allocation that the target was run on.
    allocations: Vec<AllocationJson<'a>>,
    /// With `--health_check`: what came after.
    health: Option<HealthDocument<'a>>,
}

impl Document for JobDocument<'_> {
    const NAME: &'static str = "job";
}

/// Carries one of them out.
pub(super) fn run(command: JobCommand, context: &Context) -> Result<Exit, CliError> {
    let (target, args) = match command {
        JobCommand::Start(args) => ("start".to_owned(), args),
        JobCommand::Stop(args) => ("stop".to_owned(), args),
        JobCommand::Restart(args) => ("restart".to_owned(), args),
        JobCommand::Status(args) => ("status".to_owned(), args),
        JobCommand::Run(RunArgs { target, job }) => (target, job),
    };
    let jobs = operate::jobs(std::slice::from_ref(&args.job))?.unwrap_or_default();
    if jobs.is_empty() {
        return Err(CliError::usage("no job was named", "`maand cat jobs` lists them"));
    }
    let operation =
        Operation::open(context, args.make_timeout.map(Duration::from_secs), false, OnSignal::Finish)?;
    let workers = operation.hosts(&args.allocations)?;
    let request = JobRequest { target: target.clone(), jobs: jobs.clone(), workers: workers.clone() };
    let report = operation.catalog.job(&request, &operation.call).map_err(catalog_error)?;
    if report.allocations.is_empty() {
        return Err(Problem::error(
            "maand::catalog::no_allocation",
            format!("job {} has no enabled allocation", args.job),
        )
        .help("see `maand cat allocations`; disabled ones are reached by --allocations")
        .into());
    }
    let ok = report.all_ok();
    let mut exit = operation.exit(report.allocations.iter().filter_map(|line| line.outcome.as_ref()));
    let health = match args.health_check && ok {
        false => None,
        true => {
            let request = HealthRequest { jobs: Some(jobs), workers, wait: true };
            Some(operation.catalog.health(&request, &operation.call).map_err(catalog_error)?)
        }
    };
    if context.json {
        let allocation = |line| AllocationJson::of(line).with_action(&target);
        document::print(&JobDocument {
            ok,
            workers: report.workers.iter().map(WorkerJson::of).collect(),
            allocations: report.allocations.iter().map(allocation).collect(),
            health: health.as_ref().map(HealthDocument::of),
        })?;
    } else {
        // `status` asks for its lines.
        if !context.quiet || !ok || target == "status" {
            out::print(&table(&report))?;
        }
        operate::print_bad_workers(&report);
        operate::print_outputs(&report, context);
        if let Some(health) = &health {
            health_check::print(health, context)?;
        }
    }
    if let Some(health) = &health {
        exit = operation.exit(health_check::outcomes(health));
    }
    Ok(exit)
}

/// One line for each allocation; the detail is the last line that make has printed, or why it failed.
fn table(report: &Report) -> String {
    let mut table = Table::new(&["HOST", "JOB", "STATUS", "DETAIL"]);
    for line in &report.allocations {
        let (status, detail) = match &line.outcome {
            Some(outcome) => (operate::word(outcome), operate::detail(outcome)),
            None => ("-", line.reason.as_str()),
        };
        table.row(vec![line.host.to_string(), line.job.to_string(), status.to_owned(), or_dash(detail)]);
    }
    table.render()
}
