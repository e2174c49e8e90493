//! `maand plan show`: what a plan would do, without touching a host.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::super::annotations;
use super::super::engine::catalog_error;
use super::super::hosts::{self, HostPattern};
use super::super::open_bucket::connector;
use super::super::{CliError, Context, Exit, out};
use super::expect::expected;
use super::read::{Given, parse_set, read_given};
use super::simulate::{Durations, From};
use crate::bucket::{Bucket, Fleet};
use crate::catalog::{CatalogError, FileDiff, PendingChanges};
use crate::graph::{self, CompileOptions, RolloutGraph};
use crate::plan::{self, Plan, Problem, Problems};
use crate::policy::{self, Forecast};
use crate::review::Reviewed;
use crate::run::{self, read_calendars};
use crate::runner::now;
use crate::sim::WaveTime;

mod at_stake;
mod commands;
mod coverage;
mod describe;
mod json;
mod markdown;
mod openings;
mod pending;
mod probe;
mod reviewed;
mod text;
mod time;
#[cfg(test)]
mod told_tests;

use probe::Probed;

pub(super) use at_stake::sentence;
pub(super) use commands::{CommandJson, EnvJson, commands, env};
pub(super) use describe::describe_halt;
use openings::Openings;
pub(super) use pending::lines as pending_lines;

/// Maximum size of a made-up fleet; more is a slip of the fingers.
const MOST_MADE_UP: u32 = 1_000_000;

/// Arguments of `maand plan show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The plan file, or a reviewed one; `-` reads standard input
    #[arg(value_name = "PLAN", add = crate::cli::complete::plan_and_reviewed_files())]
    plan: String,
    /// Text, JSON for programs, Markdown for a pull request, or a diagram
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Only these of the plan's workers, or a number: a made-up fleet of that size
    #[arg(long, visible_alias = "worker", value_delimiter = ',', value_name = "N|HOST,..")]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
    /// Set a variable of the plan; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
    /// Also show what its deploys change in each file; private ones are only named
    #[arg(long)]
    diff: bool,
    /// Also ask the selected workers whether they need a reboot, and why, and the monitoring systems of the plan what they
    /// say; nothing is changed there
    #[arg(long)]
    probe: bool,
    /// Also write what would happen to this file, for `plan apply FILE` to carry out exactly that
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<PathBuf>,
}

/// What keeps a valid plan from being carried out on the bucket that the context leads to, and what is
/// doubtful about it there; the plan's own warnings are left out. Without a bucket: nothing.
pub(super) fn check_against_bucket(plan: &Plan, context: &Context) -> Problems {
    let bucket = match Bucket::find_if_any(context.bucket.as_deref()) {
        Ok(Some(bucket)) => bucket,
        // Only who names a bucket wants to hear that it is not there.
        Ok(None) => return Problems::new(),
        Err(problems) => return problems,
    };
    let (fleet, warnings) = match bucket.load() {
        Ok(loaded) => loaded,
        Err(problems) => return problems,
    };
    let plan = Plan { warnings: Problems::new(), ..plan.clone() };
    let files = match read_calendars(&plan, Some(&bucket.paths().root)) {
        Ok(files) => files,
        Err(problems) => return with(warnings, problems),
    };
    let options = CompileOptions { workers: None, files };
    match graph::compile(&Arc::new(plan), &Arc::new(fleet), &options) {
        Ok(graph) => {
            let problems = connector(context).problems(&graph, &bucket);
            with(with(with(warnings, policy::feasibility(&graph)), problems), graph.warnings)
        }
        Err(problems) => with(warnings, problems),
    }
}

/// The form in which a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Plain text.
    Text,
    /// For programs: see the schema `plan-show.v1`.
    Json,
    /// For a comment at a pull request, or the summary of a CI job.
    Markdown,
    /// A diagram for Graphviz.
    Dot,
    /// A diagram for Markdown.
    Mermaid,
}

/// A compiled plan and what was found out about it.
struct Shown<'a> {
    graph: &'a RolloutGraph,
    feasibility: &'a Problems,
    forecast: &'a Forecast,
    expected: Option<Expected>,
    /// `None`: workers may be started at any time.
    openings: Option<Openings>,
    pending: Option<&'a PendingChanges>,
    /// `None`: they were not asked for.
    diffs: Option<Vec<FileDiff>>,
    /// The reviewed plan file that is shown, or was written.
    reviewed: Option<ReviewedFile<'a>>,
    /// What workers and monitoring systems say now; `None`: they were not asked.
    probed: Option<Probed>,
}

/// A reviewed plan file.
struct ReviewedFile<'a> {
    /// As it was named.
    file: String,
    reviewed: &'a Reviewed,
}

/// How long it is likely to take.
struct Expected {
    millis: i64,
    /// Some of the steps were measured in earlier runs of the bucket.
    learnt: bool,
    /// When its waves begin and end.
    waves: Vec<WaveTime>,
}

/// By the estimator of `plan simulate`, and where that has no answer by rounds on paper; `None`: it never ends.
fn expect(graph: &Arc<RolloutGraph>, forecast: &Forecast, context: &Context) -> Option<Expected> {
    let on_paper = i64::try_from(forecast.expected?.as_millis()).unwrap_or(i64::MAX);
    let durations = Durations::learnt(&graph.plan, context);
    Some(match expected(graph, &durations) {
        Some(run) => {
            Expected { millis: run.total_ms, learnt: durations.from == From::History, waves: run.waves }
        }
        None => Expected { millis: on_paper, learnt: false, waves: Vec::new() },
    })
}

/// The format that is asked for by `--format`, or by `--output json`.
///
/// # Errors
/// Both are given, and ask for two.
pub(super) fn one_format<F: ValueEnum + PartialEq>(
    given: Option<F>,
    text: F,
    json: F,
    context: &Context,
) -> Result<F, CliError> {
    let Some(format) = given else { return Ok(if context.json { json } else { text }) };
    if context.json && format != json {
        let name = format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        return Err(CliError::usage(
            format!("`--format {name}` and `--output json` ask for two formats"),
            "leave one of them out",
        ));
    }
    Ok(format)
}

/// What is pending, for who looks: a catalog of the other engine keeps nobody from looking at a plan.
pub(super) fn look_at_pending(
    bucket: &Bucket,
    graph: &RolloutGraph,
    context: &Context,
) -> Result<Option<PendingChanges>, CliError> {
    match run::pending_changes(bucket, connector(context).engine_for(bucket), graph) {
        Err(error @ CatalogError::UpstreamsBucket { .. }) => {
            Ok(Some(PendingChanges { unknown: vec![error.to_string()], ..PendingChanges::default() }))
        }
        pending => pending.map_err(catalog_error),
    }
}

/// Runs the command.
pub(super) fn run(args: &ShowArgs, context: &Context) -> Result<Exit, CliError> {
    one_format(args.format, Format::Text, Format::Json, context)?;
    let source = match read_given(&args.plan)? {
        Given::Plan(source) => source,
        Given::Reviewed(reviewed) => return reviewed::show(args, &reviewed, context),
    };
    let plan = Arc::new(plan::parse(&source, &args.set)?);
    let Chosen { fleet, options, warnings, bucket } = choose_fleet(&plan, &args.workers, context)?;
    let mut graph =
        graph::compile(&plan, &fleet, &options).map_err(|problems| with(warnings.clone(), problems))?;
    graph.warnings = with(warnings, graph.warnings);
    let mut feasibility = policy::feasibility(&graph);
    if let Some(bucket) = &bucket {
        feasibility.extend(connector(context).problems(&graph, bucket));
    }
    let forecast = Forecast::of(&graph);
    let graph = Arc::new(graph);
    let pending = match &bucket {
        Some(bucket) => look_at_pending(bucket, &graph, context)?,
        None => None,
    };
    let diffs = match (&bucket, &pending) {
        (Some(bucket), Some(pending)) if args.diff => {
            let engine = connector(context).engine_for(bucket);
            Some(run::pending_diffs(bucket, engine, &plan, pending).map_err(catalog_error)?)
        }
        _ => None,
    };
    let probed = match (&bucket, args.probe) {
        (_, false) => None,
        (Some(bucket), true) => Some(probe::ask(bucket, &graph, context)?),
        (None, true) => {
            return Err(CliError::usage(
                "`--probe` asks workers, and those of a made-up fleet do not exist",
                "leave `--probe` out, or show the plan for the bucket's own workers",
            ));
        }
    };
    let written = match &args.out {
        Some(file) if !feasibility.has_errors() => {
            let part = run::ReviewPart {
                set: args.set.clone(),
                only_workers: options.workers,
                pending: pending.clone(),
            };
            Some(reviewed::write(file, bucket, &graph, part, context)?)
        }
        _ => None,
    };
    let reviewed = written.as_ref().zip(args.out.as_ref());
    let expected = expect(&graph, &forecast, context);
    let shown = Shown {
        graph: &graph,
        feasibility: &feasibility,
        forecast: &forecast,
        openings: Openings::of(&graph, now(), expected.as_ref().map(|expected| expected.millis)),
        expected,
        pending: pending.as_ref(),
        diffs,
        reviewed: reviewed
            .map(|(reviewed, file)| ReviewedFile { file: file.display().to_string(), reviewed }),
        probed,
    };
    print(args, &shown, context)
}

/// Prints it, and says how the command ends.
fn print(args: &ShowArgs, shown: &Shown<'_>, context: &Context) -> Result<Exit, CliError> {
    let (graph, feasibility) = (shown.graph, shown.feasibility);
    let format = one_format(args.format, Format::Text, Format::Json, context)?;
    out::print(&match format {
        Format::Text => text::render(shown),
        Format::Json => json::render(shown)?,
        Format::Markdown => markdown::render(shown),
        Format::Dot => graph::dot(graph),
        Format::Mermaid => graph::mermaid(graph),
    })?;
    if context.json && format == Format::Json && feasibility.has_errors() {
        // The document has them, and there is no other beside it.
        annotations::write(feasibility.iter(), context.annotations);
        return Ok(Exit::Invalid);
    }
    if feasibility.has_errors() {
        return Err(feasibility.clone().into());
    }
    annotations::write(graph.warnings.iter().chain(feasibility.iter()), context.annotations);
    Ok(Exit::Done)
}

pub(super) struct Chosen {
    pub(super) fleet: Arc<Fleet>,
    pub(super) options: CompileOptions,
    pub(super) warnings: Problems,
    /// The bucket that the fleet is from; `None`: it is made up.
    pub(super) bucket: Option<Bucket>,
}

/// A number is a made-up fleet, whether there is a bucket or not; hosts narrow the bucket's.
pub(super) fn choose_fleet(
    plan: &Arc<Plan>,
    workers: &[HostPattern],
    context: &Context,
) -> Result<Chosen, CliError> {
    if let [only] = workers
        && let Ok(count) = only.as_str().parse::<u64>()
    {
        let count = u32::try_from(count).ok().filter(|count| (1..=MOST_MADE_UP).contains(count));
        let Some(count) = count else {
            let help = format!("give a number from 1 to {MOST_MADE_UP}");
            return Err(CliError::usage("a made-up fleet cannot have that size", help));
        };
        let fleet = Arc::new(graph::synthetic_fleet(plan, count));
        let options = CompileOptions { workers: None, files: read_calendars(plan, None)? };
        let warnings = Problems::new();
        return Ok(Chosen { fleet, options, warnings, bucket: None });
    }
    let Some(bucket) = Bucket::find_if_any(context.bucket.as_deref())? else {
        let message = "a plan is shown for the workers of a bucket, and there is none here";
        let help = "name its folder with `-C DIR`, or make a fleet up: `--workers 10`";
        return Err(Problem::error("maand::bucket::needed", message).help(help).into());
    };
    let (fleet, warnings) = bucket.load()?;
    let fleet = Arc::new(fleet);
    let files = read_calendars(plan, Some(&bucket.paths().root))?;
    let options = CompileOptions { workers: hosts::narrow(workers, plan, &fleet)?, files };
    Ok(Chosen { fleet, options, warnings, bucket: Some(bucket) })
}

pub(super) fn with(mut first: Problems, second: Problems) -> Problems {
    first.extend(second);
    first.sort();
    first
}
