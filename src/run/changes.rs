//! What has changed on disk since a run began. A resume uses what the journal has kept; only the workspace
//! matters to it, as deploys would bring its changes to the rest of the fleet.

use crate::bucket::Bucket;
use crate::journal::RunHeader;

use super::RunError;
use crate::os::hash::sha256;
use crate::os::open;
use crate::plan::MAX_BYTES;

use super::header::{workers_sha256, workspace_hash};

/// Something that has changed since the run began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The plan file.
    PlanFile(String),
    /// This program; the version that began the run.
    Program(String),
    /// `workers.json`.
    Workers,
    /// The workspace less `disabled.json`.
    Workspace,
}

/// All changes, and the hash of the workspace as it is now.
pub(super) fn changes(bucket: &Bucket, header: &RunHeader) -> Result<(Vec<Change>, String), RunError> {
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
    let now = workspace_hash(bucket)?;
    if now != header.workspace_hash {
        changes.push(Change::Workspace);
    }
    Ok((changes, now))
}
