//! What is fixed when a run starts, and the hashes by which a resume sees what has changed since.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::bucket::Bucket;
use crate::engine::Millis;
use crate::graph::RolloutGraph;
use crate::journal::{RunHeader, StepKinds};
use crate::os::hash::sha256;
use crate::plan::{Problems, Source, Step};
use crate::runner::WorkspaceState;

use super::RunError;

/// What a run begins with, as it was when everything was checked.
pub(super) struct Inputs {
    /// `--set`, in the order given.
    pub(super) overrides: Vec<(String, String)>,
    /// The selection was narrowed to these.
    pub(super) workers: Option<Vec<String>>,
    /// Text of the plan's scripts and calendars, by the path written in the plan.
    pub(super) scripts: BTreeMap<String, String>,
    /// SHA-256 of `workers.json`.
    pub(super) workers_sha256: String,
    /// The workspace less `disabled.json`.
    pub(super) workspace: WorkspaceState,
    /// SHA-256 of the reviewed plan file.
    pub(super) reviewed: Option<String>,
}

impl Inputs {
    /// The header of a run that `who` starts at this moment.
    pub(super) fn header(self, graph: &RolloutGraph, who: &str, started_at: Millis) -> RunHeader {
        let plan = &graph.plan;
        let kinds = |steps: &[Step]| steps.iter().map(|step| step.kind.keyword().to_owned()).collect();
        RunHeader {
            plan: plan.name.clone(),
            plan_file: plan.source.name().to_owned(),
            plan_text: plan.source.text().to_owned(),
            plan_sha256: sha256(plan.source.text().as_bytes()),
            overrides: self.overrides,
            only_workers: self.workers,
            fleet: (*graph.fleet).clone(),
            graph_hash: graph.hash(),
            workers_sha256: self.workers_sha256,
            workspace_hash: self.workspace.hash,
            workspace_files: self.workspace.files,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            who: who.to_owned(),
            seed: seed(started_at, std::process::id()),
            scripts: self.scripts,
            hosts: graph.target_indices().map(|target| graph.host(target).to_owned()).collect(),
            kinds: StepKinds {
                before: kinds(&plan.before),
                steps: kinds(&plan.steps),
                after: kinds(&plan.after),
            },
            started_at,
            reviewed: self.reviewed,
        }
    }
}

/// Jitter only has to differ between controllers.
fn seed(at: Millis, pid: u32) -> u64 {
    let digest = Sha256::digest(format!("{at} {pid}").as_bytes());
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// SHA-256 of `workers.json`, in hexadecimal.
pub(super) fn workers_sha256(bucket: &Bucket) -> Result<String, RunError> {
    let source = bucket.workers_text().map_err(Problems::from)?;
    Ok(sha256(source.as_ref().map_or("", Source::text)))
}

/// The workspace less `disabled.json`, as it is now.
pub(super) fn workspace(bucket: &Bucket) -> Result<WorkspaceState, RunError> {
    let path: &Path = &bucket.paths().workspace;
    WorkspaceState::read(path).map_err(|source| RunError::Unreadable { path: path.to_owned(), source })
}
