//! What a worker of a run waits for, and why.

use crate::bucket::{Bucket, Host};
use crate::engine::{Options, PublicWorkerState};
use crate::graph::Lane;
use crate::journal::{Journal, Mode, RunId};
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
    /// What it waits for, or why it failed; empty: it is under way, or done.
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
    let journal = Journal::open(&bucket.paths().data, Mode::ReadOnly)?;
    let stored = Stored::load(&journal, pick(&journal, name)?)?;
    let run = stored.replay(Options::default())?;
    let graph = &stored.graph;
    let host = Host::bare(host);
    let Some(target) = graph.target_indices().find(|target| graph.host(*target) == host) else {
        return Err(RunError::UnknownWorker { run: stored.id, host: host.to_owned() });
    };
    let at = now();
    let mut view = stored.view()?;
    view.set_orphaned(controller_of(&bucket.paths().data, &stored.id).is_none());
    view.refresh(at);
    let state = view.worker(target).state;
    let why = match state {
        PublicWorkerState::Failed => {
            run.error(target).map_or_else(String::new, |error| format!("failed: {}", error.message))
        }
        PublicWorkerState::LeftAlone => view.worker(target).waits_for.clone().unwrap_or_default(),
        _ => view.wait_of(target, at).unwrap_or_default(),
    };
    let lane = Lane::Worker(target);
    let steps = graph.steps(lane).iter().zip(run.describe_steps(lane));
    let steps = steps.map(|(step, stands)| (step.id.clone(), stands)).collect();
    Ok(Explanation { run: stored.id, host: host.to_owned(), state, why, steps })
}
