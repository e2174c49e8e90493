//! The run lock: `data/plan.lock`, held by flock(2) for as long as a run is carried out.
//!
//! It is kept outside of SQLite so that it ends with its process, whatever happens. A take-over puts a
//! new file in its place: the old holder then has a lock on a file that nobody looks at, and is stopped
//! by the raised epoch at its next append.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::bucket::lock_file::{self, LockFile};
use crate::bucket::{Process, ProcessState};
use crate::plan::Problem;

use super::holder::Holder;

/// The lock file's name in the bucket's `data` folder.
pub const LOCK_FILE: &str = "plan.lock";

/// A reader of the record takes the lock for an instant ([`holder_of`]): look again before giving up.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Why the lock was not given.
#[derive(Debug)]
pub enum LockError {
    /// Somebody holds it; exit code 4. [`Holder::problem`] has the words.
    Held(Box<Holder>),
    /// The file can not be opened or written.
    Failed(Problem),
}

/// The run lock of a bucket, for as long as it lives.
#[derive(Debug)]
pub struct RunLock(LockFile);

impl RunLock {
    /// Takes the lock, without waiting.
    ///
    /// # Errors
    /// Who holds it.
    pub fn acquire(data_dir: &Path, record: &Holder) -> Result<Self, LockError> {
        let path = data_dir.join(LOCK_FILE);
        for look in 0..LOOKS {
            if look > 0 {
                std::thread::sleep(BETWEEN_LOOKS);
            }
            if let Some(lock) = LockFile::take(&path, record).map_err(|error| failed(&path, "lock", error))? {
                return Ok(Self(lock));
            }
        }
        Err(LockError::Held(Box::new(lock_file::record(&path).unwrap_or_else(unknown_holder))))
    }

    /// Takes the lock away from a holder that is stopped or gone, or, with `elsewhere`, from one on
    /// another machine or in another container, for whose death the person vouches.
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
        let _guard = loop {
            match LockFile::take(&guard_path, record).map_err(|error| failed(&guard_path, "lock", error))? {
                Some(guard) => break guard,
                None => std::thread::sleep(BETWEEN_LOOKS),
            }
        };
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
        LockFile::replace(&path, record).map(Self).map_err(|error| failed(&path, "replace", error))
    }

    /// Whether this is still the lock that others look at, or it was taken over.
    pub fn is_held(&self) -> bool {
        self.0.is_current()
    }

    /// Writes the record anew, for example when the run has got its name.
    ///
    /// # Errors
    /// [`LockError::Failed`].
    pub fn write(&self, record: &Holder) -> Result<(), LockError> {
        self.0.write(record).map_err(|error| failed(self.0.path(), "write", error))
    }
}

/// Who holds the lock now; `None`: nobody.
pub fn holder_of(data_dir: &Path) -> Option<Holder> {
    let path = data_dir.join(LOCK_FILE);
    lock_file::is_held(&path).then(|| lock_file::record(&path).unwrap_or_else(unknown_holder))
}

/// The record is written just after the lock is taken: it can be missing for an instant.
fn unknown_holder() -> Holder {
    Holder {
        run: None,
        who: "somebody".to_owned(),
        since: 0,
        process: Process { host: String::new(), pid: 0, started: None, pid_namespace: None },
    }
}

fn failed(path: &Path, what: &str, error: io::Error) -> LockError {
    let folder = path.parent().unwrap_or(path).display();
    LockError::Failed(
        Problem::error("maand::lock::failed", format!("cannot {what} {}: {error}", path.display()))
            .help(format!("see that {folder} is a folder that you may write to, with room on its disk")),
    )
}
