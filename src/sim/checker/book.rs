//! What is known of one lane, by facts.

use std::collections::BTreeMap;

use crate::engine::Millis;
use crate::graph::StepIx;

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Queued,
    /// With the steps of `prepare` alone.
    Preparing,
    Active,
    Succeeded,
    Failed,
    Reverted,
    Skipped,
    Cancelled,
}

/// What is known of one lane.
pub(super) struct Book {
    pub(super) place: Place,
    /// For each step: it has ended well, was skipped or ignored.
    pub(super) satisfied: Vec<bool>,
    pub(super) reverting: bool,
    /// In the failure ledger.
    pub(super) failed: bool,
    /// Taken up again by an operator.
    pub(super) retried: bool,
    pub(super) left_alone: bool,
    /// For each reboot step the boot id that it was issued with, and whether it was found needless.
    pub(super) reboots: BTreeMap<StepIx, (String, bool)>,
    pub(super) gates: BTreeMap<StepIx, Option<Millis>>,
    /// For each step how often it is known to have failed, since the start or an operator's retry.
    pub(super) failures: BTreeMap<StepIx, u32>,
    /// For each step when it may be tried again.
    pub(super) due: BTreeMap<StepIx, Millis>,
    /// For each reboot step the generation that it was issued with last, and whether a higher one is due.
    pub(super) generations: BTreeMap<StepIx, (u32, bool)>,
    /// The step that failed for good first, and the one that was undone last.
    pub(super) broke_at: Option<StepIx>,
    pub(super) undone: Option<StepIx>,
}

impl Book {
    pub(super) fn new(satisfied: Vec<bool>) -> Self {
        Self {
            place: Place::Queued,
            satisfied,
            reverting: false,
            failed: false,
            retried: false,
            left_alone: false,
            reboots: BTreeMap::new(),
            gates: BTreeMap::new(),
            failures: BTreeMap::new(),
            due: BTreeMap::new(),
            generations: BTreeMap::new(),
            broke_at: None,
            undone: None,
        }
    }
}
