//! `maand plan apply`: checks everything, asks, and carries the plan out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use sha2::{Digest, Sha256};

use super::super::ask::Consent;
use super::super::{CliError, Context, Exit, out};
use super::read::{parse_set, read_plan};
use super::session::{self, Session, Stored};
use crate::bucket::Bucket;
use crate::catalog::{Action, DeployRequest};
use crate::engine::{Check, ErrorKind, Fact};
use crate::graph::{self, CompileOptions, RolloutGraph, TargetIx};
use crate::journal::{Holder, Journal, RUNS_KEPT, RUNS_KEPT_FOR, RunHeader, StepKinds};
use crate::plan::{self, CommandSource, Located, Plan, Problem, Problems, Step, StepKind, counted};
use crate::policy;
use crate::runner;

/// A script file of a plan may have at most this many bytes: it is kept with the run.
const SCRIPT_LIMIT: u64 = 1024 * 1024;

/// Arguments of `maand plan apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The plan file; `-` reads standard input
    #[arg(value_name = "PLAN")]
    plan: String,
    /// Only these hosts of the plan's workers
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    workers: Option<Vec<String>>,
    /// Sets a variable of the plan; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    consent: Consent,
}

/// Carries it out.
pub(super) fn run(args: &ApplyArgs, context: &Context) -> Result<Exit, CliError> {
    let source = read_plan(&args.plan)?;
    let plan = Arc::new(plan::parse(&source, &args.set)?);
    let (bucket, journal) = session::open(context)?;
    let (fleet, warnings) = bucket.load()?;
    let options = CompileOptions { workers: args.workers.clone() };
    let mut graph = graph::compile(&plan, &Arc::new(fleet), &options)?;
    graph.warnings.extend(warnings);
    let feasibility = policy::feasibility(&graph);
    if feasibility.has_errors() {
        return Err(feasibility.into());
    }
    graph.warnings.extend(feasibility);
    let differences = super::super::engine::differences(&graph, &bucket, context);
    if differences.has_errors() {
        return Err(differences.into());
    }
    graph.warnings.extend(differences);
    let scripts = read_scripts(&plan, &args.plan, Some(&bucket.paths().root))?;
    let graph = Arc::new(graph);

    let lock = Arc::new(session::lock(&bucket, None)?);
    if let Some(unfinished) = journal.unfinished()? {
        return Err(CliError::new(Exit::Locked, unfinished_run(&unfinished.to_string())));
    }
    journal.check_space(Journal::space_for(graph.targets.len() as u64, plan.steps.len() as u64))?;
    let outside = session::outside(&bucket, &graph, context)?;
    let workspace_hash = runner::workspace_hash(&bucket.paths().workspace).map_err(|error| {
        Problem::error("maand::bucket::unreadable", format!("the workspace can not be read: {error}"))
    })?;
    let header = header(args, &graph, &bucket, &workspace_hash, scripts)?;

    // Looks at every worker, and touches none. The run has no name yet; nothing of this is kept.
    let mut session = Session {
        outside,
        lock,
        workspace_hash,
        stored: Stored {
            id: crate::journal::RunId::draw(header.started_at),
            epoch: 1,
            header: header.clone(),
            graph: Arc::clone(&graph),
            facts: Vec::new(),
        },
        journal,
        bucket,
    };
    let mut checks = session.look()?;
    refuse_bad_start(&graph, &checks)?;

    let pending = pending_changes(&session, &graph)?;
    let summary = summary(&graph, &checks, &pending, &session, args);
    if !confirm(&summary, args, context)? {
        return Ok(Exit::Usage);
    }
    let started = Fact::RunStarted {
        workers: graph.targets.len() as u32,
        graph_hash: header.graph_hash.clone(),
        seed: header.seed,
    };
    let (id, facts) = session.journal.create_run(&header, &[started])?;
    session.journal.prune(RUNS_KEPT, runner::now() - RUNS_KEPT_FOR)?;
    session.stored.id = id;
    session.stored.facts = facts;
    session.name_lock()?;
    session.claim(&mut checks)?;
    session.run(vec![Fact::Preflight { checks }], None, context)
}

fn unfinished_run(run: &str) -> Problem {
    Problem::error("maand::run::unfinished", format!("run {run} of this bucket is not finished")).help(
        format!("go on with it: `maand plan resume {run}`; or end it for good: `maand plan abort {run}`"),
    )
}

fn header(
    args: &ApplyArgs,
    graph: &RolloutGraph,
    bucket: &Bucket,
    workspace_hash: &str,
    scripts: BTreeMap<String, String>,
) -> Result<RunHeader, CliError> {
    let plan = &graph.plan;
    let started_at = runner::now();
    let holder = Holder::this_process(None, started_at);
    let kinds = |steps: &[Step]| steps.iter().map(|step| step.kind.keyword().to_owned()).collect();
    Ok(RunHeader {
        plan: plan.name.clone(),
        plan_file: plan.source.name().to_owned(),
        plan_text: plan.source.text().to_owned(),
        plan_sha256: sha256(plan.source.text().as_bytes()),
        overrides: args.set.clone(),
        only_workers: args.workers.clone(),
        fleet: (*graph.fleet).clone(),
        graph_hash: graph.hash(),
        workers_sha256: workers_sha256(bucket)?,
        workspace_hash: workspace_hash.to_owned(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        who: holder.who.clone(),
        seed: seed(started_at, holder.process.pid),
        scripts,
        hosts: graph.target_indices().map(|target| graph.host(target).to_owned()).collect(),
        kinds: StepKinds {
            before: kinds(&plan.before),
            steps: kinds(&plan.steps),
            after: kinds(&plan.after),
        },
        started_at,
    })
}

fn seed(at: i64, pid: u32) -> u64 {
    let digest = Sha256::digest(format!("{at} {pid}").as_bytes());
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// SHA-256 of `workers.json`.
pub(super) fn workers_sha256(bucket: &Bucket) -> Result<String, CliError> {
    let path = &bucket.paths().workers_json;
    let bytes = std::fs::read(path).map_err(|error| {
        Problem::error("maand::bucket::unreadable", format!("{} can not be read: {error}", path.display()))
    })?;
    Ok(sha256(&bytes))
}

/// In hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the scripts that the plan names, relative to the plan file, else to the bucket's folder.
pub(super) fn read_scripts(
    plan: &Plan,
    file: &str,
    bucket: Option<&Path>,
) -> Result<BTreeMap<String, String>, CliError> {
    let beside = Path::new(file).parent().map(Path::to_path_buf).unwrap_or_default();
    let folders: Vec<_> = std::iter::once(beside).chain(bucket.map(Path::to_path_buf)).collect();
    let mut scripts = BTreeMap::new();
    let mut problems = Problems::new();
    for step in plan.before.iter().chain(&plan.steps).chain(&plan.after) {
        let (StepKind::Run(command) | StepKind::Local(command)) = &step.kind else { continue };
        let CommandSource::Script(path) = &command.action else { continue };
        match read_script(path, &folders) {
            Ok(text) => {
                scripts.insert(path.value.clone(), text);
            }
            Err(why) => problems.push(
                Problem::error(
                    "maand::plan::script",
                    format!("the script `{}` can not be used: {why}", path.value),
                )
                .at(&plan.source, path.span.clone(), "named here")
                .help("its place is relative to the plan file, or to the bucket's folder"),
            ),
        }
    }
    problems.into_result()?;
    Ok(scripts)
}

fn read_script(path: &Located<String>, folders: &[std::path::PathBuf]) -> Result<String, String> {
    let mut last = "there is no such file".to_owned();
    for folder in folders {
        let file = folder.join(&path.value);
        match std::fs::metadata(&file) {
            Ok(meta) if !meta.is_file() => last = format!("{} is no file", file.display()),
            Ok(meta) if meta.len() > SCRIPT_LIMIT => {
                last = format!("{} has more than {SCRIPT_LIMIT} bytes", file.display());
            }
            Ok(_) => return std::fs::read_to_string(&file).map_err(|error| error.to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// More workers can not be reached than may fail, or somebody else has one: nothing is touched.
fn refuse_bad_start(graph: &RolloutGraph, checks: &[Check]) -> Result<(), CliError> {
    let mut problems = Problems::new();
    let mut claimed = false;
    let mut failed = 0;
    for (at, check) in checks.iter().enumerate() {
        if let Check::Unreachable { error } = check {
            failed += 1;
            claimed |= error.kind == ErrorKind::Claimed;
            let host = graph.host(TargetIx(at as u32));
            let message = if error.message.contains(host) {
                error.message.clone()
            } else {
                format!("{host}: {}", error.message)
            };
            problems.push(Problem::error(code_of(error.kind), message).help(help_of(error.kind)));
        }
    }
    let allowed = policy::Limits::resolve(graph).max_failures;
    if claimed {
        return Err(CliError::new(Exit::Locked, problems));
    }
    if failed > allowed || failed as usize == checks.len() {
        let message = format!(
            "{failed} of {} can not take part, and the plan allows {allowed} to fail: nothing was touched",
            counted(checks.len(), "worker")
        );
        problems.push(
            Problem::error("maand::run::preflight", message)
                .help("mend them, leave them out (`targets: exclude`), or allow more with `max_failures`"),
        );
        return Err(CliError::new(Exit::Failed, problems));
    }
    Ok(())
}

fn code_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::HostKeyChanged => "maand::ssh::host_key_changed",
        ErrorKind::HostKeyUnknown => "maand::ssh::host_key_unknown",
        ErrorKind::AuthRefused => "maand::ssh::auth_refused",
        ErrorKind::SudoWantsPassword => "maand::ssh::sudo_wants_password",
        ErrorKind::MissingTool => "maand::run::missing_tool",
        ErrorKind::SameHost => "maand::run::same_host",
        ErrorKind::Claimed => "maand::run::claimed",
        ErrorKind::BootIdUnreadable => "maand::run::boot_id",
        _ => "maand::ssh::unreachable",
    }
}

fn help_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::HostKeyChanged => {
            "somebody may be in between, or the host was installed anew; when you know which: remove its line from secrets/known_hosts"
        }
        ErrorKind::HostKeyUnknown => {
            "add its key to secrets/known_hosts, or set host_key_check = \"accept-new\""
        }
        ErrorKind::AuthRefused => "is the public key of this bucket in authorized_keys there, for this user?",
        ErrorKind::SudoWantsPassword => "give the SSH user NOPASSWD in sudoers, or set use_sudo = false",
        ErrorKind::MissingTool => "install it there with the system's package manager",
        ErrorKind::SameHost => "leave one of the two out of workers.json, or out of the plan's targets",
        ErrorKind::Claimed => {
            "wait for that run; if it will never come back: `maand plan release --worker HOST`"
        }
        _ => "is it up, and is its address right? `maand health_check --verbose` looks again",
    }
}

/// What a deploy would bring besides the plan's own changes.
fn pending_changes(session: &Session, graph: &RolloutGraph) -> Result<Vec<String>, CliError> {
    let deploys = graph.plan.steps.iter().any(|step| matches!(step.kind, StepKind::Deploy { .. }));
    if !deploys {
        return Ok(Vec::new());
    }
    let workers =
        graph.target_indices().map(|target| graph.fleet.worker(graph.target(target).worker).host.clone());
    let request = DeployRequest { workers: Some(workers.collect()), ..DeployRequest::default() };
    let pending = session.outside.catalog.pending(&request).map_err(super::super::engine::catalog_error)?;
    Ok(pending
        .into_iter()
        .filter(|change| change.action != Action::Skip)
        .map(|change| format!("{} on {}: {:?} ({})", change.job, change.host, change.action, change.reason))
        .collect())
}

/// So many pending changes are listed.
const PENDING_SHOWN: usize = 10;

fn summary(
    graph: &RolloutGraph,
    checks: &[Check],
    pending: &[String],
    session: &Session,
    args: &ApplyArgs,
) -> String {
    let mut text = String::new();
    let limits = policy::Limits::resolve(graph);
    let hosts: Vec<&str> = graph.target_indices().map(|target| graph.host(target)).collect();
    let shown = if hosts.len() > 8 {
        format!("{} ... {}", hosts[..4].join(", "), hosts[hosts.len() - 2..].join(", "))
    } else {
        hosts.join(", ")
    };
    let steps: Vec<&str> = graph.plan.steps.iter().map(|step| step.id.as_str()).collect();
    let at_once =
        limits.concurrency.map_or_else(|| "as many as fit".to_owned(), |n| format!("{n} at a time"));
    let _ = writeln!(
        text,
        "Plan {} ({}): {} in {}, {at_once}",
        graph.plan.name,
        args.plan,
        counted(hosts.len(), "worker"),
        counted(graph.waves.len(), "wave")
    );
    let _ = writeln!(text, "  workers: {shown}");
    let _ = writeln!(text, "  steps:   {}", steps.join(" -> "));
    let halts = match limits.max_failures {
        0 => "the first failed worker".to_owned(),
        allowed => format!("failed worker {} ({allowed} may fail)", allowed + 1),
    };
    let _ = writeln!(text, "  halts at {halts}");
    for (at, check) in checks.iter().enumerate() {
        match check {
            Check::LeftAlone { reason } => {
                let _ = writeln!(text, "  {reason}");
            }
            Check::Unreachable { error } => {
                let host = graph.host(TargetIx(at as u32));
                let _ = writeln!(text, "  counts as failed: {host}: {}", error.message);
            }
            Check::Ready { .. } => {}
        }
    }
    if session.outside.catalog.capabilities().contacts_every_worker {
        let _ = writeln!(text, "  deploys contact every worker of the bucket (external engine)");
    }
    if !pending.is_empty() {
        let _ = writeln!(text, "  besides, its deploys would carry out what is pending in the workspace:");
        for change in pending.iter().take(PENDING_SHOWN) {
            let _ = writeln!(text, "    {change}");
        }
        if pending.len() > PENDING_SHOWN {
            let _ =
                writeln!(text, "    and {} more: `maand deploy --dry-run`", pending.len() - PENDING_SHOWN);
        }
    }
    for problem in graph.warnings.iter() {
        let _ = writeln!(text, "  warning: {problem}");
    }
    text
}

fn confirm(summary: &str, args: &ApplyArgs, context: &Context) -> Result<bool, CliError> {
    if !context.quiet {
        out::note(summary.trim_end());
    }
    let yes = args.consent.ask("Carry it out")?;
    if !yes {
        out::note("Nothing was touched.");
    }
    Ok(yes)
}
