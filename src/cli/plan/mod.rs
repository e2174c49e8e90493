//! `maand plan ...`: one file per command.

use clap::Subcommand;

use super::{CliError, Context, Exit};

/// The commands below `maand plan`.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {}

/// Carries out one of them.
pub(super) fn run(command: PlanCommand, context: &Context) -> Result<Exit, CliError> {
    let _ = context;
    match command {}
}
