//! `maand plan pause|abort|approve|retry|skip`: a request to the process that carries the run out, or,
//! when there is none, a fact of our own.

use clap::Args;

use super::super::{CliError, Context, Exit, out};
use super::carry_out::{carry_out, site};
use crate::engine::Control;
use crate::run::{Controlled, Run, this_operator};

/// A run.
#[derive(Debug, Args)]
pub(super) struct RunArg {
    /// The run, or the beginning of its name [default: the one that is not finished]
    #[arg(value_name = "RUN")]
    run: Option<String>,
}

/// Arguments of `maand plan pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    #[command(flatten)]
    run: RunArg,
    /// Why; `plan status` shows it
    #[arg(long)]
    reason: Option<String>,
}

/// Arguments of `maand plan abort`.
#[derive(Debug, Args)]
pub struct AbortArgs {
    #[command(flatten)]
    run: RunArg,
    /// Undo the finished steps of the workers that were started
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
    let asked = requested(&verb);
    match Run::control(&site(context)?, run.run.as_deref(), verb, &this_operator())? {
        Controlled::Taken(run) => {
            out::note(&format!("{asked} Follow run {run} with: maand plan status {run} --watch"));
        }
        Controlled::Recorded(run) => {
            out::note(&format!(
                "{asked} No controller is running it; continue it with: maand plan resume {run}"
            ));
        }
        Controlled::ToCarryOut(run) => return carry_out(*run, context),
    }
    Ok(Exit::Done)
}

/// What follows from a request that was taken.
fn requested(verb: &Control) -> String {
    match verb {
        Control::Pause { .. } => "Pause requested: the run starts no more workers.".to_owned(),
        Control::Abort { revert: false } => "Abort requested: the run ends for good.".to_owned(),
        Control::Abort { revert: true } => {
            "Abort requested: the run undoes what it can on the workers that it started, and ends.".to_owned()
        }
        Control::Approve { .. } => "Approved.".to_owned(),
        Control::Retry { host } => format!("Retry requested: {host} continues at its failed step."),
        Control::Skip { host } => format!("Skipped: {host} no longer counts as failed."),
        Control::Resume => "Resume requested.".to_owned(),
        Control::Stop => "Stop requested: steps in flight finish, and then the run stops.".to_owned(),
    }
}
