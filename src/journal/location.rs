//! Where the runs of a bucket are kept, and who may carry one out there.

use std::path::{Path, PathBuf};

use crate::bucket::Bucket;

use super::db::Address;
use super::holder::Holder;
use super::lease::Lease;
use super::lock::{self, LockError, RunLock};
use super::{Journal, JournalError, Mode};

/// Where the runs of a bucket are kept: in a file of its `data` folder, or in a PostgreSQL that other machines use, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    data: PathBuf,
    server: Option<Address>,
}

impl Location {
    /// As the bucket's `maand.conf` says.
    ///
    /// # Errors
    /// [`JournalError::Address`]: what stands there cannot be used.
    pub fn of(bucket: &Bucket) -> Result<Self, JournalError> {
        Self::named(bucket, bucket.settings().ledger.as_deref().unwrap_or("file"))
    }

    /// As an operator names one of a bucket: `file`, or an address.
    ///
    /// # Errors
    /// [`JournalError::Address`]: it is neither.
    pub fn named(bucket: &Bucket, name: &str) -> Result<Self, JournalError> {
        let file = Self::file(&bucket.paths().data);
        if name == "file" {
            return Ok(file);
        }
        let id = bucket.bucket_id().map_err(|problem| JournalError::NoBucketId { why: problem.message })?;
        Ok(Self { server: Some(Address::parse(name, id)?), ..file })
    }

    /// In this `data` folder of a bucket.
    pub fn file(data: &Path) -> Self {
        Self { data: data.to_owned(), server: None }
    }

    /// In this PostgreSQL, for the bucket with this `data` folder.
    pub fn server(data: &Path, address: Address) -> Self {
        Self { data: data.to_owned(), server: Some(address) }
    }

    /// The same as another user of the database.
    #[must_use]
    pub fn with_user(self, name: &str) -> Self {
        Self { server: self.server.map(|address| address.with_user(name)), ..self }
    }

    /// Whether other machines may use it.
    pub fn is_shared(&self) -> bool {
        self.server.is_some()
    }

    /// Opens the journal there.
    ///
    /// # Errors
    /// As of [`Journal::open`] and [`Journal::open_server`].
    pub fn open(&self, mode: Mode) -> Result<Journal, JournalError> {
        match &self.server {
            None => Journal::open(&self.data, mode),
            Some(address) => Journal::open_server(address, mode),
        }
    }

    /// The same for reading; `None`: there is none yet, and so no run.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open_if_any(&self) -> Result<Option<Journal>, JournalError> {
        match self.open(Mode::ReadOnly) {
            Ok(journal) => Ok(Some(journal)),
            Err(JournalError::NoJournal { .. } | JournalError::NoTables { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the run lock; with a server, on this machine and on all others. What a process there has left behind that
    /// has died is waited for, for as long as its lease lasts.
    ///
    /// # Errors
    /// Who holds it.
    pub fn lock(&self, record: &Holder) -> Result<RunLock, LockError> {
        self.with_lease(RunLock::acquire(&self.data, record)?, record)
    }

    /// The same for a run whose holder on this machine is stopped or gone, or, with `elsewhere`, is on another machine
    /// or in another container, for whose death the operator vouches. A lease is not taken away: it ends by itself.
    ///
    /// The caller raises the run's epoch afterwards and before anything else.
    ///
    /// # Errors
    /// [`LockError::Held`] when the holder is alive.
    pub fn take_over(&self, record: &Holder, elsewhere: bool) -> Result<RunLock, LockError> {
        self.with_lease(RunLock::take_over(&self.data, record, elsewhere)?, record)
    }

    /// The run locks of two ledgers of one bucket, for as long as what is returned lives.
    ///
    /// # Errors
    /// Who holds one of them.
    pub fn lock_both(one: &Self, other: &Self, record: &Holder) -> Result<impl Sized, LockError> {
        // The file is that of both: it is in the bucket's folder.
        let lock = one.lock(record)?;
        let lease = other.server.as_ref().map(|address| Lease::acquire(address, record)).transpose()?;
        Ok((lock, lease))
    }

    fn with_lease(&self, lock: RunLock, record: &Holder) -> Result<RunLock, LockError> {
        match &self.server {
            None => Ok(lock),
            Some(address) => Ok(lock.with_lease(Lease::acquire(address, record)?)),
        }
    }

    /// Who carries a run out, or is about to; `None`: nobody.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub fn holder(&self) -> Result<Option<Holder>, JournalError> {
        match (&self.server, self.open_if_any()) {
            (None, _) => Ok(lock::holder_of(&self.data)),
            (Some(_), journal) => journal?.map_or(Ok(None), |journal| journal.holder()),
        }
    }
}
