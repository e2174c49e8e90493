//! `maand plan resume`: continues a run from its journal, whatever ended the process before.

use clap::{Args, ValueEnum};

use super::super::{CliError, Context, Exit, out};
use super::carry_out::{carry_out, site};
use crate::bucket::Bucket;
use crate::engine::{Resolution, RunEnd};
use crate::plan::Problem;
use crate::run::{Change, Resume, Run, RunError, RunReader, TakeOver};

/// Arguments of `maand plan resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The run, or the beginning of its name [default: the unfinished one]
    #[arg(value_name = "RUN", add = crate::cli::complete::run_names())]
    run: Option<String>,
    /// What to do with commands that may or may not have run
    #[arg(long, value_enum, value_name = "HOW")]
    in_doubt: Option<InDoubt>,
    /// Take the run away from a controller that is stopped or gone
    #[arg(long)]
    take_over: bool,
    /// With --take-over: also from a controller on another machine, which you know to be dead
    #[arg(long, requires = "take_over")]
    elsewhere: bool,
    /// Continue although the workspace has changed since the run began
    #[arg(long)]
    accept_changes: bool,
}

/// What to do with commands that may or may not have run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InDoubt {
    /// Run them again
    Rerun,
    /// Count them as done
    Done,
    /// Continue without them
    Skip,
}

/// Runs the command.
pub(super) fn run(args: &ResumeArgs, context: &Context) -> Result<Exit, CliError> {
    let resume = Resume {
        run: args.run.clone(),
        in_doubt: args.in_doubt.map(|how| match how {
            InDoubt::Rerun => Resolution::Rerun,
            InDoubt::Done => Resolution::Done,
            InDoubt::Skip => Resolution::Skip,
        }),
        take_over: match (args.take_over, args.elsewhere) {
            (false, _) => TakeOver::Never,
            (true, false) => TakeOver::Dead,
            (true, true) => TakeOver::Elsewhere,
        },
        accept_changes: args.accept_changes,
        ..Resume::default()
    };
    match Run::resume(&site(context)?, resume) {
        Ok(run) => {
            show_changes(run.changes(), context);
            carry_out(run, context)
        }
        Err(RunError::Finished { run, end }) => {
            if context.json {
                let bucket = Bucket::find(context.bucket.as_deref())?;
                let (view, _) = RunReader::open(&bucket, Some(run.as_str()))?.view()?;
                out::print_json("the view", &view)?;
            } else if !context.quiet {
                out::note(&format!("Run {run} has already finished ({}); nothing was done.", describe(end)));
            }
            Ok(if end == RunEnd::Succeeded { Exit::Done } else { Exit::Failed })
        }
        Err(error) => {
            if let RunError::WorkspaceChanged { changes, .. } = &error {
                show_changes(changes, context);
            }
            Err(error.into())
        }
    }
}

fn describe(end: RunEnd) -> &'static str {
    match end {
        RunEnd::Succeeded => "it succeeded",
        RunEnd::Failed => "some workers failed",
        RunEnd::Aborted => "it was aborted",
    }
}

/// The workspace is left out: whoever continues with its changes has just said so.
fn show_changes(changes: &[Change], context: &Context) {
    for change in changes {
        let message = match change {
            Change::PlanFile(file) => format!("{file} has changed since the run began"),
            Change::Program(began) => {
                format!("the run was started by maand {began}, this is {}", env!("CARGO_PKG_VERSION"))
            }
            Change::Workers => "workers.json has changed since the run began".to_owned(),
            Change::Workspace => continue,
        };
        let problem = Problem::warning("maand::run::changed", message)
            .help("the run continues with what it began with, as the journal has it");
        out::diagnose(&problem, context.colors);
    }
}
