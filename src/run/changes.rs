//! What has changed on disk since a run began. A resume uses what the journal has kept; only the workspace
//! matters to it, as deploys would bring its changes to the rest of the fleet.

use crate::bucket::{Bucket, WorkspaceDifference};

use super::RunError;
use crate::os::hash::sha256;
use crate::os::open;
use crate::plan::MAX_BYTES;
use crate::runner::WorkspaceState;

use super::header::{workers_sha256, workspace};
use super::stored::Stored;

/// Something that has changed since the run began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The plan file.
    PlanFile(String),
    /// This program; the version that began the run.
    Program(String),
    /// `workers.json`.
    Workers,
    /// The workspace less `disabled.json`: where it differs, as far as the run has kept that.
    Workspace(Vec<WorkspaceDifference>),
}

impl Change {
    /// Of the workspace, a line for each job that differs; of more than `most` the first, and how many more.
    pub fn workspace_lines(changes: &[Self], most: usize) -> Vec<String> {
        let all = changes.iter().flat_map(|change| match change {
            Self::Workspace(differences) => differences.as_slice(),
            _ => &[],
        });
        let mut lines: Vec<String> = all.clone().take(most).map(WorkspaceDifference::line).collect();
        let more = all.count().saturating_sub(most);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

/// All changes, and the workspace as it is now.
pub(super) fn changes(bucket: &Bucket, stored: &Stored) -> Result<(Vec<Change>, WorkspaceState), RunError> {
    let header = &stored.header;
    let mut changes = Vec::new();
    // A plan that came from standard input, or that is gone, cannot be compared.
    let text =
        open::plain(header.plan_file.as_ref()).and_then(|file| open::read_all(&file, MAX_BYTES as u64));
    if let Ok(text) = text
        && sha256(&text) != header.plan_sha256
    {
        changes.push(Change::PlanFile(header.plan_file.clone()));
    }
    if header.program != env!("CARGO_PKG_VERSION") {
        changes.push(Change::Program(header.program.clone()));
    }
    if workers_sha256(bucket)? != header.workers_sha256 {
        changes.push(Change::Workers);
    }
    let now = workspace(bucket)?;
    if now.hash != header.workspace_hash {
        changes.push(Change::Workspace(stored.workspace().differences(&now)));
    }
    Ok((changes, now))
}
