//! `maand plan status`: where a run stands, once or until it ends.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;

use super::super::{CliError, Context, Exit, out};
use super::session::reporter;
use super::stored::{Stored, impossible};
use crate::journal::Mode;
use crate::plan::Problem;
use crate::report::status_text;
use crate::runner::{now, watch_signals};

/// A watcher looks for new facts this often.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Arguments of `maand plan status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The run; the beginning or the end of its name will do [default: the newest]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Follow it until it ends or nobody carries it out any more
    #[arg(long)]
    watch: bool,
}

/// Carries it out.
pub(super) fn run(args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let stored = Stored::open(args.run.as_deref(), Mode::ReadOnly, context)?;
    if args.watch && stored.holder().is_some() {
        return watch(&stored, context);
    }
    let (mut view, _) = stored.view()?;
    view.refresh(now());
    if context.json {
        out::print_json(&json(&view)?)?;
    } else {
        out::print(&status_text(now(), &view))?;
    }
    Ok(Exit::Done)
}

fn json(view: &crate::report::RunView) -> Result<serde_json::Value, Problem> {
    serde_json::to_value(view)
        .map_err(|error| Problem::error("maand::output", format!("the view can not be written: {error}")))
}

fn watch(stored: &Stored, context: &Context) -> Result<Exit, CliError> {
    let (sender, signals) = channel();
    // Without them Ctrl-C works as well, only less tidily.
    let _ = watch_signals(sender.clone(), |name| name);
    let mut reporter = reporter(context);
    let (mut view, mut last) = stored.view()?;
    loop {
        // Asked before reading: what the holder wrote last is then read in this round.
        let alive = stored.holder().is_some();
        for stamped in stored.journal.read_after(&stored.run.id, last)? {
            let stamped = stamped?;
            last = stamped.seq;
            view.fold(&stamped).map_err(|illegal| impossible(&stored.run.id, last, &illegal))?;
            reporter.fact(&stamped, &view);
        }
        view.set_orphaned(!alive);
        view.refresh(now());
        if !alive || view.state.is_final() {
            break;
        }
        reporter.tick(now(), &view);
        match signals.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            // A signal ends the watching, not the run. (A sender is held here.)
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    drop(sender);
    reporter.finish(now(), &view);
    Ok(Exit::Done)
}
