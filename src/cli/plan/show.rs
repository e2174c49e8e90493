//! `maand plan show`: what a plan would do, without touching a host.

use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::super::annotations;
use super::super::hosts::{self, HostPattern};
use super::super::open_bucket::connector;
use super::super::{CliError, Context, Exit, out};
use super::expect::expected;
use super::read::{parse_set, read_plan};
use super::simulate::{Durations, From};
use crate::bucket::{Bucket, Fleet};
use crate::graph::{self, CompileOptions, RolloutGraph};
use crate::plan::{self, Plan, Problem, Problems};
use crate::policy::{self, Forecast};

mod commands;
mod describe;
mod json;
mod text;

pub(super) use commands::{CommandJson, EnvJson, commands, env};
pub(super) use describe::describe_halt;

/// Maximum size of a made-up fleet; more is a slip of the fingers.
const MOST_MADE_UP: u32 = 1_000_000;

/// Arguments of `maand plan show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The plan file; `-` reads standard input
    #[arg(value_name = "PLAN", add = crate::cli::complete::plan_files())]
    plan: String,
    /// Text, JSON for programs, or a diagram
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Only these of the plan's workers, or a number: a made-up fleet of that size
    #[arg(long, visible_alias = "worker", value_delimiter = ',', value_name = "N|HOST,..")]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
    /// Set a variable of the plan; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
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
    match graph::compile(&Arc::new(plan), &Arc::new(fleet), &CompileOptions::default()) {
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
}

/// How long it is likely to take.
#[derive(Clone, Copy)]
struct Expected {
    millis: i64,
    /// Some of the steps were measured in earlier runs of the bucket.
    learnt: bool,
}

/// By the estimator of `plan simulate`, and where that has no answer by rounds on paper; `None`: it never ends.
fn expect(graph: &Arc<RolloutGraph>, forecast: &Forecast, context: &Context) -> Option<Expected> {
    let on_paper = i64::try_from(forecast.expected?.as_millis()).unwrap_or(i64::MAX);
    let durations = Durations::learnt(&graph.plan, context);
    Some(match expected(graph, &durations) {
        Some(run) => Expected { millis: run.total_ms, learnt: durations.from == From::History },
        None => Expected { millis: on_paper, learnt: false },
    })
}

/// Runs the command.
pub(super) fn run(args: &ShowArgs, context: &Context) -> Result<Exit, CliError> {
    if let Some(format) = args.format.filter(|format| context.json && *format != Format::Json) {
        let name = format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        return Err(CliError::usage(
            format!("`--format {name}` and `--output json` ask for two formats"),
            "leave one of them out",
        ));
    }
    let plan = Arc::new(plan::parse(&read_plan(&args.plan)?, &args.set)?);
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
    let expected = expect(&graph, &forecast, context);
    let shown = Shown { graph: &graph, feasibility: &feasibility, forecast: &forecast, expected };

    let format = args.format.unwrap_or(if context.json { Format::Json } else { Format::Text });
    out::print(&match format {
        Format::Text => text::render(&shown),
        Format::Json => json::render(&shown)?,
        Format::Dot => graph::dot(&graph),
        Format::Mermaid => graph::mermaid(&graph),
    })?;
    if context.json && format == Format::Json && feasibility.has_errors() {
        // The document has them, and there is no other beside it.
        annotations::write(feasibility.iter(), context.annotations);
        return Ok(Exit::Invalid);
    }
    if feasibility.has_errors() {
        return Err(feasibility.into());
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
        let (options, warnings) = (CompileOptions::default(), Problems::new());
        return Ok(Chosen { fleet, options, warnings, bucket: None });
    }
    let Some(bucket) = Bucket::find_if_any(context.bucket.as_deref())? else {
        let message = "a plan is shown for the workers of a bucket, and there is none here";
        let help = "name its folder with `-C DIR`, or make a fleet up: `--workers 10`";
        return Err(Problem::error("maand::bucket::needed", message).help(help).into());
    };
    let (fleet, warnings) = bucket.load()?;
    let fleet = Arc::new(fleet);
    let options = CompileOptions { workers: hosts::narrow(workers, plan, &fleet)? };
    Ok(Chosen { fleet, options, warnings, bucket: Some(bucket) })
}

pub(super) fn with(mut first: Problems, second: Problems) -> Problems {
    first.extend(second);
    first.sort();
    first
}
