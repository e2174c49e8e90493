//! `maand plan rehearse`: the user's own plan over real SSH, on a throwaway fleet that may be broken.
//!
//! The plan is carried out by child processes of our own binary (`plan apply`, and `plan resume` after a
//! kill), with the real engine, journal and transport: what is seen is what a real run shows. This
//! process owns the fleet, watches it from outside, and judges in the end by what the fleet says.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

use clap::Args;

use super::super::sandbox::{Signals, deploy};
use super::super::{CliError, Context, Exit, out};
use super::apply::read_scripts;
use super::read::{parse_set, read_plan};
use crate::bucket::{Bucket, Fleet, Host};
use crate::graph;
use crate::journal::{Journal, Mode};
use crate::plan::suggest::suggest;
use crate::plan::{self, Plan, Problem, Problems, StepKind};
use crate::sandbox::{Blueprint, Fault, Sandbox, SandboxOptions};

mod child;
mod commands;
mod history;
mod judge;
mod reports;
mod verdict;
mod watcher;

pub(super) use child::obey_rehearsal;
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
    /// Also execute your own text (commands of the plan), as yourself and on THIS machine
    ///
    /// A made-up worker is a folder: relative paths stay in it, but whatever your commands do by absolute
    /// paths, over the network or to processes reaches this machine. Without it they are only recorded.
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
    let faults = faults(&plan, args, &likeness.hosts)?;
    let scripts = scripts(&plan, args, likeness.bucket.as_deref())?;
    note(context, &format!("Rehearsal of {}: {}.", args.plan, likeness.words));

    let mut options = SandboxOptions::new(likeness.blueprint);
    options.execute = args.execute;
    options.speed = args.speed;
    let sandbox = Sandbox::start(options)?;
    prepare(&sandbox.bucket_dir(), &plan, &place_of(&args.plan, &sandbox.bucket_dir()), &scripts)?;
    if let Err(error) = deploy(&sandbox, &Context { quiet: true, ..context.clone() }, &signals.cancel) {
        return Err(if signals.cancel.is_cancelled() { interrupted() } else { error });
    }
    explain_differences(&plan, args, context);

    let sandbox = Arc::new(sandbox);
    let ids = plan.steps.iter().map(|step| step.id.clone()).collect();
    let watcher = Watcher::start(&sandbox, &faults, ids)?;
    let carried = carry_out(args, &sandbox.bucket_dir(), context, &signals)?;
    let seen = watcher.stop();
    if seen.run.is_none() && signals.cancel.is_cancelled() {
        return Err(interrupted());
    }
    let verdict = Verdict::of(&sandbox, &seen, &faults, &carried, args.execute)?;
    if context.json {
        out::print(&format!("{}\n", verdict.to_json()?))?;
    } else {
        out::print(&verdict.to_text())?;
    }
    Ok(match () {
        () if verdict.all_held => Exit::Done,
        () if verdict.interrupted && !verdict.any_broken() => Exit::Resumable,
        () => Exit::Failed,
    })
}

struct Likeness {
    blueprint: Blueprint,
    /// Its workers' names.
    hosts: Vec<Host>,
    /// The bucket that it is like.
    bucket: Option<PathBuf>,
    words: String,
}

/// The bucket's workers where there is a bucket and nobody asks for a number, else made-up ones.
fn likeness(plan: &Plan, args: &RehearseArgs, context: &Context) -> Result<Likeness, CliError> {
    if args.workers.is_none()
        && let Some((bucket, fleet)) = bucket_fleet(context)?
    {
        let count = fleet.workers.len();
        if count > crate::sandbox::WORKERS_MAX {
            let message = format!("the bucket has {count} workers, a rehearsal at most {WORKERS_MAX}");
            let help = "rehearse with some of them: `--workers 50`; `maand plan simulate` takes any number";
            return Err(CliError::usage(message, help));
        }
        let words = format!("the likeness of this bucket, {count} workers on this machine");
        let blueprint = Blueprint::mirror(&fleet).or_demo_jobs();
        return Ok(Likeness { blueprint, hosts: hosts(&fleet), bucket: Some(bucket), words });
    }
    let count = args.workers.unwrap_or(WORKERS);
    let fleet = graph::synthetic_fleet(plan, count);
    let count = verdict::count(fleet.workers.len(), "made-up worker");
    let words = format!("{count} on this machine, over real SSH");
    let bucket = Bucket::find(context.bucket.as_deref()).ok().map(|bucket| bucket.paths().root.clone());
    Ok(Likeness { blueprint: Blueprint::synthetic(&fleet), hosts: hosts(&fleet), bucket, words })
}

fn hosts(fleet: &Fleet) -> Vec<Host> {
    fleet.workers.iter().map(|worker| worker.host.clone()).collect()
}

/// The faults that are asked for; one for a step that the plan does not have would never happen.
fn faults(plan: &Plan, args: &RehearseArgs, hosts: &[Host]) -> Result<Vec<Fault>, CliError> {
    let mut problems = Problems::new();
    let mut faults = Vec::new();
    let names = || plan.steps.iter().flat_map(|step| [step.id.as_str(), step.kind.keyword()]);
    for text in &args.fault {
        let fault = match Fault::parse(text, hosts) {
            Ok(fault) => fault,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        if let Some(step) = fault.at_step.as_deref().filter(|step| !names().any(|name| name == *step)) {
            let ids = plan.steps.iter().map(|step| format!("`{}`", step.id)).collect::<Vec<_>>().join(", ");
            let near = suggest(step, names()).map(|near| format!("did you mean `{near}`? "));
            let message = format!("the fault `{fault}` is for a step that {} does not have", args.plan);
            problems.push(
                Problem::error("maand::rehearse::fault", message)
                    .help(format!("{}the steps of a worker are {ids}", near.unwrap_or_default())),
            );
        }
        faults.push(fault);
    }
    problems.into_result()?;
    Ok(faults)
}

/// The scripts that the plan names. Each must have its place below the plan's folder, as the rehearsal
/// writes it below its own.
fn scripts(
    plan: &Plan,
    args: &RehearseArgs,
    bucket: Option<&Path>,
) -> Result<BTreeMap<String, String>, CliError> {
    let scripts = read_scripts(plan, &args.plan, bucket)?;
    let leaves = |path: &&String| {
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        !Path::new(path.as_str()).components().all(inside)
    };
    if let Some(path) = scripts.keys().find(leaves) {
        let message = format!("the script `{path}` is not below the plan's folder");
        return Err(Problem::error("maand::rehearse::script", message)
            .help("a rehearsal copies scripts to its own bucket: name it by a path without `..` or a leading `/`")
            .into());
    }
    Ok(scripts)
}

/// `None`: there is no bucket, and nobody named one.
fn bucket_fleet(context: &Context) -> Result<Option<(PathBuf, Fleet)>, CliError> {
    match Bucket::find(context.bucket.as_deref()) {
        Ok(bucket) => {
            let (fleet, _) = bucket.load()?;
            Ok((!fleet.workers.is_empty()).then(|| (bucket.paths().root.clone(), fleet)))
        }
        Err(problems) => {
            let nowhere = problems.iter().all(|problem| problem.code == "maand::bucket::not_found");
            if context.bucket.is_none() && nowhere { Ok(None) } else { Err(problems.into()) }
        }
    }
}

/// Where the plan is in the rehearsal's own bucket, its scripts beside it.
fn place_of(file: &str, bucket: &Path) -> PathBuf {
    let name = Path::new(file).file_name().filter(|name| *name != "-");
    bucket.join("plans").join(name.unwrap_or("plan.yaml".as_ref()))
}

/// Writes what a rehearsal's bucket has besides that of any sandbox.
fn prepare(
    bucket: &Path,
    plan: &Plan,
    place: &Path,
    scripts: &BTreeMap<String, String>,
) -> Result<(), CliError> {
    let conf = bucket.join("maand.conf");
    let settings = std::fs::read_to_string(&conf).unwrap_or_default();
    let ours = format!("# Settle times, soaks and pauses are so many times shorter.\nhurry = {HURRY}\n");
    write(&conf, &(settings + &ours))?;
    for (path, text) in scripts {
        write(&place.with_file_name(path), text)?;
    }
    write(place, &open_now(plan, jiff::Timestamp::now()))
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text)).map_err(|error| {
        Problem::error("maand::rehearse::folder", format!("can not write {}: {error}", path.display()))
            .help("is the disk full? TMPDIR names another folder for temporary files")
            .into()
    })
}

/// The plan's text, with a window that has been open for an hour or so and is for half a day: nobody
/// rehearses by night, and yet the window takes part.
fn open_now(plan: &Plan, now: jiff::Timestamp) -> String {
    let text = plan.source.text();
    let Some(window) = &plan.rollout.window else { return text.to_owned() };
    let hour = now.to_zoned(jiff::tz::TimeZone::UTC).hour();
    let (open, close) = ((hour + 23) % 24, (hour + 12) % 24);
    let open = format!(r#"{{timezone: UTC, open: "{open:02}:00", close: "{close:02}:00"}}"#);
    format!("{}{open}\n{}", &text[..window.span.start], &text[window.span.end..])
}

fn explain_differences(plan: &Plan, args: &RehearseArgs, context: &Context) {
    let mut differences = vec![format!("settle times, soaks and pauses are {HURRY} times shorter")];
    if plan.rollout.window.is_some() {
        differences.push("the window is one that is open now".into());
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

/// How the run was carried out.
struct Carried {
    /// The exit code of the last command; `None`: a signal ended it.
    exit: Option<i32>,
    /// So many controllers were killed.
    kills: u32,
}

/// Applies and resumes until the run rests.
fn carry_out(
    args: &RehearseArgs,
    bucket: &Path,
    context: &Context,
    signals: &Signals,
) -> Result<Carried, CliError> {
    let child = |arguments: &[&str], crash: Option<u64>| -> Result<ExitStatus, CliError> {
        child::run(bucket, arguments, crash, context, signals)
    };
    let plan_file = place_of(&args.plan, bucket);
    let plan_file = plan_file.to_string_lossy();
    let mut apply = vec!["plan", "apply", &plan_file, "--yes"];
    let sets: Vec<String> = args.set.iter().map(|(name, value)| format!("--set={name}={value}")).collect();
    apply.extend(sets.iter().map(String::as_str));
    let mut status = child(&apply, args.kill_controller)?;
    let mut kills = 0;
    for _ in 0..APPROVALS {
        if signals.cancel.is_cancelled() {
            break;
        }
        if status.signal().is_some() {
            kills += 1;
            let (words, next): (_, &[&str]) = match run_of(bucket) {
                Run::Unfinished => ("another one goes on: maand plan resume", &["plan", "resume"]),
                // Killed before the run had a name.
                Run::None => ("its run had not begun, and is begun again", &apply),
                Run::Finished => {
                    note(context, "\nThe controller was killed when its run had ended.\n");
                    break;
                }
            };
            note(context, &format!("\nThe controller was killed; {words}\n"));
            status = child(next, None)?;
        } else if status.code() == Some(Exit::Resumable as i32)
            && child(&["plan", "approve"], None)?.success()
        {
            status = child(&["plan", "resume"], None)?;
        } else {
            break;
        }
    }
    if let Some(at) = args.kill_controller.filter(|_| kills == 0 && !signals.cancel.is_cancelled()) {
        note(context, &format!("\nThe controller was not killed: the run ended before its commit {at}."));
    }
    Ok(Carried { exit: status.code(), kills })
}

enum Run {
    None,
    Unfinished,
    Finished,
}

/// What there is of the rehearsal's one run.
fn run_of(bucket: &Path) -> Run {
    let Ok(journal) = Journal::open(&bucket.join("data"), Mode::ReadOnly) else { return Run::None };
    match (journal.unfinished(), journal.find(None)) {
        (Ok(Some(_)), _) => Run::Unfinished,
        (_, Ok(_)) => Run::Finished,
        _ => Run::None,
    }
}

fn interrupted() -> CliError {
    let problem = Problem::error("maand::interrupted", "interrupted before the rehearsal began")
        .help("nothing of it is left");
    CliError::new(Exit::Resumable, problem)
}
