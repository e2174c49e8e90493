//! `maand plan pause|abort|approve|retry|skip`: a request to the controller of a run, or, where none is running
//! it, facts that this process records.

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::{CliError, Context, Exit, out};
use super::carry_out::{carry_out, site};
use crate::engine::Control;
use crate::journal::RunId;
use crate::run::{Controlled, Run, this_operator};

/// Which run a request is about.
#[derive(Debug, Args)]
pub(super) struct RunArg {
    /// The run, or the beginning of its name [default: the unfinished one]
    #[arg(value_name = "RUN", add = crate::cli::complete::run_names())]
    run: Option<String>,
}

/// Arguments of `maand plan pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    #[command(flatten)]
    run: RunArg,
    /// Reason to show in `plan status`
    #[arg(long)]
    reason: Option<String>,
}

/// Arguments of `maand plan abort`.
#[derive(Debug, Args)]
pub struct AbortArgs {
    #[command(flatten)]
    run: RunArg,
    /// Also undo the finished steps of the workers that were started
    #[arg(long)]
    revert: bool,
}

/// Arguments of `maand plan approve`.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    #[command(flatten)]
    run: RunArg,
    /// Only the gate of this worker
    #[arg(long, visible_alias = "workers", value_name = "HOST", add = crate::cli::complete::hosts())]
    worker: Option<String>,
    /// Only this step
    #[arg(long, value_name = "ID", add = crate::cli::complete::steps())]
    step: Option<String>,
}

/// Arguments of `maand plan retry` and `maand plan skip`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    #[command(flatten)]
    run: RunArg,
    /// The failed worker
    #[arg(long, visible_alias = "workers", value_name = "HOST", add = crate::cli::complete::hosts())]
    worker: String,
}

/// `maand plan pause`.
pub(super) fn pause(args: PauseArgs, context: &Context) -> Result<Exit, CliError> {
    ask(&args.run, Control::Pause { reason: args.reason }, context)
}

/// `maand plan abort`.
pub(super) fn abort(args: &AbortArgs, context: &Context) -> Result<Exit, CliError> {
    ask(&args.run, Control::Abort { revert: args.revert }, context)
}

/// `maand plan approve`.
pub(super) fn approve(args: ApproveArgs, context: &Context) -> Result<Exit, CliError> {
    ask(&args.run, Control::Approve { host: args.worker, step: args.step }, context)
}

/// `maand plan retry`.
pub(super) fn retry(args: WorkerArgs, context: &Context) -> Result<Exit, CliError> {
    ask(&args.run, Control::Retry { host: args.worker }, context)
}

/// `maand plan skip`.
pub(super) fn skip(args: WorkerArgs, context: &Context) -> Result<Exit, CliError> {
    ask(&args.run, Control::Skip { host: args.worker }, context)
}

fn ask(run: &RunArg, verb: Control, context: &Context) -> Result<Exit, CliError> {
    let asked = verb.clone();
    match Run::control(&site(context)?, run.run.as_deref(), verb, &this_operator())? {
        Controlled::Taken(run) if context.json => print_json(&asked, &run, true)?,
        Controlled::Recorded(run) if context.json => print_json(&asked, &run, false)?,
        Controlled::Taken(_) | Controlled::Recorded(_) if context.quiet => {}
        Controlled::Taken(run) => {
            let requested = describe(&asked, &run);
            out::note(&format!("{requested} Follow it with: maand plan status {run} --watch"));
        }
        Controlled::Recorded(run) => {
            let requested = describe(&asked, &run);
            out::note(&format!(
                "{requested} No controller is running it; continue it with: maand plan resume {run}"
            ));
        }
        Controlled::ToCarryOut(run) => return carry_out(*run, context),
    }
    Ok(Exit::Done)
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct RequestDocument {
    /// The run's name.
    run: String,
    /// What was asked for: `pause`, `abort`, `approve`, `retry` or `skip`.
    request: &'static str,
    /// A controller is at work on the run and has taken it; otherwise it is recorded, and `maand plan resume` goes by
    /// it.
    taken: bool,
}

impl Document for RequestDocument {
    const NAME: &'static str = "plan-request";
}

fn print_json(verb: &Control, run: &RunId, taken: bool) -> Result<(), CliError> {
    let request = match verb {
        Control::Pause { .. } => "pause",
        Control::Resume => "resume",
        Control::Stop => "stop",
        Control::Abort { .. } => "abort",
        Control::Approve { .. } => "approve",
        Control::Retry { .. } => "retry",
        Control::Skip { .. } => "skip",
    };
    document::print(&RequestDocument { run: run.to_string(), request, taken })
}

/// What follows from a request that was taken or recorded.
fn describe(verb: &Control, run: &RunId) -> String {
    match verb {
        Control::Pause { .. } => format!("Pause requested: run {run} starts no more workers."),
        Control::Abort { revert: false } => format!("Abort requested: run {run} ends for good."),
        Control::Abort { revert: true } => {
            format!("Abort requested: run {run} reverts the workers that it has started, and ends.")
        }
        Control::Approve { .. } => format!("Approved: run {run} continues."),
        Control::Retry { host } => {
            format!("Retry requested: {host} continues at its failed step in run {run}.")
        }
        Control::Skip { host } => format!("Skipped: {host} no longer counts as failed in run {run}."),
        Control::Resume => format!("Resume requested: run {run} continues."),
        Control::Stop => format!("Stop requested: run {run} finishes the steps in flight and stops."),
    }
}
