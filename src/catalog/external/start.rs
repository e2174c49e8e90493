//! Starting jobs over our own connections, where the upstream program cannot.
//!
//! Its deploy first stops what is disabled and then waits until the probes of those jobs pass on all
//! *enabled* workers: also on those that were enabled again and that it has not started yet. So where a job has
//! both, its deploy fails before it starts anything, and the job is started here first, in the same way
//! as that program does it; its own start comes after that. And while a worker is dead it deploys to none.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::database::{Row, Snapshot};
use crate::bucket::{Host, JobName};
use crate::catalog::Call;
use crate::os::parallel_map;
use crate::ssh::{Completion, Remote, Script, Shell};

/// Workers that are worked on side by side.
const PARALLEL: usize = 64;
/// One run of make for one job.
const WITHIN: Duration = Duration::from_secs(15 * 60);

/// Runs a target as the upstream program does.
const RUN: &str = r#"[ -f "$MAAND_DIR/bin/runner.py" ] || { echo 'there is no runner.py' >&2; exit 111; }
exec python3 "$MAAND_DIR/bin/runner.py" "$MAAND_BUCKET" "$MAAND_TARGET" --jobs "$MAAND_JOB"
"#;

/// An allocation with its row.
pub(super) type Allocation = ((JobName, Host), Row);

/// Those that were enabled again, were not started since, and have to be before a deploy can succeed.
pub(super) fn before_deploy(snapshot: &Snapshot) -> Vec<Allocation> {
    let stopped: BTreeSet<&JobName> = snapshot
        .rows
        .iter()
        .filter(|(_, row)| (row.disabled || row.removed) && row.was_started())
        .map(|((job, _), _)| job)
        .collect();
    let wanted = |job: &JobName| stopped.contains(job) && snapshot.is_checked(job);
    start_pending(snapshot).filter(|((job, _), _)| wanted(job)).collect()
}

/// Those that were enabled again on these workers and were not started since.
pub(super) fn on_workers(snapshot: &Snapshot, hosts: &[Host]) -> Vec<Allocation> {
    start_pending(snapshot).filter(|((_, host), _)| hosts.contains(host)).collect()
}

/// What was never staged is not on the worker either.
fn start_pending(snapshot: &Snapshot) -> impl Iterator<Item = Allocation> + '_ {
    let pending =
        |row: &Row| !row.disabled && !row.removed && !row.was_started() && row.current_hash.is_some();
    snapshot.rows.iter().filter(move |(_, row)| pending(row)).map(|(key, row)| (key.clone(), row.clone()))
}

/// Runs a target for each, one after the other on each worker; answers with those where it went well.
pub(super) fn make(
    remote: &dyn Remote,
    snapshot: &Snapshot,
    target: &str,
    mut allocations: Vec<Allocation>,
    call: &Call,
) -> Vec<Allocation> {
    allocations.sort_by(|((_, a), x), ((_, b), y)| (a, x.deployment_seq).cmp(&(b, y.deployment_seq)));
    let mut workers: Vec<Vec<Allocation>> = Vec::new();
    for allocation in allocations {
        match workers.last_mut() {
            Some(last) if last.first().is_some_and(|first| first.0.1 == allocation.0.1) => {
                last.push(allocation)
            }
            _ => workers.push(vec![allocation]),
        }
    }
    let done = parallel_map(workers, PARALLEL, |mut of_worker| {
        of_worker.retain(|((job, host), row)| {
            let why = run(remote, snapshot, target, job, host, row, call);
            let words = match &why {
                Ok(()) => format!("note: {job}: make {target}, over SSH"),
                Err(why) => format!("note: {job}: make {target}, over SSH: {why}"),
            };
            (call.output)(Some(host), &words);
            why.is_ok()
        });
        of_worker
    });
    done.into_iter().flatten().collect()
}

fn run(
    remote: &dyn Remote,
    snapshot: &Snapshot,
    target: &str,
    job: &JobName,
    host: &Host,
    row: &Row,
    call: &Call,
) -> Result<(), String> {
    let mut connection = remote.connect(host, call.until, &call.cancel).map_err(|error| error.told())?;
    let profile = remote.profile(host);
    let word = |text: &str| text.to_owned();
    let mut env = vec![
        (word("MAAND_DIR"), profile.worker_dir.to_string_lossy().into_owned()),
        (word("MAAND_BUCKET"), snapshot.bucket_id.clone()),
        (word("MAAND_TARGET"), word(target)),
        (word("MAAND_JOB"), job.to_string()),
        (word("CURRENT_VERSION"), row.current_version.clone().unwrap_or_default()),
        (word("NEW_VERSION"), row.new_version.clone().unwrap_or_default()),
    ];
    if let Some(fence) = &call.fence {
        env.push((word("MAAND_RUN"), fence.run.clone()));
        env.push((word("MAAND_EPOCH"), fence.epoch.to_string()));
    }
    let script = Script {
        what: format!("make {target} of {job}"),
        shell: Shell::Sh,
        sudo: profile.use_sudo,
        text: RUN.to_owned(),
        env,
        deadline: WITHIN.min(call.until.saturating_duration_since(Instant::now())),
        watchdog: true,
        silence: None,
        users_own: false,
        lock: true,
    };
    match connection.run(&script, None) {
        Completion::Exited { code: 0, .. } => Ok(()),
        Completion::Exited { code, stderr, .. } => {
            let said = stderr.text();
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            Err(format!("ended with {code}: {last}"))
        }
        Completion::NotRun { reason, stderr } => Err(reason.describe(host.as_str(), &stderr)),
        Completion::Unknown { why, .. } => Err(format!("how it ended is not known: {why}")),
    }
}
