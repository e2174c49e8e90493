//! `maand plan explain`: what a worker waits for, and why.

use std::fmt::Write as _;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::hosts::{self, HostPattern};
use super::super::{CliError, Context, Exit, out};
use crate::bucket::Bucket;
use crate::engine::PublicWorkerState;
use crate::run::{Explanation, RunReader, explain};

/// Arguments of `maand plan explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The run, or the beginning of its name [default: the unfinished one]
    #[arg(value_name = "RUN", add = crate::cli::complete::run_names())]
    run: Option<String>,
    /// The workers
    #[arg(long = "worker", visible_alias = "workers", value_delimiter = ',', value_name = "HOST,..")]
    #[arg(required = true)]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct ExplainDocument<'a> {
    /// The run's name.
    run: String,
    /// The worker.
    host: &'a str,
    /// Where the worker stands.
    state: PublicWorkerState,
    /// What it waits for, or why it failed; empty: it is under way, or done.
    why: &'a str,
    /// Its steps, in the order of the plan.
    steps: Vec<StepJson<'a>>,
}

/// A step of a worker in JSON.
#[derive(Serialize, JsonSchema)]
struct StepJson<'a> {
    /// The step's id.
    id: &'a str,
    /// Where the step stands, such as `waits` or `done`.
    is: &'static str,
}

impl Document for ExplainDocument<'_> {
    const NAME: &'static str = "explanation";
    const VERSION: u32 = 2;
}

/// Runs the command.
pub(super) fn run(args: &ExplainArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let run = RunReader::open_unfinished(&bucket, args.run.as_deref())?;
    let hosts = hosts::of_run(&args.workers, &run.graph)?;
    for (at, host) in hosts.iter().enumerate() {
        let explanation = explain(&bucket, Some(run.id.as_str()), host)?;
        if context.json {
            print_json(&explanation, hosts.len() > 1)?;
        } else {
            let between = if at == 0 { "" } else { "\n" };
            out::print(&format!("{between}{}", text(&explanation)))?;
        }
    }
    Ok(Exit::Done)
}

/// One document, or one in each line where there are several.
fn print_json(explanation: &Explanation, several: bool) -> Result<(), CliError> {
    let Explanation { run, host, state, why, steps } = explanation;
    let steps = steps.iter().map(|(id, is)| StepJson { id, is }).collect();
    let explained = ExplainDocument { run: run.to_string(), host, state: *state, why, steps };
    match several {
        false => document::print(&explained),
        true => out::print(&document::line(&explained)?),
    }
}

fn text(explanation: &Explanation) -> String {
    let Explanation { run, host, state, why, steps } = explanation;
    let mut text = format!("{host} in run {run}: {}\n", state.describe());
    if !why.is_empty() {
        let _ = writeln!(text, "  {why}");
    }
    for (id, is) in steps {
        let _ = writeln!(text, "  {id:<20} {is}");
    }
    text
}
