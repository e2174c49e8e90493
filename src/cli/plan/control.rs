//! `maand plan pause|abort|approve|retry|skip`: a request to the process that carries the run out, or,
//! when there is none, a fact of our own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::super::{CliError, Context, Exit, out};
use super::session::{self, Session, Stored};
use crate::controller::offline_facts;
use crate::engine::{Control, Fact, Options};
use crate::journal::{Holder, Journal, RequestState, RunId, holder_of};
use crate::plan::Problem;
use crate::runner;

/// The runner looks for requests twice a second; one that is busy with its disk may take longer.
const TAKEN_WITHIN: Duration = Duration::from_secs(15);

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
    /// Why; shown to whoever looks
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
    let (bucket, mut journal) = session::open(context)?;
    let id = match (&run.run, journal.unfinished()?) {
        (None, Some(id)) => id,
        (named, _) => journal.find(named.as_deref())?,
    };
    let by = Holder::this_process(None, runner::now()).who;
    if holder_of(&bucket.paths().data).is_some() {
        let request = journal.request(&id, &verb, &by, runner::now())?;
        return wait_until_taken(&journal, request, &id);
    }
    let lock = session::lock(&bucket, Some(id.to_string()))?;
    let stored = Stored::load(&journal, id)?;
    let mut rollout = stored.rollout(Options::default())?;
    let now = runner::now();
    let facts = offline_facts(&mut rollout, now, &verb, &by).map_err(refused)?;
    if let Control::Abort { .. } = verb {
        let epoch = journal.raise_epoch(&stored.id)?;
        let stored = Stored { epoch, ..stored };
        let outside = session::outside(&bucket, &stored.graph, context)?;
        let workspace_hash = stored.header.workspace_hash.clone();
        let session = Session { bucket, outside, journal, lock: Arc::new(lock), stored, workspace_hash };
        let mut first = facts;
        first.push(Fact::Resumed { by, fresh_process: true });
        return session.run(first, None, context);
    }
    journal.writer(&stored.id, stored.epoch, stored.last_seq())?.append(now, &facts, None)?;
    out::note(&format!("Done; `maand plan resume {}` goes on with it.", stored.id));
    Ok(Exit::Done)
}

fn refused(why: String) -> CliError {
    let problem = Problem::error("maand::run::refused", format!("that can not be done now: {why}"))
        .help("`maand plan status` shows where the run and its workers are");
    CliError::new(Exit::Invalid, problem)
}

fn wait_until_taken(journal: &Journal, request: i64, id: &RunId) -> Result<Exit, CliError> {
    let until = Instant::now() + TAKEN_WITHIN;
    loop {
        match journal.request_state(request)? {
            RequestState::Taken => {
                out::note(&format!(
                    "Run {id} has taken it; `maand plan status {id}` shows what becomes of it."
                ));
                return Ok(Exit::Done);
            }
            RequestState::Refused(why) => return Err(refused(why)),
            RequestState::Pending if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(50));
            }
            RequestState::Pending => {
                let message = format!("the process that carries run {id} out has not answered");
                let help = format!(
                    "it will see the request when it wakes up; if it never will: `maand plan resume {id} --take-over`"
                );
                let problem = Problem::error("maand::run::no_answer", message).help(help);
                return Err(CliError::new(Exit::Locked, problem));
            }
        }
    }
}
