//! A stand-in for the upstream program, written from what was observed of a real build of it: its
//! commands, exit codes and streams, its database, and above all what goes wrong with it. It has no
//! lock; a second `build` or `deploy` destroys the staging folder of the first, and only then notices that
//! the database is locked, so that the first one deletes the files of its job on every worker and reports
//! success; one worker that is down fails a deploy for all; every deploy that finds the database free raises
//! `update_seq`, and few of them tell the workers; a template cannot be rendered where it names a port of a
//! job that is disabled everywhere.
//!
//! It is an example target, so that `cargo test` builds it and `cargo install` leaves it out. It uses
//! nothing of this package, and the `ssh` client of OpenSSH as upstream does. The port is 22, whatever
//! `ssh_port` says, but for what a test writes to `stand-in/port` (an operator's ssh config could say the
//! same).
//!
//! For tests it keeps the folder `stand-in/` in the bucket: `log` has a line for the start and the end
//! of each command, and one when it finds another one running beside it; a file `hold.PHASE` there makes
//! a command wait at that phase until the file is gone.

mod build;
mod catalog;
mod deploy;
mod log;
mod operate;
mod remote;
mod template;

use std::path::PathBuf;
use std::process::ExitCode;

use log::Log;

/// Every error is a text, as upstream's are: printed on standard error, exit code 1.
type Result<T> = std::result::Result<T, String>;

/// Words for an error of the system.
fn text(what: &str) -> impl Fn(&dyn std::fmt::Display) -> String + '_ {
    move |error| format!("{what}: {error}")
}

/// The bucket: upstream always takes the current folder for it.
struct Bucket {
    root: PathBuf,
    log: Log,
}

impl Bucket {
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// Flags and words of the command line.
#[derive(Debug, Default)]
struct Arguments {
    words: Vec<String>,
    jobs: Vec<String>,
    allocations: Vec<String>,
    target: Option<String>,
    build: bool,
    dry_run: bool,
    force: bool,
    sync_only: bool,
    wait: bool,
}

impl Arguments {
    fn parse(all: &[String]) -> Result<Self> {
        let mut parsed = Self::default();
        let mut rest = all.iter();
        while let Some(argument) = rest.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let mut value = || {
                inline
                    .clone()
                    .or_else(|| rest.next().cloned())
                    .ok_or_else(|| format!("Error: flag needs an argument: {name}"))
            };
            match name {
                "--jobs" => parsed.jobs = list(&value()?),
                "--allocations" => parsed.allocations = list(&value()?),
                "--target" => parsed.target = Some(value()?),
                "--build" | "-b" => parsed.build = true,
                "--dry-run" | "-n" => parsed.dry_run = true,
                "--force" => parsed.force = true,
                "--sync-only" => parsed.sync_only = true,
                "--wait" => parsed.wait = true,
                "--verbose" => {}
                flag if flag.starts_with('-') => return Err(format!("Error: unknown flag: {flag}")),
                word => parsed.words.push(word.to_owned()),
            }
        }
        Ok(parsed)
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn run(bucket: &Bucket, arguments: &Arguments) -> Result<()> {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["help", ..] => {
            log::out("Usage:\n  maand [command]");
            Ok(())
        }
        ["init"] => catalog::init(bucket),
        ["build"] => build::build(bucket),
        ["deploy"] => {
            if arguments.build {
                build::build(bucket)?;
            }
            deploy::deploy(bucket, arguments)
        }
        ["health_check"] => operate::health_check(bucket, arguments),
        ["job", "run", job] => match arguments.target.as_deref() {
            Some(target) => operate::job(bucket, target, job, arguments),
            None => Err("Error: required flag(s) \"target\" not set".to_owned()),
        },
        ["job", target @ ("start" | "stop" | "restart" | "status"), job] => {
            operate::job(bucket, target, job, arguments)
        }
        ["job", "create", job] => operate::create(bucket, job),
        ["cat", table] => operate::cat(bucket, table),
        ["info"] => operate::info(bucket),
        ["gc"] => operate::gc(bucket),
        [command, ..] => Err(format!("Error: unknown command \"{command}\" for \"maand\"")),
    }
}

fn main() -> ExitCode {
    let all: Vec<String> = std::env::args().skip(1).collect();
    let arguments = match Arguments::parse(&all) {
        Ok(arguments) => arguments,
        Err(error) => {
            log::err(&error);
            return ExitCode::FAILURE;
        }
    };
    let bucket = std::env::current_dir().map_err(|error| text("current folder")(&error)).and_then(|root| {
        let log = Log::start(&root, &all)?;
        Ok(Bucket { root, log })
    });
    let done = bucket.and_then(|bucket| {
        let done = run(&bucket, &arguments);
        if let Err(error) = &done {
            log::err(error);
        }
        bucket.log.end(i32::from(done.is_err()))?;
        Ok(done)
    });
    match done {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(error) => {
            log::err(&error);
            ExitCode::FAILURE
        }
    }
}
