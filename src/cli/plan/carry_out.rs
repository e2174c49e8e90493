//! How the command line takes part in a run: how it is shown, whether an operator answers, and the exit code of
//! its end.

use std::io::{IsTerminal, stdin, stdout};
use std::sync::Arc;

use super::super::checking::Checking;
use super::super::hint::hint;
use super::super::open_bucket::connector;
use super::super::{CliError, Context, Exit, out};
use super::expect::expect_soon;
use crate::bucket::Bucket;
use crate::engine::{Control, RunEnd, RunStatus};
use crate::graph::RolloutGraph;
use crate::os::signals;
use crate::plan::Problem;
use crate::report::{Controls, Hint, JsonLines, Lines, Plain, Reporter, Terminal};
use crate::run::{Engine, Left, Run, RunOptions, RunResult, Site, this_operator};

/// The bucket of `-C`, or the nearest one.
pub(super) fn site(context: &Context) -> Result<Site, CliError> {
    Ok(Site::find(context.bucket.as_deref(), connector(context))?)
}

/// Carries a run out and shows it.
pub(super) fn carry_out(run: Run, context: &Context) -> Result<Exit, CliError> {
    let checking = Checking::new(context);
    let options = RunOptions {
        reporter: reporter(context, run.graph()),
        progress: Box::new(move |looked| checking.tell(looked)),
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
            Problem::warning("maand::run::cut", format!("stopped at once; not known whether it ran: {what}"))
                .help(format!(
                    "`maand plan resume {}` looks at the workers before it does anything",
                    result.run
                ));
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

/// How a run of this graph is shown.
pub(super) fn reporter(context: &Context, graph: &Arc<RolloutGraph>) -> Box<dyn Reporter> {
    let lines = match (context.plain, context.quiet) {
        (_, false) => Lines::All,
        (true, true) => Lines::Workers,
        (false, true) => Lines::None,
    };
    if context.json {
        Box::new(JsonLines::new(stdout()))
    } else if is_live(context) {
        let terminal = Terminal::stdout(context.live_colors)
            .with_hints(hints(context))
            .with_outlook(expect_soon(graph, context))
            .with_controls(controls(context))
            .with_bell(context.bell);
        Box::new(terminal)
    } else {
        Box::new(
            Plain::new(stdout(), lines).with_hints(hints(context)).with_bell(context.bell && is_terminal()),
        )
    }
}

/// What keys do: they ask as another terminal would, and quit as Ctrl-C does.
fn controls(context: &Context) -> Controls {
    let context = context.clone();
    let pause = move |run: &str, pauses: bool| {
        let verb = if pauses { Control::Pause { reason: None } } else { Control::Resume };
        let site = site(&context).map_err(|error| error.report.to_string())?;
        match Run::control(&site, Some(run), verb, &this_operator()) {
            // The event of it is shown.
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    };
    Controls { pause: Arc::new(pause), quit: Arc::new(signals::interrupt) }
}

/// How suggestions are said for the bucket of `-C`, or the nearest one.
pub(super) fn hints(context: &Context) -> Hint {
    let bucket = Bucket::find_if_any(context.bucket.as_deref()).ok().flatten();
    hint(bucket.map_or(Engine::Builtin, |bucket| context.engine_for(&bucket)))
}

/// Standard output is a terminal that can show more than lines.
fn is_live(context: &Context) -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    is_terminal() && !dumb && !context.quiet && !context.json && !context.plain
}

fn is_terminal() -> bool {
    stdout().is_terminal()
}
