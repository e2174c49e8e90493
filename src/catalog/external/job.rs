//! `job`: a Makefile target by the upstream program, one allocation at a time, so that its exit code
//! says something about that one.

use crate::bucket::{Host, JobName};
use crate::catalog::{Action, AllocationReport, Call, CatalogError, JobRequest, Report, WorkerOutcome};
use crate::plan::{Problem, Problems};

use super::database::{Row, Snapshot};
use super::engine::External;
use super::session::UpstreamSession;

/// The whole operation.
pub(super) fn job(engine: &External, request: &JobRequest, call: &Call) -> Result<Report, CatalogError> {
    let mut session = engine.session(&format!("job {}", request.target), call)?;
    let snapshot = session.built()?;
    let targeted = targeted(&snapshot, request)?;
    let mut report = Report::default();
    // Its own check looks at all workers, whichever are meant.
    let all = snapshot.workers.keys().cloned().collect();
    let in_sync = engine.in_sync(&mut session, &snapshot, all, call);
    for ((job, host), row) in targeted {
        let outcome = match (&in_sync, refusal(row)) {
            (_, Some(refused)) => refused,
            (Err(why), None) => WorkerOutcome::Failed { error: why.clone(), output: None },
            (Ok(()), None) => run(&mut session, &request.target, job, host)?,
        };
        let worker = report.workers.entry(host.clone()).or_insert_with(|| outcome.clone());
        if worker.is_ok() {
            *worker = outcome.clone();
        }
        report.allocations.push(AllocationReport {
            job: job.clone(),
            host: host.clone(),
            action: action(&request.target),
            reason: format!("make {}", request.target),
            outcome: Some(outcome),
        });
    }
    Ok(report)
}

fn run(
    session: &mut UpstreamSession<'_>,
    target: &str,
    job: &JobName,
    host: &Host,
) -> Result<WorkerOutcome, CatalogError> {
    let mut args = vec!["job"];
    match target {
        "start" | "stop" | "restart" | "status" => args.extend([target, job.as_str()]),
        other => args.extend(["run", job.as_str(), "--target", other]),
    }
    args.extend(["--allocations", host.as_str()]);
    let (ended, _) = session.run(&args)?;
    Ok(if ended.was_cut() {
        WorkerOutcome::Unknown { why: ended.describe(&args.join(" ")) }
    } else if ended.succeeded() {
        WorkerOutcome::Ok { evidence: format!("{job}: make {target}") }
    } else {
        WorkerOutcome::Failed { error: ended.describe(&args.join(" ")), output: ended.output() }
    })
}

/// The upstream program does nothing, and does not say so, where an allocation is not enabled.
fn refusal(row: &Row) -> Option<WorkerOutcome> {
    let error = if row.disabled {
        "it is disabled, and the upstream program leaves it alone: take it out of workspace/disabled.json, build and deploy"
    } else if !row.was_started() {
        "it was never deployed, or was enabled again since: run `maand deploy` first"
    } else {
        return None;
    };
    Some(WorkerOutcome::Failed { error: error.to_owned(), output: None })
}

type Targeted<'s> = Vec<(&'s (JobName, Host), &'s Row)>;

/// What was asked for: where no job is named, all enabled ones; else also those that are not.
fn targeted<'s>(snapshot: &'s Snapshot, request: &JobRequest) -> Result<Targeted<'s>, CatalogError> {
    let mut problems = Problems::new();
    let jobs: std::collections::BTreeSet<&JobName> = snapshot.rows.keys().map(|(job, _)| job).collect();
    for job in request.jobs.iter().filter(|job| !jobs.contains(job)) {
        problems.push(
            Problem::error(
                "maand::catalog::unknown_job",
                format!("there is no job `{job}` in upstream's catalog"),
            )
            .help("after a change of the workspace run `maand build`"),
        );
    }
    for host in request.workers.iter().flatten().filter(|host| !snapshot.workers.contains_key(host)) {
        problems.push(
            Problem::error(
                "maand::catalog::unknown_worker",
                format!("there is no worker `{host}` in upstream's catalog"),
            )
            .help("after a change of the workspace run `maand build`"),
        );
    }
    if !problems.is_empty() {
        return Err(CatalogError::Invalid(problems));
    }
    let wanted = |(job, host): &(JobName, Host), row: &Row| {
        let on = request.workers.as_ref().is_none_or(|hosts| hosts.contains(host));
        let named = request.jobs.contains(job);
        let by_name = named && (request.workers.is_some() || !row.disabled);
        !row.removed && on && (by_name || request.jobs.is_empty() && !row.disabled)
    };
    let mut found: Targeted<'s> = snapshot.rows.iter().filter(|(key, row)| wanted(key, row)).collect();
    found.sort_by_key(|(key, row)| (row.deployment_seq, *key));
    if request.target == "stop" {
        found.reverse();
    }
    Ok(found)
}

fn action(target: &str) -> Action {
    match target {
        "start" => Action::Start,
        "stop" => Action::Stop,
        "restart" => Action::Restart,
        "reload" => Action::Reload,
        _ => Action::Skip,
    }
}
