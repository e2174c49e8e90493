//! The sync check: does `worker.json` on a worker agree with upstream's database?
//!
//! Every deploy raises `update_seq` in the database, and only one that rolls a job out writes it to the
//! workers; after any other the upstream program's `job` commands refuse to work. So the files are looked
//! at, over our own connections, and brought up to date by a deploy that rolls out nothing new.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::database::Snapshot;
use crate::bucket::{Host, JobName};
use crate::catalog::{Call, WorkerOutcome};
use crate::os::parallel_map;
use crate::ssh::{Completion, Remote, Script, Shell};

/// Workers that are looked at side by side.
const PARALLEL: usize = 64;
/// Bound of one check, connecting included.
const WITHIN: Duration = Duration::from_secs(20);

/// The exit code of [`SHOW`] where there is no worker.json.
const NO_WORKER_JSON: i32 = 111;
/// Prints worker.json.
const SHOW: &str = "[ -f \"$MAAND_DIR/worker.json\" ] || exit 111\ncat \"$MAAND_DIR/worker.json\"\n";

/// What was seen on one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WorkerSync {
    /// It agrees.
    InSync,
    /// It does not, and how.
    Differs(String),
    /// It could not be asked.
    Down {
        why: String,
        /// Waiting cannot help: its host key has changed, for instance.
        is_final: bool,
    },
}

impl WorkerSync {
    pub(super) fn outcome(&self, update_seq: i64) -> WorkerOutcome {
        match self {
            Self::InSync => WorkerOutcome::Ok { evidence: format!("update_seq {update_seq}") },
            Self::Differs(why) => {
                let error = format!("{why}: run `maand deploy` first");
                WorkerOutcome::Failed { error, output: None }
            }
            Self::Down { why, .. } => WorkerOutcome::Unreachable { error: why.clone() },
        }
    }
}

/// Looks at `worker.json` on each of `hosts`.
pub(super) fn check_workers(
    remote: &dyn Remote,
    snapshot: &Snapshot,
    hosts: Vec<Host>,
    call: &Call,
) -> BTreeMap<Host, WorkerSync> {
    parallel_map(hosts, PARALLEL, |host| {
        let seen = check_worker(remote, snapshot, &host, call);
        (host, seen)
    })
    .into_iter()
    .collect()
}

fn check_worker(remote: &dyn Remote, snapshot: &Snapshot, host: &Host, call: &Call) -> WorkerSync {
    let Some(id) = snapshot.workers.get(host) else {
        return WorkerSync::Differs("it is not in upstream's catalog".to_owned());
    };
    let until = call.until.min(Instant::now() + WITHIN);
    let mut connection = match remote.connect(host, until, &call.cancel) {
        Ok(connection) => connection,
        Err(error) => return WorkerSync::Down { is_final: error.is_final(), why: error.to_string() },
    };
    let profile = remote.profile(host);
    let script = Script {
        what: "read worker.json".to_owned(),
        shell: Shell::Sh,
        sudo: profile.use_sudo,
        text: SHOW.to_owned(),
        env: vec![("MAAND_DIR".to_owned(), profile.worker_dir.to_string_lossy().into_owned())],
        deadline: until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1)),
        watchdog: true,
        silence: None,
        users_own: false,
        lock: false,
    };
    match connection.run(&script, None) {
        Completion::Exited { code: 0, stdout, .. } => compare(&stdout.text(), snapshot, id),
        Completion::Exited { code: NO_WORKER_JSON, .. } => {
            WorkerSync::Differs("there is no worker.json".to_owned())
        }
        Completion::Exited { code, stderr, .. } => {
            let said = stderr.text();
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            WorkerSync::Differs(format!("worker.json could not be read ({code}): {last}"))
        }
        Completion::NotRun { reason, stderr } => {
            let why = reason.describe(host.as_str(), &stderr);
            WorkerSync::Differs(format!("worker.json could not be read: {why}"))
        }
        Completion::Unknown { why, .. } => WorkerSync::Down { why: why.to_string(), is_final: false },
    }
}

fn compare(text: &str, snapshot: &Snapshot, id: &str) -> WorkerSync {
    let Ok(Value::Object(found)) = serde_json::from_str(text) else {
        return WorkerSync::Differs("worker.json there is not JSON".to_owned());
    };
    let word = |key: &str| match found.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "missing".to_owned(),
    };
    let wanted = [
        ("bucket_id", snapshot.bucket_id.clone()),
        ("worker_id", id.to_owned()),
        ("update_seq", snapshot.update_seq.to_string()),
    ];
    match wanted.iter().find(|(key, wanted)| word(key) != *wanted) {
        None => WorkerSync::InSync,
        Some((key, wanted)) => {
            WorkerSync::Differs(format!("worker.json there has {key} {}, the database {wanted}", word(key)))
        }
    }
}

/// Jobs of which nothing is pending by the database, so that one of them may be able to carry the number
/// to the workers: whatever is pending would be promoted without being started. Where there are some without
/// hooks, only those: what a job runs before it is deployed is run for this, too.
pub(super) fn candidates(snapshot: &Snapshot) -> Vec<JobName> {
    let mut jobs: BTreeMap<&JobName, (bool, bool)> = BTreeMap::new();
    for ((job, _), row) in &snapshot.rows {
        let (settled, enabled) = jobs.entry(job).or_insert((true, false));
        *settled &= if row.removed { !row.was_started() } else { row.is_promoted() };
        *enabled |= !row.disabled && !row.removed;
    }
    // One with an enabled allocation first: what is disabled everywhere is never rolled out.
    let mut names: Vec<(bool, &JobName)> = jobs
        .into_iter()
        .filter(|(_, (settled, _))| *settled)
        .map(|(job, (_, enabled))| (!enabled, job))
        .collect();
    names.sort();
    let names: Vec<JobName> =
        names.into_iter().filter(|(disabled, _)| !disabled).map(|(_, job)| job.clone()).collect();
    let (hooked, quiet): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|job| snapshot.hooked.contains(job.as_str()));
    if quiet.is_empty() { hooked } else { quiet }
}

/// Which of `jobs` a dry run says nothing is to do for: `job "x": skip`, or lines below `deploy required`
/// that only skip, or stop once more what is disabled. Files that were built and never staged show only
/// here. What it does not mention is not safe.
pub(super) fn settled<'j>(dry_run: &str, jobs: &'j [JobName]) -> Vec<&'j JobName> {
    let mut safe: BTreeMap<&str, bool> = BTreeMap::new();
    // The job whose lines are being read, and whether there was one yet.
    let mut current: Option<(&str, bool)> = None;
    for line in dry_run.lines() {
        let text = line.trim_start();
        if let Some((name, what)) = text.strip_prefix("job ").and_then(|rest| rest.split_once(": ")) {
            let name = name.trim_matches('"');
            safe.insert(name, what.starts_with("skip"));
            current = what.starts_with("deploy required").then_some((name, false));
        } else if let Some((name, seen)) = &mut current {
            let harmless = matches!(text.split_whitespace().nth(1), Some("skip" | "stop"));
            let so_far = !*seen || safe.get(name).copied().unwrap_or(false);
            safe.insert(*name, so_far && harmless);
            *seen = true;
        }
    }
    jobs.iter().filter(|job| safe.get(job.as_str()) == Some(&true)).collect()
}
