//! Health: our own round trip to each worker, then the upstream program's probes and hooks.
//!
//! That program checks a job on all its workers, and its exit code says only whether all of that is well.
//! So where it is not, every allocation that was asked for counts as not well, but for those of jobs
//! that it says have passed.

use std::collections::BTreeSet;

use super::engine::External;
use super::sync::{self, WorkerSync};
use crate::bucket::JobName;
use crate::catalog::{AllocationHealth, Call, CatalogError, HealthReport, HealthRequest, WorkerOutcome};

/// What the program prints before a job's name, on standard output.
const PASSED: &str = "health check passed: ";
const SKIPPED: &str = "health check skipped: ";

/// The whole operation.
pub(super) fn health(
    engine: &External,
    request: &HealthRequest,
    call: &Call,
) -> Result<HealthReport, CatalogError> {
    let mut session = engine.session("health_check", call)?;
    let snapshot = session.built()?;
    let wanted = |job: &JobName| request.jobs.as_ref().is_none_or(|jobs| jobs.contains(job));
    let enabled = snapshot.enabled_jobs(request.workers.as_deref());
    let jobs: BTreeSet<&JobName> = enabled.into_iter().filter(|job| wanted(job)).collect();
    let hosts = snapshot.workers.keys().filter(|host| {
        let named = request.workers.as_ref().is_none_or(|hosts| hosts.contains(host));
        // With jobs named, only who has one of them.
        named && (request.jobs.is_none() || jobs.iter().any(|job| is_enabled(&snapshot, job, host)))
    });
    let hosts: Vec<_> = hosts.cloned().collect();
    let seen = sync::check_workers(engine.remote.as_ref(), &snapshot, hosts.clone(), call);
    let mut report = HealthReport::default();
    for (host, seen) in &seen {
        let outcome = match seen {
            WorkerSync::Down { why, .. } => WorkerOutcome::Unreachable { error: why.clone() },
            WorkerSync::InSync | WorkerSync::Differs(_) => {
                WorkerOutcome::Ok { evidence: "answers".to_owned() }
            }
        };
        report.workers.insert(host.clone(), outcome);
    }
    if jobs.is_empty() {
        return Ok(report);
    }
    let names = jobs.iter().map(|job| job.as_str()).collect::<Vec<_>>().join(",");
    let mut args = vec!["health_check", "--jobs", &names];
    if request.wait {
        args.push("--wait");
    }
    let (ended, _) = session.run(&args)?;
    let said = |before: &str, job: &JobName| {
        ended
            .stdout
            .lines()
            .filter_map(|line| line.trim().strip_prefix(before))
            .any(|rest| rest.split([' ', '(']).next() == Some(job.as_str()))
    };
    for job in jobs {
        let skipped = said(SKIPPED, job);
        let outcome = if ended.was_cut() {
            WorkerOutcome::Unknown { why: ended.describe("health_check") }
        } else if ended.succeeded() || said(PASSED, job) || skipped {
            WorkerOutcome::Ok { evidence: "probes pass".to_owned() }
        } else {
            WorkerOutcome::Failed { error: ended.describe("health_check"), output: ended.output() }
        };
        for host in hosts.iter().filter(|host| is_enabled(&snapshot, job, host)) {
            report.allocations.push(AllocationHealth {
                job: job.clone(),
                host: host.clone(),
                outcome: match report.workers.get(host) {
                    Some(worker) if !worker.is_ok() => worker.clone(),
                    _ => outcome.clone(),
                },
                without_probes: skipped,
            });
        }
    }
    Ok(report)
}

fn is_enabled(snapshot: &super::database::Snapshot, job: &JobName, host: &crate::bucket::Host) -> bool {
    snapshot.rows.get(&(job.clone(), host.clone())).is_some_and(|row| !row.disabled && !row.removed)
}
