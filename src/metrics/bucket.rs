//! What all runs of a bucket come to.

use std::collections::{BTreeMap, HashMap};

use super::counted::Counted;
use super::labels::Wait;
use crate::engine::{Millis, PublicRunState, PublicWorkerState};

/// So many plans have a name of their own, those that were run last. A bucket in which each change is a plan of its own
/// would fill a Prometheus otherwise.
const PLANS: usize = 20;

/// All other plans.
const OTHER: &str = "other";

/// The runs of a bucket at one moment.
#[derive(Clone, Debug, Default)]
pub struct BucketNow {
    /// The bucket's folder.
    pub bucket: String,
    /// This moment.
    pub at: Millis,
    /// The runs that the journal has, newest first.
    pub runs: Vec<RunNow>,
    /// What they have counted, and those before them as far as it is known.
    pub counted: Counted,
    /// Runs whose facts this program cannot read: they are counted by their state, and nothing else of them is.
    pub unreadable: usize,
    /// Workers that runs have left in `disabled.json`; `None`: that file cannot be read.
    pub left_disabled: Option<usize>,
    /// A process carries a run out.
    pub has_controller: bool,
    /// `None`: there is no journal yet.
    pub journal: Option<JournalNow>,
}

/// The journal of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalNow {
    /// The version of its tables.
    pub schema: i64,
    /// Bytes on the disk, of its write-ahead log too.
    pub bytes: u64,
}

/// One run.
#[derive(Clone, Debug)]
pub struct RunNow {
    /// Its plan.
    pub plan: String,
    /// Where it stands.
    pub state: PublicRunState,
    /// When it was started.
    pub started_at: Millis,
    /// When it ended.
    pub finished_at: Option<Millis>,
    /// Of one that has not ended: its workers by state.
    pub workers: HashMap<PublicWorkerState, u32>,
    /// And what is waited for.
    pub waits: BTreeMap<Wait, u32>,
}

/// The run of a plan that ended last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastFinished {
    pub(super) at: Millis,
    pub(super) state: PublicRunState,
}

impl BucketNow {
    pub(super) fn runs_in(&self, state: PublicRunState) -> usize {
        self.runs.iter().filter(|run| run.state == state).count()
    }

    pub(super) fn workers_in(&self, state: PublicWorkerState) -> u32 {
        self.runs.iter().filter_map(|run| run.workers.get(&state)).sum()
    }

    pub(super) fn waiting(&self, wait: Wait) -> u32 {
        self.runs.iter().filter_map(|run| run.waits.get(&wait)).sum()
    }

    /// When the oldest run was started that has not ended.
    pub(super) fn oldest_unfinished(&self) -> Option<Millis> {
        self.runs.iter().filter(|run| !run.state.is_final()).map(|run| run.started_at).min()
    }

    /// Of each plan the run that ended last.
    pub(super) fn last_finished(&self) -> BTreeMap<&str, LastFinished> {
        let ended = |run: &RunNow| Some((run.finished_at?, run.state));
        let mut newest: BTreeMap<&str, LastFinished> = BTreeMap::new();
        for run in &self.runs {
            let Some((at, state)) = ended(run) else { continue };
            let last = newest.entry(&run.plan).or_insert(LastFinished { at, state });
            if at > last.at {
                *last = LastFinished { at, state };
            }
        }
        let mut plans: Vec<_> = newest.into_iter().collect();
        plans.sort_by_key(|(plan, last)| (*plan == OTHER, std::cmp::Reverse(last.at)));
        let mut by_name = BTreeMap::new();
        for (at, (plan, last)) in plans.into_iter().enumerate() {
            // They are in the order of their times, newest first, and so the first of the rest is its newest, but for
            // a plan that has this very name.
            let name = if at < PLANS { plan } else { OTHER };
            let known = by_name.entry(name).or_insert(last);
            if last.at > known.at {
                *known = last;
            }
        }
        by_name
    }
}
