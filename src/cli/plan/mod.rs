//! `maand plan ...`: one file per command.

mod list;
mod logs;
mod new;
mod read;
mod show;
mod status;
pub(super) mod stored;
mod validate;

use clap::Subcommand;

use super::{CliError, Context, Exit};

/// The commands below `maand plan`.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// List the runs of this bucket, newest first
    List(list::ListArgs),
    /// Show what the steps of a run wrote
    Logs(logs::LogsArgs),
    /// Write a commented plan file to start from
    New(new::NewArgs),
    /// Show what a plan would do; no worker is contacted
    Show(show::ShowArgs),
    /// Show where a run stands
    Status(status::StatusArgs),
    /// Check plan files; no worker is contacted
    Validate(validate::ValidateArgs),
}

/// Carries out one of them.
pub(super) fn run(command: PlanCommand, context: &Context) -> Result<Exit, CliError> {
    match command {
        PlanCommand::List(args) => list::run(&args, context),
        PlanCommand::Logs(args) => logs::run(&args, context),
        PlanCommand::New(args) => new::run(&args, context),
        PlanCommand::Show(args) => show::run(&args, context),
        PlanCommand::Status(args) => status::run(&args, context),
        PlanCommand::Validate(args) => validate::run(&args, context),
    }
}
