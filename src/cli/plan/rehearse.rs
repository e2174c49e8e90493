//! `maand plan rehearse`: the user's own plan over real SSH, on a throwaway fleet that may be broken.
//!
//! The plan is carried out by child processes of our own binary (`plan apply`, and `plan resume` after a
//! kill), with the real engine, journal and transport: what is seen is what a real run shows. This
//! process owns the fleet, watches it from outside, and judges in the end by what the fleet says.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use clap::Args;

use super::super::sandbox::{Signals, deploy};
use super::super::{CliError, Context, Exit, out};
use super::read::{parse_set, read_plan};
use crate::bucket::{Bucket, Fleet};
use crate::graph;
use crate::journal::{Journal, Mode};
use crate::plan::{self, Plan, Problem, StepKind};
use crate::sandbox::{Blueprint, Fault, Sandbox, SandboxOptions};

mod verdict;
mod watcher;

use verdict::Verdict;
use watcher::Watcher;

/// Workers that are made up when nobody says how many.
const WORKERS: u32 = 3;

/// A sandbox has at most so many workers; more than that is what `plan simulate` is for.
const WORKERS_MAX: u32 = crate::sandbox::WORKERS_MAX as u32;

/// Settle times, soaks and pauses are so many times shorter in a rehearsal.
const HURRY: u32 = 60;

/// A plan whose gates keep closing is approved at most so often.
const APPROVALS: u32 = 1000;

/// Arguments of `maand plan rehearse`.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// The plan file; `-` reads standard input
    #[arg(value_name = "PLAN")]
    plan: String,
    /// How many workers are made up [default: the bucket's workers, or 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(WORKERS_MAX)))]
    workers: Option<u32>,
    /// Something that goes wrong; may be repeated, such as worker-2:never_returns
    #[arg(long, value_name = "HOST:KIND[@STEP]")]
    fault: Vec<String>,
    /// Kill the controller at its Nth commit, and resume
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    kill_controller: Option<u64>,
    /// Also execute your own text (commands of the plan) as yourself on this machine
    #[arg(long)]
    execute: bool,
    /// Divides the made-up boot time of three seconds
    #[arg(long, default_value_t = 2.0, value_name = "FACTOR")]
    speed: f64,
    /// Sets a variable of the plan; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
}

/// Carries it out.
pub(super) fn run(args: &RehearseArgs, context: &Context) -> Result<Exit, CliError> {
    let source = read_plan(&args.plan)?;
    let plan = plan::parse(&source, &args.set)?;
    let signals = Signals::listen()?;
    let likeness = likeness(&plan, args, context)?;
    note(context, &format!("Rehearsal of {}: {}.", args.plan, likeness.words));

    let mut options = SandboxOptions::new(likeness.blueprint);
    options.execute = args.execute;
    options.speed = args.speed;
    let sandbox = Sandbox::start(options)?;
    let faults =
        args.fault.iter().map(|text| Fault::parse(text, sandbox.hosts())).collect::<Result<Vec<_>, _>>()?;
    configure(&sandbox.bucket_dir(), args.execute)?;
    let plan_file = sandbox.bucket_dir().join("plan.yaml");
    let text = always_open(&plan);
    std::fs::write(&plan_file, text).map_err(|error| {
        Problem::error("maand::rehearse::folder", format!("{}: {error}", plan_file.display()))
            .help("is the disk full?")
    })?;
    if let Err(error) = deploy(&sandbox, &Context { quiet: true, ..context.clone() }, &signals.cancel) {
        return Err(if signals.cancel.is_cancelled() { interrupted() } else { error });
    }
    explain_differences(&plan, args, context);

    let sandbox = Arc::new(sandbox);
    let watcher = Watcher::start(Arc::clone(&sandbox), faults.clone())?;
    let run_exit = carry_out(args, &sandbox.bucket_dir(), context, &signals)?;
    let seen = watcher.stop();
    let verdict = Verdict::of(&sandbox, &seen, &faults, run_exit, args.execute)?;
    if context.json {
        out::print(&format!("{}\n", verdict.to_json()))?;
    } else {
        out::print(&verdict.to_text())?;
    }
    if signals.cancel.is_cancelled() {
        return Ok(Exit::Resumable);
    }
    Ok(if verdict.all_held() { Exit::Done } else { Exit::Failed })
}

struct Likeness {
    blueprint: Blueprint,
    words: String,
}

/// The bucket's workers where there is a bucket and nobody asks for a number, else made-up ones.
fn likeness(plan: &Plan, args: &RehearseArgs, context: &Context) -> Result<Likeness, CliError> {
    if args.workers.is_none()
        && let Some(fleet) = bucket_fleet(context)?
    {
        let count = fleet.workers.len();
        if count > crate::sandbox::WORKERS_MAX {
            let message = format!("the bucket has {count} workers, a rehearsal at most {WORKERS_MAX}");
            let help = "rehearse with some of them: `--workers 50`; `maand plan simulate` takes any number";
            return Err(CliError::usage(message, help));
        }
        let words = format!("the likeness of this bucket, {count} workers on this machine");
        return Ok(Likeness { blueprint: Blueprint::mirror(&fleet).or_demo_jobs(), words });
    }
    let count = args.workers.unwrap_or(WORKERS);
    let fleet = graph::made_up_fleet(plan, count);
    let words = format!("{} made-up workers on this machine, over real SSH", fleet.workers.len());
    Ok(Likeness { blueprint: Blueprint::made_up(&fleet), words })
}

/// `None`: there is no bucket, and nobody named one.
fn bucket_fleet(context: &Context) -> Result<Option<Fleet>, CliError> {
    match Bucket::find(context.bucket.as_deref()) {
        Ok(bucket) => {
            let (fleet, _) = bucket.load()?;
            Ok((!fleet.workers.is_empty()).then_some(fleet))
        }
        Err(problems) => {
            let nowhere = problems.iter().all(|problem| problem.code == "maand::bucket::not_found");
            if context.bucket.is_none() && nowhere { Ok(None) } else { Err(problems.into()) }
        }
    }
}

fn configure(bucket: &Path, execute: bool) -> Result<(), CliError> {
    let path = bucket.join("maand.conf");
    let conf = std::fs::read_to_string(&path).unwrap_or_default();
    let ours = format!(
        "# Settle times, soaks and pauses are so many times shorter.\nhurry = {HURRY}\nexecute = {execute}\n"
    );
    std::fs::write(&path, format!("{conf}{ours}")).map_err(|error| {
        Problem::error("maand::rehearse::folder", format!("{}: {error}", path.display())).into()
    })
}

/// The plan's text, with a window that is open now: nobody rehearses by night.
fn always_open(plan: &Plan) -> String {
    let text = plan.source.text();
    match &plan.rollout.window {
        None => text.to_owned(),
        Some(window) => {
            let open = r#"{timezone: UTC, open: "00:00", close: "23:59"}"#;
            format!("{}{open}\n{}", &text[..window.span.start], &text[window.span.end..])
        }
    }
}

fn explain_differences(plan: &Plan, args: &RehearseArgs, context: &Context) {
    let mut differences = vec![format!("settle times, soaks and pauses are {HURRY} times shorter")];
    if plan.rollout.window.is_some() {
        differences.push("the window counts as open".into());
    }
    let commands = plan.before.iter().chain(&plan.steps).chain(&plan.after);
    let has_commands =
        commands.clone().any(|step| matches!(step.kind, StepKind::Run(_) | StepKind::Local(_)));
    if has_commands && !args.execute {
        differences.push("your commands are recorded and not executed".into());
    }
    if commands.clone().any(|step| matches!(step.kind, StepKind::Approve { .. })) {
        differences.push("approvals are given at once".into());
    }
    note(context, &format!("Other than in a real run: {}.\n", differences.join("; ")));
}

fn note(context: &Context, line: &str) {
    if !context.quiet {
        out::note(line);
    }
}

/// Applies and resumes until the run rests; answers with the exit code that it had.
fn carry_out(
    args: &RehearseArgs,
    bucket: &Path,
    context: &Context,
    signals: &Signals,
) -> Result<Option<i32>, CliError> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let child = |arguments: &[&str], crash: Option<u64>| -> Result<ExitStatus, CliError> {
        let mut command = Command::new(&program);
        command.arg("-C").arg(bucket).args(arguments).stdin(Stdio::null());
        if context.json {
            command.args(["--output", "json"]);
        }
        if context.quiet {
            command.arg("--quiet");
        }
        if let Some(crash) = crash {
            command.env(crate::journal::CRASH_AT, crash.to_string());
        }
        command.status().map_err(|error| {
            Problem::error(
                "maand::rehearse::child",
                format!("{} can not be started: {error}", program.display()),
            )
            .into()
        })
    };
    let mut apply = vec!["plan", "apply", "plan.yaml", "--yes"];
    let plan_file = bucket.join("plan.yaml");
    let plan_file = plan_file.to_string_lossy();
    apply[2] = &plan_file;
    let sets: Vec<String> = args.set.iter().map(|(name, value)| format!("--set={name}={value}")).collect();
    apply.extend(sets.iter().map(String::as_str));
    let mut status = child(&apply, args.kill_controller)?;
    for _ in 0..APPROVALS {
        if signals.cancel.is_cancelled() {
            break;
        }
        if status.signal().is_some() {
            note(context, "\nThe controller was killed; another one goes on: maand plan resume\n");
            // Killed before the run had a name: there is nothing to resume.
            status = if has_run(bucket) { child(&["plan", "resume"], None)? } else { child(&apply, None)? };
        } else if status.code() == Some(Exit::Resumable as i32)
            && child(&["plan", "approve"], None)?.success()
        {
            status = child(&["plan", "resume"], None)?;
        } else {
            break;
        }
    }
    Ok(status.code())
}

fn has_run(bucket: &Path) -> bool {
    let data = bucket.join("data");
    Journal::open(&data, Mode::ReadOnly)
        .and_then(|journal| journal.unfinished())
        .is_ok_and(|run| run.is_some())
}

fn interrupted() -> CliError {
    let problem = Problem::error("maand::interrupted", "interrupted before the rehearsal began")
        .help("nothing of it is left");
    CliError::new(Exit::Resumable, problem)
}
