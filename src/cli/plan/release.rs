//! `maand plan release`: clears the claim of a run that is lost.

use clap::Args;

use super::super::{CliError, Context, Exit, out};
use super::carry_out::site;
use crate::run::release;

/// Arguments of `maand plan release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The worker
    #[arg(long, value_name = "HOST")]
    worker: String,
}

/// Runs the command.
pub(super) fn run(args: &ReleaseArgs, context: &Context) -> Result<Exit, CliError> {
    let (host, cleared) = release(&site(context)?, &args.worker)?;
    if cleared {
        out::note(&format!("Cleared the claim on {host}."));
    } else {
        out::note(&format!("There is no claim on {host}."));
    }
    Ok(Exit::Done)
}
