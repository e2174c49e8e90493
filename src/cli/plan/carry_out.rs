//! How the command line takes part in a run: how it is shown, whether an operator answers, and the exit code of
//! its end.

use std::io::{IsTerminal, stdin, stdout};
use std::sync::{Arc, OnceLock};

use clap::Args;

use super::super::args::Annotations;
use super::super::checking::Checking;
use super::super::hint::hint;
use super::super::open_bucket::connector;
use super::super::{CliError, Context, Exit, out};
use super::expect::expect_soon;
use super::left_behind;
use super::metrics_file::MetricsFile;
use super::reporters::{Annotated, OnlyTrouble};
use crate::bucket::Bucket;
use crate::engine::{Control, RunEnd, RunStatus};
use crate::graph::RolloutGraph;
use crate::os::signals;
use crate::plan::{NoticeEvent, Problem, visible_line};
use crate::rehearsal::is_rehearsed;
use crate::report::{BackgroundWriter, Controls, Hint, JsonLines, Lines, Outlook, Plain, Reporter, Terminal};
use crate::run::{Engine, Left, Run, RunOptions, RunResult, Site, targets_of, this_operator};

/// The bucket of `-C`, or the nearest one.
pub(super) fn site(context: &Context) -> Result<Site, CliError> {
    Ok(Site::find(context.bucket.as_deref(), connector(context))?)
}

/// Whether workers may stay disabled that earlier runs have left so.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct LeaveDrained {
    /// Exit with 0 although workers of the plan stay disabled that an earlier run has left so
    #[arg(long)]
    leave_drained: bool,
}

impl LeaveDrained {
    pub(super) fn is_given(self) -> bool {
        self.leave_drained
    }
}

/// Carries a run out and shows it; how it was left, and the exit code that says so.
pub(super) fn carry_out(
    run: Run,
    leave: LeaveDrained,
    metrics: &MetricsFile,
    context: &Context,
) -> Result<(RunResult, Exit), CliError> {
    let checking = Checking::new(context);
    let outlook = wants_outlook(&run)?.then(|| expect_soon(run.graph(), context));
    let options = RunOptions {
        reporter: metrics.beside(for_run(&run, context, outlook.clone()), context)?,
        outlook,
        progress: Box::new(move |looked| checking.tell(looked)),
        outages: Box::new(|why| match why {
            Some(why) => out::note(&format!(
                "The ledger is away ({}): nothing is begun until it is back. Ctrl-C ends this process; `maand plan resume` continues.",
                visible_line(why)
            )),
            None => out::note("The ledger is back."),
        }),
        interactive: stdin().is_terminal() && !context.json,
        stop_on_signals: true,
        // The file itself, also when another version has been put in its place meanwhile.
        command_guard: Some("/proc/self/exe".into()),
    };
    let result = run.carry_out(options)?;
    if let Left::ForcedStop { in_doubt, repeated } = &result.left {
        let mut what = Vec::new();
        if !in_doubt.is_empty() {
            what.push(format!("not known whether it ran: {}", in_doubt.join(", ")));
        }
        if !repeated.is_empty() {
            what.push(format!("was under way, and is looked at or done again: {}", repeated.join(", ")));
        }
        if what.is_empty() {
            what.push("nothing was in flight".to_owned());
        }
        let problem = Problem::warning("maand::run::cut", format!("stopped at once; {}", what.join("; ")));
        let help = "this looks at the workers before it does anything, and continues:\n  maand plan resume";
        let problem = if is_rehearsed() { problem } else { problem.help(help) };
        out::diagnose(&problem, context.colors);
    }
    if let Some(problem) = undelivered(&result) {
        out::diagnose(&problem, context.colors);
    }
    if !leave.is_given() && !result.left_behind.is_empty() {
        return Err(CliError::new(Exit::Failed, left_behind::problems(&result.left_behind)));
    }
    let exit = exit_of(&result);
    Ok((result, exit))
}

/// Whether somebody is to be told when something takes longer than usual.
fn wants_outlook(run: &Run) -> Result<bool, CliError> {
    let targets = targets_of(run.bucket(), Some(&run.graph().plan))?;
    Ok(targets.values().any(|target| target.on.contains(&NoticeEvent::LongerThanUsual)))
}

/// What is said of notices that were not delivered: it is no failure of the run.
fn undelivered(result: &RunResult) -> Option<Problem> {
    let (first, more) = result.undelivered.split_first()?;
    let more = match more.len() {
        0 => String::new(),
        more => format!("; {more} more"),
    };
    let message = format!(
        "{} not delivered: `{}` to {}: {}{more}",
        if result.undelivered.len() == 1 { "a notice was" } else { "notices were" },
        first.key.1,
        first.target,
        first.why
    );
    let problem = Problem::warning("maand::run::undelivered", message);
    let help = "what is left is sent by\n  maand notify resend";
    Some(if is_rehearsed() { problem } else { problem.help(help) })
}

fn exit_of(result: &RunResult) -> Exit {
    match result.left {
        Left::Idle(RunStatus::Finished(RunEnd::Succeeded)) => Exit::Done,
        Left::Idle(RunStatus::Finished(_) | RunStatus::Halted(_)) => Exit::Failed,
        _ if result.failures > 0 => Exit::Failed,
        Left::Idle(_) | Left::ForcedStop { .. } => Exit::Resumable,
    }
}

/// How a run that this process carries out is shown.
fn for_run(run: &Run, context: &Context, outlook: Option<Arc<OnceLock<Outlook>>>) -> Box<dyn Reporter> {
    let mut shown = reporter(context, run.graph(), outlook);
    if context.quiet && !context.json && !context.plain {
        shown = Box::new(OnlyTrouble(shown));
    }
    match context.annotations {
        Annotations::None => shown,
        wanted => Box::new(Annotated { inner: shown, wanted, plan: Arc::clone(&run.graph().plan) }),
    }
}

/// How a run of this graph is shown; `outlook`: what is to be expected of it, where somebody else wants to know, too.
pub(super) fn reporter(
    context: &Context,
    graph: &Arc<RolloutGraph>,
    outlook: Option<Arc<OnceLock<Outlook>>>,
) -> Box<dyn Reporter> {
    let lines = match (context.plain, context.quiet) {
        (_, false) => Lines::All,
        (true, true) => Lines::Workers,
        (false, true) => Lines::None,
    };
    // The fleet of a rehearsal is gone when its operator could follow advice.
    let hint = (!is_rehearsed()).then(|| hints(context));
    if context.json {
        Box::new(JsonLines::new(BackgroundWriter::json_stdout()))
    } else if is_live(context) {
        let terminal = Terminal::stdout(context.live_colors)
            .with_hints(hint)
            .with_outlook(outlook.unwrap_or_else(|| expect_soon(graph, context)))
            .with_controls(controls(context))
            .with_bell(context.bell);
        Box::new(terminal)
    } else {
        let lines = Plain::new(BackgroundWriter::stdout(), lines);
        Box::new(lines.with_hints(hint).with_bell(context.bell && is_terminal()))
    }
}

/// What keys do: they ask as another terminal would, and quit as Ctrl-C does.
fn controls(context: &Context) -> Controls {
    let context = context.clone();
    let pause = move |run: &str, pauses: bool| {
        let verb = if pauses { Control::Pause { reason: None } } else { Control::Resume };
        let site = site(&context).map_err(|error| error.to_string())?;
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
pub(super) fn is_live(context: &Context) -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    is_terminal() && !dumb && !context.quiet && !context.json && !context.plain
}

fn is_terminal() -> bool {
    stdout().is_terminal()
}
