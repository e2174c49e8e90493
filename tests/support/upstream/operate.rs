//! `job`, `health_check`, `cat`, `info` and `gc`.

use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

use super::catalog::{self, Allocation, db};
use super::remote::{self, Remote};
use super::{Arguments, Bucket, Result, log, text};

/// A Makefile target on the active allocations of a job. Before that **every** worker of the bucket has to
/// agree with the database, also those that are not meant.
pub(crate) fn job(bucket: &Bucket, target: &str, job: &str, arguments: &Arguments) -> Result<()> {
    let connection = catalog::open(bucket)?;
    let remote = Remote::new(bucket)?;
    let allocations = catalog::allocations(&connection)?;
    if !allocations.iter().any(|one| one.job == job) {
        return Err(format!("jobs not in this bucket: [{job}]"));
    }
    let workers = catalog::workers(&connection)?;
    if let Some(unknown) = arguments.allocations.iter().find(|name| workers.iter().all(|one| one.0 != **name))
    {
        return Err(format!("workers not in this bucket: [{unknown}]"));
    }
    let (id, update_seq) = catalog::identity(&connection)?;
    let hosts: Vec<String> = workers.iter().map(|(host, _)| host.clone()).collect();
    remote::each(&hosts, |host| {
        let worker_id = workers.iter().find(|one| one.0 == host).map_or("", |one| one.1.as_str());
        remote.python(host, "", &id, "worker", &format!("{worker_id} {update_seq}"), "")
    })?;
    bucket.log.phase("in-sync")?;
    let meant = |one: &&Allocation| {
        one.job == job
            && one.active()
            && (arguments.allocations.is_empty() || arguments.allocations.contains(&one.host))
    };
    let hosts: Vec<String> = allocations.iter().filter(meant).map(|one| one.host.clone()).collect();
    let manifest = catalog::jobs(&connection)?.remove(job).unwrap_or_default();
    let at_once = manifest["max_concurrent_upgrades"].as_u64().unwrap_or(1).max(1);
    for batch in hosts.chunks(at_once as usize) {
        remote::each(batch, |host| {
            remote.python(host, job, &id, "runner", &format!("{target} --jobs {job}"), "")
        })?;
    }
    Ok(())
}

/// Dials the SSH port of every worker, then looks at the jobs.
pub(crate) fn health_check(bucket: &Bucket, arguments: &Arguments) -> Result<()> {
    let connection = catalog::open(bucket)?;
    let remote = Remote::new(bucket)?;
    let jobs = catalog::jobs(&connection)?;
    if let Some(unknown) = arguments.jobs.iter().find(|job| !jobs.contains_key(*job)) {
        return Err(format!("jobs not in this bucket: [{unknown}]"));
    }
    let hosts: Vec<String> = catalog::workers(&connection)?.into_iter().map(|(host, _)| host).collect();
    retried(if arguments.wait { 30 } else { 1 }, || {
        remote::each(&hosts, |host| dial(host, remote.health_port))
    })?;
    log::out("worker health check passed");
    let wanted = |job: &String| arguments.jobs.is_empty() || arguments.jobs.contains(job);
    let mut failed = Vec::new();
    for (job, manifest) in jobs.iter().filter(|(job, _)| wanted(job)) {
        if let Err(error) = health(&connection, &remote, job, manifest, arguments.wait) {
            failed.push(error);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// The probes of a job on each of its active allocations.
pub(crate) fn health(
    connection: &Connection,
    remote: &Remote,
    job: &str,
    manifest: &Value,
    wait: bool,
) -> Result<()> {
    let check = &manifest["health_check"];
    let probes = check["checks"].as_array().cloned().unwrap_or_default();
    if probes.is_empty() {
        log::out(&format!("health check skipped: {job} (no health_check config or commands)"));
        return Ok(());
    }
    let all = catalog::allocations(connection)?;
    let hosts: Vec<String> =
        all.into_iter().filter(|one| one.job == job && one.active()).map(|one| one.host).collect();
    let attempts = check["wait"]["attempts"].as_u64().unwrap_or(30);
    let done = retried(if wait { attempts } else { 1 }, || {
        remote::each(&hosts, |host| {
            probes.iter().try_for_each(|probe| look(remote, host, job, probe, manifest))
        })
    });
    match done {
        Ok(()) => log::out(&format!("health check passed: {job}")),
        Err(_) => log::out(&format!("health check failed: {job}")),
    }
    done.map_err(|error| format!("health check failed: {job}: {error}"))
}

/// Upstream tries so often, a second apart. As patient as that, and sooner done: it looks all the time.
fn retried(attempts: u64, mut work: impl FnMut() -> Result<()>) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(attempts.saturating_sub(1));
    loop {
        let done = work();
        if done.is_ok() || Instant::now() >= until {
            return done;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn look(remote: &Remote, host: &str, job: &str, probe: &Value, manifest: &Value) -> Result<()> {
    match probe["type"].as_str() {
        Some("ssh") => remote.run(host, job, probe["command"].as_str().unwrap_or("false"), &[]),
        Some("tcp") => {
            let port = &manifest["resources"]["ports"][probe["port"].as_str().unwrap_or_default()];
            let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
            dial(host, port.ok_or("only ports with a number of their own are known here")?)
        }
        other => Err(format!("probe {other:?} is not known here")),
    }
}

fn dial(host: &str, port: u16) -> Result<()> {
    let words = format!("dial tcp {host}:{port}");
    let mut addresses = (host, port).to_socket_addrs().map_err(|error| text(&words)(&error))?;
    let address = addresses.next().ok_or_else(|| format!("{words}: no address"))?;
    TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .map(drop)
        .map_err(|error| text(&words)(&error))
}

/// A table; an empty one is an error.
pub(crate) fn cat(bucket: &Bucket, table: &str) -> Result<()> {
    let (head, query) = match table {
        "workers" => {
            ("worker_ip position", "SELECT worker_ip || ' ' || position FROM worker ORDER BY position")
        }
        "jobs" => ("name version", "SELECT name || ' ' || version FROM job ORDER BY name"),
        "allocations" => (
            "job worker_ip disabled removed",
            "SELECT job || ' ' || worker_ip || ' ' || disabled || ' ' || removed FROM cat_allocations",
        ),
        "deployments" => (
            "job worker_ip current_version new_version",
            "SELECT job || ' ' || worker_ip || ' ' || current_version || ' ' || new_version FROM cat_deployments",
        ),
        "kv" => ("namespace key value", "SELECT '' WHERE 0"),
        other => return Err(format!("Error: unknown command \"{other}\" for \"maand cat\"")),
    };
    let connection = catalog::open(bucket)?;
    let rows = catalog::all(&connection, query, |row| row.get::<_, String>(0))?;
    if rows.is_empty() {
        return Err(format!("not found: {table}"));
    }
    log::out(head);
    rows.iter().for_each(|row| log::out(row));
    Ok(())
}

/// A folder with a manifest and a Makefile.
pub(crate) fn create(bucket: &Bucket, job: &str) -> Result<()> {
    let folder = bucket.path("workspace/jobs").join(job);
    if folder.exists() {
        return Err(format!("job directory already exists: {job}"));
    }
    let made = fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("manifest.json"), r#"{"version": "1.0", "selectors": []}"#))
        .and_then(|()| fs::write(folder.join("Makefile"), "start:\nstop:\nrestart:\n"));
    made.map_err(|error| text(job)(&error))
}

pub(crate) fn info(bucket: &Bucket) -> Result<()> {
    let (id, update_seq) = catalog::identity(&catalog::open(bucket)?)?;
    log::out(&format!("bucket_id: {id}\nupdate_seq: {update_seq}"));
    Ok(())
}

/// Forgets what was removed.
pub(crate) fn gc(bucket: &Bucket) -> Result<()> {
    let connection = catalog::open(bucket)?;
    bucket.log.phase("gc")?;
    connection.execute("DELETE FROM allocations WHERE removed = 1", []).map_err(db)?;
    Ok(())
}
