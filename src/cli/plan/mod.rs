//! `maand plan ...`: one file per command.

mod new;
mod read;
mod show;
mod validate;

use clap::Subcommand;

use super::{CliError, Context, Exit};

/// The commands below `maand plan`.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Write a commented plan file to start from
    New(new::NewArgs),
    /// Show what a plan would do; no worker is contacted
    Show(show::ShowArgs),
    /// Check plan files; no worker is contacted
    Validate(validate::ValidateArgs),
}

/// Carries out one of them.
pub(super) fn run(command: PlanCommand, context: &Context) -> Result<Exit, CliError> {
    match command {
        PlanCommand::New(args) => new::run(&args, context),
        PlanCommand::Show(args) => show::run(&args, context),
        PlanCommand::Validate(args) => validate::run(&args, context),
    }
}
