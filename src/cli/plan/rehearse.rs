//! `maand plan rehearse`: a plan over real SSH on a throwaway fleet, with faults injected.

use clap::Args;

use super::super::document::unwritable;
use super::super::sandbox::Signals;
use super::super::{CliError, Context, Exit, out};
use super::read::{parse_set, read_plan};
use crate::plan;
use crate::rehearsal::{
    self, Difference, Likeness, Rehearsal, RehearsalOptions, Replacement, Stage, TIME_SCALE, Verdict,
};
use crate::sandbox::FaultKind;

mod error;
mod text;

/// A sandbox has at most this many workers; more than that is what `plan simulate` is for.
const WORKERS_MAX: u32 = crate::sandbox::WORKERS_MAX as u32;

/// Arguments of `maand plan rehearse`.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// The plan file; `-` reads standard input
    #[arg(value_name = "PLAN", required_unless_present = "fault", add = crate::cli::complete::plan_files())]
    plan: Option<String>,
    /// Number of throwaway workers [default: the bucket's workers, or 3]
    #[arg(long, alias = "worker", value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(WORKERS_MAX)))]
    workers: Option<u32>,
    /// Inject a fault, such as worker-2:never_returns; may be repeated; `list` shows all kinds
    #[arg(long, value_name = "HOST:KIND[@STEP]", add = crate::cli::complete::faults())]
    fault: Vec<String>,
    /// Kill the controller at its Nth commit, and resume
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    kill_controller: Option<u64>,
    /// Also execute your own text (commands of the plan), as yourself and on THIS machine
    ///
    /// A throwaway worker is a folder: relative paths stay in it, but whatever your commands do by absolute
    /// paths, over the network or to processes reaches this machine. Without it they are only recorded.
    #[arg(long)]
    execute: bool,
    /// Leave the fleet and the journal up afterwards, to look at, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Divide the simulated boot time of three seconds by this
    #[arg(long, default_value_t = 2.0, value_name = "FACTOR")]
    speed: f64,
    /// Set a variable of the plan; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
}

/// Runs the command.
pub(super) fn run(args: &RehearseArgs, context: &Context) -> Result<Exit, CliError> {
    if args.fault == ["list"] {
        return list_faults();
    }
    let Some(file) = &args.plan else { return Err(no_plan()) };
    let plan = plan::parse(&read_plan(file)?, &args.set)?;
    let signals = Signals::listen()?;
    let likeness = Likeness::choose(&plan, args.workers, context.bucket.as_deref())?;
    let heading = format!("Rehearsal of {file}: {}.", text::likeness(&likeness));
    let rehearsal = Rehearsal::new(plan, likeness, options(args, context))?;
    note(context, &heading);
    let mut show = |stage: Stage| match stage {
        Stage::Ready => {
            let differences: Vec<_> = rehearsal.differences().into_iter().map(describe).collect();
            note(context, &format!("Unlike a real run: {}.\n", differences.join("; ")));
        }
        Stage::Killed(Replacement::None) => {
            note(context, "\nThe controller was killed when its run had ended.\n");
        }
        Stage::Killed(Replacement::Resumes) => {
            note(context, "\nThe controller was killed; another one resumes the run.\n");
        }
        Stage::Killed(Replacement::StartsAgain) => {
            note(
                context,
                "\nThe controller was killed before its run had begun; the plan is applied again\n",
            );
        }
        Stage::NotKilled { at } => {
            note(context, &format!("\nThe controller was not killed: the run ended before its commit {at}."));
        }
    };
    let rehearsed = rehearsal.carry_out(&signals.cancel, &signals.came, &mut show)?;
    let verdict = &rehearsed.verdict;
    let keeps = args.keep && !signals.cancel.is_cancelled();
    if context.json {
        out::print(&format!("{}\n", json(verdict)?))?;
    } else if !context.quiet || !verdict.all_held {
        out::print_wrapped(&text::render(verdict, keeps))?;
    }
    if keeps {
        out::note(&text::kept(&rehearsed.bucket_dir()));
        signals.wait();
    }
    Ok(match () {
        () if verdict.all_held => Exit::Done,
        () if verdict.interrupted && !verdict.any_broken() => Exit::Resumable,
        () => Exit::Failed,
    })
}

/// The kinds of faults, one a line.
fn list_faults() -> Result<Exit, CliError> {
    let line = |(kind, name): &(FaultKind, &str)| format!("  {name:<26} {}\n", kind.describe());
    let lines: String = FaultKind::ALL.iter().map(line).collect();
    out::print(&format!(
        "Faults, each for a worker, and from a step of the plan on if one is named: --fault HOST:KIND[@STEP]\n\n{lines}"
    ))?;
    Ok(Exit::Done)
}

fn no_plan() -> CliError {
    CliError::usage("there is no plan to rehearse".to_owned(), "maand plan rehearse PLAN --fault HOST:KIND")
}

/// Where a rehearsal has started this process: leaves the terminal's signals to it, and ends with it.
pub(super) fn obey_rehearsal() {
    rehearsal::follow_parent(|| std::process::exit(i32::from(Exit::Resumable as u8)));
}

fn options(args: &RehearseArgs, context: &Context) -> RehearsalOptions {
    // In full: what stands in the environment is for this process.
    let format = if context.json { "json" } else { "text" };
    let mut child_flags: Vec<String> =
        ["--output", format, "--annotations", "none"].map(str::to_owned).to_vec();
    if context.quiet {
        child_flags.push("--quiet".to_owned());
    }
    RehearsalOptions {
        overrides: args.set.clone(),
        faults: args.fault.clone(),
        kill_controller: args.kill_controller,
        execute: args.execute,
        speed: args.speed,
        child_flags,
    }
}

fn describe(difference: Difference) -> String {
    match difference {
        Difference::Shorter => format!("settle times, soaks and pauses are {TIME_SCALE} times shorter"),
        Difference::OpenWindow => "the window is one that is open now".to_owned(),
        Difference::NotExecuted => "your commands are recorded and not executed".to_owned(),
        Difference::Approved => "approvals are given at once".to_owned(),
    }
}

fn json(verdict: &Verdict) -> Result<serde_json::Value, CliError> {
    serde_json::to_value(verdict).map_err(|error| unwritable("the verdict", &error))
}

fn note(context: &Context, line: &str) {
    if !context.quiet {
        out::note(line);
    }
}
