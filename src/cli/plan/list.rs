//! `maand plan list`: the runs of a bucket.

use std::fmt::Write;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::super::document::{self, Document};
use super::super::pager::PagerArgs;
use super::super::table::{cut, name, padded};
use super::super::when::LocalClock;
use super::super::{CliError, Context, Exit, out};
use super::runs_args::{RunsArgs, why_none};
use crate::bucket::Bucket;
use crate::engine::{Millis, PublicRunState};
use crate::report::{Time, describe_span};
use crate::run::{History, ListedRun};

/// Arguments of `maand plan list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    runs: RunsArgs,
    /// At most this many, newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    pager: PagerArgs,
}

/// Runs the command.
pub(super) fn run(args: &ListArgs, context: &Context) -> Result<Exit, CliError> {
    let history = History::open(&Bucket::find(context.bucket.as_deref())?)?;
    let clock = LocalClock::here();
    let filter = args.runs.filter(&history, None)?;
    let matching = history.select(&filter);
    let shown: Vec<Row<'_>> =
        matching.iter().take(args.limit).map(|run| Row::new(&history, run, &clock)).collect();
    if context.json {
        document::print(&ListDocument {
            total: history.runs.len(),
            matching: matching.len(),
            since: filter.since.map(Time),
            until: filter.until.map(Time),
            runs: shown.iter().map(RunJson::of).collect(),
        })?;
        return Ok(Exit::Done);
    }
    let mut text = match matching.is_empty() {
        true => why_none(&history, &filter, &clock),
        false => table(&shown, &clock, out::stdout_columns()),
    };
    if matching.len() > shown.len() {
        let _ = writeln!(
            text,
            "{} older runs are not shown; `--limit {}` shows all.",
            matching.len() - shown.len(),
            matching.len()
        );
    }
    let mut pager = args.pager.start(context);
    pager.print(&text)?;
    pager.finish()?;
    Ok(Exit::Done)
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct ListDocument<'a> {
    /// Number of runs in the journal.
    total: usize,
    /// Number of those that `--plan`, `--by`, `--state`, `--since` and `--until` mean.
    matching: usize,
    /// What `--since` means.
    since: Option<Time>,
    /// What `--until` means.
    until: Option<Time>,
    /// The newest of those, as many as `--limit` says, newest first.
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
    /// Who started it, `user@host`; `null`: that cannot be read.
    by: Option<&'a str>,
    /// When it was started.
    started_at: Time,
    /// When something happened last.
    last_at: Time,
    /// When it ended for good.
    finished_at: Option<Time>,
    /// Milliseconds from its start to its end, or to now where it is running, or to what happened last.
    took_ms: i64,
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
    fn of(row: &'a Row<'a>) -> Self {
        let ListedRun { run, state } = row.listed;
        Self {
            run: run.id.to_string(),
            plan: &run.plan,
            state: *state,
            by: row.by.as_deref(),
            started_at: Time(run.started_at),
            last_at: Time(run.last_at),
            finished_at: run.finished_at.map(Time),
            took_ms: row.took,
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

/// A run with what its row in the list does not say.
struct Row<'a> {
    listed: &'a ListedRun,
    by: Option<String>,
    took: Millis,
}

impl<'a> Row<'a> {
    fn new(history: &History, listed: &'a ListedRun, clock: &LocalClock) -> Self {
        let ListedRun { run, state } = listed;
        Self { listed, by: history.author(&run.id), took: lasted(run, *state, clock.now) }
    }
}

/// Milliseconds from a run's start to its end; of one that nobody carries out, to what happened last.
pub(super) fn lasted(run: &crate::journal::RunSummary, state: PublicRunState, now: Millis) -> Millis {
    let until = if state == PublicRunState::Running { now } else { run.finished_at.unwrap_or(run.last_at) };
    until.saturating_sub(run.started_at).max(0)
}

/// How much of a run a row tells: all that fits.
const DETAILS: [Detail; 4] = [
    Detail { date: true, age: true, by: true },
    Detail { date: false, age: true, by: true },
    Detail { date: false, age: true, by: false },
    Detail { date: false, age: false, by: false },
];

#[derive(Clone, Copy)]
struct Detail {
    date: bool,
    age: bool,
    by: bool,
}

/// The shortest that a plan's name is cut to.
const SHORTEST_PLAN: usize = 8;

fn table(rows: &[Row<'_>], clock: &LocalClock, columns: Option<usize>) -> String {
    let plans = rows.iter().map(|row| name(&row.listed.run.plan).width()).max().unwrap_or(0);
    let all = plans.max("PLAN".len());
    let width = |text: &str| text.lines().map(UnicodeWidthStr::width).max().unwrap_or(0);
    let columns = columns.unwrap_or(usize::MAX);
    let mut text = String::new();
    for detail in DETAILS {
        text = rendered(rows, clock, detail, all);
        let over = width(&text).saturating_sub(columns);
        let narrower = all.saturating_sub(over).max(SHORTEST_PLAN.min(all));
        // A name that is cut tells less than a column that is left out, unless it is very long.
        if over > 0 && over <= all / 2 && narrower >= all / 2 {
            text = rendered(rows, clock, detail, narrower);
        }
        if width(&text) <= columns {
            return text;
        }
    }
    let over = width(&text).saturating_sub(columns);
    text = rendered(rows, clock, DETAILS[3], all.saturating_sub(over).max(SHORTEST_PLAN.min(all)));
    text.lines().map(|line| cut(line, columns) + "\n").collect()
}

fn rendered(rows: &[Row<'_>], clock: &LocalClock, detail: Detail, plan_width: usize) -> String {
    let started = |at: Millis| match (detail.date, detail.age) {
        (true, _) => clock.both(at),
        (false, true) => clock.ago(at),
        (false, false) => String::new(),
    };
    let by = |row: &Row<'_>| name(row.by.as_deref().unwrap_or("-"));
    let cells = |row: &Row<'_>| {
        let run = &row.listed.run;
        let mut notes = Vec::new();
        if run.failed > 0 {
            notes.push(format!("{} failed", run.failed));
        }
        if run.skipped > 0 {
            notes.push(format!("{} skipped", run.skipped));
        }
        let mut cells = vec![
            run.id.to_string(),
            cut(&name(&run.plan), plan_width),
            row.listed.state.as_str().to_owned(),
            format!("{}/{}", run.succeeded, run.workers),
        ];
        cells.extend((detail.date || detail.age).then(|| started(run.started_at)));
        cells.push(describe_span(row.took));
        cells.extend(detail.by.then(|| by(row)));
        cells.push(notes.join(", "));
        cells
    };
    let mut heading = vec!["RUN", "PLAN", "STATE", "SUCCEEDED"];
    heading.extend((detail.date || detail.age).then_some("STARTED"));
    heading.push("TOOK");
    heading.extend(detail.by.then_some("BY"));
    heading.push("");
    let numbers: Vec<bool> = heading.iter().map(|name| matches!(*name, "SUCCEEDED" | "TOOK")).collect();
    let heading = heading.into_iter().map(str::to_owned).collect();
    padded(std::iter::once(heading).chain(rows.iter().map(cells)).collect(), &numbers)
}
