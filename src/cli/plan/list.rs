//! `maand plan list`: the runs of a bucket.

use std::fmt::Write;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::super::document::{self, Document};
use super::super::{CliError, Context, Exit, out};
use crate::bucket::Bucket;
use crate::engine::PublicRunState;
use crate::report::{Time, describe_span};
use crate::run::{ListedRun, runs};
use crate::runner::now;

/// Arguments of `maand plan list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// At most this many, newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

/// Runs the command.
pub(super) fn run(args: &ListArgs, context: &Context) -> Result<Exit, CliError> {
    let all = runs(&Bucket::find(context.bucket.as_deref())?)?;
    let shown = &all[..all.len().min(args.limit)];
    if context.json {
        let runs = shown.iter().map(RunJson::of).collect();
        document::print(&ListDocument { total: all.len(), runs })?;
    } else {
        out::print(&table(shown, all.len()))?;
    }
    Ok(Exit::Done)
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct ListDocument<'a> {
    /// Number of runs in the journal.
    total: usize,
    /// The newest, as many as `--limit` says, newest first.
    runs: Vec<RunJson<'a>>,
}

/// One run in JSON.
#[derive(Serialize, JsonSchema)]
struct RunJson<'a> {
    /// Its name.
    run: String,
    /// The plan's name.
    plan: &'a str,
    /// As in the run view.
    state: PublicRunState,
    /// When it was started.
    started_at: Time,
    /// When something happened last.
    last_at: Time,
    /// When it ended for good.
    finished_at: Option<Time>,
    /// Numbers of its workers.
    counts: CountsJson,
}

/// How many workers of a run are in which state.
#[derive(Serialize, JsonSchema)]
struct CountsJson {
    /// All selected workers.
    total: u32,
    /// Workers whose steps all ended well.
    succeeded: u32,
    /// Workers that failed.
    failed: u32,
    /// Workers that take no part.
    skipped: u32,
}

impl<'a> RunJson<'a> {
    fn of(ListedRun { run, state }: &'a ListedRun) -> Self {
        Self {
            run: run.id.to_string(),
            plan: &run.plan,
            state: *state,
            started_at: Time(run.started_at),
            last_at: Time(run.last_at),
            finished_at: run.finished_at.map(Time),
            counts: CountsJson {
                total: run.workers,
                succeeded: run.succeeded,
                failed: run.failed,
                skipped: run.skipped,
            },
        }
    }
}

impl Document for ListDocument<'_> {
    const NAME: &'static str = "run-list";
}

fn table(runs: &[ListedRun], total: usize) -> String {
    if runs.is_empty() {
        return "There is no run yet; `maand plan apply PLAN` starts one.\n".to_owned();
    }
    let width = runs.iter().map(|listed| listed.run.plan.width()).max().unwrap_or(0).max("PLAN".len());
    let pad = |plan: &str| " ".repeat(width - plan.width());
    let mut text = format!(
        "{:<18}  PLAN{}  {:<11}  {:>9}  {:<20}  {:>8}\n",
        "RUN",
        pad("PLAN"),
        "STATE",
        "SUCCEEDED",
        "STARTED",
        "TOOK"
    );
    for ListedRun { run, state } in runs {
        let until =
            if *state == PublicRunState::Running { now() } else { run.finished_at.unwrap_or(run.last_at) };
        let mut line = format!(
            "{:<18}  {}{}  {:<11}  {:>9}  {:<20}  {:>8}",
            run.id,
            run.plan,
            pad(&run.plan),
            state.as_str(),
            format!("{}/{}", run.succeeded, run.workers),
            Time(run.started_at).to_second(),
            describe_span(until - run.started_at),
        );
        if run.failed > 0 {
            let _ = write!(line, "  {} failed", run.failed);
        }
        if run.skipped > 0 {
            let _ = write!(line, "  {} skipped", run.skipped);
        }
        text.push_str(&line);
        text.push('\n');
    }
    if total > runs.len() {
        let _ = writeln!(
            text,
            "{} older runs are not shown; `maand plan list --limit {total}` shows all.",
            total - runs.len()
        );
    }
    text
}
