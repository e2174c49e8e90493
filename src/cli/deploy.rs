//! `maand deploy`: the workers are brought to what the catalog says.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::engine::catalog_error;
use super::hosts::HostPattern;
use super::operate::{self, AllocationJson, OnSignal, Operation, WorkerJson};
use super::{CliError, Context, Exit, out};
use crate::bucket::{Bucket, JobName};
use crate::catalog::{
    self, Action, CatalogError, DeployRequest, PendingChanges, Unbuilt, action_name, external,
};
use crate::plan::{Problem, counted};
use crate::run::Engine;

/// Of more that the last build has not seen the first are named.
const NEWER_SHOWN: usize = 10;

/// Arguments of `maand deploy`.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// Build first
    #[arg(short, long)]
    build: bool,
    /// Only these jobs
    #[arg(long, value_delimiter = ',', value_name = "JOB,..")]
    #[arg(add = crate::cli::complete::jobs())]
    jobs: Vec<String>,
    /// Only on these workers
    #[arg(long, visible_alias = "worker", value_delimiter = ',', value_name = "HOST,..")]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
    /// Only show what would be done; contacts no worker and waits for no lock
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Also deploy what has not changed; forget removed workers that cannot be reached
    #[arg(long)]
    force: bool,
    /// Timeout of one run of make [default: 900]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    make_timeout: Option<u64>,
    /// For scripts; deploy never asks
    #[arg(long, hide = true)]
    yes: bool,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct DeployDocument<'a> {
    /// Nothing was done: this is what would be.
    dry_run: bool,
    /// Nothing went wrong anywhere.
    ok: bool,
    /// Each worker that took part.
    workers: Vec<WorkerJson<'a>>,
    /// Each allocation that was looked at.
    allocations: Vec<AllocationJson<'a>>,
    /// What the workspace has that the last build has not seen, and this deploy did not carry out; `null`: it is not
    /// known, as the workspace cannot be built, or it was built by this command.
    unbuilt: Option<Unbuilt>,
}

impl Document for DeployDocument<'_> {
    const NAME: &'static str = "deploy";
}

/// Runs the command.
pub(super) fn run(args: &DeployArgs, context: &Context) -> Result<Exit, CliError> {
    let jobs = operate::jobs(&args.jobs)?;
    let operation =
        Operation::open(context, args.make_timeout.map(Duration::from_secs), args.build, OnSignal::Finish)?;
    let request = DeployRequest { jobs, workers: operation.hosts(&args.workers)?, force: args.force };
    if args.build {
        if args.dry_run {
            return Err(CliError::usage(
                "--build writes the catalog and --dry-run writes nothing",
                "run `maand build` first, then `maand deploy --dry-run`",
            ));
        }
        operation.catalog.build(&operation.call).map_err(catalog_error)?;
    }
    let unbuilt = match args.build {
        true => None,
        false => newer_than_build(&request, context)?,
    };
    let is_newer = unbuilt.as_ref().is_some_and(|unbuilt| !unbuilt.is_empty());
    if args.dry_run {
        let pending = operation.catalog.pending(&request).map_err(catalog_error)?;
        if context.json {
            let allocations = pending.iter().map(AllocationJson::of).collect();
            let workers = Vec::new();
            document::print(&DeployDocument { dry_run: true, ok: true, workers, allocations, unbuilt })?;
        } else {
            out::print(&operate::allocations_table(&pending, true))?;
        }
        return Ok(Exit::Done);
    }
    let report = operation.catalog.deploy(&request, &operation.call).map_err(catalog_error)?;
    if context.json {
        document::print(&DeployDocument {
            dry_run: false,
            ok: report.all_ok(),
            workers: report.workers.iter().map(WorkerJson::of).collect(),
            allocations: report.allocations.iter().map(AllocationJson::of).collect(),
            unbuilt,
        })?;
    } else {
        operate::print_report(&report, context)?;
    }
    if !context.quiet {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for line in report.allocations.iter().filter(|line| line.action != Action::Skip) {
            let outcome = line.outcome.as_ref().map_or("not_begun", operate::word);
            *counts.entry((action_name(line.action), outcome)).or_default() += 1;
        }
        let skipped = report.allocations.iter().filter(|line| line.action == Action::Skip).count();
        let done: Vec<_> =
            counts.iter().map(|((what, how), n)| format!("{n} {what} {}", how.replace('_', " "))).collect();
        operate::say(&if done.is_empty() && report.workers.is_empty() && is_newer {
            let deployed = counted(skipped, "allocation");
            format!(
                "nothing to do: {deployed} deployed as built, and the workspace is newer; run `maand build` first"
            )
        } else if done.is_empty() && report.workers.is_empty() {
            format!(
                "nothing has changed: {} deployed as built; start what a reboot has ended with `maand job start JOB`",
                counted(skipped, "allocation")
            )
        } else if done.is_empty() {
            format!(
                "worker.json written on {}, {} skipped",
                counted(report.workers.len(), "worker"),
                counted(skipped, "allocation")
            )
        } else {
            format!("{}, {skipped} skipped", done.join(", "))
        });
    }
    if operation.is_interrupted() && !report.all_ok() {
        operate::say("interrupted: the next deploy does what is left");
    }
    let outcomes =
        report.workers.values().chain(report.allocations.iter().filter_map(|line| line.outcome.as_ref()));
    Ok(operation.exit(outcomes))
}

/// Says what the last build has not seen: it is not deployed. `None`: it cannot be told.
fn newer_than_build(request: &DeployRequest, context: &Context) -> Result<Option<Unbuilt>, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    // What is wrong with the catalog says the deploy.
    let Ok(pending) = pending_of(&bucket, request, context) else { return Ok(None) };
    if !pending.built {
        return Ok(None);
    }
    if let Some(why) = pending.unknown.first() {
        warn(why.clone(), context);
        return Ok(None);
    }
    warn_if_newer(&pending.unbuilt, context);
    Ok(Some(pending.unbuilt))
}

/// What the last build has not seen, and what is pending by it.
fn pending_of(
    bucket: &Bucket,
    request: &DeployRequest,
    context: &Context,
) -> Result<PendingChanges, CatalogError> {
    match context.engine_for(bucket) {
        Engine::Builtin => catalog::pending_changes(bucket, request, false),
        Engine::External => external::pending_changes(bucket, request),
    }
}

/// The same before a deploy of the upstream program, of these jobs (none: all), which does not tell. What cannot be known
/// is not told either.
pub(super) fn warn_before_upstream(jobs: &[String], context: &Context) {
    let Ok(bucket) = Bucket::find(context.bucket.as_deref()) else { return };
    let jobs: Vec<JobName> = jobs.iter().filter_map(|job| JobName::parse(job)).collect();
    let request = DeployRequest { jobs: (!jobs.is_empty()).then_some(jobs), ..DeployRequest::default() };
    if let Ok(pending) = pending_of(&bucket, &request, context) {
        warn_if_newer(&pending.unbuilt, context);
    }
}

fn warn_if_newer(unbuilt: &Unbuilt, context: &Context) {
    if !unbuilt.is_empty() {
        let lines = unbuilt.lines(NEWER_SHOWN).join("\n");
        let what = "the workspace is newer than the last build, and only what was built is deployed";
        warn(format!("{what}:\n{lines}"), context);
    }
}

fn warn(message: String, context: &Context) {
    let warning = Problem::warning("maand::deploy::not_built", message)
        .help("run `maand build` and then deploy, or `maand deploy --build`");
    context.warn(&warning.into());
}
