//! Entries of `disabled.json`, by worker: what is asked of them all the time is what one worker has.

use smallvec::SmallVec;

use crate::bucket::{JobIx, WorkerIx};

/// One entry of `disabled.json`: a whole worker, or one job on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sim) struct Entry {
    pub(in crate::sim) worker: WorkerIx,
    pub(in crate::sim) job: Option<JobIx>,
}

/// A set of them, in order.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Entries {
    /// For each worker its own, ascending. Two fit without an allocation.
    of_workers: Vec<SmallVec<[Option<JobIx>; 2]>>,
    length: usize,
}

impl Entries {
    /// None, for a fleet of so many.
    pub(super) fn new(workers: usize) -> Self {
        Self { of_workers: vec![SmallVec::new(); workers], length: 0 }
    }

    pub(in crate::sim) fn of_worker(&self, worker: WorkerIx) -> &[Option<JobIx>] {
        &self.of_workers[worker.0 as usize]
    }

    pub(in crate::sim) fn contains(&self, entry: Entry) -> bool {
        self.of_worker(entry.worker).contains(&entry.job)
    }

    /// `false`: it was there.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        let of_worker = &mut self.of_workers[entry.worker.0 as usize];
        let Err(at) = of_worker.binary_search(&entry.job) else { return false };
        of_worker.insert(at, entry.job);
        self.length += 1;
        true
    }

    pub(super) fn remove(&mut self, entry: Entry) {
        let of_worker = &mut self.of_workers[entry.worker.0 as usize];
        if let Ok(at) = of_worker.binary_search(&entry.job) {
            of_worker.remove(at);
            self.length -= 1;
        }
    }

    pub(super) fn clear_worker(&mut self, worker: WorkerIx) {
        let of_worker = &mut self.of_workers[worker.0 as usize];
        self.length -= of_worker.len();
        of_worker.clear();
    }

    pub(in crate::sim) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(in crate::sim) fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        let workers = self.of_workers.iter().zip(0..);
        workers.flat_map(|(jobs, worker)| {
            jobs.iter().map(move |job| Entry { worker: WorkerIx(worker), job: *job })
        })
    }

    /// Those that the other has not.
    pub(in crate::sim) fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Entry> + 'a {
        self.iter().filter(|entry| !other.contains(*entry))
    }
}
