//! `maand plan apply`: checks everything, asks, and carries the plan out.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;

use super::super::ask::Consent;
use super::super::checking::Checking;
use super::super::hosts::{self, HostPattern};
use super::super::{CliError, Context, Exit, out};
use super::carry_out::{LeaveDrained, carry_out, site};
use super::left_behind::retry_command;
use super::metrics_file::MetricsFile;
use super::read::{Given, parse_set, read_given, shown_name};
use super::show::{describe_halt, pending_lines};
use crate::catalog::PendingChanges;
use crate::plan::{Plan, counted};
use crate::run::{self, Run, RunRequest, Site, Summary};

/// At most this many pending changes are listed.
const PENDING_SHOWN: usize = 10;

/// Up to this many workers are listed by name; of more the first and the last are.
const WORKERS_SHOWN: usize = 8;

/// Arguments of `maand plan apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The plan file, or a reviewed one of `plan show --out`; `-` reads standard input
    #[arg(value_name = "PLAN", add = crate::cli::complete::plan_and_reviewed_files())]
    plan: String,
    /// Only these of the plan's workers
    #[arg(long, visible_alias = "worker", value_delimiter = ',', value_name = "HOST,..")]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
    /// Set a variable of the plan; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
    /// Carry a reviewed plan file out although a run has done so already
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    leave: LeaveDrained,
    #[command(flatten)]
    metrics: MetricsFile,
    #[command(flatten)]
    consent: Consent,
}

/// Runs the command.
pub(super) fn run(args: &ApplyArgs, context: &Context) -> Result<Exit, CliError> {
    args.metrics.check()?;
    let given = read_given(&args.plan)?;
    let mut reviewed_as = None;
    let (site, request) = match given {
        Given::Plan(_) if args.again => {
            return Err(CliError::usage(
                "`--again` is for reviewed plan files",
                "a plan is carried out as often as it is applied",
            ));
        }
        Given::Plan(source) => {
            let request = RunRequest::new(&source, args.set.clone())?;
            let site = site(context)?;
            let workers = narrowed(&args.workers, request.plan(), &site)?;
            (site, request.only(workers))
        }
        Given::Reviewed(reviewed) => {
            refuse_more(&args.set, &args.workers)?;
            reviewed_as = Some(reviewed.sha256()[..16].to_owned());
            (site(context)?, RunRequest::reviewed(*reviewed, args.again))
        }
    };
    let checking = Checking::new(context);
    let prepared = Run::prepare(&site, &request, &|looked| checking.tell(looked))?;
    drop(checking);
    if !context.quiet {
        if let Some(hash) = reviewed_as {
            out::note(&format!(
                "Reviewed plan file {} ({hash}): nothing has changed since.",
                shown_name(&args.plan)
            ));
        }
        out::note(describe(&prepared.summary, prepared.pending.as_ref()).trim_end());
    }
    if !args.consent.ask("Carry it out?", "apply")? {
        out::note("Nothing was touched.");
        return Ok(Exit::Declined);
    }
    let run = prepared.start(&run::Consent::of_this_operator())?;
    carry_out(run, args.leave, &args.metrics, context).map(|(_, exit)| exit)
}

/// A reviewed plan is what was reviewed: nothing is set or narrowed any more.
pub(super) fn refuse_more(set: &[(String, String)], workers: &[HostPattern]) -> Result<(), CliError> {
    let more = match (set.is_empty(), workers.is_empty()) {
        (true, true) => return Ok(()),
        (false, _) => "--set",
        (true, false) => "--workers",
    };
    Err(CliError::usage(
        format!("`{more}` would make another plan of the one that was reviewed"),
        "leave it out, or review again: `maand plan show PLAN --out FILE` takes it",
    ))
}

/// The hosts that `--workers` means; the fleet is looked at only where there are any.
fn narrowed(items: &[HostPattern], plan: &Arc<Plan>, site: &Site) -> Result<Option<Vec<String>>, CliError> {
    if items.is_empty() {
        return Ok(None);
    }
    let (fleet, _) = site.bucket.load()?;
    hosts::narrow(items, plan, &Arc::new(fleet))
}

fn describe(summary: &Summary, pending: Option<&PendingChanges>) -> String {
    let mut text = String::new();
    let at_once =
        summary.concurrency.map_or_else(|| "as many as fit".to_owned(), |n| format!("{n} at a time"));
    let _ = writeln!(
        text,
        "Plan {} ({}): {} in {}, {at_once}",
        summary.plan,
        summary.file,
        counted(summary.workers.len(), "worker"),
        counted(summary.waves, "wave")
    );
    let _ = writeln!(text, "  workers: {}", shortened(&summary.workers));
    if let Some(at_once) = summary.prepared_at_once {
        let steps = summary.prepare.join(" -> ");
        let _ = writeln!(text, "  prepare: {steps} (all workers first, {at_once} at a time)");
    }
    let _ = writeln!(text, "  steps:   {}", summary.steps.join(" -> "));
    let _ = writeln!(text, "  {}", describe_halt(summary.max_failures, &summary.max_failures.to_string()));
    for reason in &summary.left_alone {
        let _ = writeln!(text, "  {reason}");
    }
    for left in &summary.left_behind {
        let _ = writeln!(text, "  still disabled: {}", left.describe());
        if left.can_be_retried {
            let _ = writeln!(text, "    take it up again with:\n      {}", retry_command(left));
        }
    }
    for (host, why) in &summary.unreachable {
        let _ = writeln!(text, "  counts as failed: {host}: {why}");
    }
    if summary.contacts_every_worker {
        let _ = writeln!(text, "  deploys contact every worker of the bucket (external engine)");
    }
    if !summary.of_the_whole_fleet.is_empty() {
        let _ = writeln!(text, "  of the whole fleet: {}", summary.of_the_whole_fleet.join(", "));
    }
    let lines = pending.map_or_else(Vec::new, |pending| pending_lines(pending, PENDING_SHOWN));
    if !lines.is_empty() {
        let head = match pending.is_some_and(|pending| pending.jobs.is_empty()) {
            true => "pending in the workspace:",
            false => "its deploys also carry out what is pending in the workspace:",
        };
        let _ = writeln!(text, "  {head}");
        for line in lines {
            let _ = writeln!(text, "    {line}");
        }
    }
    for problem in summary.warnings.iter() {
        let _ = writeln!(text, "  warning: {problem}");
    }
    text
}

fn shortened(hosts: &[String]) -> String {
    if hosts.len() <= WORKERS_SHOWN {
        return hosts.join(", ");
    }
    format!("{} ... {}", hosts[..4].join(", "), hosts[hosts.len() - 2..].join(", "))
}
