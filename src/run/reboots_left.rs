//! Workers that a run leaves while its reboot command may yet take them down.

use std::time::Duration;

use crate::engine::Options;
use crate::graph::TargetIx;
use crate::journal::RunId;
use crate::os::parallel_map;
use crate::plan::StepKind;
use crate::runner::pending_reboot;

use super::stored::Stored;
use super::{RunError, Site};

/// For one worker: who does not answer by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Workers that are asked side by side.
const SIDE_BY_SIDE: usize = 64;

/// The workers of a run (`only`: this one) to which a reboot was sent that nobody has seen come, and which may yet go
/// down because of it, each with what it says of that. Who does not answer is left out.
///
/// # Errors
/// What keeps the run from being read or workers from being reached at all.
pub fn reboots_left(site: &Site, run: &RunId, only: Option<&str>) -> Result<Vec<(String, String)>, RunError> {
    let stored = Stored::load(&site.journal()?, run.clone())?;
    let state = stored.replay(Options::default())?;
    let graph = &stored.graph;
    let asked: Vec<TargetIx> = graph
        .target_indices()
        .filter(|target| only.is_none_or(|host| graph.host(*target) == host))
        .filter(|target| state.has_unverified_reboot(*target))
        .collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let remote = site.connector.transport(&site.bucket, &graph.fleet.workers)?;
    let command = graph.plan.steps.iter().find_map(|step| match &step.kind {
        StepKind::Reboot { command, .. } => Some(command.as_str()),
        _ => None,
    });
    let told = parallel_map(asked, SIDE_BY_SIDE, |target| {
        let host = &graph.fleet.worker(graph.target(target).worker).host;
        let why = pending_reboot(&remote, host, PATIENCE)?;
        let sent = command.map_or_else(String::new, |command| format!(" (`{command}` was sent)"));
        Some((host.to_string(), format!("{why}{sent}")))
    });
    Ok(told.into_iter().flatten().collect())
}
