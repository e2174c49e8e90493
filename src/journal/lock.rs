//! The run lock: `data/plan.lock`, held by flock(2) for as long as a run is carried out.
//!
//! It is kept outside of SQLite so that it ends with its process, whatever happens. A take-over puts a
//! new file in its place: the old holder then has a lock on a file that nobody looks at, and is stopped
//! by the raised epoch at its next append.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::os::{self, LockFile, Process, ProcessState};

use super::JournalError;
use super::holder::Holder;
use super::lease::{Lease, Tenure};

/// The lock file's name in the bucket's `data` folder.
pub const LOCK_FILE: &str = "plan.lock";

/// How often somebody who waits for a lease to be renewed looks.
const IN_DOUBT_POLL: Duration = Duration::from_millis(20);

/// Why the lock was not given.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another operation is under way: {}", .0.describe())]
    Held(Box<Holder>),
    /// The file cannot be opened or written.
    #[error("cannot {operation} {}: {source}", .path.display())]
    Failed {
        /// What was tried: `lock`, `replace` or `write`.
        operation: &'static str,
        /// The lock file.
        path: PathBuf,
        /// Why it did not work.
        source: io::Error,
    },
    /// The server that gives leases cannot be asked.
    #[error(transparent)]
    Server(#[from] JournalError),
}

/// The run lock of a bucket, for as long as it lives: a file of this machine, and a lease where others use its runs, too.
#[derive(Debug)]
pub struct RunLock {
    file: LockFile,
    lease: Option<Lease>,
}

impl RunLock {
    /// Takes the lock, without waiting.
    ///
    /// # Errors
    /// Who holds it.
    pub fn acquire(data_dir: &Path, record: &Holder) -> Result<Self, LockError> {
        let path = data_dir.join(LOCK_FILE);
        // `take_within` looks again before it gives up: who reads the record ([`holder_of`]) takes the lock
        // for an instant.
        LockFile::take_within(&path, || record, Duration::ZERO, &|| false)
            .map_err(|error| failed(&path, "lock", error))?
            .map(Self::of_file)
            .ok_or_else(|| LockError::Held(Box::new(os::record(&path).unwrap_or_else(unknown_holder))))
    }

    /// Takes the lock away from a holder that is stopped or gone, or, with `elsewhere`, from one on
    /// another machine or in another container, for whose death the operator vouches.
    ///
    /// The caller raises the run's epoch afterwards and before anything else.
    ///
    /// # Errors
    /// [`LockError::Held`] when the holder is alive.
    pub fn take_over(data_dir: &Path, record: &Holder, elsewhere: bool) -> Result<Self, LockError> {
        let path = data_dir.join(LOCK_FILE);
        match Self::acquire(data_dir, record) {
            Err(LockError::Held(_)) => {}
            done => return done,
        }
        // One at a time; others who take over do nothing long.
        let guard_path = data_dir.join("plan.lock.take-over");
        let _guard = LockFile::take_within(&guard_path, || record, Duration::MAX, &|| false)
            .map_err(|error| failed(&guard_path, "lock", error))?;
        let holder = match Self::acquire(data_dir, record) {
            Err(LockError::Held(holder)) => holder,
            done => return done,
        };
        let allowed = match holder.process.state() {
            ProcessState::Stopped | ProcessState::Gone => true,
            ProcessState::Elsewhere => elsewhere,
            ProcessState::Alive => false,
        };
        if !allowed {
            return Err(LockError::Held(holder));
        }
        LockFile::replace(&path, record).map(Self::of_file).map_err(|error| failed(&path, "replace", error))
    }

    fn of_file(file: LockFile) -> Self {
        Self { file, lease: None }
    }

    pub(super) fn with_lease(self, lease: Lease) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// Whether this is still the lock that others look at, or it was taken over, or may have been.
    pub fn is_held(&self) -> bool {
        self.tenure() == Tenure::Held
    }

    /// The same, with a lease that may be had again told apart.
    pub fn tenure(&self) -> Tenure {
        match &self.lease {
            _ if !self.file.is_current() => Tenure::Lost,
            None => Tenure::Held,
            Some(lease) => lease.tenure(),
        }
    }

    /// Whether it ends by itself when its holder is not heard of.
    pub fn is_lease(&self) -> bool {
        self.lease.is_some()
    }

    /// Waits while it is not known whether it is held; whether it is then. `false` as well when `is_given_up` says so.
    pub fn wait_until_held(&self, is_given_up: &dyn Fn() -> bool) -> bool {
        loop {
            match self.tenure() {
                Tenure::Held => return true,
                Tenure::Lost => return false,
                Tenure::InDoubt if is_given_up() => return false,
                Tenure::InDoubt => std::thread::sleep(IN_DOUBT_POLL),
            }
        }
    }

    /// Gives the lock back now: the run has ended, and others may begin before this process has.
    pub fn give_back(&self) {
        if let Some(lease) = &self.lease {
            lease.give_back();
        }
        self.file.give_back();
    }

    /// Writes the record anew, for example when the run has got its name.
    ///
    /// # Errors
    /// [`LockError::Failed`].
    pub fn write(&self, record: &Holder) -> Result<(), LockError> {
        if let Some(lease) = &self.lease {
            lease.write(record);
        }
        self.file.write(record).map_err(|error| failed(self.file.path(), "write", error))
    }
}

/// Who holds the lock now; `None`: it is free.
pub fn holder_of(data_dir: &Path) -> Option<Holder> {
    let path = data_dir.join(LOCK_FILE);
    os::is_held(&path).then(|| os::record(&path).unwrap_or_else(unknown_holder))
}

/// As [`holder_of`], for whoever asks again and again: while the process of the record is alive, the lock is not touched.
/// One that has given the lock back and lives on is taken for its holder.
pub fn seen_holder_of(data_dir: &Path) -> Option<Holder> {
    let path = data_dir.join(LOCK_FILE);
    let record: Option<Holder> = os::record(&path);
    let is_alive =
        |holder: &Holder| matches!(holder.process.state(), ProcessState::Alive | ProcessState::Stopped);
    record.filter(is_alive).or_else(|| holder_of(data_dir))
}

/// The record is written just after the lock is taken: it can be missing for an instant.
pub(super) fn unknown_holder() -> Holder {
    Holder {
        run: None,
        operation: None,
        who: "unknown".to_owned(),
        since: 0,
        process: Process { host: String::new(), pid: 0, started: None, pid_namespace: None },
    }
}

fn failed(path: &Path, operation: &'static str, source: io::Error) -> LockError {
    LockError::Failed { operation, path: path.to_path_buf(), source }
}
