//! The runs of a bucket.

use crate::bucket::Bucket;
use crate::engine::{Options, PublicRunState};
use crate::journal::{Journal, RunId, RunSummary};

use super::RunError;
use super::history::History;
use super::reader::controller_of;
use super::stored::Stored;

/// A run in the list of a bucket's runs.
#[derive(Clone, Debug)]
pub struct ListedRun {
    /// What the journal says of it.
    pub run: RunSummary,
    /// Where it stands: a run that no process carries out is not running.
    pub state: PublicRunState,
}

/// All runs of a bucket, newest first; none where there is no journal yet.
///
/// # Errors
/// The journal cannot be read.
pub fn runs(bucket: &Bucket) -> Result<Vec<ListedRun>, RunError> {
    Ok(History::open(bucket)?.runs)
}

pub(super) fn listed(journal: &Journal) -> Result<Vec<ListedRun>, RunError> {
    let listed = |run: RunSummary| {
        let state = match state(run.state, || controller_of(journal, &run.id).is_some()) {
            // What it waits for is not stored; there is at most one such run.
            PublicRunState::Interrupted => at_rest(journal, &run.id).unwrap_or(PublicRunState::Interrupted),
            state => state,
        };
        ListedRun { run, state }
    };
    Ok(journal.runs()?.into_iter().map(listed).collect())
}

/// Where a run stands that no process carries out, by its facts; `None`: they cannot be read.
fn at_rest(journal: &Journal, run: &RunId) -> Option<PublicRunState> {
    let state = Stored::load(journal, run.clone()).ok()?.replay(Options::default()).ok()?;
    Some(PublicRunState::of(&state.status(), true))
}

fn state(stored: PublicRunState, is_carried_out: impl Fn() -> bool) -> PublicRunState {
    match stored {
        PublicRunState::Running | PublicRunState::Interrupted if is_carried_out() => PublicRunState::Running,
        PublicRunState::Running => PublicRunState::Interrupted,
        other => other,
    }
}
