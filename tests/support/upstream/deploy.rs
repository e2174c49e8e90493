//! `deploy`: every worker is asked first; what is disabled or removed is stopped; then each job with
//! something to do is staged in `tmp/`, synced, started or restarted, and promoted.
//!
//! All but the raised `update_seq` is one transaction, so that a deploy that is killed, or that ends
//! before its jobs, forgets what it has done.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use rusqlite::{Connection, Transaction, params};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::catalog::{self, Allocation, db};
use super::remote::{self, Remote};
use super::{Arguments, Bucket, Result, build, log, operate, template, text};

struct Deploy<'d> {
    bucket: &'d Bucket,
    arguments: &'d Arguments,
    remote: Remote,
    id: String,
    update_seq: i64,
    hosts: Vec<String>,
}

/// The whole command.
pub(crate) fn deploy(bucket: &Bucket, arguments: &Arguments) -> Result<()> {
    let mut connection = catalog::open(bucket)?;
    let known = catalog::jobs(&connection)?;
    if let Some(unknown) = arguments.jobs.iter().find(|job| !known.contains_key(*job)) {
        return Err(format!("jobs not in this bucket: [{unknown}]"));
    }
    // Before anything that could show that another one is at work: whoever was staging there has lost it.
    build::clear(bucket)?;
    let done = cleared(bucket, arguments, &mut connection);
    let _ = build::clear(bucket);
    done
}

fn cleared(bucket: &Bucket, arguments: &Arguments, connection: &mut Connection) -> Result<()> {
    let remote = Remote::new(bucket)?;
    let workers = catalog::workers(connection)?;
    let hosts = workers.iter().map(|(host, _)| host.clone()).collect();
    if arguments.dry_run {
        let (id, update_seq) = catalog::identity(connection)?;
        let deploy = Deploy { bucket, arguments, remote, id, update_seq, hosts };
        return deploy.dry_run(&connection.transaction().map_err(db)?);
    }
    // It reads before it writes, so that it does not wait for another command's transaction: `locked`, at once.
    let raising = connection.transaction().map_err(db)?;
    let (id, update_seq) = catalog::identity(&raising)?;
    let update_seq = update_seq + 1;
    raising.execute("UPDATE bucket SET update_seq = ?", [update_seq]).map_err(db)?;
    raising.commit().map_err(db)?;
    let deploy = Deploy { bucket, arguments, remote, id, update_seq, hosts };
    let transaction = connection.transaction().map_err(db)?;
    let done = deploy.roll_out(&transaction, &workers);
    // A job that failed does not take back the others; whatever ends the whole before its jobs does.
    match done {
        Ok(failures) => {
            bucket.log.phase("deployed")?;
            transaction.commit().map_err(db)?;
            if failures.is_empty() { Ok(()) } else { Err(format!("deploy failed:\n{}", failures.join("\n"))) }
        }
        Err(error) => Err(error),
    }
}

impl Deploy<'_> {
    fn roll_out(&self, tx: &Connection, workers: &[(String, String)]) -> Result<Vec<String>> {
        let tools = "for tool in make bash tar python3; do command -v $tool >/dev/null || exit 9; done";
        remote::each(&self.hosts, |host| self.remote.run(host, "", tools, &[]))?;
        self.bucket.log.phase("checked")?;
        self.stop(tx)?;
        self.bucket.log.phase("stopped")?;
        self.stage_workers(tx, workers)?;
        let mut failures = Vec::new();
        let mut deployed = Vec::new();
        let mut to_do = Vec::new();
        for (job, manifest) in self.jobs(tx)? {
            if let Err(error) = self.plan(tx, &job, &manifest) {
                failures.push(error);
            } else if self.arguments.force || self.has_something_to_do(tx, &job)? {
                to_do.push((job, manifest));
            } else {
                log::err(&format!("deploy: skip job {job:?} (already promoted on all allocations)"));
            }
        }
        for (job, manifest) in to_do {
            match self.roll_out_job(tx, &job, &manifest) {
                Ok(()) => deployed.push(job),
                Err(error) => failures.push(format!("job {job}: {error}")),
            }
        }
        self.bucket.log.phase("rolled-out")?;
        for job in deployed {
            let hosts = self.hosts_of(tx, &job, Allocation::active)?;
            // Makes their folders again where they are gone; the job's files are not looked for.
            self.stage_workers(
                tx,
                &workers.iter().filter(|(host, _)| hosts.contains(host)).cloned().collect::<Vec<_>>(),
            )?;
            remote::each(&hosts, |host| self.remote.sync(self.bucket, host, &self.id, Some(&job)))?;
        }
        Ok(failures)
    }

    fn jobs(&self, tx: &Connection) -> Result<Vec<(String, Value)>> {
        let wanted = |job: &String| self.arguments.jobs.is_empty() || self.arguments.jobs.contains(job);
        Ok(catalog::jobs(tx)?.into_iter().filter(|(job, _)| wanted(job)).collect())
    }

    fn hosts_of(
        &self,
        tx: &Connection,
        job: &str,
        which: impl Fn(&Allocation) -> bool,
    ) -> Result<Vec<String>> {
        let all = catalog::allocations(tx)?;
        Ok(all.into_iter().filter(|one| one.job == job && which(one)).map(|one| one.host).collect())
    }

    /// Again and again for what stays disabled; the first failure ends the deploy.
    fn stop(&self, tx: &Connection) -> Result<()> {
        let mut jobs = BTreeSet::new();
        for allocation in catalog::allocations(tx)? {
            if allocation.active() || allocation.previous_hash.is_none() {
                continue;
            }
            let there = self.hosts.contains(&allocation.host);
            if there {
                let what = if allocation.removed { "removed" } else { "disabled" };
                log::err(&format!(
                    "deploy: stop {what} allocation {} on {}",
                    allocation.job, allocation.host
                ));
                let arguments = format!("stop --jobs {}", allocation.job);
                self.remote
                    .python(&allocation.host, &allocation.job, &self.id, "runner", &arguments, "")
                    .map_err(|error| format!("worker {} job {}: {error}", allocation.host, allocation.job))?;
            }
            jobs.insert(allocation.job.clone());
            if allocation.removed {
                if there {
                    let gone = format!("rm -rf /opt/worker/{}/jobs/{}", self.id, allocation.job);
                    self.remote.run(&allocation.host, &allocation.job, &gone, &[])?;
                }
                tx.execute("DELETE FROM hash WHERE key = ?", [&allocation.id]).map_err(db)?;
            }
        }
        for (job, manifest) in catalog::jobs(tx)?.into_iter().filter(|(job, _)| jobs.contains(job)) {
            // Those that wait for their start are looked at, too: it fails while they do.
            if !self.hosts_of(tx, &job, Allocation::active)?.is_empty() {
                operate::health(tx, &self.remote, &job, &manifest, true)?;
            }
        }
        Ok(())
    }

    /// worker.json, jobs.json and the helpers of every worker. They get there with a job that is rolled
    /// out, and not otherwise.
    fn stage_workers(&self, tx: &Connection, workers: &[(String, String)]) -> Result<()> {
        let allocations = catalog::allocations(tx)?;
        for (host, worker_id) in workers {
            let labels: Vec<String> =
                catalog::all(tx, "SELECT label, worker_id FROM worker_labels ORDER BY label", |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
                })?
                .into_iter()
                .filter_map(|(label, of)| (of == *worker_id).then_some(label))
                .collect();
            // Still 0 for what is disabled, as it was seen.
            let jobs: Vec<Value> = allocations
                .iter()
                .filter(|one| one.host == *host && !one.removed)
                .map(|one| json!({"job": one.job, "disabled": 0}))
                .collect();
            let worker = json!({
                "bucket_id": self.id, "worker_id": worker_id, "worker_ip": host, "labels": labels,
                "update_seq": self.update_seq,
            });
            let folder = self.bucket.path("tmp/workers").join(host);
            write(&folder.join("worker.json"), worker.to_string().as_bytes())?;
            write(&folder.join("jobs.json"), Value::from(jobs).to_string().as_bytes())?;
            write(&folder.join("bin/runner.py"), remote::RUNNER.as_bytes())?;
            write(&folder.join("bin/worker.py"), remote::WORKER.as_bytes())?;
        }
        Ok(())
    }

    /// Runs the hooks before a deploy, stages a job, and notes what its allocations should have: also those
    /// that are disabled, whose files can differ from what they are when it is enabled.
    fn plan(&self, tx: &Connection, job: &str, manifest: &Value) -> Result<()> {
        for (command, of) in manifest["commands"].as_object().into_iter().flatten() {
            if of["executed_on"].as_array().is_some_and(|on| on.contains(&"pre_deploy".into())) {
                self.bucket.log.hook(job, command)?;
            }
        }
        for one in catalog::allocations(tx)?.iter().filter(|one| one.job == job && !one.removed) {
            let files = self.stage_job(tx, job, &one.host)?;
            let hash = Sha256::digest(files.to_string());
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            tx.execute(
                "INSERT INTO hash VALUES (?1 || '_allocation', ?2, ?3, NULL, ?4, NULL, '0.0.0')
                 ON CONFLICT (namespace, key) DO UPDATE SET current_hash = ?3, current_files = ?4",
                params![job, one.id, hash, files.to_string()],
            )
            .map_err(db)?;
        }
        Ok(())
    }

    /// Writes the files of a job for a worker, and answers with their MD5 sums.
    fn stage_job(&self, tx: &Connection, job: &str, host: &str) -> Result<Value> {
        let folder = self.bucket.path("tmp/workers").join(host).join("jobs").join(job);
        let mut names = Vec::new();
        for (path, content) in catalog::files(tx, job)? {
            let (name, content) = match path.strip_suffix(".tpl") {
                None => (path.as_str(), content),
                Some(name) => {
                    let rendered = template::render(tx, host, &path, &String::from_utf8_lossy(&content))?;
                    (name, rendered.into_bytes())
                }
            };
            write(&folder.join(name), &content)?;
            names.push(name.to_owned());
        }
        let sums = Command::new("md5sum").args(&names).current_dir(&folder).output();
        let sums = sums.map_err(|error| text("md5sum")(&error))?;
        let sums = String::from_utf8_lossy(&sums.stdout).into_owned();
        let sums = sums.lines().filter_map(|line| line.split_once("  "));
        Ok(sums
            .map(|(sum, name)| (name.to_owned(), Value::from(sum)))
            .collect::<serde_json::Map<_, _>>()
            .into())
    }

    fn has_something_to_do(&self, tx: &Connection, job: &str) -> Result<bool> {
        let waits = |one: &Allocation| (one.active() && one.is_new()) || (!one.removed && one.is_changed());
        Ok(!self.hosts_of(tx, job, waits)?.is_empty())
    }

    fn roll_out_job(&self, tx: &Connection, job: &str, manifest: &Value) -> Result<()> {
        let present = self.hosts_of(tx, job, |one| !one.removed)?;
        for host in &present {
            self.stage_job(tx, job, host)?;
        }
        self.bucket.log.phase("staged")?;
        let active = self.hosts_of(tx, job, Allocation::active)?;
        remote::each(&self.hosts, |host| {
            let job = active.iter().any(|one| one == host).then_some(job);
            self.remote.sync(self.bucket, host, &self.id, job)
        })?;
        self.bucket.log.phase("synced")?;
        if !self.arguments.sync_only {
            self.start_and_restart(tx, job, manifest)?;
        }
        tx.execute(
            "UPDATE hash SET previous_hash = current_hash, previous_files = current_files, current_version =
               (SELECT ifnull(new_version, '0.0.0') FROM allocations a WHERE a.alloc_id = hash.key)
             WHERE key IN (SELECT alloc_id FROM allocations WHERE job = ? AND removed = 0)",
            [job],
        )
        .map_err(db)?;
        Ok(())
    }

    fn start_and_restart(&self, tx: &Connection, job: &str, manifest: &Value) -> Result<()> {
        let all: Vec<Allocation> =
            catalog::allocations(tx)?.into_iter().filter(|one| one.job == job && one.active()).collect();
        let (new, old): (Vec<_>, Vec<_>) = all.into_iter().partition(Allocation::is_new);
        let old: Vec<_> = old.into_iter().filter(|one| self.arguments.force || one.is_changed()).collect();
        let number = |field: &str, otherwise: u64| manifest[field].as_u64().unwrap_or(otherwise) as usize;
        let at_once = match number("max_concurrent_starts", 0) {
            0 => new.len().max(1),
            some => some,
        };
        for batch in new.chunks(at_once) {
            self.make(batch, job, "start")?;
        }
        if !new.is_empty() {
            self.bucket.log.phase("started")?;
            operate::health(tx, &self.remote, job, manifest, true)?;
        }
        let target = match manifest["restart_policy"].as_str() {
            Some("never") => return Ok(()),
            Some("reload") => "reload",
            _ => "restart",
        };
        for batch in old.chunks(number("max_concurrent_upgrades", 1).max(1)) {
            self.make(batch, job, target)?;
            operate::health(tx, &self.remote, job, manifest, true)?;
        }
        Ok(())
    }

    fn make(&self, batch: &[Allocation], job: &str, target: &str) -> Result<()> {
        let hosts: Vec<String> = batch.iter().map(|one| one.host.clone()).collect();
        remote::each(&hosts, |host| {
            let one = batch.iter().find(|one| one.host == host);
            let env = one.map_or_else(String::new, |one| {
                format!("CURRENT_VERSION={} NEW_VERSION={}", one.current_version, one.new_version)
            });
            self.remote.python(host, job, &self.id, "runner", &format!("{target} --jobs {job}"), &env)
        })
    }

    /// Stages as a deploy does, hooks and all, and says what that would do; what it wrote into the database
    /// is taken back.
    fn dry_run(&self, tx: &Transaction<'_>) -> Result<()> {
        self.stage_workers(tx, &catalog::workers(tx)?)?;
        self.bucket.log.phase("dry-run")?;
        let mut required = false;
        let mut lines = vec!["deployment sequence 0:".to_owned()];
        for (job, manifest) in self.jobs(tx)? {
            self.plan(tx, &job, &manifest)?;
            let own: Vec<String> = catalog::allocations(tx)?
                .iter()
                .filter(|one| one.job == job && !one.removed)
                .map(|one| format!("    {}  {}", one.host, self.would_do(one)))
                .collect();
            if own.iter().all(|line| line.contains("  skip")) {
                lines.push(format!("  job {job:?}: skip (already promoted on all allocations)"));
            } else {
                required = true;
                lines.push(format!("  job {job:?}: deploy required"));
                lines.extend(own);
            }
        }
        let whether = if required { "deployment required" } else { "no deployment required" };
        log::out(&format!("deploy dry-run: {whether}\n"));
        lines.iter().for_each(|line| log::out(line));
        Ok(())
    }

    fn would_do(&self, one: &Allocation) -> String {
        let hash = one.current_hash.as_deref().unwrap_or_default();
        let changed = one.previous_hash.as_deref() != Some(hash) || one.current_version != one.new_version;
        let previous = one.previous_hash.as_deref().unwrap_or_default();
        match (one.active(), previous.is_empty()) {
            (false, true) => format!("skip   hash={hash}"),
            (false, false) if changed => format!("stop+promote previous_hash={previous} current_hash={hash}"),
            (false, false) => format!("stop   hash={hash}"),
            (true, true) => format!("start  current_hash={hash}"),
            (true, false) if changed && self.arguments.sync_only => format!("sync   current_hash={hash}"),
            (true, false) if changed || self.arguments.force => {
                format!("restart previous_hash={previous} current_hash={hash}")
            }
            (true, false) => format!("skip   hash={hash}"),
        }
    }
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, content))
        .map_err(|error| text(&path.display().to_string())(&error))
}
