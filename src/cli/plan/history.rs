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
use crate::run::{History, HistoryLook, ListedRun, RunFilter, RunOnWorkers, StepInRun};

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
    /// At most so many runs, newest first [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
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
    let all = history.of_workers(look, &hosts);
    let mut runs = all.filter_map(|run| if args.failed { only_failed(run) } else { Some(run) });
    let limit = args.limit.unwrap_or(usize::MAX);
    if context.json {
        let runs: Vec<_> = runs.take(limit).collect();
        document::print(&HistoryDocument::of(&hosts, &filter, &runs))?;
        return Ok(Exit::Done);
    }
    let mut pager = args.pager.start(context);
    let mut shown = 0;
    // Read one by one: the newest is shown before the oldest is looked for.
    for run in runs.by_ref().take(limit) {
        let gap = if shown > 0 { "\n" } else { "" };
        if !pager.print(&format!("{gap}{}", text::of_run(&run, &clock)))? {
            return Ok(Exit::Done);
        }
        shown += 1;
    }
    if runs.next().is_some() {
        pager.print("\nOlder runs are not shown; without `--limit` all are.\n")?;
    } else if shown == 0 {
        pager.print(&nothing(&history, &filter, &hosts, args.failed, &clock))?;
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
    let mut look = history.look(meant);
    let spelled = |known: &BTreeMap<String, BTreeSet<String>>| {
        workers.iter().all(|item| !item.is_pattern() && known.contains_key(item.as_str()))
    };
    add(&mut known, std::mem::take(&mut look.hosts));
    // Headers of runs that are not asked about are read only where they may tell something.
    if !spelled(&known) {
        add(&mut known, history.look(rest).hosts);
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

/// A run without what went well; `None`: nothing is left.
fn only_failed(mut run: RunOnWorkers<'_>) -> Option<RunOnWorkers<'_>> {
    for worker in &mut run.workers {
        worker.steps.retain(StepInRun::has_failed_attempt);
    }
    let has_failed = |state| matches!(state, PublicWorkerState::Failed | PublicWorkerState::Reverted);
    run.workers.retain(|worker| !worker.steps.is_empty() || has_failed(worker.state));
    (!run.workers.is_empty() || run.unreadable.is_some()).then_some(run)
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
