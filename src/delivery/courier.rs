//! All targets of a run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::journal::{Journal, JournalError, NoticeStore, RunId, UndeliveredNotice};
use crate::notice::Notice;
use crate::plan::{NoticeEvent, NoticeTarget};
use crate::runner::now;

use super::lane::Lane;
use super::send::Machine;

/// How soon it is noticed that all is delivered, or that nobody waits any more.
const LOOK: Duration = Duration::from_millis(20);

/// Takes the notices of a run to whoever is to be told.
pub struct Courier {
    lanes: Vec<Arc<Lane>>,
    store: Mutex<NoticeStore>,
    longer_than_usual: bool,
}

impl Courier {
    /// Starts a thread for each target. `newest`: the newest fact of the run; a target that this run has not had before is
    /// told of what follows.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub fn start(
        journal: &Journal,
        run: &RunId,
        targets: BTreeMap<String, NoticeTarget>,
        machine: &Machine,
        newest: u64,
    ) -> Result<Self, JournalError> {
        let own = NoticeStore::open(journal, run)?;
        let wants = |target: &NoticeTarget| target.on.contains(&NoticeEvent::LongerThanUsual);
        let longer_than_usual = targets.values().any(wants);
        let mut lanes = Vec::new();
        for (name, target) in targets {
            let since = own.told_since(&name, newest, now())?;
            let delivered = own.delivered(&name)?;
            let lane = Arc::new(Lane::new(name, target, since, delivered));
            let (serving, machine, store) =
                (Arc::clone(&lane), machine.clone(), NoticeStore::open(journal, run)?);
            let serve = move || serving.serve(&store, &machine);
            let spawned = std::thread::Builder::new().name(format!("tell {}", lane.name)).spawn(serve);
            if spawned.is_err() {
                // Nothing is tried, which is said at the end.
                lane.stop();
            }
            lanes.push(lane);
        }
        Ok(Self { lanes, store: Mutex::new(own), longer_than_usual })
    }

    /// Whether somebody is to be told when something takes longer than usual.
    pub fn wants_longer_than_usual(&self) -> bool {
        self.longer_than_usual
    }

    /// Nothing is under way or waits.
    pub fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_idle())
    }

    /// Hands a notice to all who are to be told of it and were not. It never waits.
    pub fn tell(&self, notice: &Notice) {
        self.lanes.iter().for_each(|lane| lane.take(notice));
    }

    /// Waits until all is delivered, for at most so long, and no longer than `given_up` says so. What is left is noted, and
    /// returned.
    pub fn finish(&self, within: Duration, given_up: &dyn Fn() -> bool) -> Vec<UndeliveredNotice> {
        let until = Instant::now() + within;
        while !self.is_idle() && Instant::now() < until && !given_up() {
            std::thread::sleep(LOOK);
        }
        self.lanes.iter().for_each(|lane| lane.stop());
        let left: Vec<_> = self.lanes.iter().flat_map(|lane| lane.undelivered()).collect();
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        for notice in left.iter().filter(|notice| notice.key.0 > 0) {
            // What cannot be noted is sent again all the same: it is not among the delivered ones.
            let _ = store.settle(&notice.target, &notice.key, now(), Some(&notice.why));
        }
        left
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.lanes.iter().for_each(|lane| lane.stop());
    }
}
