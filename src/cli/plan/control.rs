//! `maand plan pause|abort|approve|retry|skip`: a request to the controller of a run, or, where none is running
//! it, facts that this process records.

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::ask::Consent;
use super::super::document::{self, Document};
use super::super::hosts::{self, HostPattern};
use super::super::{CliError, Context, Exit, out};
use super::carry_out::{LeaveDrained, carry_out, site};
use super::metrics_file::MetricsFile;
use super::reboots_left;
use crate::engine::{Control, PublicWorkerState, RunEnd, RunStatus};
use crate::journal::RunId;
use crate::rehearsal::is_rehearsed;
use crate::run::{Controlled, Left, Run, RunReader, this_operator};

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
    #[command(flatten)]
    consent: Consent,
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
    /// The failed workers
    #[arg(long, visible_alias = "worker", value_name = "HOST,..", value_delimiter = ',', required = true)]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
}

/// `maand plan pause`.
pub(super) fn pause(args: PauseArgs, context: &Context) -> Result<Exit, CliError> {
    ask(&args.run, Control::Pause { reason: args.reason }, context)
}

/// `maand plan abort`. On a terminal it asks, with what the run leaves behind in sight.
pub(super) fn abort(args: &AbortArgs, context: &Context) -> Result<Exit, CliError> {
    let site = site(context)?;
    let name = args.run.run.as_deref();
    let run = RunReader::open_unfinished(&site.bucket, name)?;
    let (view, _) = run.view()?;
    if !view.state.is_final() {
        if !args.consent.ask_on_terminal(&view.question_of_abort(args.revert))? {
            out::note("The run is as it was.");
            return Ok(Exit::Declined);
        }
    }
    ask(&args.run, Control::Abort { revert: args.revert }, context)
}

/// `maand plan approve`.
pub(super) fn approve(args: ApproveArgs, context: &Context) -> Result<Exit, CliError> {
    ask(&args.run, Control::Approve { host: args.worker, step: args.step }, context)
}

/// `maand plan retry`.
pub(super) fn retry(args: WorkerArgs, context: &Context) -> Result<Exit, CliError> {
    let hosts = failed(&args.workers, args.run.run.as_deref(), context)?;
    ask(&args.run, Control::Retry { hosts }, context)
}

/// `maand plan skip`.
pub(super) fn skip(args: WorkerArgs, context: &Context) -> Result<Exit, CliError> {
    let hosts = failed(&args.workers, args.run.run.as_deref(), context)?;
    ask(&args.run, Control::Skip { hosts }, context)
}

/// The workers of a run that a list means: patterns mean failed ones. The run is only looked at where there are any.
pub(super) fn failed(
    items: &[HostPattern],
    run: Option<&str>,
    context: &Context,
) -> Result<Vec<String>, CliError> {
    if !items.iter().any(HostPattern::is_pattern) {
        return hosts::as_typed(items);
    }
    let run = RunReader::open_unfinished(&site(context)?.bucket, run)?;
    let (view, _) = run.view()?;
    let failed = view.workers.iter().filter(|worker| worker.state == PublicWorkerState::Failed);
    let failed: Vec<&str> = failed.map(|worker| worker.host.as_str()).collect();
    hosts::of_failed(items, &run.graph, &failed)
}

fn ask(run: &RunArg, verb: Control, context: &Context) -> Result<Exit, CliError> {
    let asked = verb.clone();
    // Nobody waits any more for a reboot of whom this concerns.
    let left = |run: &RunId| match &asked {
        Control::Abort { .. } => reboots_left::warn(run, None, context),
        Control::Skip { hosts } => reboots_left::warn(run, Some(hosts), context),
        _ => {}
    };
    match Run::control(&site(context)?, run.run.as_deref(), verb, &this_operator())? {
        Controlled::Taken(run) => {
            if context.json {
                print_json(&asked, &run, true)?;
            } else if !context.quiet {
                let requested = describe_taken(&asked, &run);
                out::note(&format!("{requested} Follow it with:\n  maand plan status --watch"));
            }
            left(&run);
        }
        Controlled::Recorded { run, ended } => {
            if context.json {
                print_json(&asked, &run, false)?;
            } else if !context.quiet && !is_rehearsed() {
                // The fleet of a rehearsal is resumed by the rehearsal.
                out::note(&describe_recorded(&asked, &run, ended));
            }
            left(&run);
        }
        Controlled::ToCarryOut(run) => {
            let id = run.id().clone();
            let exit = abort_here(*run, context);
            left(&id);
            return exit;
        }
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
    // In one line: a rehearsal's stream of events has them too.
    out::print(&document::line(&RequestDocument { run: run.to_string(), request, taken })?)
}

/// This process ends the run, as no other carries it out: it has done what was asked when the run has ended.
fn abort_here(run: Run, context: &Context) -> Result<Exit, CliError> {
    let (result, exit) = carry_out(run, LeaveDrained::default(), &MetricsFile::default(), context)?;
    let aborted = result.left == Left::Idle(RunStatus::Finished(RunEnd::Aborted));
    Ok(if aborted { Exit::Done } else { exit })
}

/// What follows from a request that a controller has taken.
pub(super) fn describe_taken(verb: &Control, run: &RunId) -> String {
    match verb {
        Control::Pause { .. } => format!("Pause requested: run {run} starts no more workers."),
        Control::Abort { revert: false } => format!("Abort requested: run {run} ends for good."),
        Control::Abort { revert: true } => {
            format!("Abort requested: run {run} reverts the workers that it has started, and ends.")
        }
        Control::Approve { .. } => format!("Approved: run {run} continues."),
        Control::Retry { hosts } => {
            format!("Retry requested: {} at the failed step in run {run}.", continue_(hosts))
        }
        Control::Skip { hosts } => format!("Skipped: run {run} continues without {}.", hosts.join(", ")),
        Control::Resume => format!("Resume requested: run {run} continues."),
        Control::Stop => format!("Stop requested: run {run} finishes the steps in flight and stops."),
    }
}

/// What was recorded, as no controller is running the run, and what lets it continue.
pub(super) fn describe_recorded(verb: &Control, run: &RunId, ended: bool) -> String {
    let recorded = match verb {
        Control::Pause { .. } => {
            return format!(
                "Noted: nothing carries run {run} out, so no worker is started.\n\
                 This ends the pause, and continues:\n  maand plan resume"
            );
        }
        Control::Approve { .. } => format!("Approved, in run {run}. Nothing carries it out now."),
        Control::Retry { hosts } => {
            format!("Noted: {} at the failed step. Nothing carries run {run} out now.", continue_(hosts))
        }
        Control::Skip { hosts } if ended => {
            return format!(
                "Skipped: {} no longer counted as failed in run {run}, which has ended.",
                are(hosts)
            );
        }
        Control::Skip { hosts } => {
            format!("Skipped: run {run} continues without {}. Nothing carries it out now.", hosts.join(", "))
        }
        Control::Abort { .. } | Control::Resume | Control::Stop => format!("Noted for run {run}."),
    };
    format!("{recorded}\nContinue with:\n  maand plan resume")
}

/// `w1 continues`, `w1, w2 continue`.
fn continue_(hosts: &[String]) -> String {
    format!("{} {}", hosts.join(", "), if hosts.len() == 1 { "continues" } else { "continue" })
}

/// `w1 is`, `w1, w2 are`.
fn are(hosts: &[String]) -> String {
    format!("{} {}", hosts.join(", "), if hosts.len() == 1 { "is" } else { "are" })
}
