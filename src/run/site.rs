//! A bucket whose plans are carried out, its journal, and the operator.

use std::path::Path;
use std::sync::Arc;

use crate::bucket::Bucket;
use crate::journal::{Holder, Journal, Location, Mode, RunId, RunLock};
use crate::runner::now;

use super::{Connector, RunError};

/// A bucket, and how its workers are reached. Nothing is connected or locked by having one.
#[derive(Clone)]
pub struct Site {
    /// The bucket.
    pub bucket: Arc<Bucket>,
    /// How its workers are reached, and who deploys to them.
    pub connector: Connector,
}

impl Site {
    /// The bucket in `folder`, or (`None`) in the nearest parent of the current folder that has one.
    ///
    /// # Errors
    /// There is none, or its `maand.conf` is wrong.
    pub fn find(folder: Option<&Path>, connector: Connector) -> Result<Self, RunError> {
        Ok(Self { bucket: Arc::new(Bucket::find(folder)?), connector })
    }

    /// The journal, for writing; made where there is none.
    pub(super) fn journal(&self) -> Result<Journal, RunError> {
        Ok(Location::of(&self.bucket)?.open(Mode::ReadWrite)?)
    }

    /// The journal, for writing, where there is one: what asks for a run that is not there makes none.
    pub(super) fn journal_of_runs(&self) -> Result<Journal, RunError> {
        let runs = Location::of(&self.bucket)?;
        drop(runs.open(Mode::ReadOnly)?);
        Ok(runs.open(Mode::ReadWrite)?)
    }

    /// Takes the run lock, without waiting.
    pub(super) fn lock(&self, run: Option<&RunId>) -> Result<RunLock, RunError> {
        let record = match run {
            Some(_) => holder(run),
            None => holder(None).doing("maand plan apply"),
        };
        Ok(Location::of(&self.bucket)?.lock(&record)?)
    }
}

/// The lock's record of this process.
pub(super) fn holder(run: Option<&RunId>) -> Holder {
    Holder::this_process(run.map(ToString::to_string), now())
}

/// The user who runs this process, as journals and claims name it: `user@host`.
pub fn this_operator() -> String {
    holder(None).who
}

/// The run that an operator means: a name, its beginning or its end; `None`: the unfinished one, else the
/// newest.
pub(super) fn pick(journal: &Journal, name: Option<&str>) -> Result<RunId, RunError> {
    if name.is_none()
        && let Some(id) = journal.unfinished()?
    {
        return Ok(id);
    }
    journal.find(name).map_err(RunError::Journal)
}
