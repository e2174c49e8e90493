//! A run that this process may carry out: it holds the run lock, and has read what the journal knows.

use std::sync::Arc;

use crate::bucket::Bucket;
use crate::engine::{Check, DoubtAnswers, Fact, Options};
use crate::graph::RolloutGraph;
use crate::journal::{Journal, RunId, RunLock};
use crate::runner::WorkspaceState;

use super::checkout::carry_on_here;
use super::connector::Connected;
use super::stored::{Stored, workspace_then};
use super::{Change, RunError, Site};

/// A run that this process alone may carry out: it holds the run lock.
pub struct Run {
    pub(super) bucket: Arc<Bucket>,
    pub(super) connected: Connected,
    pub(super) journal: Journal,
    pub(super) lock: Arc<RunLock>,
    pub(super) stored: Stored,
    /// Deploys are held to it.
    pub(super) workspace: WorkspaceState,
    /// Facts of this process that are not recorded yet.
    pub(super) first: Vec<Fact>,
    /// What a look at the fleet has found, where the run has not recorded one yet.
    pub(super) checks: Option<Vec<Check>>,
    pub(super) in_doubt: DoubtAnswers,
    pub(super) changes: Vec<Change>,
}

impl Run {
    /// The parts of a stored run that is carried on with `first`.
    pub(super) fn continued(
        site: &Site,
        journal: Journal,
        lock: RunLock,
        stored: Stored,
        first: Vec<Fact>,
    ) -> Result<Self, RunError> {
        let lock = Arc::new(lock);
        carry_on_here(site, &journal, &stored)?;
        Ok(Self {
            bucket: Arc::clone(&site.bucket),
            connected: site.connector.connect_under(&lock, &site.bucket, &stored.graph.fleet)?,
            journal,
            lock,
            workspace: workspace_then(&stored.header),
            stored,
            first,
            checks: None,
            in_doubt: DoubtAnswers::default(),
            changes: Vec::new(),
        })
    }

    /// The run's name.
    pub fn id(&self) -> &RunId {
        &self.stored.id
    }

    /// Where.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// What is carried out.
    pub fn graph(&self) -> &Arc<RolloutGraph> {
        &self.stored.graph
    }

    /// What has changed on disk since it began; it continues with what it began with.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    pub(super) fn options(&self) -> Options {
        Options {
            exclusive_catalog: self.connected.catalog.capabilities().contacts_every_worker,
            time_scale: self.bucket.settings().time_scale(),
        }
    }
}
