//! `maand plan resume`: goes on with a run from its journal, whatever ended the process before.

use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::super::{CliError, Context, Exit, out};
use super::apply::{sha256, workers_sha256};
use super::session::{self, Session, Stored};
use crate::bucket::Bucket;
use crate::engine::{Fact, Options, Resolution, RunEnd, RunStatus};
use crate::journal::{Holder, RunHeader};
use crate::plan::{Problem, counted};
use crate::runner;

/// Arguments of `maand plan resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The run, or the beginning of its name [default: the one that is not finished]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// What to do with commands of which nobody knows whether they ran
    #[arg(long, value_enum, value_name = "HOW")]
    in_doubt: Option<InDoubt>,
    /// Take the run away from a controller that is stopped or gone
    #[arg(long)]
    take_over: bool,
    /// With --take-over: the controller on the other machine is dead, I have made sure of it
    #[arg(long, requires = "take_over")]
    elsewhere: bool,
    /// Go on although the workspace has changed since the run began
    #[arg(long)]
    accept_changes: bool,
}

/// What to do with commands of which nobody knows whether they ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InDoubt {
    /// Run them again
    Rerun,
    /// They were done
    Done,
    /// Go on without them
    Skip,
}

/// Carries it out.
pub(super) fn run(args: &ResumeArgs, context: &Context) -> Result<Exit, CliError> {
    let (bucket, mut journal) = session::open(context)?;
    let id = match (&args.run, journal.unfinished()?) {
        (None, Some(id)) => id,
        (named, _) => journal.find(named.as_deref())?,
    };
    let lock = if args.take_over {
        session::take_over(&bucket, Some(id.to_string()), args.elsewhere)?
    } else {
        session::lock(&bucket, Some(id.to_string()))?
    };
    let mut stored = Stored::load(&journal, id)?;
    let rollout = stored.rollout(Options::default())?;
    match rollout.status() {
        RunStatus::Finished(end) => {
            out::note(&format!("Run {} is finished already ({}); nothing was done.", stored.id, words(end)));
            return Ok(if end == RunEnd::Succeeded { Exit::Done } else { Exit::Failed });
        }
        RunStatus::Halted(_) => {
            let (failed, allowed) = rollout.failures();
            if failed > allowed {
                let message = format!(
                    "run {} has halted: {} failed, and the plan allows {allowed}",
                    stored.id,
                    counted(failed as usize, "worker")
                );
                let help = format!(
                    "mend a failed worker and `maand plan retry {0} --worker HOST`, or leave it out with `maand plan skip {0} --worker HOST`; then resume",
                    stored.id
                );
                let problem = Problem::error("maand::run::halted", message).help(help);
                return Err(CliError::new(Exit::Failed, problem));
            }
        }
        _ => {}
    }
    let workspace_hash = changes(&bucket, &stored.header, args, context)?;
    stored.epoch = journal.raise_epoch(&stored.id)?;
    let outside = session::outside(&bucket, &stored.graph, context)?;
    let by = Holder::this_process(None, runner::now()).who;
    let session = Session { bucket, outside, journal, lock: Arc::new(lock), stored, workspace_hash };
    let how = args.in_doubt.map(|how| match how {
        InDoubt::Rerun => Resolution::Rerun,
        InDoubt::Done => Resolution::Done,
        InDoubt::Skip => Resolution::Skip,
    });
    session.run(vec![Fact::Resumed { by, fresh_process: true }], how, context)
}

fn words(end: RunEnd) -> &'static str {
    match end {
        RunEnd::Succeeded => "it succeeded",
        RunEnd::Failed => "some workers failed",
        RunEnd::Aborted => "it was aborted",
    }
}

/// Says what has changed on disk since the run began; the workspace matters, as deploys would bring
/// it to the rest of the fleet. Answers with the hash that deploys are held to.
fn changes(
    bucket: &Bucket,
    header: &RunHeader,
    args: &ResumeArgs,
    context: &Context,
) -> Result<String, CliError> {
    let note = |message: String| {
        let problem = Problem::warning("maand::run::changed", message)
            .help("the run goes on with what it began with, which the journal has kept");
        out::diagnose(&problem, context.colors);
    };
    if let Ok(text) = std::fs::read(&header.plan_file)
        && sha256(&text) != header.plan_sha256
    {
        note(format!("{} has changed since the run began", header.plan_file));
    }
    if header.program != env!("CARGO_PKG_VERSION") {
        note(format!("the run was begun by maand {}, this is {}", header.program, env!("CARGO_PKG_VERSION")));
    }
    if workers_sha256(bucket)? != header.workers_sha256 {
        note("workers.json has changed since the run began".to_owned());
    }
    let now = runner::workspace_hash(&bucket.paths().workspace).map_err(|error| {
        Problem::error("maand::bucket::unreadable", format!("the workspace can not be read: {error}"))
    })?;
    if now != header.workspace_hash && !args.accept_changes {
        return Err(Problem::error(
            "maand::run::workspace_changed",
            "the workspace has changed since the run began: deploys would bring the change to the rest of the workers",
        )
        .help("put it back, or go on with the change: `maand plan resume --accept-changes`")
        .into());
    }
    Ok(now)
}
