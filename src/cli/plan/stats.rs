//! `maand plan stats`: how long steps take, how often they fail, and where they take longest.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::hosts::HostPattern;
use super::super::pager::PagerArgs;
use super::super::table::{cut, name, padded};
use super::super::when::LocalClock;
use super::super::{CliError, Context, Exit, out};
use super::history::asked;
use super::runs_args::{RunsArgs, why_none};
use super::simulate::is_expected;
use crate::bucket::Bucket;
use crate::engine::Millis;
use crate::journal::Spread;
use crate::plan::suggest::{all_of, suggest};
use crate::plan::{Problem, counted, visible_within};
use crate::report::{Time, describe_elapsed};
use crate::run::{Counted, History, RunFilter, Statistics, StepStatistics};

/// Workers that are named in a line.
const SLOWEST_SHOWN: usize = 2;
/// Bytes of a message in a line.
const SHOWN: usize = 500;
/// Steps that are listed to choose from.
const STEPS_SHOWN: usize = 12;

/// Arguments of `maand plan stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    #[command(flatten)]
    runs: RunsArgs,
    /// Only steps with this id
    #[arg(long, value_name = "ID", add = crate::cli::complete::steps())]
    step: Option<String>,
    /// Only what was done on these workers
    #[arg(long = "worker", visible_alias = "workers", value_delimiter = ',', value_name = "HOST,..")]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
    #[command(flatten)]
    pager: PagerArgs,
}

/// Runs the command.
pub(super) fn run(args: &StatsArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let history = History::open(&bucket)?;
    let clock = LocalClock::here();
    let filter = args.runs.filter(&history, None)?;
    let hosts = match args.workers.is_empty() {
        true => None,
        false => Some(asked(&history, &bucket, &filter, &args.workers)?.1),
    };
    let runs = history.select(&filter);
    let counted = Counted { hosts, step: args.step.clone() };
    let statistics = history.statistics(&runs, &counted);
    known_step(args.step.as_deref(), &statistics)?;
    let mut expected = history.expected()?;
    expected.retain(|kind, _| is_expected(kind));
    if context.json {
        let document = StatsDocument::of(&filter, runs.len(), &statistics, &expected);
        document::print(&document)?;
        return Ok(Exit::Done);
    }
    let mut pager = args.pager.start(context);
    pager.print(&text(&history, &filter, &statistics, &expected, &clock))?;
    pager.finish()?;
    Ok(Exit::Done)
}

/// # Errors
/// No step of these runs has this id.
fn known_step(step: Option<&str>, statistics: &Statistics) -> Result<(), CliError> {
    let Some(step) = step.filter(|step| !statistics.ids.is_empty() && !statistics.ids.contains(*step)) else {
        return Ok(());
    };
    let ids = || statistics.ids.iter().map(String::as_str);
    let help = match suggest(step, ids()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", all_of(ids().take(STEPS_SHOWN))),
    };
    let message = format!("no step of these runs is called `{step}`");
    Err(Problem::error("maand::run::unknown_step", message).help(help).into())
}

fn text(
    history: &History,
    filter: &RunFilter,
    statistics: &Statistics,
    expected: &BTreeMap<String, Spread>,
    clock: &LocalClock,
) -> String {
    let mut text = match statistics.steps.is_empty() {
        false => table(&statistics.steps, out::stdout_columns()),
        true if history.select(filter).is_empty() => why_none(history, filter, clock),
        true => "Nothing that is meant was done in these runs.\n".to_owned(),
    };
    for (run, why) in &statistics.unreadable {
        let _ = writeln!(
            text,
            "Run {run} is left out: {}",
            visible_within(&why.to_string(), SHOWN).replace(['\n', '\t'], " ")
        );
    }
    if !expected.is_empty() && !statistics.steps.is_empty() {
        text.push_str("\nWhat `maand plan show` and the live view expect, by the newest finished runs:\n");
        for (kind, spread) in expected {
            let _ = writeln!(
                text,
                "  {}  {} (95%: {}, {})",
                name(kind),
                describe_elapsed(spread.median),
                describe_elapsed(spread.p95),
                counted(spread.count, "sample")
            );
        }
    }
    text
}

fn table(steps: &[StepStatistics], columns: Option<usize>) -> String {
    let spread = |spread: &Spread, value: Millis| match spread.count {
        0 => "-".to_owned(),
        _ => describe_elapsed(value),
    };
    let slow = |step: &StepStatistics| {
        let shown = step.slowest.iter().take(SLOWEST_SHOWN);
        let shown = shown.map(|(host, spread)| format!("{} {}", name(host), describe_elapsed(spread.median)));
        // Of one worker it is no news.
        if step.slowest.len() < 2 { String::new() } else { shown.collect::<Vec<_>>().join(", ") }
    };
    let heading = ["PLAN", "STEP", "RUNS", "ATTEMPTS", "FAILED", "MEDIAN", "95%", "MAX", "SLOWEST"];
    let row = |step: &StepStatistics| {
        vec![
            name(&step.plan),
            name(&step.step),
            step.runs.to_string(),
            step.attempts.to_string(),
            match step.failed {
                0 => "-".to_owned(),
                failed => format!("{failed} ({}%)", percent(failed, step.attempts)),
            },
            spread(&step.took, step.took.median),
            spread(&step.took, step.took.p95),
            spread(&step.took, step.took.max),
            slow(step),
        ]
    };
    let right = [false, false, true, true, true, true, true, true, false];
    let rows = std::iter::once(heading.map(str::to_owned).to_vec()).chain(steps.iter().map(row));
    let text = padded(rows.collect(), &right);
    match columns {
        Some(columns) => text.lines().map(|line| cut(line, columns) + "\n").collect(),
        None => text,
    }
}

/// Rounded, and neither 0 nor 100 of what is not.
fn percent(part: usize, of: usize) -> usize {
    let exact = (part * 100 + of / 2).checked_div(of).unwrap_or(0);
    if part == of { 100 } else { exact.clamp(1, 99) }
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct StatsDocument<'a> {
    /// What `--since` means.
    since: Option<Time>,
    /// What `--until` means.
    until: Option<Time>,
    /// How many runs are counted.
    runs: usize,
    /// By plan and step.
    steps: Vec<StepJson<'a>>,
    /// What `plan show`, `plan simulate` and the live view expect of a kind of step, by the newest finished runs of all
    /// plans. Of `wait_for_ssh` they take `settle` off.
    expected: BTreeMap<&'a str, SpreadJson>,
    /// Runs that are left out.
    unreadable: Vec<UnreadableJson<'a>>,
}

/// A step in JSON.
#[derive(Serialize, JsonSchema)]
struct StepJson<'a> {
    /// The plan's name.
    plan: &'a str,
    /// `before`, `prepare`, `steps` or `after`.
    list: &'static str,
    /// The step's id.
    step: &'a str,
    /// The step's kind.
    kind: &'a str,
    /// In how many runs it was tried.
    runs: usize,
    /// How many attempts have ended.
    attempts: usize,
    /// How many of these failed, timed out, or lost their answer.
    failed: usize,
    /// Durations of attempts that went well and had something to do.
    took: SpreadJson,
    /// Where they take longest, by the median, longest first.
    slowest: Vec<WorkerJson<'a>>,
}

/// Durations in milliseconds.
#[derive(Serialize, JsonSchema)]
struct SpreadJson {
    /// How many there are.
    count: usize,
    /// In the middle.
    median_ms: Millis,
    /// 95 of 100 do not exceed it.
    p95_ms: Millis,
    /// The longest.
    max_ms: Millis,
}

/// A worker in JSON.
#[derive(Serialize, JsonSchema)]
struct WorkerJson<'a> {
    /// The worker.
    host: &'a str,
    /// How long the step takes there.
    took: SpreadJson,
}

/// A run that cannot be read.
#[derive(Serialize, JsonSchema)]
struct UnreadableJson<'a> {
    /// Its name.
    run: &'a str,
    /// Why it cannot be read.
    why: String,
}

impl Document for StatsDocument<'_> {
    const NAME: &'static str = "plan-stats";
}

impl From<&Spread> for SpreadJson {
    fn from(spread: &Spread) -> Self {
        Self { count: spread.count, median_ms: spread.median, p95_ms: spread.p95, max_ms: spread.max }
    }
}

impl<'a> StatsDocument<'a> {
    fn of(
        filter: &RunFilter,
        runs: usize,
        statistics: &'a Statistics,
        expected: &'a BTreeMap<String, Spread>,
    ) -> Self {
        let worker = |(host, took): &'a (String, Spread)| WorkerJson { host, took: took.into() };
        let step = |step: &'a StepStatistics| StepJson {
            plan: &step.plan,
            list: step.list,
            step: &step.step,
            kind: &step.kind,
            runs: step.runs,
            attempts: step.attempts,
            failed: step.failed,
            took: (&step.took).into(),
            slowest: step.slowest.iter().map(worker).collect(),
        };
        let unreadable = statistics.unreadable.iter();
        Self {
            since: filter.since.map(Time),
            until: filter.until.map(Time),
            runs,
            steps: statistics.steps.iter().map(step).collect(),
            expected: expected.iter().map(|(kind, spread)| (kind.as_str(), spread.into())).collect(),
            unreadable: unreadable.map(|(run, why)| UnreadableJson { run, why: why.to_string() }).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn a_share_that_is_not_all_or_nothing_does_not_look_so() {
        let shares = [(0, 0), (1, 1), (1, 1000), (999, 1000), (1, 8), (1, 2)];
        assert_eq!(shares.map(|(part, of)| percent(part, of)), [100, 100, 1, 99, 13, 50]);
    }
}
