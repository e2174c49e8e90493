//! `maand plan release`: clears the claims of a run that is lost.

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::hosts::{self, HostPattern};
use super::super::{CliError, Context, Exit, out};
use super::carry_out::site;
use crate::plan::{Problem, ProblemJson, Problems};
use crate::run::{RunError, release};

/// Arguments of `maand plan release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The workers
    #[arg(long = "worker", visible_alias = "workers", value_delimiter = ',', value_name = "HOST,..")]
    #[arg(required = true)]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct ReleaseDocument<'a> {
    /// No worker of those that were named has a claim now.
    ok: bool,
    /// The workers that were reached.
    workers: Vec<ReleasedJson>,
    /// Why the others could not be.
    problems: Vec<ProblemJson<'a>>,
}

/// A worker that has no claim now.
#[derive(Serialize, JsonSchema)]
struct ReleasedJson {
    /// The worker.
    host: String,
    /// There was a claim, and it was cleared.
    cleared: bool,
}

impl Document for ReleaseDocument<'_> {
    const NAME: &'static str = "plan-release";
}

/// Runs the command: every worker is tried, and then it is said which could not be reached.
pub(super) fn run(args: &ReleaseArgs, context: &Context) -> Result<Exit, CliError> {
    let site = site(context)?;
    let (fleet, _) = site.bucket.load()?;
    let mut workers = Vec::new();
    let mut problems = Problems::new();
    for host in hosts::of_fleet(&args.workers, &fleet)? {
        match release(&site, &host) {
            Ok((host, cleared)) => workers.push(ReleasedJson { host: host.to_string(), cleared }),
            Err(error @ RunError::Unreachable(_)) => {
                CliError::from(error)
                    .problems()
                    .into_iter()
                    .for_each(|problem| problems.push(problem.clone()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if context.json {
        let found = problems.iter().map(Problem::to_json).collect();
        document::print(&ReleaseDocument { ok: problems.is_empty(), workers, problems: found })?;
        return Ok(if problems.is_empty() { Exit::Done } else { Exit::Failed });
    }
    if !context.quiet {
        for ReleasedJson { host, cleared } in &workers {
            out::note(&match cleared {
                true => format!("Cleared the claim on {host}."),
                false => format!("There is no claim on {host}."),
            });
        }
    }
    match problems.is_empty() {
        true => Ok(Exit::Done),
        false => Err(CliError::new(Exit::Failed, problems)),
    }
}
