//! The journal of a simulated run, as its controllers see it: facts in memory, fenced by epochs, and places at
//! which the process dies, just before or just after a commit.

use std::cell::{Ref, RefCell};
use std::rc::Rc;

use crate::controller::Ledger;
use crate::engine::{Fact, Millis, Request};
use crate::sim::mutation::Mutation;
use crate::sim::rng::{Rng, Stream};

/// Places at which a controller can die, and whether it does.
#[derive(Debug)]
pub(super) struct Fuse {
    rng: Rng,
    left: u32,
    at: Vec<u64>,
    /// Places that were passed.
    passed: u64,
}

impl Fuse {
    /// Whether the controller dies here.
    pub(super) fn burns(&mut self) -> bool {
        self.passed += 1;
        if self.at.contains(&self.passed) {
            return true;
        }
        let burns = self.left > 0 && self.rng.per_mille(25);
        self.left -= u32::from(burns);
        burns
    }
}

/// What all controllers of a run share.
#[derive(Debug)]
pub(in crate::sim) struct Stored {
    pub(in crate::sim) facts: Vec<(Millis, Fact)>,
    /// The epoch that each fact was stored with, as far as they were not checked yet.
    pub(super) unchecked: Vec<u64>,
    /// The newest controller's.
    pub(in crate::sim) epoch: u64,
    requests: Vec<Request>,
    asked: i64,
    /// The answer to the newest request, where it was refused.
    refused: Option<String>,
    pub(super) fuse: Fuse,
    /// The process has died right after a commit: nothing more of it is stored.
    died: bool,
    mutation: Option<Mutation>,
    dropped_one: bool,
}

impl Stored {
    fn store(&mut self, epoch: u64, at: Millis, facts: Vec<Fact>) {
        let lossy = self.mutation == Some(Mutation::FactLost);
        for fact in facts {
            if lossy && !self.dropped_one && matches!(fact, Fact::Finished { .. }) && self.facts.len() > 6 {
                self.dropped_one = true;
                continue;
            }
            self.unchecked.push(epoch);
            self.facts.push((at, fact));
        }
    }
}

/// Why nothing was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Gone {
    /// The process is dead.
    Died,
    /// A newer controller has taken over.
    Fenced,
}

/// One controller's hand on the journal.
#[derive(Clone, Debug)]
pub(in crate::sim) struct SimLedger {
    pub(super) shared: Rc<RefCell<Stored>>,
    epoch: u64,
}

impl SimLedger {
    /// An empty journal, and its places to die.
    pub(super) fn new(seed: u64, crashes: u32, crash_at: Vec<u64>, mutation: Option<Mutation>) -> Self {
        let fuse = Fuse { rng: Rng::new(seed, Stream::Crashes), left: crashes, at: crash_at, passed: 0 };
        let stored = Stored {
            facts: Vec::new(),
            unchecked: Vec::new(),
            epoch: 1,
            requests: Vec::new(),
            asked: 0,
            refused: None,
            fuse,
            died: false,
            mutation,
            dropped_one: false,
        };
        Self { shared: Rc::new(RefCell::new(stored)), epoch: 1 }
    }

    /// All facts.
    pub(in crate::sim) fn facts(&self) -> Ref<'_, Vec<(Millis, Fact)>> {
        Ref::map(self.shared.borrow(), |stored| &stored.facts)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The hand of the controller that has this epoch.
    pub(in crate::sim) fn of_epoch(&self, epoch: u64) -> Self {
        Self { shared: Rc::clone(&self.shared), epoch }
    }

    pub(super) fn passed(&self) -> u64 {
        self.shared.borrow().fuse.passed
    }

    pub(super) fn burns(&self) -> bool {
        self.shared.borrow_mut().fuse.burns()
    }

    pub(super) fn draws(&self, low: Millis, high: Millis) -> Millis {
        self.shared.borrow_mut().fuse.rng.between(low, high)
    }

    pub(super) fn coin(&self) -> bool {
        self.shared.borrow_mut().fuse.rng.coin()
    }

    /// Whether the process has died right after a commit; asked once.
    pub(in crate::sim) fn has_died(&self) -> bool {
        std::mem::take(&mut self.shared.borrow_mut().died)
    }

    /// An operator's request; `None`: it was taken, or waits.
    pub(in crate::sim) fn ask(&self, verb: crate::engine::Control, by: &str, at: Millis) {
        let mut shared = self.shared.borrow_mut();
        shared.asked += 1;
        shared.refused = None;
        let n = shared.asked;
        shared.requests.push(Request { n, verb, by: by.to_owned(), at });
    }

    /// Why the newest request was refused.
    pub(in crate::sim) fn refusal(&self) -> Option<String> {
        self.shared.borrow().refused.clone()
    }

    /// A request that nobody has answered is waiting.
    pub(in crate::sim) fn is_asked(&self) -> bool {
        !self.shared.borrow().requests.is_empty()
    }
}

impl Ledger for SimLedger {
    type Error = Gone;

    fn append(&mut self, at: Millis, facts: Vec<Fact>, answers: Option<i64>) -> Result<(), Gone> {
        let mut shared = self.shared.borrow_mut();
        if self.epoch < shared.epoch && shared.mutation != Some(Mutation::AppendUnfenced) {
            return Err(Gone::Fenced);
        }
        if shared.died || shared.fuse.burns() {
            return Err(Gone::Died);
        }
        let epoch = self.epoch;
        shared.store(epoch, at, facts);
        shared.requests.retain(|request| Some(request.n) != answers);
        shared.died = shared.fuse.burns();
        Ok(())
    }

    fn pending_requests(&mut self) -> Result<Vec<Request>, Gone> {
        Ok(self.shared.borrow().requests.clone())
    }

    fn refuse(&mut self, request: i64, _at: Millis, why: &str) -> Result<(), Gone> {
        let mut shared = self.shared.borrow_mut();
        shared.requests.retain(|pending| pending.n != request);
        shared.refused = Some(why.to_owned());
        Ok(())
    }
}
