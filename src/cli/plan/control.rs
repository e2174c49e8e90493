//! `maand plan pause|abort|approve|retry|skip`: a request to the controller of a run, or, where none is running
//! it, facts that this process records.

use clap::Args;

use super::super::{CliError, Context, Exit, out};
use super::carry_out::{carry_out, site};
use super::reboots_left;
use crate::engine::Control;
use crate::journal::RunId;
use crate::run::{Controlled, Run, this_operator};

/// Which run a request is about.
#[derive(Debug, Args)]
pub(super) struct RunArg {
    /// The run, or the beginning of its name [default: the unfinished one]
    #[arg(value_name = "RUN")]
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
    #[arg(long, value_name = "HOST")]
    worker: Option<String>,
    /// Only this step
    #[arg(long, value_name = "ID")]
    step: Option<String>,
}

/// Arguments of `maand plan retry` and `maand plan skip`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    #[command(flatten)]
    run: RunArg,
    /// The failed worker
    #[arg(long, value_name = "HOST")]
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
    // Nobody waits any more for a reboot of whom this concerns.
    let left = |run: &RunId| match &asked {
        Control::Abort { .. } => reboots_left::warn(run, None, context),
        Control::Skip { host } => reboots_left::warn(run, Some(host), context),
        _ => {}
    };
    match Run::control(&site(context)?, run.run.as_deref(), verb, &this_operator())? {
        Controlled::Taken(run) => {
            let requested = describe(&asked, &run);
            out::note(&format!("{requested} Follow it with: maand plan status {run} --watch"));
            left(&run);
        }
        Controlled::Recorded(run) => {
            let requested = describe(&asked, &run);
            out::note(&format!(
                "{requested} No controller is running it; continue it with: maand plan resume {run}"
            ));
            left(&run);
        }
        Controlled::ToCarryOut(run) => {
            let id = run.id().clone();
            let exit = carry_out(*run, context);
            left(&id);
            return exit;
        }
    }
    Ok(Exit::Done)
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
