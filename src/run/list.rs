//! The runs of a bucket.

use crate::bucket::Bucket;
use crate::engine::PublicRunState;
use crate::journal::{Journal, JournalError, Mode, RunSummary};

use super::RunError;
use super::reader::controller_of;

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
    let data = &bucket.paths().data;
    let runs = match Journal::open(data, Mode::ReadOnly).and_then(|journal| journal.runs()) {
        Ok(runs) => runs,
        Err(JournalError::NoJournal { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let listed = |run: RunSummary| {
        let state = state(run.state, || controller_of(data, &run.id).is_some());
        ListedRun { run, state }
    };
    Ok(runs.into_iter().map(listed).collect())
}

fn state(stored: PublicRunState, is_carried_out: impl Fn() -> bool) -> PublicRunState {
    match stored {
        PublicRunState::Running | PublicRunState::Interrupted if is_carried_out() => PublicRunState::Running,
        PublicRunState::Running => PublicRunState::Interrupted,
        other => other,
    }
}
