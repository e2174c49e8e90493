//! `maand plan explain`: what a worker waits for, and why.

use std::fmt::Write as _;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::{CliError, Context, Exit, out};
use super::session::{self, Stored};
use crate::engine::{Options, PublicWorkerState};
use crate::graph::Lane;
use crate::plan::Problem;
use crate::policy::Verdict;
use crate::runner;

/// Arguments of `maand plan explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The run, or the beginning of its name [default: the one that is not finished]
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
    /// Where it stands.
    state: PublicWorkerState,
    /// What it waits for, or why it failed; empty: it is under way, or done.
    why: &'a str,
    /// Its steps, in the order of the plan.
    steps: Vec<StepJson<'a>>,
}

/// A step of a worker in JSON.
#[derive(Serialize, JsonSchema)]
struct StepJson<'a> {
    /// Its id.
    id: &'a str,
    /// Where it stands, in words.
    is: &'static str,
}

impl Document for ExplainDocument<'_> {
    const NAME: &'static str = "explanation";
    const VERSION: u32 = 2;
}

/// Carries it out.
pub(super) fn run(args: &ExplainArgs, context: &Context) -> Result<Exit, CliError> {
    let journal = session::open_to_read(context)?;
    let id = match (&args.run, journal.unfinished()?) {
        (None, Some(id)) => id,
        (named, _) => journal.find(named.as_deref())?,
    };
    let stored = Stored::load(&journal, id)?;
    let rollout = stored.rollout(Options::default())?;
    let graph = &stored.graph;
    let target =
        graph.target_indices().find(|target| graph.host(*target) == args.worker).ok_or_else(|| {
            Problem::error(
                "maand::run::unknown_worker",
                format!("{} is no worker of run {}", args.worker, stored.id),
            )
            .help(format!("`maand plan status {}` lists them", stored.id))
        })?;
    let state = rollout.public_worker_state(target);
    let why = match rollout.verdict(target, runner::now()) {
        Some(Verdict::Admit) => "may start now".to_owned(),
        Some(Verdict::Wait(reason) | Verdict::Refuse(reason)) => reason.describe(graph),
        None if state == PublicWorkerState::Failed => {
            rollout.error(target).map_or_else(String::new, |error| format!("failed: {}", error.message))
        }
        None => String::new(),
    };
    let lane = Lane::Worker(target);
    let steps: Vec<_> = graph.steps(lane).iter().zip(rollout.step_words(lane)).collect();
    if context.json {
        document::print(&ExplainDocument {
            run: stored.id.to_string(),
            host: &args.worker,
            state,
            why: &why,
            steps: steps.iter().map(|(step, words)| StepJson { id: &step.id, is: words }).collect(),
        })?;
        return Ok(Exit::Done);
    }
    let mut text = format!("{} in run {}: {}\n", args.worker, stored.id, state.words());
    if !why.is_empty() {
        let _ = writeln!(text, "  {why}");
    }
    for (step, words) in steps {
        let _ = writeln!(text, "  {:<20} {words}", step.id);
    }
    out::print(&text)?;
    Ok(Exit::Done)
}
