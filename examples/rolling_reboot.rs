//! Reboots the workers of a bucket one after the other, with maand as a library.
//!
//! ```sh
//! cargo run --example rolling_reboot -- ~/bucket          # checks everything, touches nothing
//! cargo run --example rolling_reboot -- ~/bucket --yes    # and reboots them
//! ```
//!
//! Another plan is used with `--plan FILE`. A run that was stopped is continued by `maand plan resume`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program with a command line")]

use std::path::PathBuf;
use std::process::ExitCode;

use maand::plan::{Source, counted};
use maand::report::{Lines, Plain};
use maand::run::{
    Connector, Consent, Left, Looked, Prepared, Run, RunError, RunOptions, RunRequest, RunResult, Site,
};

const PLAN: &str = include_str!("../plans/rolling-reboot.yaml");

struct Arguments {
    bucket: PathBuf,
    plan: Option<PathBuf>,
    yes: bool,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("usage: rolling_reboot BUCKET [--plan FILE] [--yes]");
        return ExitCode::from(2);
    };
    match reboot(&arguments) {
        Ok(code) => code,
        // Of several problems `Display` gives the number: they are shown one by one.
        Err(RunError::Input(problems)) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            ExitCode::FAILURE
        }
        Err(RunError::NotReady(bad)) => {
            bad.refused.iter().for_each(|(host, error)| eprintln!("{host}: {}", error.message));
            eprintln!("{bad}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn reboot(arguments: &Arguments) -> Result<ExitCode, RunError> {
    let source = match &arguments.plan {
        None => Source::new("rolling-reboot.yaml", PLAN),
        Some(path) => {
            let bytes =
                std::fs::read(path).map_err(|source| RunError::Unreadable { path: path.clone(), source })?;
            maand::plan::source_from_bytes(&path.to_string_lossy(), &bytes)?
        }
    };
    let site = Site::find(Some(&arguments.bucket), Connector::default())?;
    let request = RunRequest::new(&source, Vec::new())?;
    let prepared = Run::prepare(&site, &request, &|looked| {
        if let Looked::Ends(host, _) = looked {
            eprintln!("looked at {host}");
        }
    })?;
    print(&prepared);
    if !arguments.yes {
        println!("Nothing was touched; --yes carries it out.");
        return Ok(ExitCode::SUCCESS);
    }
    let run = prepared.start(&Consent::of_this_operator())?;
    println!("run {}", run.id());
    let result = run.carry_out(RunOptions {
        stop_on_signals: true,
        ..RunOptions::new(Plain::new(std::io::stdout(), Lines::All))
    })?;
    Ok(end(&result))
}

fn print(prepared: &Prepared) {
    let summary = &prepared.summary;
    println!(
        "{}: {} in {}: {}",
        summary.plan,
        counted(summary.workers.len(), "worker"),
        counted(summary.waves, "wave"),
        summary.workers.join(", ")
    );
    println!("each: {}", summary.steps.join(", "));
    println!("at most {} may fail", counted(summary.max_failures as usize, "worker"));
    for (host, why) in &summary.unreachable {
        println!("counts as failed: {host}: {why}");
    }
    for change in prepared.pending.iter().flat_map(|pending| &pending.jobs) {
        println!("pending besides: {}", change.line());
    }
    for warning in summary.warnings.iter() {
        println!("warning: {warning}");
    }
}

fn end(result: &RunResult) -> ExitCode {
    use maand::engine::{RunEnd, RunStatus};
    match &result.left {
        Left::Idle(RunStatus::Finished(RunEnd::Succeeded)) => ExitCode::SUCCESS,
        Left::Idle(_) => {
            println!("`maand plan status {}` says where it stands", result.run);
            ExitCode::FAILURE
        }
        Left::ForcedStop { in_doubt: undecided, repeated } => {
            println!("stopped at once; in doubt: {}", undecided.join(", "));
            println!("looked at or done again by a resume: {}", repeated.join(", "));
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments { bucket: PathBuf::new(), plan: None, yes: false };
    let mut all = std::env::args_os().skip(1);
    while let Some(argument) = all.next() {
        match argument.to_str() {
            Some("--yes") => found.yes = true,
            Some("--plan") => found.plan = Some(all.next()?.into()),
            Some(flag) if flag.starts_with("--") => return None,
            _ => found.bucket = argument.into(),
        }
    }
    (!found.bucket.as_os_str().is_empty()).then_some(found)
}
