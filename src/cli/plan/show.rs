//! `maand plan show`: what a plan would do, without touching a host.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::bucket::{Bucket, Fleet};
use crate::cli::{CliError, Context, Exit};
use crate::graph::{self, CompileOptions, RolloutGraph};
use crate::plan::{Plan, Problem, Problems};
use crate::policy::{self, Forecast};

mod json;
mod text;
mod words;

/// The most workers that are made up; more is a slip of the fingers.
const MOST_MADE_UP: u32 = 1_000_000;

/// Arguments of `maand plan show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The plan file
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Text for people, JSON for programs, or a picture
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Only these hosts of the plan's workers (h1,h2), or a number: a made-up fleet of that size
    #[arg(long, value_name = "N|HOSTS")]
    workers: Option<String>,
    /// Sets a variable of the plan
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs: see the schema `plan-show.v1`.
    Json,
    /// Graphviz.
    Dot,
    /// For Markdown.
    Mermaid,
}

/// What is shown.
struct Shown<'a> {
    graph: &'a RolloutGraph,
    feasibility: &'a Problems,
    forecast: &'a Forecast,
}

/// Carries it out.
pub(super) fn run(args: &ShowArgs, context: &Context) -> Result<Exit, CliError> {
    let plan = Arc::new(super::load::plan(&args.plan, &args.set)?);
    let Chosen { fleet, options, warnings } = choose_fleet(&plan, args.workers.as_deref(), context)?;
    let fleet = Arc::new(fleet);
    let mut graph = graph::compile(&plan, &fleet, &options).map_err(|problems| with(warnings.clone(), problems))?;
    graph.warnings = with(warnings, graph.warnings);
    let feasibility = policy::feasibility(&graph);
    let forecast = Forecast::of(&graph);
    let shown = Shown { graph: &graph, feasibility: &feasibility, forecast: &forecast };

    let format = args.format.unwrap_or(if context.json { Format::Json } else { Format::Text });
    let out = std::io::stdout().lock();
    let mut out = std::io::BufWriter::new(out);
    let written = match format {
        Format::Text => out.write_all(text::render(&shown).as_bytes()),
        Format::Json => json::write(&shown, &mut out),
        Format::Dot => out.write_all(graph::dot(&graph).as_bytes()),
        Format::Mermaid => out.write_all(graph::mermaid(&graph).as_bytes()),
    };
    // Whoever closed standard output (`| head`) has seen enough.
    let _ = written.and_then(|()| out.flush());
    if feasibility.has_errors() {
        return Err(feasibility.into());
    }
    Ok(Exit::Done)
}

struct Chosen {
    fleet: Fleet,
    options: CompileOptions,
    warnings: Problems,
}

/// A number is a made-up fleet, whether there is a bucket or not; hosts narrow the bucket's.
fn choose_fleet(plan: &Plan, workers: Option<&str>, context: &Context) -> Result<Chosen, CliError> {
    if let Some(count) = workers.and_then(|text| text.trim().parse::<u64>().ok()) {
        let count = u32::try_from(count).ok().filter(|count| (1..=MOST_MADE_UP).contains(count));
        let Some(count) = count else {
            let help = format!("give a number from 1 to {MOST_MADE_UP}");
            return Err(CliError::usage("a made-up fleet can not have that size", help));
        };
        let fleet = graph::made_up_fleet(plan, count);
        return Ok(Chosen { fleet, options: CompileOptions::default(), warnings: Problems::new() });
    }
    let hosts = workers.map(|list| list.split(',').map(|host| host.trim().to_owned()).collect::<Vec<_>>());
    let bucket = Bucket::find(context.bucket.as_deref()).map_err(|mut problems| {
        let message = "there is no bucket to show this plan for";
        let help = "give its folder with `-C DIR`, or look at the plan with a made-up fleet: `--workers 10`";
        problems.push(Problem::error("maand::bucket::needed", message).help(help));
        problems
    })?;
    let (fleet, warnings) = bucket.load()?;
    Ok(Chosen { fleet, options: CompileOptions { workers: hosts }, warnings })
}

fn with(mut first: Problems, second: Problems) -> Problems {
    first.extend(second);
    first.sort();
    first
}
