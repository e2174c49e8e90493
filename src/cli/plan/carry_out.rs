//! How the command line takes part in a run: how it is shown, whether an operator answers, and the exit code of
//! its end.

use std::io::{IsTerminal, stdin, stdout};

use super::super::hint::hint;
use super::super::open_bucket::connector;
use super::super::{CliError, Context, Exit, out};
use crate::bucket::Bucket;
use crate::engine::{RunEnd, RunStatus};
use crate::plan::Problem;
use crate::rehearsal::is_rehearsed;
use crate::report::{Hint, JsonLines, Plain, Reporter, Terminal};
use crate::run::{Engine, Left, Run, RunOptions, RunResult, Site};

/// The bucket of `-C`, or the nearest one.
pub(super) fn site(context: &Context) -> Result<Site, CliError> {
    Ok(Site::find(context.bucket.as_deref(), connector(context))?)
}

/// Carries a run out and shows it.
pub(super) fn carry_out(run: Run, context: &Context) -> Result<Exit, CliError> {
    let options = RunOptions {
        reporter: reporter(context),
        interactive: stdin().is_terminal() && !context.json,
        stop_on_signals: true,
        // The file itself, also when another version has been put in its place meanwhile.
        command_guard: Some("/proc/self/exe".into()),
    };
    let result = run.carry_out(options)?;
    if let Left::ForcedStop { in_doubt: undecided } = &result.left {
        let what =
            if undecided.is_empty() { "nothing was in flight".to_owned() } else { undecided.join(", ") };
        let problem =
            Problem::warning("maand::run::cut", format!("stopped at once; not known whether it ran: {what}"));
        let help = "this looks at the workers before it does anything, and continues:\n  maand plan resume";
        let problem = if is_rehearsed() { problem } else { problem.help(help) };
        out::diagnose(&problem, context.colors);
    }
    Ok(exit_of(&result))
}

fn exit_of(result: &RunResult) -> Exit {
    match result.left {
        Left::Idle(RunStatus::Finished(RunEnd::Succeeded)) => Exit::Done,
        Left::Idle(RunStatus::Finished(_) | RunStatus::Halted(_)) => Exit::Failed,
        _ if result.failures > 0 => Exit::Failed,
        Left::Idle(_) | Left::ForcedStop { .. } => Exit::Resumable,
    }
}

/// How a run is shown.
pub(super) fn reporter(context: &Context) -> Box<dyn Reporter> {
    if context.json {
        Box::new(JsonLines::new(stdout()))
    } else if is_live(context) {
        let terminal = Terminal::stdout(context.colors);
        Box::new(if is_rehearsed() { terminal } else { terminal.with_hints(hints(context)) })
    } else {
        let plain = Plain::new(stdout(), context.quiet);
        Box::new(if is_rehearsed() { plain } else { plain.with_hints(hints(context)) })
    }
}

/// How suggestions are said for the bucket of `-C`, or the nearest one.
pub(super) fn hints(context: &Context) -> Hint {
    let bucket = Bucket::find_if_any(context.bucket.as_deref()).ok().flatten();
    hint(bucket.map_or(Engine::Builtin, |bucket| context.engine_for(&bucket)))
}

/// Standard output is a terminal that can show more than lines.
fn is_live(context: &Context) -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stdout().is_terminal() && !dumb && !context.quiet && !context.json
}
