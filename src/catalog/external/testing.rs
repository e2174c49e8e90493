//! Small databases, programs and workers for the unit tests of this room.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::database::{Row, Snapshot};
use super::process::{Ended, How};
use super::watch::Beside;
use super::{External, Program};
use crate::bucket::{Bucket, Host, JobName};
use crate::catalog::{Call, Cuts};
use crate::ssh::{
    Cancel, Captured, Completion, ConnectError, Connection, HostProfile, OutputSink, Remote, Script,
};

pub(super) fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

/// Every job on every worker, deployed.
pub(super) fn snapshot(update_seq: i64, jobs: &[&str], hosts: &[&str]) -> Snapshot {
    let mut made = Snapshot { schema: 1, bucket_id: "bucket".into(), update_seq, ..Snapshot::default() };
    for name in hosts {
        made.workers.insert(host(name), format!("id-{name}"));
        for job in jobs {
            let hash = Some(format!("hash-{job}"));
            let row = Row {
                current_hash: hash.clone(),
                previous_hash: hash,
                current_version: Some("1".into()),
                new_version: Some("1".into()),
                ..Row::default()
            };
            made.rows.insert((JobName::parse(job).unwrap(), host(name)), row);
        }
    }
    made
}

pub(super) fn row<'s>(snapshot: &'s mut Snapshot, job: &str, on: &str) -> &'s mut Row {
    snapshot.rows.get_mut(&(JobName::parse(job).unwrap(), host(on))).unwrap()
}

pub(super) fn ended(how: How, last: &str) -> Ended {
    Ended {
        how,
        tail: VecDeque::from([last.to_owned()]),
        of_workers: BTreeMap::new(),
        own_words: VecDeque::new(),
        stdout: String::new(),
        jobs_failed: false,
        unrendered: false,
        beside: Beside::default(),
    }
}

/// Writes a database as the upstream program has it; `view`: with `cat_deployments`.
pub(super) fn write(path: &Path, snapshot: &Snapshot, view: bool) {
    let _ = fs::remove_file(path);
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection
        .execute_batch(
            "CREATE TABLE schema_version (id INTEGER PRIMARY KEY, version INTEGER);
             CREATE TABLE bucket (bucket_id TEXT, update_seq INT);
             CREATE TABLE worker (worker_id TEXT, worker_ip TEXT, available_memory_mb TEXT,
                 available_cpu_mhz TEXT, position INT, PRIMARY KEY (worker_ip));
             CREATE TABLE allocations (alloc_id TEXT, worker_ip TEXT, job TEXT, disabled INT, removed INT,
                 deployment_seq INT, new_version TEXT, PRIMARY KEY (worker_ip, job));
             CREATE TABLE hash (namespace TEXT, key TEXT, current_hash TEXT, previous_hash TEXT,
                 current_version TEXT, PRIMARY KEY (namespace, key));",
        )
        .unwrap();
    if view {
        connection
            .execute_batch(
                "CREATE VIEW cat_deployments (alloc_id, worker_ip, job, disabled, removed, current_hash,
                     previous_hash, current_version, new_version) AS
                 SELECT a.alloc_id, a.worker_ip, a.job, a.disabled, a.removed, ifnull(h.current_hash, ''),
                     ifnull(h.previous_hash, ''), ifnull(h.current_version, ''), ifnull(a.new_version, '')
                 FROM allocations a LEFT JOIN hash h
                     ON h.namespace = (a.job || '_allocation') AND h.key = a.alloc_id;",
            )
            .unwrap();
    }
    let run = |text: &str, values: &[&dyn rusqlite::ToSql]| {
        connection.execute(text, values).unwrap();
    };
    run("INSERT INTO schema_version VALUES (1, ?)", &[&snapshot.schema]);
    run("INSERT INTO bucket VALUES (?, ?)", &[&snapshot.bucket_id, &snapshot.update_seq]);
    for (at, (host, id)) in snapshot.workers.iter().enumerate() {
        run("INSERT INTO worker VALUES (?, ?, '0', '0', ?)", &[id, &host.as_str(), &(at as i64)]);
    }
    for ((job, host), row) in &snapshot.rows {
        let id = format!("{job}|{host}");
        run(
            "INSERT INTO allocations VALUES (?, ?, ?, ?, ?, ?, ?)",
            &[
                &id,
                &host.as_str(),
                &job.as_str(),
                &row.disabled,
                &row.removed,
                &row.deployment_seq,
                &row.new_version,
            ],
        );
        if row.current_hash.is_some() {
            run(
                "INSERT INTO hash VALUES (?, ?, ?, ?, ?)",
                &[
                    &format!("{job}_allocation"),
                    &id,
                    &row.current_hash,
                    &row.previous_hash,
                    &row.current_version,
                ],
            );
        }
    }
}

/// Workers that answer with what their `worker.json` says, or do not answer.
#[derive(Default)]
pub(super) struct Workers {
    /// By host; a host that is not there is down.
    pub(super) json: Mutex<BTreeMap<Host, String>>,
    pub(super) looks: Mutex<u32>,
}

impl Workers {
    /// All workers of a snapshot, in sync with it.
    pub(super) fn agree(&self, snapshot: &Snapshot) {
        let mut json = self.json.lock().unwrap();
        json.clear();
        for (host, id) in &snapshot.workers {
            let text = format!(
                r#"{{"bucket_id": "{}", "worker_id": "{id}", "update_seq": {}}}"#,
                snapshot.bucket_id, snapshot.update_seq
            );
            json.insert(host.clone(), text);
        }
    }
}

/// What is handed to the engine.
pub(super) struct Shared(pub(super) Arc<Workers>);

impl Remote for Shared {
    fn connect(&self, host: &Host, _: Instant, _: &Cancel) -> Result<Box<dyn Connection>, ConnectError> {
        *self.0.looks.lock().unwrap() += 1;
        match self.0.json.lock().unwrap().get(host) {
            Some(text) => Ok(Box::new(Answer(text.clone()))),
            None => Err(ConnectError::Refused { addr: format!("{host}:22") }),
        }
    }

    fn profile(&self, host: &Host) -> HostProfile {
        HostProfile::real(Path::new("/opt/worker"), "bucket", host, false)
    }
}

struct Answer(String);

impl Connection for Answer {
    fn run(&mut self, _: &Script, _: Option<OutputSink<'_>>) -> Completion {
        let stdout = Captured { bytes: self.0.clone().into_bytes(), dropped: 0 };
        let code = if self.0.is_empty() { 111 } else { 0 };
        Completion::Exited { code, stdout, stderr: Captured::default() }
    }

    fn run_with_payload(&mut self, script: &Script, _: &mut dyn std::io::Read, _: u64) -> Completion {
        self.run(script, None)
    }

    fn is_usable(&self) -> bool {
        true
    }
}

/// A bucket of the upstream program with a shell script for the program.
pub(super) struct Made {
    pub(super) folder: tempfile::TempDir,
    pub(super) engine: External,
    pub(super) workers: Arc<Workers>,
    pub(super) lines: Arc<Mutex<Vec<String>>>,
    pub(super) cancel: Cancel,
}

impl Made {
    /// The script runs in the bucket's folder; its arguments are appended to the file `calls` first.
    pub(super) fn new(script: &str, snapshot: &Snapshot) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("workspace")).unwrap();
        fs::create_dir_all(at("data")).unwrap();
        fs::write(at("maand.conf"), "").unwrap();
        fs::write(at("workspace/workers.json"), "[]").unwrap();
        let program = at("upstream");
        fs::write(&program, format!("#!/bin/sh\nset -eu\necho \"$*\" >>calls\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        write(&at("data/maand.db"), snapshot, true);
        let workers = Arc::new(Workers::default());
        workers.agree(snapshot);
        let bucket = Arc::new(Bucket::open(folder.path()).unwrap());
        let program = Program { path: program, found: "test".into() };
        let hosts = snapshot.workers.keys().cloned().collect();
        let engine = External::new(bucket, Arc::new(Shared(Arc::clone(&workers))), program, hosts);
        Self { folder, engine, workers, lines: Arc::default(), cancel: Cancel::new() }
    }

    /// Puts a database where the script finds it, under this name.
    pub(super) fn prepare(&self, name: &str, snapshot: &Snapshot) {
        write(&self.folder.path().join(name), snapshot, true);
    }

    pub(super) fn call(&self, within: Duration) -> Call {
        let lines = Arc::clone(&self.lines);
        Call {
            stopping: Cancel::new(),
            cancel: self.cancel.clone(),
            until: Instant::now() + within,
            output: Arc::new(move |host, line| {
                let line = host.map_or_else(|| line.to_owned(), |host| format!("<{host}> {line}"));
                lines.lock().unwrap().push(line);
            }),
            fence: None,
            cuts: Cuts::default(),
        }
    }

    pub(super) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
