//! `maand plan check`: what a plan promises, tried in every order in which workers can end and fail; no worker is
//! contacted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

mod json;
mod text;

#[cfg(test)]
pub(in crate::cli) use json::CheckDocument;

use super::super::document;
use super::super::{CliError, Context, Exit, interrupt, out};
use super::plan_on_fleet::PlanOnFleet;
use crate::check::{self, Checked, Options};
use crate::graph::RolloutGraph;
use crate::plan::Problem;
use crate::ssh::Cancel;

/// Arguments of `maand plan check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    on: PlanOnFleet,
    /// At most so many workers fail, before the start or in it
    /// [default: one more than `max_failures`, which stands for any number: nobody starts after that]
    #[arg(long, value_name = "K")]
    failures: Option<u32>,
    /// Look at no more states than this
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    states: u32,
    /// Look no longer than this
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Hold no more states in memory than fit into so many MiB, roughly
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    memory: u64,
}

/// A check and what it was made of.
struct Made<'a> {
    graph: &'a RolloutGraph,
    checked: &'a Checked,
    verdict: Verdict,
    /// An operator ended it.
    interrupted: bool,
    seconds: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Proven,
    Broken,
    NotExhausted,
}

impl Verdict {
    fn of(checked: &Checked) -> Self {
        match (&checked.broken, checked.cut_short) {
            (Some(_), _) => Self::Broken,
            (None, Some(_)) => Self::NotExhausted,
            (None, None) => Self::Proven,
        }
    }

    fn exit(self) -> Exit {
        match self {
            Self::Proven => Exit::Done,
            Self::Broken => Exit::Failed,
            Self::NotExhausted => Exit::Resumable,
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &CheckArgs, context: &Context) -> Result<Exit, CliError> {
    let graph = args.on.compile(context)?;
    // A closed window holds workers back and lets no other ones start.
    let graph = Arc::new(graph.without_window());
    let most = graph.numbers().max_failures.value.saturating_add(1);
    let asked = Options {
        failures: args.failures.unwrap_or(most).min(most),
        states: args.states as usize,
        bytes: usize::try_from(args.memory << 20).unwrap_or(usize::MAX),
    };
    let cancel = Cancel::new();
    interrupt::listen(&cancel, "the search ends and says how far it came", context.manner())?;
    let (began, within) = (Instant::now(), Duration::from_secs(args.seconds));
    let mut stop = |_: usize| cancel.is_cancelled() || began.elapsed() > within;
    let checked = check::check(&graph, &graph, asked, &mut stop).map_err(bug)?;
    let verdict = Verdict::of(&checked);
    let made = Made {
        graph: &graph,
        checked: &checked,
        verdict,
        interrupted: cancel.is_cancelled(),
        seconds: args.seconds,
    };
    if context.json {
        document::print(&json::document(&made))?;
    } else {
        out::print(&text::render(&made))?;
    }
    Ok(verdict.exit())
}

fn bug(what: String) -> CliError {
    let problem = Problem::error("maand::plan::check_bug", format!("a run of this plan would break: {what}"));
    CliError::new(Exit::Bug, problem.help("this is a bug in maand: please report it with the plan"))
}
