//! `maand plan simulate`: a plan under virtual time; no worker is contacted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueHint};
use schemars::JsonSchema;
use serde::Serialize;

mod durations;
mod forecast;
mod text;

pub(super) use durations::{Durations, From, is_expected};
use forecast::Forecast;

use super::super::document::{self, Document};
use super::super::{CliError, Context, Exit, out};
use super::page_file;
use super::plan_on_fleet::PlanOnFleet;
use crate::sim::{Estimate, EstimateOptions, estimate};

/// Arguments of `maand plan simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    #[command(flatten)]
    on: PlanOnFleet,
    /// Seed of the simulation: the same seed gives the same answer
    #[arg(long, default_value_t = super::expect::SEED)]
    seed: u64,
    /// Number of simulated runs for each rate of failures: more find rarer outcomes, and take longer
    #[arg(long, default_value_t = super::expect::RUNS, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Percentages of attempts that fail; each is simulated
    #[arg(long, value_name = "PERCENT,..", default_value = "0.1,1,5", allow_hyphen_values = true)]
    faults: String,
    /// How long kinds of steps and `boot` take: a JSON object such as {"deploy": "20s", "boot": "90s"}
    /// [default: as measured in the bucket's finished runs, else rules of thumb]
    #[arg(long, value_name = "FILE")]
    durations: Option<String>,
    /// Also write the expected run to this file, as the same page as `plan report` makes of a run; `-` writes that
    /// alone, to standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &SimulateArgs, context: &Context) -> Result<Exit, CliError> {
    let graph = args.on.compile(context)?;
    let rates = rates(&args.faults)?;
    let known = durations::known(args.durations.as_deref(), &graph.plan, context)?;
    let asked = EstimateOptions { seed: args.seed, runs: args.runs, rates, durations: known.samples.clone() };
    let graph = Arc::new(graph);
    let simulated = estimate(&graph, &asked);
    let forecast = Forecast::of(&graph, simulated.middle)?;
    let (plan, synthetic, answer) = (&graph.plan, graph.fleet.synthetic, &simulated.answer);
    if let Some(file) = &args.out {
        let page = forecast.page(args.seed, answer, &known);
        if file.as_os_str() == "-" {
            out::print(&page)?;
            return Ok(Exit::Done);
        }
        page_file::write(file, &page)?;
    }
    if context.json {
        document::print(&SimulateDocument {
            plan: &plan.name,
            synthetic,
            seed: args.seed,
            durations: known.as_json(),
            page: args.out.as_deref(),
            answer,
        })?;
        return Ok(Exit::Done);
    }
    let charts = forecast.charts(answer, context);
    let heading = text::Heading { plan: &plan.name, synthetic, durations: &known, charts: &charts };
    out::print(&text::render(&heading, answer))?;
    if let Some(file) = &args.out {
        out::print(&format!(
            "\nWrote {}: the expected run, as a page like that of a run.\n",
            file.display()
        ))?;
    }
    Ok(Exit::Done)
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct SimulateDocument<'a> {
    /// The plan's name.
    plan: &'a str,
    /// The fleet was made up; none of its workers exists.
    #[serde(rename = "made_up")]
    synthetic: bool,
    /// The same seed gives the same answer.
    seed: u64,
    /// How long steps took.
    durations: durations::DurationsJson<'a>,
    /// The page that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a Path>,
    #[serde(flatten)]
    answer: &'a Estimate,
}

impl Document for SimulateDocument<'_> {
    const NAME: &'static str = "simulation";
}

/// Percentages as so many of 100,000.
fn rates(text: &str) -> Result<Vec<u32>, CliError> {
    let one = |text: &str| {
        let percent: f64 = text.trim().trim_end_matches('%').trim_end().parse().ok()?;
        (0.0..=100.0).contains(&percent).then(|| (percent * 1000.0).round() as u32)
    };
    let mut rates = Vec::new();
    for part in text.split(',') {
        let Some(rate) = one(part) else {
            let message = format!("`{}` of --faults is not a percentage", part.trim());
            return Err(CliError::usage(message, "give numbers from 0 to 100, as in --faults 0.1,1"));
        };
        rates.push(rate);
    }
    Ok(rates)
}
