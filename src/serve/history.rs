//! Workers and their attempts, in one run and over all.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::answer::{Trouble, html};
use super::pages::named;
use super::routes::App;
use crate::engine::{AttemptId, Fact, Millis};
use crate::graph::Lane;
use crate::page::{
    AttemptOfStep, HostOutput, OutputPage, RunOfWorker, StepOfWorker, WorkerOfRunPage, output_page,
    worker_of_run_page, worker_page,
};
use crate::report::describe_outcome;
use crate::run::{
    History, ListedRun, RunError, RunFilter, RunOnWorkers, RunReader, StepEnd, StepInRun, WorkerInRun,
    explain,
};
use crate::runner::now;

/// Runs on the page of a worker.
const RUNS: usize = 30;
/// Hosts whose output is on one page.
const HOSTS: u32 = 16;
/// Bytes of a host's name.
const HOST_BYTES: usize = 300;

/// A worker of a run.
pub(super) async fn worker_of_run(
    State(app): State<App>,
    Path((run, host)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Trouble> {
    let (run, host) = (named(&run)?, host_of(host)?);
    let watchers = app.watchers.clone();
    let page = app.reads.page(uri.path(), move || {
        let bucket = watchers.bucket();
        let trouble = |error: RunError| Trouble::of(error, watchers.words());
        let explained = explain(bucket, Some(run.as_str()), &host).map_err(trouble)?;
        let history = History::open(bucket).map_err(trouble)?;
        let of_run = RunFilter { run: Some(run.clone()), ..RunFilter::default() };
        let hosts = BTreeSet::from([explained.host.clone()]);
        let meant = history.select(&of_run);
        let is_live = meant.iter().any(|listed| !listed.state.is_final());
        let done = history.of_workers(history.look(meant), &hosts).next().and_then(shown);
        Ok(worker_of_run_page(&WorkerOfRunPage {
            host: &explained.host,
            state: explained.state,
            why: &explained.why,
            steps: &explained.steps,
            done: done.as_ref(),
            run: run.as_str(),
            is_live,
            at: now(),
        }))
    });
    Ok(html(page.await?))
}

/// A worker over all runs.
pub(super) async fn worker(
    State(app): State<App>,
    Path(host): Path<String>,
    uri: Uri,
) -> Result<Response, Trouble> {
    let host = host_of(host)?;
    let watchers = app.watchers.clone();
    let page = app.reads.page(uri.path(), move || {
        let history =
            History::open(watchers.bucket()).map_err(|error| Trouble::of(error, watchers.words()))?;
        let hosts = BTreeSet::from([host.clone()]);
        let all: Vec<&ListedRun> = history.runs.iter().collect();
        let mut runs: Vec<_> =
            history.of_workers(history.look(all), &hosts).filter_map(shown).take(RUNS + 1).collect();
        let more = runs.len() > RUNS;
        runs.truncate(RUNS);
        Ok(worker_page(&host, &runs, more, now()))
    });
    Ok(html(page.await?))
}

/// What an attempt has written.
pub(super) async fn attempt(
    State(app): State<App>,
    Path((run, attempt)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Trouble> {
    let run = named(&run)?;
    let unknown = || {
        let what = "the run has no attempt with this number";
        Trouble::new(StatusCode::NOT_FOUND, what, "choose one on the page of a worker of the run")
    };
    let attempt = attempt.parse().map(AttemptId).map_err(|_| unknown())?;
    let watchers = app.watchers.clone();
    let page = app.reads.page(uri.path(), move || {
        let trouble = |error: RunError| Trouble::of(error, watchers.words());
        let run = RunReader::open(watchers.bucket(), Some(run.as_str())).map_err(trouble)?;
        let (lane, step, started_at, ended) = found(&run, attempt).map_err(trouble)?.ok_or_else(unknown)?;
        let (outputs, hosts) = run.some_output(attempt, HOSTS).map_err(trouble)?;
        let outputs: Vec<HostOutput> = outputs
            .into_iter()
            .map(|(host, output)| HostOutput { host, text: output.text(), bytes: output.total() })
            .collect();
        let whose = match lane {
            Lane::Before => "before",
            Lane::Worker(target) => run.graph.host(target),
            Lane::After => "after",
        };
        Ok(output_page(&OutputPage {
            run: run.id.as_str(),
            attempt: attempt.0,
            whose,
            is_worker: matches!(lane, Lane::Worker(_)),
            step: &run.graph.steps(lane)[step].id,
            started_at,
            ended,
            more: hosts.saturating_sub(outputs.len()),
            outputs: &outputs,
            is_live: run.controller().is_some(),
            at: now(),
        }))
    });
    Ok(html(page.await?))
}

/// An attempt's lane, its step's index, when it began, and how it ended.
type Found = (Lane, usize, Millis, Option<(Millis, bool, String)>);

fn found(run: &RunReader, wanted: AttemptId) -> Result<Option<Found>, RunError> {
    let mut found: Option<Found> = None;
    for stamped in run.facts_after(0)? {
        let stamped = stamped?;
        match &stamped.fact {
            Fact::Issued { attempt, lane, step, .. } if *attempt == wanted => {
                found = Some((*lane, step.index(), stamped.at, None));
            }
            Fact::Finished { attempt, outcome } if *attempt == wanted => {
                let (is_well, how) = describe_outcome(outcome);
                if let Some((.., ended)) = &mut found {
                    *ended = Some((stamped.at, is_well, how));
                }
                break;
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A host that may be one.
fn host_of(host: String) -> Result<String, Trouble> {
    if host.len() > HOST_BYTES {
        let what = format!("no worker has a name of more than {HOST_BYTES} bytes");
        return Err(Trouble::new(StatusCode::NOT_FOUND, what, "choose a worker on the page of a run"));
    }
    Ok(host)
}

/// One worker in one run, for a page.
fn shown(on: RunOnWorkers<'_>) -> Option<RunOfWorker> {
    let worker = on.workers.into_iter().next();
    if worker.is_none() && on.unreadable.is_none() {
        return None;
    }
    let run = &on.run.run;
    let span = |from: Option<Millis>, to: Option<Millis>| Some(to? - from?);
    let of = worker.as_ref();
    Some(RunOfWorker {
        run: run.id.to_string(),
        plan: run.plan.clone(),
        state: on.run.state,
        by: on.by,
        started_at: run.started_at,
        worker: of.map(|worker| worker.state),
        took: of.and_then(|worker| span(worker.started_at, worker.finished_at)),
        boots: of.and_then(|worker| worker.boot_id_before.clone().zip(worker.boot_id_after.clone())),
        error: of.and_then(|worker| worker.error.as_ref().map(|error| error.message.clone())),
        acts: of.map(acts).unwrap_or_default(),
        steps: of.map(|worker| worker.steps.iter().map(step).collect()).unwrap_or_default(),
        unreadable: on.unreadable.map(|error| error.to_string()),
    })
}

fn acts(worker: &WorkerInRun) -> Vec<(Millis, String)> {
    let by = |by: &Option<String>| by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    worker.acts.iter().map(|act| (act.at, format!("{}{}", act.what, by(&act.by)))).collect()
}

fn step(step: &StepInRun) -> StepOfWorker {
    let attempts = step.attempts.iter().map(|attempt| AttemptOfStep {
        id: attempt.id.0,
        purpose: attempt.purpose.replace('_', " "),
        started_at: attempt.started_at,
        took: attempt.finished_at.map(|end| end - attempt.started_at),
        how: match (&attempt.error, &attempt.result) {
            (Some(error), _) => error.message.clone(),
            (None, Some(result)) => result.clone(),
            (None, None) => "has not ended".to_owned(),
        },
        is_bad: attempt.error.is_some(),
    });
    StepOfWorker {
        name: if step.undo { format!("undo {}", step.id) } else { step.id.clone() },
        kind: step.kind.clone(),
        how: step.describe(),
        is_bad: matches!(step.end, StepEnd::Failed | StepEnd::Ignored | StepEnd::InDoubt),
        started_at: step.started_at,
        took: step.finished_at.map(|end| end - step.started_at),
        attempts: attempts.collect(),
    }
}
