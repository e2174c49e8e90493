//! `deploy`: the workers are brought to what the catalog says.
//!
//! This file is the order of things: plan, check, sync, stop, then job by job, then the report. What
//! is done to one allocation is in `rollout`. Every attempt is in the catalog before anything is sent
//! for it, and every outcome as soon as it is known, so that a kill at any moment leaves a catalog
//! from which the next deploy can continue.

use std::collections::{BTreeMap, BTreeSet};

use super::build;
use super::build::{ports_text, read_tree};
use super::deploy_execution::DeployExecution;
use super::engine::Builtin;
use super::pending::file_changes;
use super::planning::{self, DeployPlan, Planned};
use super::reading::Reading;
use super::state::{AllocationKey, State};
use super::store::Store;
use super::tree::Tree;
use super::wire::Wire;
use crate::bucket::{Host, JobName};
use crate::catalog::locking;
use crate::catalog::{Action, AllocationReport, Call, CatalogError, DeployRequest, Report, WorkerOutcome};
use crate::plan::{Problem, Problems};

/// The whole operation.
pub(crate) fn deploy(engine: &Builtin, request: &DeployRequest, call: &Call) -> Result<Report, CatalogError> {
    let _lock = locking::take(&engine.bucket, "deploy", call)?;
    let (store, state) = engine.write_state()?;
    engine.check_names(&state, request.jobs.as_deref(), request.workers.as_deref())?;
    let plan = planning::plan(&state, request, |hash| store.tree(hash).ok().flatten());
    if plan.is_empty() {
        return Ok(report(plan, &BTreeMap::new(), &BTreeMap::new()));
    }
    let mut reading = Reading::new(call);
    let trees = trees_to_send(engine, &store, &state, &plan, &mut reading);
    reading.check()?;
    let trees = trees?;
    let wire = Wire::new(engine.remote.as_ref(), call);
    if let Some(why) = wire.stopped() {
        return Err(CatalogError::Cancelled(format!("{why} before anything was sent")));
    }
    let mut rollout = DeployExecution::new(engine, &wire, store, state, trees, request.force);
    rollout.sync(&plan)?;
    let stops: Vec<&Planned> = plan.work().filter(|p| is_stop(p.action)).collect();
    rollout.stop(&stops)?;
    for (job, planned) in by_job(&plan) {
        rollout.job(&job, &planned)?;
    }
    rollout.finish(&plan, request.jobs.is_none())?;
    Ok(report(plan, &rollout.results, &rollout.dead))
}

fn is_stop(action: Action) -> bool {
    matches!(action, Action::Stop | Action::Remove)
}

/// What is to be rolled out, by job in the order of deployment (the plan is in that order).
fn by_job(plan: &DeployPlan) -> Vec<(JobName, Vec<&Planned>)> {
    let mut jobs: Vec<(JobName, Vec<&Planned>)> = Vec::new();
    for planned in plan.work().filter(|p| !is_stop(p.action)) {
        match jobs.last_mut() {
            Some((job, list)) if *job == planned.job => list.push(planned),
            _ => jobs.push((planned.job.clone(), vec![planned])),
        }
    }
    jobs
}

/// Reads the trees of the jobs that are rolled out. What is there now must be what was built: half a
/// fleet must not get other files by accident.
fn trees_to_send(
    engine: &Builtin,
    store: &Store,
    state: &State,
    plan: &DeployPlan,
    reading: &mut Reading<'_>,
) -> Result<BTreeMap<JobName, Tree>, CatalogError> {
    let jobs: BTreeSet<&JobName> = plan.work().filter(|p| !is_stop(p.action)).map(|p| &p.job).collect();
    let mut problems = Problems::new();
    let mut trees = BTreeMap::new();
    for job in jobs {
        let Some(row) = state.jobs.get(job) else { continue };
        match read_tree(&engine.bucket, job, reading) {
            Err(unreadable) => problems.extend(unreadable),
            Ok(tree) if tree.hash(&ports_text(Some(&row.ports))) != row.hash => {
                let built = store.tree(&row.hash).ok().flatten();
                let files = built.map(|built| file_changes(&built, &tree).line());
                let files = files.map_or_else(String::new, |files| format!(": {files}"));
                problems.push(
                    Problem::error(
                        "maand::catalog::changed_since_build",
                        format!("the files of job {job} have changed since the last build{files}"),
                    )
                    .help("run `maand build` and then deploy, or `maand deploy --build`"),
                );
            }
            Ok(tree) => {
                trees.insert(job.clone(), tree);
            }
        }
    }
    if problems.is_empty() { Ok(trees) } else { Err(CatalogError::Invalid(problems)) }
}

/// The outcome of each allocation, and of each worker what its allocations add up to.
fn report(
    plan: DeployPlan,
    results: &BTreeMap<AllocationKey, WorkerOutcome>,
    synced: &BTreeMap<Host, Option<WorkerOutcome>>,
) -> Report {
    let mut report = Report::default();
    for (host, outcome) in synced {
        let outcome =
            outcome.clone().unwrap_or(WorkerOutcome::Ok { evidence: "worker.json written".to_owned() });
        report.workers.insert(host.clone(), outcome);
    }
    let mut counts: BTreeMap<Host, BTreeMap<&'static str, usize>> = BTreeMap::new();
    for planned in plan.allocations {
        let key = AllocationKey { host: planned.host.clone(), job: planned.job.clone() };
        let outcome = results.get(&key).cloned();
        if let Some(outcome) = &outcome {
            match outcome {
                WorkerOutcome::Ok { .. } => {
                    *counts.entry(key.host.clone()).or_default().entry(past(planned.action)).or_default() +=
                        1;
                }
                // The first thing that went wrong is the worker's outcome; what was not begun for it comes after.
                bad if report.workers.get(&key.host).is_none_or(|of_worker| match of_worker {
                    WorkerOutcome::Ok { .. } => true,
                    WorkerOutcome::NotBegun { .. } => !matches!(bad, WorkerOutcome::NotBegun { .. }),
                    _ => false,
                }) =>
                {
                    report.workers.insert(key.host.clone(), of_job(&key.job, bad));
                }
                _ => {}
            }
        }
        report.allocations.push(AllocationReport {
            job: planned.job,
            host: planned.host,
            action: planned.action,
            reason: planned.reason,
            outcome,
        });
    }
    for (host, counts) in counts {
        if report.workers.get(&host).is_none_or(WorkerOutcome::is_ok) {
            let parts: Vec<_> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
            report.workers.insert(host, WorkerOutcome::Ok { evidence: parts.join(", ") });
        }
    }
    report
}

fn of_job(job: &JobName, outcome: &WorkerOutcome) -> WorkerOutcome {
    match outcome.clone() {
        WorkerOutcome::Failed { error, output } => {
            WorkerOutcome::Failed { error: format!("{job}: {error}"), output }
        }
        WorkerOutcome::Unknown { why } => WorkerOutcome::Unknown { why: format!("{job}: {why}") },
        other => other,
    }
}

/// What was done, in the past.
pub(crate) fn past(action: Action) -> &'static str {
    match action {
        Action::Start => "started",
        Action::Restart => "restarted",
        Action::Reload => "reloaded",
        Action::Stop => "stopped",
        Action::Sync => "updated",
        Action::Remove => "removed",
        Action::Skip => "skipped",
    }
}

impl DeployExecution<'_> {
    /// Writes what is only known at the end: workers whose every allocation was looked at agree again,
    /// and what was removed is forgotten.
    fn finish(&mut self, plan: &DeployPlan, all_jobs: bool) -> Result<(), CatalogError> {
        let old = self.state.clone();
        let bad: BTreeSet<Host> = self
            .results
            .iter()
            .filter(|(_, outcome)| !outcome.is_ok())
            .map(|(key, _)| key.host.clone())
            .chain(self.dead.iter().filter(|(_, outcome)| outcome.is_some()).map(|(host, _)| host.clone()))
            .collect();
        if all_jobs {
            let seen: BTreeSet<&Host> = plan.work().map(|p| &p.host).chain(&plan.resync).collect();
            for (host, row) in &mut self.state.workers {
                if row.out_of_sync && seen.contains(host) && !bad.contains(host) {
                    row.out_of_sync = false;
                }
            }
        }
        build::forget_removed(&mut self.state);
        self.save(&old)
    }
}
