//! What the commands that operate a bucket share: opening it, the transport, the engine, Ctrl-C, names
//! from the command line, and reports as tables and JSON.
//!
//! These commands have the names and flags of upstream's and, like those, ask nothing: what is typed
//! is done, so that `maand build && maand deploy` works in a script as it is in upstream's guide.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::Engine;
use super::table::{Table, or_dash};
use super::{CliError, Context, Exit, out};
use crate::bucket::{Bucket, Host, HostKeyCheck, JobName, Worker};
use crate::catalog::{
    AllocationReport, Builtin, Call, Catalog, CatalogError, Report, WorkerOutcome, action_name,
};
use crate::plan::{Problem, Problems};
use crate::ssh::{self, Cancel, Endpoint, HostProfile, Notice, Remote, Ssh2Remote};

/// A whole operation that nobody bounds: a day, so that every wait has an end.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// An opened bucket with its engine.
pub(super) struct Operation {
    pub(super) catalog: Box<dyn Catalog>,
    pub(super) call: Call,
    /// Set by the first Ctrl-C.
    pub(super) cancel: Cancel,
}

impl Operation {
    /// Opens the bucket and its engine; `make_timeout` bounds one run of make.
    pub(super) fn open(context: &Context, make_timeout: Option<Duration>) -> Result<Self, CliError> {
        let bucket = Arc::new(Bucket::find(context.bucket.as_deref())?);
        let catalog: Box<dyn Catalog> = match context.engine_for(&bucket) {
            Engine::Builtin => {
                let workers = known_workers(&bucket);
                let builtin = Builtin::new(Arc::clone(&bucket), remote(&bucket, &workers, context)?);
                Box::new(match make_timeout {
                    Some(timeout) => builtin.with_make_timeout(timeout),
                    None => builtin,
                })
            }
            Engine::External => {
                return Err(Problem::error(
                    "maand::engine::external",
                    "this bucket is operated by an installed upstream maand, and so is this command",
                )
                .help("type it with that program; here `maand plan` drives it as a whole")
                .into());
            }
        };
        let cancel = Cancel::new();
        cancel_on_signals(&cancel)?;
        let output = printer(context);
        let call = Call { cancel: cancel.clone(), until: Instant::now() + LONGEST, output, fence: None };
        Ok(Self { catalog, call, cancel })
    }

    /// The exit code of what was seen. Stopped by Ctrl-C with nothing else wrong can be gone on with.
    pub(super) fn exit<'o>(&self, outcomes: impl IntoIterator<Item = &'o WorkerOutcome>) -> Exit {
        let bad: Vec<&WorkerOutcome> = outcomes.into_iter().filter(|outcome| !outcome.is_ok()).collect();
        let by_us = |outcome: &&WorkerOutcome| match outcome {
            WorkerOutcome::Failed { error, .. } => error.contains("not begun: cancelled"),
            WorkerOutcome::Unknown { .. } | WorkerOutcome::Unreachable { .. } => true,
            WorkerOutcome::Ok { .. } => false,
        };
        match (bad.is_empty(), self.cancel.is_cancelled()) {
            (true, _) => Exit::Done,
            (false, true) if bad.iter().all(by_us) => Exit::Resumable,
            (false, _) => Exit::Failed,
        }
    }
}

/// Workers as the catalog knows them (those that wait for their removal too), else as the workspace
/// does: how they are reached.
fn known_workers(bucket: &Bucket) -> Vec<Worker> {
    let mut workers: BTreeMap<Host, Worker> = BTreeMap::new();
    let built = crate::catalog::built_workers(bucket).unwrap_or_default();
    workers.extend(built.into_iter().map(|worker| (worker.host.clone(), worker)));
    // What is wrong with the workspace is said by the commands that read it.
    if let Ok((fleet, _)) = bucket.load() {
        workers.extend(fleet.workers.into_iter().map(|worker| (worker.host.clone(), worker)));
    }
    workers.into_values().collect()
}

/// The transport to these workers as `maand.conf` and the user's own files say.
pub(super) fn remote(
    bucket: &Bucket,
    workers: &[Worker],
    context: &Context,
) -> Result<Arc<dyn Remote>, CliError> {
    let settings = bucket.settings();
    let bucket_id = bucket.bucket_id()?.to_owned();
    let of_profiles = settings.clone();
    let profiles = Arc::new(move |host: &Host| {
        let root = of_profiles.root_of(host);
        let below = |path: &Path| match &root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        };
        let state = Path::new(&bucket_id).join(host.as_str());
        HostProfile {
            worker_dir: below(&of_profiles.worker_root.join(&bucket_id)),
            state_dir: below(&Path::new("/var/lib/maand").join(&state)),
            state_dir_in_home: Path::new(".maand").join(&state),
            boot_id: below(Path::new("/proc/sys/kernel/random/boot_id")),
            nologin: below(Path::new("/run/nologin")),
            use_sudo: of_profiles.use_sudo,
            sandbox: of_profiles.sandbox,
        }
    });
    let known_hosts = bucket.paths().known_hosts.clone();
    let mut of_ssh = if settings.sandbox {
        ssh::Settings::bare(known_hosts, profiles)
    } else {
        ssh::Settings::of_this_user(known_hosts, profiles)
    };
    of_ssh.endpoints = workers
        .iter()
        .map(|worker| {
            (worker.host.clone(), Endpoint { port: worker.ssh_port, user: worker.ssh_user.clone() })
        })
        .collect();
    of_ssh.port = settings.states("ssh_port").then_some(settings.ssh_port);
    of_ssh.user = settings.states("ssh_user").then(|| settings.ssh_user.clone());
    of_ssh.default_user = settings.ssh_user.clone();
    of_ssh.key = Some(settings.ssh_key.clone());
    of_ssh.host_key_check = match settings.host_key_check {
        HostKeyCheck::AcceptNew => ssh::HostKeyCheck::AcceptNew,
        HostKeyCheck::Strict => ssh::HostKeyCheck::Strict,
    };
    if !settings.ssh_config {
        of_ssh.ssh_config = None;
    }
    of_ssh.deadlines.connect = settings.connect_timeout;
    of_ssh.handshakes = settings.max_handshakes as usize;
    let quiet = context.quiet;
    of_ssh.show = Some(Arc::new(move |notice: &Notice| match notice {
        Notice::HostKeyStored { host, fingerprint, file } if !quiet => {
            say(&format!("{host}: new host key {fingerprint}, stored in {}", file.display()));
        }
        Notice::HostKeyStored { .. } => {}
        Notice::HostKeyNotStored { host, fingerprint, file, why } => {
            say(&format!(
                "{host}: new host key {fingerprint} could not be stored in {}: {why}",
                file.display()
            ));
        }
    }));
    Ok(Arc::new(Ssh2Remote::new(of_ssh)))
}

/// Writes a line to standard error; a closed one is nobody's problem any more.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Shows lines as they come, as upstream does: `host | line` on standard error.
fn printer(context: &Context) -> Arc<dyn Fn(Option<&Host>, &str) + Send + Sync> {
    let quiet = context.quiet;
    Arc::new(move |host, line| {
        if quiet {
            return;
        }
        let line = ssh::visible(line.as_bytes());
        match host {
            Some(host) => say(&format!("{host} | {line}")),
            None => say(&line),
        }
    })
}

/// The first SIGINT or SIGTERM asks for the end; the second ends this process.
fn cancel_on_signals(cancel: &Cancel) -> Result<(), CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let broken = |error: std::io::Error| {
        CliError::new(
            Exit::Failed,
            Problem::error("maand::signals", format!("signals can not be caught: {error}")),
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    let entered = runtime.enter();
    let (mut interrupt, mut terminate) =
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(error), _) | (_, Err(error)) => return Err(broken(error)),
        };
    drop(entered);
    let cancel = cancel.clone();
    let wait = move || {
        runtime.block_on(async {
            loop {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                if cancel.is_cancelled() {
                    // What is under way is in the catalog; the next deploy takes it up.
                    std::process::exit(Exit::Resumable as i32);
                }
                say("stopping: what is under way is ended; again: at once");
                cancel.cancel();
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop).map_err(broken)
}

impl From<CatalogError> for CliError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Invalid(problems) => problems.into(),
            CatalogError::Locked { what, holder } => Self::new(
                Exit::Locked,
                Problem::error("maand::locked", format!("{what} is held by {holder}"))
                    .help("wait for it to end, or end that process; the lock ends with it"),
            ),
            CatalogError::Cancelled(why) => Self::new(
                Exit::Resumable,
                Problem::error("maand::cancelled", why).help("nothing was begun; run the command again"),
            ),
            CatalogError::Broken(why) => Self::new(
                Exit::Failed,
                Problem::error("maand::catalog::broken", why)
                    .help("what was under way is in the catalog: put it right and run the command again"),
            ),
        }
    }
}

/// Job names from the command line.
pub(super) fn jobs(names: &[String]) -> Result<Option<Vec<JobName>>, CliError> {
    parsed(names, "job", JobName::parse)
}

/// Hosts from the command line.
pub(super) fn hosts(names: &[String]) -> Result<Option<Vec<Host>>, CliError> {
    parsed(names, "worker", Host::parse)
}

fn parsed<T>(
    names: &[String],
    what: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<Vec<T>>, CliError> {
    let mut problems = Problems::new();
    let mut all = Vec::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        match parse(name) {
            Some(name) => all.push(name),
            None => problems.push(
                Problem::error("maand::usage", format!("{name:?} can not be the name of a {what}"))
                    .help(format!("see `maand cat {what}s`")),
            ),
        }
    }
    if !problems.is_empty() {
        return Err(problems.into());
    }
    Ok((!names.is_empty()).then_some(all))
}

/// One word for an outcome.
pub(super) fn word(outcome: &WorkerOutcome) -> &'static str {
    match outcome {
        WorkerOutcome::Ok { .. } => "ok",
        WorkerOutcome::Failed { .. } => "failed",
        WorkerOutcome::Unreachable { .. } => "unreachable",
        WorkerOutcome::Unknown { .. } => "unknown",
    }
}

/// What there is to say about an outcome, in one line.
pub(super) fn detail(outcome: &WorkerOutcome) -> &str {
    match outcome {
        WorkerOutcome::Ok { evidence } => evidence,
        WorkerOutcome::Failed { error, .. } | WorkerOutcome::Unreachable { error } => error,
        WorkerOutcome::Unknown { why } => why,
    }
}

/// An outcome in JSON: `{outcome, detail, output}`.
pub(super) fn outcome_json(outcome: &WorkerOutcome) -> Value {
    let output = match outcome {
        WorkerOutcome::Failed { output, .. } => output.as_deref(),
        _ => None,
    };
    json!({"outcome": word(outcome), "detail": detail(outcome), "output": output})
}

/// A report in JSON.
pub(super) fn report_json(report: &Report) -> Value {
    let with = |mut value: Value, outcome: &Option<WorkerOutcome>| {
        if let (Value::Object(fields), Some(Value::Object(more))) =
            (&mut value, outcome.as_ref().map(outcome_json))
        {
            fields.extend(more);
        }
        value
    };
    let workers = report
        .workers
        .iter()
        .map(|(host, outcome)| with(json!({"host": host.as_str()}), &Some(outcome.clone())));
    let allocations = report.allocations.iter().map(|line| with(allocation_json(line), &line.outcome));
    json!({
        "ok": report.all_ok(),
        "workers": workers.collect::<Vec<_>>(),
        "allocations": allocations.collect::<Vec<_>>(),
    })
}

/// An allocation of a report in JSON, without its outcome.
pub(super) fn allocation_json(line: &AllocationReport) -> Value {
    json!({
        "job": line.job.as_str(),
        "host": line.host.as_str(),
        "action": action_name(line.action),
        "reason": line.reason,
    })
}

/// Allocations as a table. `what` heads the column of actions.
pub(super) fn allocations_table<'l>(
    lines: impl IntoIterator<Item = &'l AllocationReport>,
    dry: bool,
) -> String {
    let mut table = if dry {
        Table::new(&["JOB", "WORKER", "ACTION", "REASON"])
    } else {
        Table::new(&["JOB", "WORKER", "ACTION", "OUTCOME", "DETAIL"])
    };
    for line in lines {
        let mut row = vec![line.job.to_string(), line.host.to_string(), action_name(line.action).to_owned()];
        match (&line.outcome, dry) {
            (_, true) => row.push(line.reason.clone()),
            (Some(outcome), false) => row.extend([word(outcome).to_owned(), or_dash(detail(outcome))]),
            (None, false) => row.extend(["-".to_owned(), line.reason.clone()]),
        }
        table.row(row);
    }
    table.render()
}

/// The workers that something went wrong with although no allocation of theirs says so.
pub(super) fn print_bad_workers(report: &Report) {
    for (host, outcome) in report.workers.iter().filter(|(_, outcome)| !outcome.is_ok()) {
        let said = report
            .allocations
            .iter()
            .any(|line| line.host == *host && line.outcome.as_ref().is_some_and(|outcome| !outcome.is_ok()));
        if !said {
            say(&format!("{host}: {}: {}", word(outcome), detail(outcome)));
        }
    }
}

/// The last words of what failed, on standard error.
pub(super) fn print_outputs(report: &Report, context: &Context) {
    for line in &report.allocations {
        if let Some(WorkerOutcome::Failed { output: Some(output), .. }) = &line.outcome
            && !context.json
            && context.verbose > 0
        {
            say(&format!("--- {} on {}", line.job, line.host));
            output.lines().for_each(|text| say(&ssh::visible(text.as_bytes())));
        }
    }
}

/// Prints a report as the context wants it.
pub(super) fn print_report(report: &Report, context: &Context) -> Result<(), CliError> {
    if context.json {
        out::print_json(&report_json(report))?;
    } else {
        let shown: Vec<&AllocationReport> =
            report.allocations.iter().filter(|line| line.outcome.is_some()).collect();
        if !shown.is_empty() {
            out::print(&allocations_table(shown, false))?;
        }
        print_bad_workers(report);
    }
    print_outputs(report, context);
    Ok(())
}
