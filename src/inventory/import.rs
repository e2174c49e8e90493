//! What an inventory comes to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::bucket::WorkerEntry;

/// What an inventory says of workers, and what of it has no place in `workers.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// Each host once, in the order of the inventory.
    pub workers: Vec<WorkerEntry>,
    /// Everything else.
    pub not_taken: Vec<NotTaken>,
}

/// Something of an inventory that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct NotTaken {
    /// Why not.
    pub why: &'static str,
    /// What to do about it.
    pub help: &'static str,
    /// What it is, by its name in the inventory: `variable db_password`, `host win1`.
    pub what: String,
    /// The hosts at which it stands, by their names in the inventory; empty: it is not of some hosts alone.
    pub hosts: Vec<String>,
}

/// A reason, and what to do.
pub(super) type Reason = (&'static str, &'static str);

/// What was not taken, while it is gathered: each once, however many hosts have it.
#[derive(Default)]
pub(super) struct Gathered(BTreeMap<(Reason, String), Vec<String>>);

impl Gathered {
    /// This, of no host in particular.
    pub(super) fn push(&mut self, reason: Reason, what: impl Into<String>) {
        self.0.entry((reason, what.into())).or_default();
    }

    /// This, at one host.
    pub(super) fn push_at(&mut self, reason: Reason, what: impl Into<String>, host: &str) {
        self.0.entry((reason, what.into())).or_default().push(host.to_owned());
    }

    /// All of it, alike reasons together.
    pub(super) fn finish(self) -> Vec<NotTaken> {
        let one = |(((why, help), what), hosts)| NotTaken { why, help, what, hosts };
        self.0.into_iter().map(one).collect()
    }
}
