//! What the deploys of a plan would carry out, told from files alone: before a run, and for who only looks at a plan.

use crate::bucket::{Bucket, JobName};
use crate::catalog::{self, CatalogError, DeployRequest, FileDiff, PendingChanges, external};
use crate::graph::RolloutGraph;
use crate::plan::{Located, Plan, StepKind};
use crate::runner;

use super::Engine;

/// What the deploys of a compiled plan would bring to its workers besides the plan's own changes; `None`: it deploys
/// nothing, or its fleet is made up. As a run builds before it deploys, that is what the workspace has by now, and not
/// what the last build saw. No worker is contacted, nothing is written.
///
/// # Errors
/// The catalog of the bucket cannot be read, or belongs to the other engine.
pub fn pending_changes(
    bucket: &Bucket,
    engine: Engine,
    graph: &RolloutGraph,
) -> Result<Option<PendingChanges>, CatalogError> {
    let Some(request) = request_of(graph) else { return Ok(None) };
    match engine {
        Engine::Builtin => catalog::pending_changes(bucket, &request, true),
        Engine::External => external::pending_changes(bucket, &request),
    }
    .map(Some)
}

/// The diffs of the files that [`pending_changes`] lists. Values of secrets that the plan takes from the environment are
/// masked as far as this process has them.
///
/// # Errors
/// The catalog of the bucket cannot be read.
pub fn pending_diffs(
    bucket: &Bucket,
    engine: Engine,
    plan: &Plan,
    pending: &PendingChanges,
) -> Result<Vec<FileDiff>, CatalogError> {
    let secrets = secrets_of(plan);
    let mask = |text: &str| runner::without_secrets(text, &secrets);
    match engine {
        Engine::Builtin => catalog::pending_diffs(bucket, pending, &mask),
        Engine::External => Ok(external::pending_diffs(bucket, pending, &mask)),
    }
}

/// The values of the plan's secrets, where they are set here.
fn secrets_of(plan: &Plan) -> Vec<String> {
    plan.reads_from_environment().into_iter().filter_map(|name| std::env::var(name).ok()).collect()
}

/// All deploys of the plan as one; `None`: there is none, or nowhere to look.
fn request_of(graph: &RolloutGraph) -> Option<DeployRequest> {
    if graph.fleet.synthetic {
        return None;
    }
    let plan = &graph.plan;
    let mut request: Option<DeployRequest> = None;
    for step in plan.before.iter().chain(&plan.steps).chain(&plan.after) {
        let (jobs, force) = match &step.kind {
            StepKind::Deploy { jobs, force } => (jobs.as_deref().map(names), *force),
            StepKind::SyncCheck { repair: true } => (None, false),
            _ => continue,
        };
        request = Some(match request {
            None => DeployRequest { jobs, workers: None, force },
            Some(before) => DeployRequest {
                // `None` is all of them.
                jobs: before.jobs.zip(jobs).map(|(before, jobs)| [before, jobs].concat()),
                force: before.force || force,
                workers: None,
            },
        });
    }
    let hosts =
        graph.target_indices().map(|target| graph.fleet.worker(graph.target(target).worker).host.clone());
    request.map(|request| DeployRequest { workers: Some(hosts.collect()), ..request })
}

fn names(jobs: &[Located<String>]) -> Vec<JobName> {
    jobs.iter().filter_map(|job| JobName::parse(&job.value)).collect()
}
