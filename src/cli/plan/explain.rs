//! `maand plan explain`: what a worker waits for, and why.

use std::fmt::Write as _;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::{CliError, Context, Exit, out};
use crate::bucket::Bucket;
use crate::engine::PublicWorkerState;
use crate::run::{Explanation, explain};

/// Arguments of `maand plan explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The run, or the beginning of its name [default: the unfinished one]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// The worker
    #[arg(long, value_name = "HOST")]
    worker: String,
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
    /// What it waits for, what it is at, or how it ended.
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
    let Explanation { run, host, state, why, steps } = explain(&bucket, args.run.as_deref(), &args.worker)?;
    if context.json {
        let steps = steps.iter().map(|(id, is)| StepJson { id, is }).collect();
        document::print(&ExplainDocument { run: run.to_string(), host: &host, state, why: &why, steps })?;
        return Ok(Exit::Done);
    }
    let mut text = format!("{host} in run {run}: {}\n", state.describe());
    if !why.is_empty() {
        let _ = writeln!(text, "  {why}");
    }
    for (id, is) in steps {
        let _ = writeln!(text, "  {id:<20} {is}");
    }
    out::print_wrapped(&text)?;
    Ok(Exit::Done)
}
