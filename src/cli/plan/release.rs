//! `maand plan release`: clears the claim of a run that will never come back.

use clap::Args;

use super::super::open_bucket::OpenBucket;
use super::super::{CliError, Context, Exit, out};
use crate::bucket::Host;
use crate::plan::Problem;
use crate::runner;

/// Arguments of `maand plan release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The worker
    #[arg(long, value_name = "HOST")]
    worker: String,
}

/// Carries it out.
pub(super) fn run(args: &ReleaseArgs, context: &Context) -> Result<Exit, CliError> {
    let world = OpenBucket::open(context)?;
    let known = world.fleet.workers.iter().map(|worker| &worker.host);
    let host: Host = known.clone().find(|host| host.as_str() == args.worker).cloned().ok_or_else(|| {
        Problem::error("maand::unknown_worker", format!("there is no worker `{}`", args.worker))
            .help("see `maand cat workers`; hosts are written as in workers.json")
    })?;
    match runner::release_claim(&world.remote, &host) {
        Ok(true) => out::note(&format!("The claim on {host} is cleared.")),
        Ok(false) => out::note(&format!("There is no claim on {host}.")),
        Err(error) => {
            let problem = Problem::error("maand::ssh::unreachable", error.message)
                .help("the claim is a file on the worker: it can be cleared when the worker answers");
            return Err(CliError::new(Exit::Failed, problem));
        }
    }
    Ok(Exit::Done)
}
