//! `maand plan resume`: continues a run from its journal, whatever ended the process before.

use std::path::{Path, PathBuf};

use clap::Args;

use super::super::hosts::HostPattern;
use super::super::open_bucket::connector;
use super::super::{CliError, Context, Exit, out};
use super::carry_out::{LeaveDrained, carry_out, site};
use super::control::failed;
use super::metrics_file::MetricsFile;
use super::run_error::not_taken;
use super::standby::{self, Waited};
use crate::bucket::Bucket;
use crate::bundle::Bundle;
use crate::engine::{Control, Resolution, RunEnd};
use crate::journal::RunId;
use crate::os::quote;
use crate::plan::{Problem, counted};
use crate::run::{Change, Import, Resume, Run, RunError, RunReader, Site, TakeOver, this_operator};

/// Of more jobs that have changed the first are named.
const CHANGES_SHOWN: usize = 10;

/// Arguments of `maand plan resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The run, or the beginning of its name [default: the unfinished one]
    #[arg(value_name = "RUN", add = crate::cli::complete::run_names())]
    run: Option<String>,
    /// Continue a run of another machine, from a file of `maand plan export`
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with = "run")]
    from: Option<PathBuf>,
    /// Retry failed workers first, all of them or these; a run that has ended is taken up again for that
    #[arg(long, value_name = "HOST,..", num_args = 0..=1, value_delimiter = ',')]
    #[arg(add = crate::cli::complete::hosts())]
    retry: Option<Vec<HostPattern>>,
    /// Continue without failed workers, all of them or these
    #[arg(long, value_name = "HOST,..", num_args = 0..=1, value_delimiter = ',')]
    #[arg(add = crate::cli::complete::hosts())]
    skip: Option<Vec<HostPattern>>,
    /// What to do with commands that may or may not have run: `rerun` them, count them as `done`, or `skip` them;
    /// for one worker as in `w3=done`
    #[arg(long, value_name = "[HOST=]HOW", value_delimiter = ',', value_parser = parse_in_doubt)]
    in_doubt: Vec<InDoubt>,
    /// Take the run away from a controller that is stopped or gone; with --from: you know that no other controller of
    /// the run lives, on whatever machine
    #[arg(long)]
    take_over: bool,
    /// With --take-over: also from a controller on another machine, which you know to be dead
    #[arg(long, requires = "take_over")]
    elsewhere: bool,
    /// Wait until the run's controller, on whatever machine, is not heard of any more, and continue the run then; for runs
    /// that are kept in a PostgreSQL
    #[arg(long, conflicts_with_all = ["from", "retry", "skip", "take_over"])]
    standby: bool,
    /// Continue although the workspace has changed since the run began
    #[arg(long)]
    accept_changes: bool,
    #[command(flatten)]
    leave: LeaveDrained,
    #[command(flatten)]
    metrics: MetricsFile,
    /// Accepted for scripts: a resume asks nothing
    #[arg(short, long)]
    yes: bool,
}

/// What to do with commands that may or may not have run, of one worker or of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
struct InDoubt {
    host: Option<String>,
    how: Resolution,
}

fn parse_in_doubt(text: &str) -> Result<InDoubt, String> {
    let (host, how) = match text.rsplit_once('=') {
        Some((host, how)) => (Some(host.to_owned()), how),
        None => (None, text),
    };
    let how = match how {
        "rerun" => Resolution::Rerun,
        "done" => Resolution::Done,
        "skip" => Resolution::Skip,
        _ => return Err(format!("`{how}` is none of rerun, done, skip")),
    };
    Ok(InDoubt { host, how })
}

/// Runs the command.
pub(super) fn run(args: &ResumeArgs, context: &Context) -> Result<Exit, CliError> {
    args.metrics.check()?;
    let run = match &args.from {
        Some(file) => match take(file, args, context) {
            Ok(run) => Some(run.to_string()),
            Err(RunError::NotTaken(why)) => {
                return Err(not_taken(&why, Some(&format!("maand plan resume {}", typed(args)))));
            }
            Err(error) => return refuse(error, args, context),
        },
        None => args.run.clone(),
    };
    // Without a list: all that have failed.
    let hosts = |list: &Vec<HostPattern>| match list.as_slice() {
        [] => Ok(Vec::new()),
        items => failed(items, run.as_deref(), context),
    };
    let retry = args.retry.as_ref().map(hosts).transpose()?.map(|hosts| Control::Retry { hosts });
    let skip = args.skip.as_ref().map(hosts).transpose()?.map(|hosts| Control::Skip { hosts });
    let of_all = args.in_doubt.iter().rfind(|answer| answer.host.is_none());
    let of_one = |answer: &InDoubt| Some((answer.host.clone()?, answer.how));
    let resume = Resume {
        run: run.clone(),
        // Those that are named to be skipped are not among all that failed.
        first: skip.into_iter().chain(retry).collect(),
        in_doubt: of_all.map(|answer| answer.how),
        in_doubt_of: args.in_doubt.iter().filter_map(of_one).collect(),
        take_over: match (args.take_over, args.elsewhere) {
            // The run was taken over with the bundle.
            _ if args.from.is_some() => TakeOver::Never,
            (false, _) => TakeOver::Never,
            (true, false) => TakeOver::Dead,
            (true, true) => TakeOver::Elsewhere,
        },
        accept_changes: args.accept_changes,
        ..Resume::default()
    };
    let resumed = match args.standby {
        false => Run::resume(&site(context)?, resume),
        true => match standby::wait(&resume, context)? {
            Waited::TookOver(run) => Ok(*run),
            Waited::Ended(exit) => return Ok(exit),
        },
    };
    match resumed {
        Ok(run) => {
            show_changes(run.changes(), context);
            carry_out(run, args.leave, &args.metrics, context).map(|(_, exit)| exit)
        }
        Err(error) => refuse(error, args, context),
    }
}

/// Takes a run of another machine.
fn take(file: &Path, args: &ResumeArgs, context: &Context) -> Result<RunId, RunError> {
    let bundle = Bundle::read(file)?;
    let site = Site::find(context.bucket.as_deref(), connector(context))?;
    let waits = |hosts: &str| {
        if !context.quiet && !context.json {
            out::note(&format!("Waiting for {hosts}, which may be rebooting."));
        }
    };
    let import = Import {
        bundle: &bundle,
        take_over: args.take_over,
        may_have_ended: args.retry.is_some(),
        accept_changes: args.accept_changes,
        by: this_operator(),
        waits: &waits,
    };
    let imported = import.take(&site)?;
    for obstacle in &imported.overruled {
        let problem = Problem::warning("maand::bundle::overruled", obstacle.describe());
        out::diagnose(&problem.help("you have said that no other controller lives"), context.colors);
    }
    if !context.quiet && !context.json {
        let facts = counted(imported.facts as usize, "fact");
        out::note(&format!(
            "Run {} is this machine's now ({facts} from the bundle): its workers refuse the controller before.",
            imported.run
        ));
    }
    Ok(imported.run)
}

/// A resume that did not take place.
fn refuse(error: RunError, args: &ResumeArgs, context: &Context) -> Result<Exit, CliError> {
    match error {
        RunError::Finished { run, end, .. } if context.json && args.from.is_none() => {
            let bucket = Bucket::find(context.bucket.as_deref())?;
            let (view, _) = RunReader::open(&bucket, Some(run.as_str()))?.view()?;
            out::print_json_line("the view", &view)?;
            Ok(if end == RunEnd::Succeeded { Exit::Done } else { Exit::Failed })
        }
        error @ RunError::Finished { .. } if context.json => Err(error.into()),
        RunError::Finished { run, end, failed } => {
            let mut note = format!("Run {run} has already finished ({}); nothing was done.", describe(end));
            if failed > 0 && end == RunEnd::Failed {
                note +=
                    "\nFix the cause, and take it up again at the failed steps:\n  maand plan resume --retry";
            }
            if !context.quiet || end != RunEnd::Succeeded {
                out::note(&note);
            }
            Ok(if end == RunEnd::Succeeded { Exit::Done } else { Exit::Failed })
        }
        RunError::WorkspaceChanged { run, changes } => {
            show_changes(&changes, context);
            let lines = Change::workspace_lines(&changes, CHANGES_SHOWN);
            let error = RunError::WorkspaceChanged { run, changes };
            let message = [error.to_string()].into_iter().chain(lines).collect::<Vec<_>>().join("\n  ");
            let help = format!(
                "undo the change, or continue with it:\n  maand plan resume {}--accept-changes",
                typed(args)
            );
            let problem = Problem::error("maand::run::workspace_changed", message).help(help);
            Err(CliError::new(Exit::Invalid, problem))
        }
        error => Err(error.into()),
    }
}

/// What was asked of the run, to be typed again; a blank behind each word.
fn typed(args: &ResumeArgs) -> String {
    let mut text = args.run.as_ref().map_or_else(String::new, |run| format!("{run} "));
    if let Some(file) = &args.from {
        text += &format!("--from {} ", quote(&file.display().to_string()));
    }
    for (option, hosts) in [("--retry", &args.retry), ("--skip", &args.skip)] {
        if let Some(hosts) = hosts {
            let hosts = hosts.iter().map(HostPattern::as_str).collect::<Vec<_>>().join(",");
            // A pattern is not for the shell.
            let plain = |c: char| c.is_ascii_alphanumeric() || ".,:-_".contains(c);
            let hosts = if hosts.chars().all(plain) { hosts } else { quote(&hosts) };
            text += &format!("{option} {hosts}{}", if hosts.is_empty() { "" } else { " " });
        }
    }
    for InDoubt { host, how } in &args.in_doubt {
        let host = host.as_ref().map_or_else(String::new, |host| format!("{host}="));
        let how = match how {
            Resolution::Rerun => "rerun",
            Resolution::Done => "done",
            Resolution::Skip | Resolution::Repeat => "skip",
        };
        text += &format!("--in-doubt {host}{how} ");
    }
    for (given, option) in [
        (args.take_over, "--take-over "),
        (args.elsewhere, "--elsewhere "),
        (args.leave.is_given(), "--leave-drained "),
        (args.standby, "--standby "),
    ] {
        text += if given { option } else { "" };
    }
    text
}

fn describe(end: RunEnd) -> &'static str {
    match end {
        RunEnd::Succeeded => "it succeeded",
        RunEnd::Failed => "some workers failed",
        RunEnd::Aborted => "it was aborted",
    }
}

/// The workspace is left out: whoever continues with its changes has just said so.
fn show_changes(changes: &[Change], context: &Context) {
    for change in changes {
        let message = match change {
            Change::PlanFile(file) => format!("{file} has changed since the run began"),
            Change::Program(began) => {
                format!("the run was started by maand {began}, this is {}", env!("CARGO_PKG_VERSION"))
            }
            Change::Workers => "workers.json has changed since the run began".to_owned(),
            Change::Workspace(_) => continue,
        };
        let problem = Problem::warning("maand::run::changed", message)
            .help("the run continues with what it began with, as the journal has it");
        out::diagnose(&problem, context.colors);
    }
}
