//! What a worker of a run waits for, and why.

use crate::bucket::{Bucket, Host};
use crate::engine::{Options, PublicWorkerState};
use crate::graph::Lane;
use crate::journal::{Location, Mode, RunId};
use crate::report::WorkerView;
use crate::runner::now;

use super::RunError;
use super::reader::controller_of;
use super::site::pick;
use super::stored::Stored;

/// Where one worker of a run stands.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The run's name.
    pub run: RunId,
    /// The worker.
    pub host: String,
    /// Where the worker stands.
    pub state: PublicWorkerState,
    /// What it waits for, what it is at, or how it ended.
    pub why: String,
    /// The ids of its steps in the order of the plan, and where each stands, such as `done`.
    pub steps: Vec<(String, &'static str)>,
}

/// Explains where a worker stands. `name` is a run's name, or its beginning or end; `None`: the unfinished one,
/// else the newest.
///
/// # Errors
/// There is no such run or worker, or the run cannot be read.
pub fn explain(bucket: &Bucket, name: Option<&str>, host: &str) -> Result<Explanation, RunError> {
    let journal = Location::of(bucket)?.open(Mode::ReadOnly)?;
    let stored = Stored::load(&journal, pick(&journal, name)?)?;
    let run = stored.replay(Options::default())?;
    let graph = &stored.graph;
    let host = Host::bare(host);
    let Some(target) = graph.target_indices().find(|target| graph.host(*target) == host) else {
        return Err(RunError::UnknownWorker { run: stored.id, host: host.to_owned() });
    };
    let at = now();
    let mut view = stored.view()?;
    view.set_orphaned(controller_of(&journal, &stored.id).is_none());
    view.refresh(at);
    let worker = view.worker(target);
    let state = worker.state;
    let why = match state {
        PublicWorkerState::LeftAlone => worker.waits_for.clone().unwrap_or_default(),
        _ => view.wait_of(target, at).unwrap_or_else(|| describe(worker)),
    };
    let lane = Lane::Worker(target);
    let steps = graph.steps(lane).iter().zip(run.describe_steps(lane));
    let steps = steps.map(|(step, stands)| (step.id.clone(), stands)).collect();
    Ok(Explanation { run: stored.id, host: host.to_owned(), state, why, steps })
}

fn describe(worker: &WorkerView) -> String {
    let step = worker.step.as_deref().unwrap_or("preflight");
    let since = worker.step_since.map_or_else(String::new, |since| format!(" since {}", since.to_second()));
    let attempt = match worker.attempt {
        Some(attempt) if attempt > 1 => format!(" (attempt {attempt})"),
        _ => String::new(),
    };
    let error = worker.error.as_ref().map(|error| error.message.as_str());
    let because = error.map_or_else(String::new, |error| format!(": {error}"));
    let ended = worker.finished_at.map_or_else(String::new, |at| format!(" at {}", at.to_second()));
    match worker.state {
        PublicWorkerState::Queued => "its turn has not come".to_owned(),
        PublicWorkerState::Running => format!("{step}{attempt} is under way{since}"),
        PublicWorkerState::Retrying => {
            format!("{step} is tried again soon; the last attempt failed{because}")
        }
        PublicWorkerState::InDoubt => format!("the answer of {step} was lost: it may have run{because}"),
        PublicWorkerState::Waiting => match &worker.waits_for {
            Some(what) => format!("{step} waits{since}: {what}"),
            None => format!("{step} waits{since}"),
        },
        PublicWorkerState::Held => format!("stopped at {step}; it continues when the run does"),
        PublicWorkerState::Reverting => {
            format!("it failed, and its finished steps are being undone{because}")
        }
        PublicWorkerState::Succeeded => {
            let kernel = worker.kernel_notice().map_or_else(String::new, |notice| format!("; it {notice}"));
            format!("all its steps were done{ended}{kernel}")
        }
        PublicWorkerState::Failed => format!("failed at {step}{because}"),
        PublicWorkerState::Reverted => format!("failed, and its finished steps were undone{because}"),
        PublicWorkerState::Skipped => match error {
            Some(error) => format!("an operator has given it up; it had failed at {step}: {error}"),
            None => "an operator has taken it out before it was started".to_owned(),
        },
        PublicWorkerState::LeftAlone => "an operator had disabled it before".to_owned(),
        PublicWorkerState::Cancelled => match &worker.step {
            Some(step) => {
                format!("the run was aborted when it was at {step}; what was done until then stays")
            }
            None => "the run was aborted before it was started".to_owned(),
        },
    }
}
