//! `maand cat`: what the workspace says, as tables or JSON. It reads, never waits, never writes.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::document::{self, Document};
use super::hosts::{self, HostPattern, Known, Whose};
use super::open_bucket::OpenBucket;
use super::table::{Table, or_dash};
use super::{CliError, Context, Exit, engine, operate, out};
use crate::bucket::{Bucket, Fleet, Job, RestartPolicy, Worker};
use crate::catalog::{self, AssignedPorts, CatalogAllocation, external};
use crate::plan::{Problem, suggest};
use crate::run::Engine;

/// Columns of the screen for a list within a table.
const WIDEST_LIST: usize = 40;

/// The commands below `maand cat`.
#[derive(Debug, Subcommand)]
pub enum CatCommand {
    /// Show the workers
    Workers,
    /// Show the jobs
    Jobs,
    /// Show which job is on which worker
    Allocations(Filter),
    /// Show what was last deployed, and what is pending
    Deployments(Filter),
}

/// Which allocations are shown.
#[derive(Debug, Args)]
pub struct Filter {
    /// Only these jobs
    #[arg(long, value_delimiter = ',', value_name = "JOB,..")]
    #[arg(add = crate::cli::complete::jobs())]
    jobs: Vec<String>,
    /// Only on these workers
    #[arg(long, visible_alias = "worker", value_delimiter = ',', value_name = "HOST,..")]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
    /// Only enabled ones
    #[arg(long)]
    active: bool,
}

impl Filter {
    /// Looks the names up. One that does not exist is a typing error, and is reported instead of an empty table.
    fn resolve<'k>(&self, jobs: &BTreeSet<&str>, known: &[Known<'k>]) -> Result<Shown<'_, 'k>, CliError> {
        operate::not_blank(&self.jobs, "job")?;
        let named: Vec<&str> = self.jobs.iter().map(|job| job.trim()).filter(|job| !job.is_empty()).collect();
        if let Some(name) = named.iter().find(|name| !jobs.contains(*name)) {
            let help =
                suggest::did_you_mean(name, jobs.iter().copied(), || "see `maand cat jobs`".to_owned());
            let message = format!("there is no job `{name}`");
            return Err(Problem::error("maand::cat::unknown", message).help(help).into());
        }
        let hosts = hosts::choose(&self.workers, known, Whose::Shown)?.into_iter().collect();
        Ok(Shown { jobs: named, hosts, all_hosts: self.workers.is_empty(), active: self.active })
    }
}

/// Which allocations are shown, their names looked up.
struct Shown<'a, 'k> {
    /// Empty: all.
    jobs: Vec<&'a str>,
    hosts: BTreeSet<&'k str>,
    all_hosts: bool,
    active: bool,
}

impl Shown<'_, '_> {
    fn shows(&self, job: &str, host: &str, disabled: bool) -> bool {
        (self.jobs.is_empty() || self.jobs.contains(&job))
            && (self.all_hosts || self.hosts.contains(host))
            && !(self.active && disabled)
    }
}

/// Runs the command.
pub(super) fn run(command: CatCommand, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let (fleet, warnings) = bucket.load()?;
    context.warn(&warnings);
    match command {
        CatCommand::Deployments(filter) => {
            let world = OpenBucket::of(bucket, fleet, context)?;
            let all = engine::of(&world, context)?.allocations().map_err(engine::catalog_error)?;
            let names = all.iter().map(|one| one.job.as_str()).collect();
            let hosts: BTreeSet<&str> = all.iter().map(|one| one.host.as_str()).collect();
            let of_fleet = |host| world.fleet.workers.iter().find(|worker| worker.host.as_str() == host);
            let known = |host| of_fleet(host).map_or_else(|| Known::without_labels(host), Known::from);
            let known: Vec<Known<'_>> = hosts.into_iter().map(known).collect();
            show(context, deployments(&all, &filter.resolve(&names, &known)?))
        }
        CatCommand::Workers => show(context, workers(&fleet)),
        CatCommand::Jobs => {
            let ports = assigned_ports(&bucket, context);
            show(context, jobs(&fleet, &ports))
        }
        CatCommand::Allocations(filter) => {
            let names = fleet.jobs.iter().map(|job| job.name.as_str()).collect();
            let known: Vec<Known<'_>> = fleet.workers.iter().map(Known::from).collect();
            show(context, allocations(&fleet, &filter.resolve(&names, &known)?))
        }
    }
}

/// `maand cat workers` as JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct WorkersDocument<'a> {
    /// In the order of their positions.
    workers: Vec<WorkerJson<'a>>,
}

/// A worker as JSON.
#[derive(Serialize, JsonSchema)]
struct WorkerJson<'a> {
    #[serde(flatten)]
    worker: &'a Worker,
    /// `disabled.json` names it.
    disabled: bool,
}

/// `maand cat jobs` as JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct JobsDocument<'a> {
    /// In the order of their names.
    jobs: Vec<JobJson<'a>>,
}

/// A job as JSON.
#[derive(Serialize, JsonSchema)]
struct JobJson<'a> {
    #[serde(flatten)]
    job: &'a Job,
    /// Number of its allocations.
    allocations: usize,
    /// Number of its disabled allocations.
    disabled: usize,
    /// Numbers of its ports: written ones, and those that the last build gave; `null`: the next build gives one.
    ports: BTreeMap<&'a str, Option<u16>>,
}

/// `maand cat allocations` as JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct AllocationsDocument<'a> {
    /// By job, then worker.
    allocations: Vec<AllocationJson<'a>>,
}

/// An allocation as JSON.
#[derive(Serialize, JsonSchema)]
struct AllocationJson<'a> {
    /// The job.
    job: &'a str,
    /// The worker.
    host: &'a str,
    /// `disabled.json` covers it.
    disabled: bool,
    /// The job's version in the workspace.
    version: &'a str,
}

/// `maand cat deployments` as JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct DeploymentsDocument<'a> {
    /// In the order of deployment.
    deployments: Vec<DeploymentJson<'a>>,
}

/// A deployment as JSON.
#[derive(Serialize, JsonSchema)]
struct DeploymentJson<'a> {
    /// The job.
    job: &'a str,
    /// The worker.
    host: &'a str,
    /// What the next deploy makes of it: `new`, `changed`, `current`, `disabled`, `removed` or `gone`.
    rollout: &'static str,
    /// It is disabled.
    disabled: bool,
    /// It is no longer selected and waits for its removal.
    removed: bool,
    /// Lower ones are deployed first.
    deployment_seq: u32,
    /// Content last promoted there; `null`: it was never deployed.
    current_hash: Option<&'a str>,
    /// Content that the workspace has.
    new_hash: Option<&'a str>,
    /// Version last promoted there.
    current_version: Option<&'a str>,
    /// Version that the workspace has.
    new_version: Option<&'a str>,
}

impl Document for WorkersDocument<'_> {
    const NAME: &'static str = "cat-workers";
}

impl Document for JobsDocument<'_> {
    const NAME: &'static str = "cat-jobs";
}

impl Document for AllocationsDocument<'_> {
    const NAME: &'static str = "cat-allocations";
}

impl Document for DeploymentsDocument<'_> {
    const NAME: &'static str = "cat-deployments";
}

fn show<D: Document>(context: &Context, (table, document): (Table, D)) -> Result<Exit, CliError> {
    if context.json {
        document::print(&document)?;
    } else {
        out::print(&table.render())?;
    }
    Ok(Exit::Done)
}

fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    or_dash(items.into_iter().map(String::as_str).collect::<Vec<_>>().join(","))
}

fn amount(value: f64, unit: &str) -> String {
    if value == 0.0 { "-".to_owned() } else { format!("{value} {unit}") }
}

fn workers(fleet: &Fleet) -> (Table, WorkersDocument<'_>) {
    let mut table = Table::new(&["HOST", "POSITION", "LABELS", "TAGS", "MEMORY", "CPU", "STATE"]);
    let mut json = Vec::new();
    for worker in &fleet.workers {
        let Worker { host, labels, tags, .. } = worker;
        let disabled = fleet.disabled.workers.contains(host.as_str());
        let tag_texts: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        table.row(vec![
            host.to_string(),
            worker.position.to_string(),
            list(&**labels),
            list(&tag_texts),
            amount(worker.memory_mb, "MiB"),
            amount(worker.cpu_mhz, "MHz"),
            if disabled { "disabled" } else { "enabled" }.to_owned(),
        ]);
        json.push(WorkerJson { worker, disabled });
    }
    (table, WorkersDocument { workers: json })
}

/// The ports of the last build. Without them there is still everything else to be shown.
fn assigned_ports(bucket: &Bucket, context: &Context) -> AssignedPorts {
    let ports = match context.engine_for(bucket) {
        Engine::Builtin => catalog::assigned_ports(bucket),
        Engine::External => external::assigned_ports(bucket),
    };
    ports.unwrap_or_else(|error| {
        let message = format!("assigned ports are not shown: {}", error.describe());
        let warning = Problem::warning("maand::cat::ports", message)
            .help("`maand cat deployments` and `maand build` say more");
        context.warn(&warning.into());
        AssignedPorts::new()
    })
}

fn jobs<'f>(fleet: &'f Fleet, assigned: &AssignedPorts) -> (Table, JobsDocument<'f>) {
    let mut table = Table::new(&[
        "JOB",
        "VERSION",
        "SELECTORS",
        "ALLOCATIONS",
        "DISABLED",
        "RESTART",
        "PORTS",
        "DEMANDS",
    ]);
    let all = fleet.allocations();
    let mut json = Vec::new();
    for (index, job) in fleet.jobs.iter().enumerate() {
        let of_job = || all.iter().filter(|allocation| allocation.job.0 as usize == index);
        let (count, disabled) = (of_job().count(), of_job().filter(|allocation| allocation.disabled).count());
        let given = assigned.get(&job.name);
        let number = |name: &String| given.and_then(|ports| ports.get(name)).copied();
        let ports =
            job.resources.ports.iter().map(|(name, port)| (name.as_str(), port.or_else(|| number(name))));
        let ports: BTreeMap<&str, Option<u16>> = ports.collect();
        table.row(vec![
            job.name.to_string(),
            job.version.clone(),
            some(&job.selectors),
            count.to_string(),
            disabled.to_string(),
            restart(job).to_owned(),
            some(ports.iter().map(|(name, port)| match port {
                Some(port) => format!("{name}={port}"),
                None => format!("{name}=?"),
            })),
            some(&job.demands),
        ]);
        json.push(JobJson { job, allocations: count, disabled, ports });
    }
    (table, JobsDocument { jobs: json })
}

fn restart(job: &Job) -> &'static str {
    match job.restart_policy {
        RestartPolicy::Always => "always",
        RestartPolicy::Reload => "reload",
        RestartPolicy::Never => "never",
    }
}

/// The first of a list, as many as leave the other columns on the screen, and how many there are more; the JSON has all.
fn some(items: impl IntoIterator<Item: ToString>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    let mut shown = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 && shown.width() + item.width() > WIDEST_LIST {
            return format!("{shown} and {} more", items.len() - at);
        }
        shown += if at > 0 { "," } else { "" };
        shown += item;
    }
    or_dash(shown)
}

fn allocations<'f>(fleet: &'f Fleet, filter: &Shown<'_, '_>) -> (Table, AllocationsDocument<'f>) {
    let mut table = Table::new(&["JOB", "HOST", "STATE", "VERSION"]);
    let mut json = Vec::new();
    for allocation in fleet.allocations() {
        let (job, worker) = (fleet.job(allocation.job), fleet.worker(allocation.worker));
        if !filter.shows(job.name.as_str(), worker.host.as_str(), allocation.disabled) {
            continue;
        }
        let state = if allocation.disabled { "disabled" } else { "enabled" };
        table.row(vec![job.name.to_string(), worker.host.to_string(), state.to_owned(), job.version.clone()]);
        json.push(AllocationJson {
            job: job.name.as_str(),
            host: worker.host.as_str(),
            disabled: allocation.disabled,
            version: &job.version,
        });
    }
    (table, AllocationsDocument { allocations: json })
}

/// What the next deploy makes of an allocation, in one word.
fn rollout(one: &CatalogAllocation) -> &'static str {
    match (&one.current_hash, one.current_hash == one.new_hash) {
        (None, _) if one.removed => "gone",
        _ if one.removed => "removed",
        _ if one.disabled => "disabled",
        (None, _) => "new",
        (Some(_), true) => "current",
        (Some(_), false) => "changed",
    }
}

fn deployments<'c>(all: &'c [CatalogAllocation], filter: &Shown<'_, '_>) -> (Table, DeploymentsDocument<'c>) {
    let mut table = Table::new(&["SEQ", "JOB", "HOST", "ROLLOUT", "CURRENT", "NEW", "HASH"]);
    let mut json = Vec::new();
    for one in all {
        if !filter.shows(one.job.as_str(), one.host.as_str(), one.disabled || one.removed) {
            continue;
        }
        let text = |value: &Option<String>| or_dash(value.clone().unwrap_or_default());
        let hash = one.current_hash.as_deref().unwrap_or_default().chars().take(12).collect::<String>();
        table.row(vec![
            one.deployment_seq.to_string(),
            one.job.to_string(),
            one.host.to_string(),
            rollout(one).to_owned(),
            text(&one.current_version),
            text(&one.new_version),
            or_dash(hash),
        ]);
        json.push(DeploymentJson {
            job: one.job.as_str(),
            host: one.host.as_str(),
            rollout: rollout(one),
            disabled: one.disabled,
            removed: one.removed,
            deployment_seq: one.deployment_seq,
            current_hash: one.current_hash.as_deref(),
            new_hash: one.new_hash.as_deref(),
            current_version: one.current_version.as_deref(),
            new_version: one.new_version.as_deref(),
        });
    }
    (table, DeploymentsDocument { deployments: json })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_leaves_room_for_other_columns() {
        assert_eq!(some(Vec::<String>::new()), "-");
        assert_eq!(some(["http=8080", "grpc=9090"]), "http=8080,grpc=9090");
        let many: Vec<String> = (1..=30).map(|n| format!("port_{n}={}", 30_000 + n)).collect();
        assert_eq!(some(&many), "port_1=30001,port_2=30002,port_3=30003 and 27 more");
        // The first is always there, whatever its length.
        assert_eq!(some([&"x".repeat(100)]), "x".repeat(100));
    }
}
