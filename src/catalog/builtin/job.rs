//! `job`: a Makefile target on allocations, after the sync check.
//!
//! It changes nothing of what the catalog wants; a disabled allocation is never started by it.

use std::collections::{BTreeMap, BTreeSet};

use super::engine::Builtin;
use super::scripts::{Task, code, job_env};
use super::state::{AllocationKey, AllocationRow, State};
use super::sync;
use super::wire::{PARALLEL, Wire};
use crate::bucket::{Host, JobName};
use crate::catalog::locking;
use crate::catalog::{Action, AllocationReport, Call, CatalogError, JobRequest, Report, WorkerOutcome};
use crate::os::parallel_map;
use crate::plan::{Problem, Problems};

/// Targets that change what runs; the others are asked for what they say.
const CHANGES: [&str; 4] = ["start", "stop", "restart", "reload"];

/// The whole operation.
pub(crate) fn job(engine: &Builtin, request: &JobRequest, call: &Call) -> Result<Report, CatalogError> {
    if !is_target(&request.target) {
        return Err(CatalogError::BadTarget(request.target.clone()));
    }
    let _lock = locking::take(&engine.bucket, &format!("job {}", request.target), call)?;
    let (mut store, mut state) = engine.write_state()?;
    engine.check_names(&state, Some(&request.jobs), request.workers.as_deref())?;
    let targeted: Vec<(AllocationKey, AllocationRow)> =
        targeted(&state, request)?.into_iter().map(|(key, row)| (key.clone(), row.clone())).collect();
    let wire = Wire::new(engine.remote.as_ref(), call);
    let hosts: BTreeSet<Host> = targeted.iter().map(|(key, _)| key.host.clone()).collect();
    let hosts: Vec<Host> = hosts.into_iter().collect();
    let seen = sync::check_workers(&wire, &state, &hosts);
    let to_be_noted: Vec<Host> = seen.iter().filter(|(_, s)| s.to_be_noted).map(|(h, _)| h.clone()).collect();
    if !to_be_noted.is_empty() {
        sync::note(&mut store, &mut state, &to_be_noted)?;
    }
    let mut report = Report::default();
    let mut go: BTreeMap<(u32, JobName), Vec<AllocationKey>> = BTreeMap::new();
    for (host, seen) in &seen {
        report.workers.insert(host.clone(), seen.outcome.clone());
    }
    for (key, row) in &targeted {
        let in_sync = &seen[&key.host].outcome;
        let refused = if !in_sync.is_ok() { Some(in_sync.clone()) } else { refusal(row, &request.target) };
        match refused {
            Some(outcome) => report.allocations.push(line(key, &request.target, outcome)),
            None => {
                let seq = state.jobs.get(&key.job).map_or(0, |job| job.deployment_seq);
                go.entry((seq, key.job.clone())).or_default().push(key.clone());
            }
        }
    }
    // What others demand is started first and stopped last.
    let mut jobs: Vec<_> = go.into_iter().collect();
    if request.target == "stop" {
        jobs.reverse();
    }
    for ((_, job), keys) in jobs {
        for batch in keys.chunks(at_once(&state, &job, &request.target)) {
            let outcomes =
                parallel_map(batch, PARALLEL, |key| run(engine, &wire, &state, key, &request.target));
            for (key, outcome) in batch.iter().zip(outcomes) {
                if !outcome.is_ok() && report.workers.get(&key.host).is_some_and(WorkerOutcome::is_ok) {
                    report.workers.insert(key.host.clone(), outcome.clone());
                }
                report.allocations.push(line(key, &request.target, outcome));
            }
        }
    }
    report.allocations.sort_by(|a, b| (&a.job, &a.host).cmp(&(&b.job, &b.host)));
    Ok(report)
}

/// How many allocations of a job may be in it at the same time.
fn at_once(state: &State, job: &JobName, target: &str) -> usize {
    let Some(row) = state.jobs.get(job) else { return 1 };
    let limit = match target {
        "start" => row.job.max_concurrent_starts,
        "restart" | "reload" => row.job.max_concurrent_upgrades.max(1),
        _ => 0,
    };
    if limit == 0 { usize::MAX } else { limit as usize }
}

/// The allocations that are meant. Hosts that were named must have the jobs that were named.
fn targeted<'s>(
    state: &'s State,
    request: &JobRequest,
) -> Result<Vec<(&'s AllocationKey, &'s AllocationRow)>, CatalogError> {
    let is_meant = |key: &AllocationKey| request.jobs.is_empty() || request.jobs.contains(&key.job);
    let mut problems = Problems::new();
    for job in &request.jobs {
        for host in request.workers.iter().flatten() {
            let key = AllocationKey { host: host.clone(), job: job.clone() };
            if !state.allocations.contains_key(&key) {
                let has: Vec<&str> = state
                    .allocations
                    .keys()
                    .filter(|key| key.job == *job)
                    .map(|key| key.host.as_str())
                    .take(8)
                    .collect();
                problems.push(
                    Problem::error(
                        "maand::catalog::no_allocation",
                        format!("job {job} is not on worker {host}"),
                    )
                    .help(match has.as_slice() {
                        [] => format!("no worker has all the labels that {job} selects"),
                        has => format!("it is on {}", has.join(", ")),
                    }),
                );
            }
        }
    }
    if !problems.is_empty() {
        return Err(CatalogError::Invalid(problems));
    }
    Ok(state
        .allocations
        .iter()
        .filter(|(key, row)| is_meant(key) && !row.removed)
        .filter(|(key, row)| match &request.workers {
            Some(hosts) => hosts.contains(&key.host),
            None => !row.disabled,
        })
        .collect())
}

/// Why a target is not run on an allocation.
fn refusal(row: &AllocationRow, target: &str) -> Option<WorkerOutcome> {
    let error = if row.current_hash.is_none() && row.attempt.is_none() {
        "it was never deployed: run `maand deploy` first"
    } else if row.disabled && matches!(target, "start" | "restart" | "reload") {
        "it is disabled: take it out of workspace/disabled.json, build and deploy"
    } else {
        return None;
    };
    Some(WorkerOutcome::Failed { error: error.to_owned(), output: None })
}

fn run(engine: &Builtin, wire: &Wire<'_>, state: &State, key: &AllocationKey, target: &str) -> WorkerOutcome {
    if let Some(why) = wire.stopped() {
        return WorkerOutcome::not_begun(why);
    }
    let row = state.allocations.get(key);
    let mut script = wire.script(Task::Run, &key.host);
    script.what = format!("make {target} of {}", key.job);
    script.deadline = engine.make_timeout;
    // Looking must not wait for a start that takes its time.
    script.lock = target != "status";
    script.env.extend(job_env(state, &key.job, row.and_then(|row| row.current_version.as_deref())));
    script.env.push(("MAAND_TARGET".to_owned(), target.to_owned()));
    match wire.run(&key.host, script, target != "status") {
        Ok(ran) if ran.code == 0 => {
            // What make says last of these is a line of the recipe.
            let said = if CHANGES.contains(&target) { String::new() } else { ran.last_line() };
            let evidence = if said.is_empty() { format!("make {target}: done") } else { said };
            WorkerOutcome::Ok { evidence }
        }
        Ok(ran) if ran.code == code::NO_FILES => {
            let AllocationKey { job, host } = key;
            let error = format!(
                "the job's files are not there: run `maand deploy --force --jobs {job} --workers {host}`"
            );
            WorkerOutcome::Failed { error, output: None }
        }
        Ok(ran) => ran.failure(&format!("make {target}")),
        Err(outcome) => outcome,
    }
}

fn line(key: &AllocationKey, target: &str, outcome: WorkerOutcome) -> AllocationReport {
    let action = match target {
        "start" => Action::Start,
        "stop" => Action::Stop,
        "restart" => Action::Restart,
        "reload" => Action::Reload,
        _ => Action::Skip,
    };
    AllocationReport {
        job: key.job.clone(),
        host: key.host.clone(),
        action,
        reason: format!("make {target}"),
        outcome: Some(outcome),
    }
}

fn is_target(target: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    !target.is_empty() && target.len() <= 128 && !target.starts_with('-') && target.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_word_and_no_option() {
        for good in ["start", "db/migrate", "a.b_c-d"] {
            assert!(is_target(good), "{good}");
        }
        for bad in ["", "-f", "a b", "X=1", "a;b", "$(x)", "ü"] {
            assert!(!is_target(bad), "{bad}");
        }
    }
}
