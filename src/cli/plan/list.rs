//! `maand plan list`: the runs of a bucket.

use std::fmt::Write;

use clap::Args;
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use super::super::{CliError, Context, Exit, out};
use super::stored::holder;
use crate::bucket::Bucket;
use crate::journal::{Journal, Mode, RunSummary, StoredState, codes};
use crate::report::{Time, span_in_words};
use crate::runner::now;

/// Name and version of the JSON form.
const SCHEMA: &str = "maand/run-list/v1";

/// Arguments of `maand plan list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// At most so many, newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

/// Carries it out.
pub(super) fn run(args: &ListArgs, context: &Context) -> Result<Exit, CliError> {
    let data = Bucket::find(context.bucket.as_deref())?.paths().data.clone();
    let runs = match Journal::open(&data, Mode::ReadOnly) {
        Ok(journal) => journal.runs()?,
        // A bucket without a run has an empty list; that is no error.
        Err(problem) if problem.code == codes::NONE => Vec::new(),
        Err(problem) => return Err(problem.into()),
    };
    let total = runs.len();
    let shown: Vec<_> =
        runs.iter().take(args.limit).map(|run| (run, state(run, holder(&data, &run.id).is_some()))).collect();
    if context.json {
        out::print_json(&json!({
            "schema": SCHEMA,
            "total": total,
            "runs": shown.iter().map(|(run, state)| as_json(run, state)).collect::<Vec<_>>(),
        }))?;
    } else {
        out::print(&table(&shown, total))?;
    }
    Ok(Exit::Done)
}

/// As the run view says it: what nobody carries out does not run.
fn state(run: &RunSummary, alive: bool) -> &'static str {
    match run.state {
        StoredState::Running if alive => "running",
        StoredState::Running => "interrupted",
        StoredState::Interrupted if alive => "running",
        other => other.as_str(),
    }
}

fn as_json(run: &RunSummary, state: &str) -> serde_json::Value {
    json!({
        "run": run.id,
        "plan": run.plan,
        "state": state,
        "started_at": Time(run.started_at),
        "last_at": Time(run.last_at),
        "finished_at": run.finished_at.map(Time),
        "counts": {
            "total": run.workers,
            "succeeded": run.succeeded,
            "failed": run.failed,
            "skipped": run.skipped,
        },
    })
}

fn table(runs: &[(&RunSummary, &'static str)], total: usize) -> String {
    if runs.is_empty() {
        return "There is no run yet; `maand plan apply PLAN` starts one.\n".to_owned();
    }
    let width = runs.iter().map(|(run, _)| run.plan.width()).max().unwrap_or(0).max("PLAN".len());
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
    for (run, state) in runs {
        let until = if *state == "running" { now() } else { run.finished_at.unwrap_or(run.last_at) };
        let mut line = format!(
            "{:<18}  {}{}  {state:<11}  {:>9}  {:<20}  {:>8}",
            run.id,
            run.plan,
            pad(&run.plan),
            format!("{}/{}", run.succeeded, run.workers),
            Time(run.started_at).to_second(),
            span_in_words(until - run.started_at),
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
        let _ = writeln!(text, "{} older runs are not shown; --limit {total} shows all.", total - runs.len());
    }
    text
}
