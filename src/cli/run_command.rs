//! `maand run_command`: arguments, live output and the summary; the work is done by the library.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::document::{self, Document};
use super::hosts::HostPattern;
use super::open_bucket::OpenBucket;
use super::operate::Once;
use super::table::{Table, or_dash};
use super::{CliError, Context, Exit, engine, interrupt, out};
use crate::bucket::Host;
use crate::bucket::lock::Guard;
use crate::catalog::command::{
    BACK_WITHIN, CommandOutcome, CommandRequest, CommandResult, Observer, run_command,
};
use crate::catalog::{Call, Catalog, Cuts, HealthRequest, WorkerOutcome};
use crate::plan::Problem;
use crate::ssh::{Cancel, OUTPUT_KEPT, Stream, visible};

/// Arguments of `maand run_command`.
#[derive(Debug, Args)]
pub struct RunCommandArgs {
    /// The shell command [default: the text of workspace/command.sh]
    #[arg(value_name = "CMD")]
    command: Option<String>,
    /// Run it on these workers [default: all]
    #[arg(short, long, visible_alias = "worker", value_delimiter = ',', value_name = "HOST,..")]
    #[arg(conflicts_with = "labels")]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
    /// Run it on the workers with any of these labels
    #[arg(short, long, value_delimiter = ',', value_name = "LABEL,..")]
    labels: Vec<String>,
    /// Maximum number of workers at a time
    #[arg(short, long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
    /// Check the health of all jobs after each batch of N workers
    #[arg(long = "health_check", alias = "health-check")]
    health_check: bool,
    /// Continue with further workers after a failure
    #[arg(long)]
    keep_going: bool,
    /// Timeout of the command on one worker, which ends it even when this program is gone
    /// [default: 3600, as long as this program lives]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    timeout: Option<u64>,
    /// Accepted for scripts; this command never asks
    #[arg(short, long)]
    yes: bool,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct RunCommandDocument<'a> {
    /// What was run.
    command: &'a str,
    /// Number of workers on which it succeeded.
    ok: usize,
    /// Number of workers.
    of: usize,
    /// How long all of it took, in seconds.
    seconds: f64,
    /// With `--health_check`: what was unhealthy after a batch; `null`: nothing was.
    health_check: Option<&'a str>,
    /// In the order in which they were taken.
    workers: Vec<RanJson<'a>>,
}

/// How the command went on one worker.
#[derive(Serialize, JsonSchema)]
struct RanJson<'a> {
    /// The worker.
    host: &'a str,
    /// `ok`, `rebooted`, `failed`, `not_run`, `not_rebooted`, `not_back`, `timed_out`, `unreachable`,
    /// `unknown` or `not_started`.
    result: &'static str,
    /// It went well: `ok` or `rebooted`.
    ok: bool,
    /// The command's, where it was seen.
    exit_code: Option<i32>,
    /// What else there is to say.
    detail: String,
    /// From the first attempt to connect to the end, in seconds.
    seconds: f64,
    /// The first MiB of it, as text.
    stdout: &'a str,
    /// The first MiB of it, as text.
    stderr: &'a str,
    /// How many more bytes were printed.
    dropped_bytes: u64,
}

impl<'a> RanJson<'a> {
    fn of(result: &'a CommandResult, kept: Option<&'a [Kept; 2]>) -> Self {
        let text = |at: usize| kept.map_or("", |streams| streams[at].text.as_str());
        let dropped = |at: usize| kept.map_or(0, |streams| streams[at].dropped);
        Self {
            host: result.host.as_str(),
            result: result.outcome.word(),
            ok: result.outcome.is_ok(),
            exit_code: match result.outcome {
                CommandOutcome::Succeeded => Some(0),
                CommandOutcome::Failed { code } => Some(code),
                _ => None,
            },
            detail: result.outcome.detail(),
            seconds: result.took.as_secs_f64(),
            stdout: text(0),
            stderr: text(1),
            dropped_bytes: dropped(0) + dropped(1),
        }
    }
}

impl Document for RunCommandDocument<'_> {
    const NAME: &'static str = "run-command";
}

/// Without `--timeout`, in seconds.
const DEFAULT_TIMEOUT: u64 = 3600;

/// A `command.sh` is not larger than this.
const COMMAND_LIMIT: u64 = 1 << 20;

/// Runs the command.
pub(super) fn run(args: RunCommandArgs, context: &Context) -> Result<Exit, CliError> {
    let world = OpenBucket::open(context)?;
    let command = command(&args, &world)?;
    let labels = args.labels.iter().map(|label| HostPattern::label(label));
    let hosts = world.select(&args.workers.iter().cloned().chain(labels).collect::<Vec<_>>())?;
    if hosts.is_empty() {
        return Err(Problem::error("maand::run_command::no_workers", "there is no worker to run it on")
            .help("list workers in workspace/workers.json")
            .into());
    }
    // Accepted, and without a meaning: see its help.
    let _ = args.yes;
    let cancel = Cancel::new();
    let meaning = "interrupted: no further worker is started, and what runs is ended";
    interrupt::listen(&cancel, meaning, context.manner())?;
    let lock = Arc::new(world.lock("maand run_command", &cancel)?);
    let health = args.health_check.then(|| Health::new(&world, context, &lock, &cancel)).transpose()?;
    let request = CommandRequest {
        bucket_id: world.fleet.bucket_id.clone(),
        concurrency: args.concurrency as usize,
        keep_going: args.keep_going,
        timeout: Duration::from_secs(args.timeout.unwrap_or(DEFAULT_TIMEOUT)),
        watchdog: args.timeout.is_some(),
        back_within: BACK_WITHIN,
        batches: args.health_check,
        command,
        hosts,
    };
    let live = Live::new(&request, health, context);
    let began = Instant::now();
    let results = run_command(world.remote.as_ref(), &request, &live, &cancel);
    drop(lock);
    live.summary(&request, &results, began.elapsed(), context)?;
    Ok(exit(&results, live.health_failed(), cancel.is_cancelled()))
}

/// The text of the argument, or of `workspace/command.sh`.
fn command(args: &RunCommandArgs, world: &OpenBucket) -> Result<String, CliError> {
    if let Some(command) = &args.command {
        if command.trim().is_empty() || command.contains('\0') {
            return Err(CliError::usage(
                "the command is empty",
                "give one, such as `maand run_command \"uptime\"`",
            ));
        }
        return Ok(command.clone());
    }
    let path = &world.bucket.paths().command_sh;
    let missing = |why: String| {
        Problem::error("maand::run_command::no_command", format!("{}: {why}", path.display()))
            .help("give a command, such as `maand run_command \"uptime\"`, or write it into that file")
    };
    let Some(source) = world.bucket.command_text(COMMAND_LIMIT)? else {
        return Err(missing("no command was given, and this file is not there".to_owned()).into());
    };
    let text = source.text().to_owned();
    if text.trim().is_empty() || text.contains('\0') {
        return Err(missing("there is no command in it".to_owned()).into());
    }
    Ok(text)
}

/// 1 where something went wrong; 5 where nothing did and workers are left because of a signal.
fn exit(results: &[CommandResult], health_failed: bool, interrupted: bool) -> Exit {
    let bad = |result: &CommandResult| {
        !result.outcome.is_ok() && !matches!(result.outcome, CommandOutcome::NotStarted { .. })
    };
    if health_failed || results.iter().any(bad) {
        Exit::Failed
    } else if results.iter().all(|result| result.outcome.is_ok()) {
        Exit::Done
    } else if interrupted {
        Exit::Resumable
    } else {
        Exit::Failed
    }
}

/// `--health_check`: all jobs, on all workers, with the patience of `maand health_check --wait`.
struct Health {
    catalog: Arc<dyn Catalog>,
    call: Call,
}

impl Health {
    /// An engine that cannot do it says so before anything is run.
    fn new(
        world: &OpenBucket,
        context: &Context,
        lock: &Arc<Guard>,
        cancel: &Cancel,
    ) -> Result<Self, CliError> {
        let catalog = engine::under(world, context, lock)?;
        catalog.allocations().map_err(super::engine::catalog_error)?;
        let call = Call {
            stopping: Cancel::new(),
            cancel: cancel.clone(),
            until: Instant::now() + LONGEST,
            output: Arc::new(|_, _| ()),
            fence: None,
            cuts: Cuts::default(),
        };
        Ok(Self { catalog, call })
    }

    /// `Err` says what is unhealthy.
    fn run(&self) -> Result<(), String> {
        let request = HealthRequest { wait: true, ..HealthRequest::default() };
        let report = self.catalog.health(&request, &self.call).map_err(|error| error.to_string())?;
        let workers = report.workers.iter().map(|(host, outcome)| (host.to_string(), outcome));
        let jobs =
            report.allocations.iter().map(|line| (format!("{} on {}", line.job, line.host), &line.outcome));
        let bad = |(what, outcome): (String, &WorkerOutcome)| match outcome {
            WorkerOutcome::Ok { .. } => None,
            WorkerOutcome::Failed { error, .. }
            | WorkerOutcome::NotBegun { error }
            | WorkerOutcome::Unreachable { error } => Some(format!("{what}: {error}")),
            WorkerOutcome::Unknown { why } => Some(format!("{what}: {why}")),
        };
        let all: Vec<String> = workers.chain(jobs).filter_map(bad).collect();
        match all.as_slice() {
            [] => Ok(()),
            [one] => Err(one.clone()),
            [first, rest @ ..] => Err(format!("{first} (and {} more)", rest.len())),
        }
    }
}

/// Every wait has an end.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Shows what happens as it happens.
struct Live {
    json: bool,
    quiet: bool,
    width: usize,
    /// For JSON: what each worker printed.
    kept: Mutex<BTreeMap<Host, [Kept; 2]>>,
    check: Option<Health>,
    /// What was said of a worker that cannot be reached.
    said: Mutex<Once>,
    /// Why a check after a batch failed.
    health: Mutex<Option<String>>,
}

/// The beginning of one stream.
#[derive(Default)]
struct Kept {
    text: String,
    dropped: u64,
}

impl Live {
    fn new(request: &CommandRequest, check: Option<Health>, context: &Context) -> Self {
        let width = request.hosts.iter().map(|host| host.as_str().width()).max().unwrap_or(0).min(40);
        Self {
            json: context.json,
            quiet: context.quiet,
            width,
            kept: Mutex::new(BTreeMap::new()),
            check,
            said: Mutex::default(),
            health: Mutex::new(None),
        }
    }

    fn health_failed(&self) -> bool {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whole lines in one go, so that workers do not cut into each other's.
    fn write(&self, host: &Host, to_stdout: bool, text: &str) {
        let head = format!("{host:<width$} | ", width = self.width);
        let mut line = String::with_capacity(text.len() + head.len() * 2);
        for part in text.split('\n') {
            line.push_str(&head);
            line.push_str(&visible(part.as_bytes()));
            line.push('\n');
        }
        let _ = if to_stdout && !self.json {
            std::io::stdout().lock().write_all(line.as_bytes())
        } else {
            std::io::stderr().lock().write_all(line.as_bytes())
        };
    }

    fn summary(
        &self,
        request: &CommandRequest,
        results: &[CommandResult],
        took: Duration,
        context: &Context,
    ) -> Result<(), CliError> {
        let ok = results.iter().filter(|result| result.outcome.is_ok()).count();
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.json {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            return document::print(&RunCommandDocument {
                command: &request.command,
                ok,
                of: results.len(),
                seconds: took.as_secs_f64(),
                health_check: health.as_deref(),
                workers: results.iter().map(|result| RanJson::of(result, kept.get(&result.host))).collect(),
            });
        }
        if context.quiet && ok == results.len() && health.is_none() {
            return Ok(());
        }
        // Of a large fleet only what went wrong is of interest.
        let all = results.len() <= LISTED;
        let mut table = Table::new(&["HOST", "RESULT", "TIME", "DETAIL"]);
        let (mut rows, mut once) = (0, Once::default());
        for result in results.iter().filter(|result| all || !result.outcome.is_ok()) {
            rows += 1;
            table.row(vec![
                result.host.to_string(),
                result.outcome.word().to_owned(),
                format!("{:.1}s", result.took.as_secs_f64()),
                or_dash(once.of(result.host.as_str(), &result.outcome.detail())),
            ]);
        }
        let mut text = String::from("\n");
        if rows > 0 {
            text.push_str(&table.render());
        }
        text.push_str(&format!("{ok} of {} ok in {:.1}s\n", results.len(), took.as_secs_f64()));
        if let Some(why) = health {
            text.push_str(&format!("health check: {why}\n"));
        }
        out::print(&text)
    }
}

/// A fleet up to this size is listed whole in the summary.
const LISTED: usize = 50;

impl Observer for Live {
    fn started(&self, _host: &Host) {}

    fn lines(&self, host: &Host, stream: Stream, lines: &str) {
        let line = lines;
        if self.json {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = &mut kept.entry(host.clone()).or_default()[usize::from(stream == Stream::Stderr)];
            if kept.text.len() + line.len() < OUTPUT_KEPT {
                kept.text.push_str(line);
                kept.text.push('\n');
            } else {
                kept.dropped += line.len() as u64 + 1;
            }
        }
        self.write(host, stream == Stream::Stdout, line);
    }

    fn note(&self, host: &Host, text: &str) {
        if !self.quiet {
            self.write(host, false, &format!("({text})"));
        }
    }

    fn finished(&self, result: &CommandResult) {
        if !result.outcome.is_ok() && !matches!(result.outcome, CommandOutcome::NotStarted { .. }) {
            let detail = result.outcome.detail();
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            let text = format!("({}: {})", result.outcome.word(), said.of(result.host.as_str(), &detail));
            self.write(&result.host, false, &text);
        } else if !self.quiet
            && let CommandOutcome::Rebooted { .. } = result.outcome
        {
            self.write(&result.host, false, &format!("(rebooted: {})", result.outcome.detail()));
        }
    }

    fn after_batch(&self) -> Result<(), String> {
        let Some(check) = &self.check else { return Ok(()) };
        let result = check.run();
        if let Err(why) = &result {
            let mut first = self.health.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| why.clone());
        }
        result.map_err(|why| format!("health check: {why}"))
    }
}
