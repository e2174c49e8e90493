//! `maand plan history`: what happened on workers, step by step, over all runs.

mod json;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

pub(in crate::cli) use json::HistoryDocument;

use super::super::document;
use super::super::hosts::{self, HostPattern, Known, Whose};
use super::super::pager::PagerArgs;
use super::super::when::LocalClock;
use super::super::{CliError, Context, Exit};
use super::runs_args::{RunsArgs, why_none};
use crate::bucket::Bucket;
use crate::engine::PublicWorkerState;
use crate::run::{History, HistoryLook, ListedRun, RunFilter, RunOnWorkers};

/// Arguments of `maand plan history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The workers: hosts, patterns of hosts, labels; also those that are in no workers.json any more
    #[arg(long = "worker", visible_alias = "workers", value_delimiter = ',', value_name = "HOST,..")]
    #[arg(required = true, add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
    /// Only this run; the beginning or the end of its name will do
    #[arg(long, value_name = "RUN", add = crate::cli::complete::run_names())]
    run: Option<String>,
    #[command(flatten)]
    runs: RunsArgs,
    /// Only what failed: workers with a failed attempt, and of their steps those
    #[arg(long)]
    failed: bool,
    #[command(flatten)]
    pager: PagerArgs,
}

/// Runs the command.
pub(super) fn run(args: &HistoryArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let history = History::open(&bucket)?;
    let clock = LocalClock::here();
    let filter = args.runs.filter(&history, args.run.as_deref())?;
    let (look, hosts) = asked(&history, &bucket, &filter, &args.workers)?;
    let mut runs = history.of_workers(look, &hosts);
    if args.failed {
        only_failed(&mut runs);
    }
    if context.json {
        document::print(&HistoryDocument::of(&hosts, &filter, &runs))?;
        return Ok(Exit::Done);
    }
    let mut pager = args.pager.start(context);
    if runs.is_empty() {
        pager.print(&nothing(&history, &filter, &hosts, args.failed, &clock))?;
    }
    for (at, run) in runs.iter().enumerate() {
        let gap = if at > 0 { "\n" } else { "" };
        if !pager.print(&format!("{gap}{}", text::of_run(run, &clock)))? {
            break;
        }
    }
    pager.finish()?;
    Ok(Exit::Done)
}

/// The hosts that a list means among the workers of the bucket and of all its runs; and the runs that a filter means.
///
/// # Errors
/// An item means nobody.
pub(super) fn asked<'h>(
    history: &'h History,
    bucket: &Bucket,
    filter: &RunFilter,
    workers: &[HostPattern],
) -> Result<(HistoryLook<'h>, BTreeSet<String>), CliError> {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // One that cannot be loaded has workers all the same: those of its runs.
    let fleet = bucket.load();
    if let Ok((fleet, _)) = &fleet {
        known.extend(fleet.workers.iter().map(|worker| (worker.host.to_string(), (*worker.labels).clone())));
    }
    let meant: Vec<&ListedRun> = history.select(filter);
    let others = |run: &&ListedRun| !meant.iter().any(|meant| meant.run.id == run.run.id);
    let rest: Vec<&ListedRun> = history.runs.iter().filter(others).collect();
    let look = history.look(meant);
    let spelled = |known: &BTreeMap<String, BTreeSet<String>>| {
        workers.iter().all(|item| !item.is_pattern() && known.contains_key(item.as_str()))
    };
    add(&mut known, look.hosts());
    // Headers of runs that are not asked about are read only where they may tell something.
    if !spelled(&known) {
        add(&mut known, history.look(rest).hosts());
    }
    let known: Vec<Known<'_>> = known.iter().map(|(host, labels)| Known { host, labels }).collect();
    let chosen = hosts::choose(workers, &known, Whose::Bucket)?;
    Ok((look, chosen.into_iter().map(str::to_owned).collect()))
}

fn add(known: &mut BTreeMap<String, BTreeSet<String>>, more: BTreeMap<String, BTreeSet<String>>) {
    for (host, labels) in more {
        known.entry(host).or_insert(labels);
    }
}

fn only_failed(runs: &mut Vec<RunOnWorkers<'_>>) {
    for run in runs.iter_mut() {
        for worker in &mut run.workers {
            worker.steps.retain(|step| step.has_failed_attempt());
        }
        run.workers.retain(|worker| {
            !worker.steps.is_empty()
                || matches!(worker.state, PublicWorkerState::Failed | PublicWorkerState::Reverted)
        });
    }
    runs.retain(|run| !run.workers.is_empty() || run.unreadable.is_some());
}

/// Why there is nothing to show.
fn nothing(
    history: &History,
    filter: &RunFilter,
    hosts: &BTreeSet<String>,
    failed: bool,
    clock: &LocalClock,
) -> String {
    let matching = history.select(filter).len();
    if matching == 0 {
        return why_none(history, filter, clock);
    }
    let who = match hosts.iter().next() {
        Some(host) if hosts.len() == 1 => host.clone(),
        _ => format!("any of these {} workers", hosts.len()),
    };
    let of = match matching == history.runs.len() {
        true => format!("all {matching} runs"),
        false => format!("the {matching} runs that match, of {}", history.runs.len()),
    };
    match failed {
        true => format!("Nothing has failed on {who} in {of}.\n"),
        false => format!("Nothing was done on {who} in {of}.\n"),
    }
}
