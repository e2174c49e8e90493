//! `maand cat`: what the workspace says, as tables or JSON. It reads, never waits, never writes.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::table::{Table, or_dash};
use super::world::World;
use super::{CliError, Context, Exit, engine, out};
use crate::bucket::{Bucket, Fleet, Job, RestartPolicy, Worker};
use crate::catalog::CatalogAllocation;
use crate::plan::Problem;

/// What is shown.
#[derive(Debug, Subcommand)]
pub enum CatCommand {
    /// The workers
    Workers,
    /// The jobs
    Jobs,
    /// Which job is on which worker
    Allocations(Filter),
    /// What was last deployed, and what is pending
    Deployments(Filter),
}

/// Which allocations are shown.
#[derive(Debug, Args)]
pub struct Filter {
    /// Only these jobs
    #[arg(long, value_delimiter = ',', value_name = "JOB,..")]
    jobs: Vec<String>,
    /// Only on these workers
    #[arg(long, value_delimiter = ',', value_name = "HOST,..")]
    workers: Vec<String>,
    /// Only enabled ones
    #[arg(long)]
    active: bool,
}

impl Filter {
    fn shows(&self, job: &str, host: &str, disabled: bool) -> bool {
        let among =
            |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one.trim() == name);
        among(&self.jobs, job) && among(&self.workers, host) && !(self.active && disabled)
    }

    /// A name that is nowhere is a slip of the fingers, not an empty table.
    fn check(&self, jobs: &BTreeSet<&str>, hosts: &BTreeSet<&str>) -> Result<(), Problem> {
        for (what, asked, known) in [("job", &self.jobs, jobs), ("worker", &self.workers, hosts)] {
            if let Some(name) = asked.iter().find(|name| !known.contains(name.trim())) {
                return Err(Problem::error("maand::cat::unknown", format!("there is no {what} `{name}`"))
                    .help(format!("see `maand cat {what}s`")));
            }
        }
        Ok(())
    }
}

/// Carries it out.
pub(super) fn run(command: CatCommand, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let (fleet, warnings) = bucket.load()?;
    context.warn(&warnings);
    match command {
        CatCommand::Deployments(filter) => {
            let world = World::of(bucket, fleet, context)?;
            let all = engine::of(&world, context)?.allocations().map_err(engine::catalog_error)?;
            let names = all.iter().map(|one| one.job.as_str()).collect();
            let hosts = all.iter().map(|one| one.host.as_str()).collect();
            filter.check(&names, &hosts)?;
            show(context, "deployments", deployments(&all, &filter))
        }
        CatCommand::Workers => show(context, "workers", workers(&fleet)),
        CatCommand::Jobs => show(context, "jobs", jobs(&fleet)),
        CatCommand::Allocations(filter) => {
            let names = fleet.jobs.iter().map(|job| job.name.as_str()).collect();
            let hosts = fleet.workers.iter().map(|worker| worker.host.as_str()).collect();
            filter.check(&names, &hosts)?;
            show(context, "allocations", allocations(&fleet, &filter))
        }
    }
}

/// The table and the same as JSON.
struct Both {
    table: Table,
    json: Vec<Value>,
}

fn show(context: &Context, what: &str, both: Both) -> Result<Exit, CliError> {
    if context.json {
        out::print_json(&json!({"schema": format!("cat-{what}.v1"), what: both.json}))?;
    } else {
        out::print(&both.table.render())?;
    }
    Ok(Exit::Done)
}

fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    or_dash(items.into_iter().map(String::as_str).collect::<Vec<_>>().join(","))
}

fn amount(value: f64, unit: &str) -> String {
    if value == 0.0 { "-".to_owned() } else { format!("{value} {unit}") }
}

fn workers(fleet: &Fleet) -> Both {
    let mut table = Table::new(&["HOST", "POSITION", "LABELS", "TAGS", "MEMORY", "CPU", "STATE"]);
    let mut json = Vec::new();
    for worker in &fleet.workers {
        let Worker { host, labels, tags, .. } = worker;
        let disabled = fleet.disabled.workers.contains(host.as_str());
        let tag_texts: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        table.row(vec![
            host.to_string(),
            worker.position.to_string(),
            list(labels),
            list(&tag_texts),
            amount(worker.memory_mb, "MiB"),
            amount(worker.cpu_mhz, "MHz"),
            if disabled { "disabled" } else { "enabled" }.to_owned(),
        ]);
        let mut value = serde_json::to_value(worker).unwrap_or_default();
        value["disabled"] = disabled.into();
        json.push(value);
    }
    Both { table, json }
}

fn jobs(fleet: &Fleet) -> Both {
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
        table.row(vec![
            job.name.to_string(),
            job.version.clone(),
            list(&job.selectors),
            count.to_string(),
            disabled.to_string(),
            restart(job).to_owned(),
            ports(job),
            or_dash(job.demands.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        ]);
        let mut value = serde_json::to_value(job).unwrap_or_default();
        value["allocations"] = count.into();
        value["disabled"] = disabled.into();
        json.push(value);
    }
    Both { table, json }
}

fn restart(job: &Job) -> &'static str {
    match job.restart_policy {
        RestartPolicy::Always => "always",
        RestartPolicy::Reload => "reload",
        RestartPolicy::Never => "never",
    }
}

fn ports(job: &Job) -> String {
    let port = |(name, port): (&String, &Option<u16>)| match port {
        Some(number) => format!("{name}={number}"),
        None => name.clone(),
    };
    or_dash(job.resources.ports.iter().map(port).collect::<Vec<_>>().join(","))
}

fn allocations(fleet: &Fleet, filter: &Filter) -> Both {
    let mut table = Table::new(&["JOB", "HOST", "STATE", "VERSION"]);
    let mut json = Vec::new();
    for allocation in fleet.allocations() {
        let (job, worker) = (fleet.job(allocation.job), fleet.worker(allocation.worker));
        if !filter.shows(job.name.as_str(), worker.host.as_str(), allocation.disabled) {
            continue;
        }
        let state = if allocation.disabled { "disabled" } else { "enabled" };
        table.row(vec![job.name.to_string(), worker.host.to_string(), state.to_owned(), job.version.clone()]);
        json.push(json!({
            "job": job.name,
            "host": worker.host,
            "disabled": allocation.disabled,
            "version": job.version,
        }));
    }
    Both { table, json }
}

/// What the next deploy makes of it, in one word.
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

fn deployments(all: &[CatalogAllocation], filter: &Filter) -> Both {
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
        json.push(json!({
            "job": one.job,
            "host": one.host,
            "rollout": rollout(one),
            "disabled": one.disabled,
            "removed": one.removed,
            "deployment_seq": one.deployment_seq,
            "current_hash": one.current_hash,
            "new_hash": one.new_hash,
            "current_version": one.current_version,
            "new_version": one.new_version,
        }));
    }
    Both { table, json }
}
