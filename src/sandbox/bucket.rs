//! Writes the sandbox's own bucket: settings that point at its workers, their keys, and jobs that
//! run the demo Makefile.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::files::{DEMO_MAKEFILE, demo_probe};
use super::mirror::Blueprint;
use crate::bucket::{Host, Job, RestartPolicy};

/// Below the bucket: where its workers are, in the format of ssh_config(5). A worker of a mirrored
/// bucket keeps its name, which is not its address.
pub const SSH_CONFIG: &str = "secrets/ssh_config";

/// What a bucket has to know besides its blueprint.
pub(super) struct Facts<'a> {
    /// In the blueprint's order.
    pub(super) hosts: &'a [Host],
    /// Where they listen, in the same order.
    pub(super) addresses: &'a [IpAddr],
    /// Public host keys in the same order, as `ssh-ed25519 AAAA...`.
    pub(super) host_keys: &'a [String],
    pub(super) port: u16,
    /// Whether a plan's own commands may be executed.
    pub(super) execute: bool,
    /// The client's private key, in OpenSSH's format.
    pub(super) client_key: &'a str,
    /// The folder of the workers' roots.
    pub(super) hosts_dir: &'a Path,
}

/// Writes all of it below `dir`, which does not exist yet.
pub(super) fn write(dir: &Path, blueprint: &Blueprint, facts: &Facts<'_>) -> io::Result<()> {
    let workspace = dir.join("workspace");
    for folder in ["data", "tmp", "logs", "plans", "workspace/jobs"] {
        std::fs::create_dir_all(dir.join(folder))?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(dir.join("secrets"))?;
    std::fs::write(dir.join("maand.conf"), settings(facts))?;
    secret(&dir.join("secrets/worker.key"), facts.client_key)?;
    secret(&dir.join("secrets/known_hosts"), &known_hosts(facts))?;
    secret(&dir.join(SSH_CONFIG), &ssh_config(facts))?;
    std::fs::write(workspace.join("workers.json"), pretty(&workers(blueprint, facts)))?;
    let disabled = &blueprint.disabled;
    if !(disabled.workers.is_empty() && disabled.jobs.is_empty()) {
        let jobs: Map<String, Value> = disabled
            .jobs
            .iter()
            .map(|(job, hosts)| {
                let whole = hosts.is_empty();
                (job.clone(), if whole { json!({}) } else { json!({ "allocations": hosts }) })
            })
            .collect();
        let text = pretty(&json!({ "jobs": jobs, "workers": disabled.workers }));
        std::fs::write(workspace.join("disabled.json"), text)?;
    }
    for job in &blueprint.jobs {
        let folder = workspace.join("jobs").join(job.name.as_str());
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("manifest.json"), pretty(&manifest(job)))?;
        std::fs::write(folder.join("Makefile"), DEMO_MAKEFILE)?;
    }
    Ok(())
}

fn secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

fn settings(facts: &Facts<'_>) -> String {
    let root = facts.hosts_dir.join("{host}");
    let root = toml::Value::String(root.to_string_lossy().into_owned());
    format!(
        "# A throwaway fleet: nothing here is real, and it ends with the program that made it.\n\
         sandbox = true\n\
         bucket_id = \"{}\"\n\
         # This folder plays a worker's root.\n\
         host_root = {root}\n\
         ssh_user = \"sandbox\"\n\
         ssh_key = \"worker.key\"\n\
         ssh_port = {}\n\
         ssh_config = false\n\
         use_sudo = true\n\
         host_key_check = \"strict\"\n\
         # Whether commands of plans are executed on this machine, or only recorded.\n\
         execute = {}\n",
        uuid::Uuid::new_v4(),
        facts.port,
        facts.execute,
    )
}

fn known_hosts(facts: &Facts<'_>) -> String {
    let line = |(address, key): (&IpAddr, &String)| format!("[{address}]:{} {key}\n", facts.port);
    facts.addresses.iter().zip(facts.host_keys).map(line).collect()
}

fn ssh_config(facts: &Facts<'_>) -> String {
    let entry = |(host, address): (&Host, &IpAddr)| format!("Host {host}\n  HostName {address}\n");
    facts.hosts.iter().zip(facts.addresses).map(entry).collect()
}

fn workers(blueprint: &Blueprint, facts: &Facts<'_>) -> Value {
    let one = |(made, host): (&super::mirror::MadeWorker, &Host)| {
        // Every worker has the label `worker` anyway; upstream refuses to see it written.
        let labels: Vec<_> = made.labels.iter().filter(|label| *label != "worker").collect();
        let mut entry = Map::new();
        entry.insert("host".into(), json!(host));
        entry.insert("labels".into(), json!(labels));
        entry.insert("tags".into(), json!(made.tags));
        entry.insert("position".into(), json!(made.position));
        if made.memory_mb > 0.0 {
            entry.insert("memory".into(), json!(format!("{} mb", made.memory_mb)));
        }
        if made.cpu_mhz > 0.0 {
            entry.insert("cpu".into(), json!(format!("{} mhz", made.cpu_mhz)));
        }
        Value::Object(entry)
    };
    Value::Array(blueprint.workers.iter().zip(facts.hosts).map(one).collect())
}

fn manifest(job: &Job) -> Value {
    let policy = match job.restart_policy {
        RestartPolicy::Always => "always",
        RestartPolicy::Reload => "reload",
        RestartPolicy::Never => "never",
    };
    let ports: Map<String, Value> = job
        .resources
        .ports
        .iter()
        .map(|(name, port)| (name.clone(), port.map_or_else(|| json!({}), |port| json!(port))))
        .collect();
    let mut resources = json!({ "ports": ports });
    let reserved = [
        ("memory", "mb", job.resources.memory_min_mb, job.resources.memory_max_mb),
        ("cpu", "mhz", job.resources.cpu_min_mhz, job.resources.cpu_max_mhz),
    ];
    for (name, unit, min, max) in reserved {
        let bounds: Map<String, Value> = [("min", min), ("max", max)]
            .into_iter()
            .filter(|(_, amount)| *amount > 0.0)
            .map(|(bound, amount)| (bound.to_owned(), json!(format!("{amount} {unit}"))))
            .collect();
        if !bounds.is_empty() {
            resources[name] = Value::Object(bounds);
        }
    }
    let mut manifest = json!({
        "version": job.version,
        "selectors": job.selectors,
        "max_concurrent_starts": job.max_concurrent_starts,
        "max_concurrent_upgrades": job.max_concurrent_upgrades,
        "min_allocations_count": job.min_allocations_count,
        "restart_policy": policy,
        "resources": resources,
    });
    if !job.restart_globs.is_empty() {
        manifest["restart_globs"] = json!(job.restart_globs);
    }
    if !job.demands.is_empty() {
        let demand = |name: &crate::bucket::JobName| {
            (format!("command_after_{name}"), json!({ "demands": { "job": name } }))
        };
        manifest["commands"] = Value::Object(job.demands.iter().map(demand).collect());
    }
    if let Some(check) = &job.health_check {
        manifest["health_check"] = json!({
            "checks": [{ "type": "ssh", "command": demo_probe(job.name.as_str()) }],
            "timeout_seconds": check.timeout_seconds,
            "wait": { "attempts": check.wait_attempts, "interval_seconds": check.wait_interval_seconds },
        });
    }
    manifest
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
