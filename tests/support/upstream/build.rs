//! `build`: the workspace into the database. It contacts no worker, never raises `update_seq`, and deletes
//! `tmp/` at its end, whether it went well or not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rusqlite::{Connection, Transaction, params};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::catalog::{self, db};
use super::{Bucket, Result, text};

/// The whole command; an error changes nothing in the database.
pub(crate) fn build(bucket: &Bucket) -> Result<()> {
    let mut connection = catalog::open(bucket)?;
    let done = into_database(bucket, &mut connection);
    // What keeps it from that is not told.
    let _ = clear(bucket);
    done
}

fn into_database(bucket: &Bucket, connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction().map_err(db)?;
    // As in a deploy: what has read does not wait.
    catalog::identity(&transaction)?;
    let labels = workers(&transaction, &read(&bucket.path("workspace/workers.json"))?)?;
    let jobs = jobs(bucket, &transaction)?;
    allocations(&transaction, &labels, &jobs)?;
    let disabled = bucket.path("workspace/disabled.json");
    let disabled = if disabled.exists() { read(&disabled)? } else { Value::Null };
    disable(&transaction, &disabled)?;
    bucket.log.phase("built")?;
    transaction.commit().map_err(db)
}

/// Deletes `tmp/`, whether or not it is in use.
pub(crate) fn clear(bucket: &Bucket) -> Result<()> {
    match fs::remove_dir_all(bucket.path("tmp")) {
        // Another command has made something in it meanwhile.
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
            Err("unexpected error: unlinkat ./tmp: directory not empty".to_owned())
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(text("tmp")(&error)),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<Value> {
    let name = path.display().to_string();
    let all = fs::read_to_string(path).map_err(|error| text(&name)(&error))?;
    serde_json::from_str(&all).map_err(|error| text(&name)(&error))
}

/// An id that is always the same for the same name.
fn id(name: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(name.as_bytes())[..16]);
    uuid::Uuid::from_bytes(bytes).to_string()
}

fn strings(value: &Value) -> Vec<String> {
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

/// The labels of each worker.
fn workers(tx: &Transaction<'_>, all: &Value) -> Result<BTreeMap<String, BTreeSet<String>>> {
    tx.execute_batch("DELETE FROM worker; DELETE FROM worker_labels;").map_err(db)?;
    let mut labels = BTreeMap::new();
    for (position, worker) in all.as_array().ok_or("workers.json: not an array")?.iter().enumerate() {
        let host = worker["host"].as_str().ok_or("workers.json: a worker without host")?;
        let mut own: BTreeSet<String> =
            strings(&worker["labels"]).into_iter().map(|label| label.to_lowercase()).collect();
        if !own.insert("worker".to_owned()) {
            return Err(format!("workers.json: worker {host}: label \"worker\" is implied"));
        }
        let text = |field: &str| worker[field].as_str().unwrap_or("0").to_owned();
        tx.execute(
            "INSERT INTO worker VALUES (?, ?, ?, ?, ?)",
            params![id(host), host, text("memory"), text("cpu"), position as i64],
        )
        .map_err(db)?;
        for label in &own {
            tx.execute("INSERT INTO worker_labels VALUES (?, ?)", params![id(host), label]).map_err(db)?;
        }
        labels.insert(host.to_owned(), own);
    }
    Ok(labels)
}

/// The manifest of each job; its files go to the database.
fn jobs(bucket: &Bucket, tx: &Transaction<'_>) -> Result<BTreeMap<String, Value>> {
    tx.execute_batch(
        "DELETE FROM job; DELETE FROM job_files; DELETE FROM job_ports; DELETE FROM job_commands;",
    )
    .map_err(db)?;
    let mut jobs = BTreeMap::new();
    let folder = bucket.path("workspace/jobs");
    let entries = fs::read_dir(&folder).map(|all| all.flatten().collect::<Vec<_>>()).unwrap_or_default();
    for entry in entries.into_iter().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let manifest = read(&entry.path().join("manifest.json"))?;
        let version = manifest["version"].as_str().unwrap_or("0.0.0");
        tx.execute(
            "INSERT INTO job VALUES (?, ?, ?, ?)",
            params![id(&name), name, version, manifest.to_string()],
        )
        .map_err(db)?;
        for (at, (port, of)) in manifest["resources"]["ports"].as_object().into_iter().flatten().enumerate() {
            // As many as tests need; the program itself takes the first that is free.
            let number = of.as_i64().unwrap_or(30_001 + at as i64);
            tx.execute("INSERT INTO job_ports VALUES (?, ?, ?)", params![id(&name), port, number])
                .map_err(db)?;
        }
        for (command, of) in manifest["commands"].as_object().into_iter().flatten() {
            for event in strings(&of["executed_on"]) {
                tx.execute("INSERT INTO job_commands VALUES (?, ?, ?)", params![name, command, event])
                    .map_err(db)?;
            }
        }
        let mut files = Vec::new();
        walk(&entry.path(), "", &mut files)?;
        for (path, content) in files {
            let path = format!("{name}/{path}");
            tx.execute("INSERT INTO job_files VALUES (?, ?, ?, 0)", params![id(&name), path, content])
                .map_err(db)?;
        }
        jobs.insert(name, manifest);
    }
    Ok(jobs)
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| text("jobs")(&error))?.flatten() {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let left_out = [".venv", "venv", "node_modules", "__pycache__"];
        if left_out.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{path}/"), files)?;
        } else {
            let content = fs::read(entry.path()).map_err(|error| text(&path)(&error))?;
            files.push((path, content));
        }
    }
    Ok(())
}

fn allocations(
    tx: &Transaction<'_>,
    labels: &BTreeMap<String, BTreeSet<String>>,
    jobs: &BTreeMap<String, Value>,
) -> Result<()> {
    tx.execute_batch("UPDATE allocations SET removed = 1").map_err(db)?;
    for (host, labels) in labels {
        for (job, manifest) in jobs {
            let mut selectors = strings(&manifest["selectors"]);
            if selectors.is_empty() {
                selectors.push(job.clone());
            }
            if !selectors.iter().all(|label| labels.contains(label)) {
                continue;
            }
            let version = manifest["version"].as_str().unwrap_or("0.0.0");
            tx.execute(
                "INSERT INTO allocations VALUES (?1, ?2, ?3, 0, 0, 0, ?4)
                 ON CONFLICT (worker_ip, job) DO UPDATE SET removed = 0, new_version = ?4",
                params![id(&format!("{job}|{host}")), host, job, version],
            )
            .map_err(db)?;
        }
    }
    Ok(())
}

/// Sets the flags. What is enabled again waits for a start from now on: its previous hash is gone.
fn disable(tx: &Transaction<'_>, file: &Value) -> Result<()> {
    let hosts: BTreeSet<String> = strings(&file["workers"]).into_iter().collect();
    for allocation in catalog::allocations(tx)? {
        let of_job = file["jobs"].get(&allocation.job).is_some_and(|entry| {
            let hosts = strings(&entry["allocations"]);
            hosts.is_empty() || hosts.contains(&allocation.host)
        });
        let disabled = of_job || hosts.contains(&allocation.host);
        tx.execute(
            "UPDATE allocations SET disabled = ? WHERE alloc_id = ?",
            params![disabled, allocation.id],
        )
        .map_err(db)?;
        if allocation.disabled && !disabled {
            tx.execute("UPDATE hash SET previous_hash = NULL WHERE key = ?", [&allocation.id]).map_err(db)?;
        }
    }
    Ok(())
}
