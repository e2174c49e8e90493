//! `maand plan status`: where a run stands, once or until it ends.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;

mod document;
mod timeline;

#[cfg(test)]
pub(in crate::cli) use document::TimelineDocument;

use super::super::{CliError, Context, Exit, out};
use super::carry_out::{hints, reporter};
use crate::bucket::Bucket;
use crate::report::status_text;
use crate::run::{FollowedRun, RunReader};
use crate::runner::{now, watch_signals};

/// `--watch` reads new facts this often.
const POLL: Duration = Duration::from_millis(300);

/// Arguments of `maand plan status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The run; the beginning or the end of its name will do [default: the newest]
    #[arg(value_name = "RUN", add = crate::cli::complete::run_names())]
    run: Option<String>,
    /// Follow it until it ends or no controller is running it any more
    #[arg(long)]
    watch: bool,
    /// Show what happened when as a picture in text: a lane for each worker, time to the right
    #[arg(long)]
    timeline: bool,
    /// With --timeline: a lane for each worker, however many there are
    #[arg(long, requires = "timeline")]
    all: bool,
}

/// Runs the command.
pub(super) fn run(args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    if args.timeline {
        if args.watch && context.json {
            let message = "a picture that is drawn again and again has no JSON";
            return Err(CliError::usage(
                message,
                "leave --watch out, or --timeline: events come one a line then",
            ));
        }
        let mut run = FollowedRun::open(&bucket, args.run.as_deref(), hints(context), now())?;
        let follows = args.watch && run.reader().controller().is_some();
        return if follows {
            timeline::watch(&mut run, args.all, context)
        } else {
            timeline::once(&run, args.all, context)
        };
    }
    let run = RunReader::open(&bucket, args.run.as_deref())?;
    if args.watch && run.controller().is_some() {
        return watch(&run, context);
    }
    let (view, _) = run.view()?;
    if context.json {
        out::print_json("the view", &view)?;
    } else {
        let mut text = status_text(now(), &view, Some(hints(context)));
        if let Some(hash) = &run.header.reviewed {
            text.push_str(&format!("It carries out the reviewed plan file with the hash {hash}.\n"));
        }
        out::print_wrapped(&text)?;
    }
    Ok(Exit::Done)
}

fn watch(run: &RunReader, context: &Context) -> Result<Exit, CliError> {
    let (sender, signals) = channel();
    // Without them Ctrl-C works as well, only less tidily.
    let _ = watch_signals(sender.clone(), |name| name);
    let mut reporter = reporter(context, &run.graph, None);
    let (mut view, mut last) = run.view()?;
    loop {
        // Asked before reading: what the controller wrote last is then read in this round.
        let alive = run.controller().is_some();
        for stamped in run.facts_after(last)? {
            let stamped = stamped?;
            last = stamped.seq;
            run.fold(&mut view, &stamped)?;
            reporter.fact(&stamped, &view);
        }
        view.set_orphaned(!alive);
        view.refresh(now());
        if !alive || view.state.is_final() {
            break;
        }
        reporter.tick(now(), &view);
        match signals.recv_timeout(POLL) {
            Err(RecvTimeoutError::Timeout) => {}
            // A signal ends the watching, not the run. (A sender is held here.)
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    drop(sender);
    reporter.finish(now(), &view);
    Ok(Exit::Done)
}
