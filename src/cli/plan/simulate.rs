//! `maand plan simulate`: a plan under virtual time; no worker is contacted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;

use super::super::{CliError, Context, Exit, out};
use super::read::{parse_set, read_plan};
use super::show::{Chosen, choose_fleet, with};
use crate::graph;
use crate::plan::{self, Problem};
use crate::policy;
use crate::sim::{Outlook, OutlookOptions, outlook};

/// Arguments of `maand plan simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The plan file; `-` reads standard input
    #[arg(value_name = "PLAN")]
    plan: String,
    /// Only these hosts of the plan's workers (h1,h2), or a number: a made-up fleet of that size
    #[arg(long, value_name = "N|HOSTS")]
    workers: Option<String>,
    /// Sets a variable of the plan; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
    /// The same seed gives the same answer
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs are tried, for each rate of failures
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Failing attempts in percent, one answer each
    #[arg(long, value_name = "PERCENT,..", value_delimiter = ',', default_values_t = [0.1, 1.0, 5.0])]
    faults: Vec<f64>,
    /// How long kinds of steps and `boot` take: a JSON object such as {"deploy": "20s", "boot": "90s"}
    #[arg(long, value_name = "FILE")]
    durations: Option<String>,
}

/// Carries it out.
pub(super) fn run(args: &SimulateArgs, context: &Context) -> Result<Exit, CliError> {
    let plan = Arc::new(plan::parse(&read_plan(&args.plan)?, &args.set)?);
    let Chosen { fleet, options, warnings, .. } = choose_fleet(&plan, args.workers.as_deref(), context)?;
    let graph =
        graph::compile(&plan, &Arc::new(fleet), &options).map_err(|problems| with(warnings, problems))?;
    let feasibility = policy::feasibility(&graph);
    if feasibility.has_errors() {
        return Err(feasibility.into());
    }
    let mut rates = Vec::new();
    for percent in &args.faults {
        if !(0.0..=100.0).contains(percent) {
            return Err(CliError::usage(
                "a rate of failures is a percentage",
                "give 0 to 100, as in --faults 0.1,1",
            ));
        }
        rates.push((percent * 1000.0).round() as u32);
    }
    let durations = args.durations.as_deref().map(read_durations).transpose()?.unwrap_or_default();
    let asked = OutlookOptions { seed: args.seed, runs: args.runs, rates, durations };
    let answer = outlook(&Arc::new(graph), &asked);
    let text = if context.json { json(&answer)? } else { text(&answer) };
    out::print(&text)?;
    Ok(Exit::Done)
}

fn read_durations(path: &str) -> Result<BTreeMap<String, Vec<i64>>, Problem> {
    let wrong = |why: String| {
        Problem::error(
            "maand::cli::unreadable_durations",
            format!("the durations `{path}` can not be read: {why}"),
        )
        .help("write a JSON object of kinds of steps and durations: {\"deploy\": \"20s\", \"boot\": \"90s\"}")
    };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let read: BTreeMap<String, String> =
        serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    let mut durations = BTreeMap::new();
    for (kind, text) in read {
        let duration = plan::parse_duration(&text)
            .map_err(|why| wrong(format!("`{text}` of `{kind}` is no duration: {why}")))?;
        durations.insert(kind, vec![i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)]);
    }
    Ok(durations)
}

fn json(answer: &Outlook) -> Result<String, Problem> {
    let mut text = serde_json::to_string_pretty(answer)
        .map_err(|error| Problem::error("maand::cli::json", error.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// 3725000 is "1 h 2 min 5 s".
fn words(ms: i64) -> String {
    let seconds = (ms + 500) / 1000;
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (h, m) {
        (0, 0) => format!("{s} s"),
        (0, _) => format!("{m} min {s} s"),
        _ => format!("{h} h {m} min"),
    }
}

fn text(answer: &Outlook) -> String {
    let mut text = String::new();
    // Writing into a string can not fail.
    let _ = render(answer, &mut text);
    text
}

fn render(answer: &Outlook, text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "{} workers, {} runs under virtual time; no host was contacted",
        answer.workers, answer.runs
    )?;
    writeln!(text, "  expected  {}", words(answer.expected_ms))?;
    writeln!(text, "  worst     {}", words(answer.worst_ms))?;
    if let Some(ratio) = answer.over_lower_bound {
        writeln!(text, "  over what the limits allow at best  {ratio:.2}")?;
    }
    writeln!(text, "waves")?;
    for wave in &answer.waves {
        writeln!(text, "  {:>4}  {} to {}", wave.wave + 1, words(wave.began_ms), words(wave.ended_ms))?;
    }
    writeln!(text, "most down at once  {}", answer.most_down)?;
    for (job, most) in &answer.most_down_of_job {
        writeln!(text, "  job {job}  {most}")?;
    }
    for (zone, most) in &answer.most_down_of_zone {
        writeln!(text, "  zone {zone}  {most}")?;
    }
    if !answer.waits_ms.is_empty() {
        writeln!(text, "the first in line waits for")?;
        for (why, ms) in &answer.waits_ms {
            writeln!(text, "  {why}  {}", words(*ms))?;
        }
    }
    writeln!(text, "when attempts of steps fail")?;
    for rate in &answer.rates {
        writeln!(
            text,
            "  {:>5} %  {:>3.0} % of the runs succeed, {:>3.0} % stop for a person, {:.1} workers fail, {}",
            f64::from(rate.per_100_000) / 1000.0,
            rate.succeed * 100.0,
            rate.stop * 100.0,
            rate.failed_workers,
            words(rate.median_ms)
        )?;
    }
    Ok(())
}
