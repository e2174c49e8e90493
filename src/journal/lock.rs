//! The run lock: `data/plan.lock`, held by flock(2) for as long as a run is carried out.
//!
//! It is kept outside of SQLite so that it ends with its process, whatever happens. A take-over puts a
//! new file in its place: the old holder then has a lock on a file that nobody looks at, and is stopped
//! by the raised epoch at its next append.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::plan::Problem;

use super::holder::{Holder, HolderState};

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
pub struct RunLock {
    file: File,
    path: PathBuf,
}

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
            let file = open(&path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_at(&file, &path) => {
                    let mut lock = Self { file, path };
                    lock.write(record)?;
                    return Ok(lock);
                }
                // Somebody has put another file there in between.
                Ok(()) | Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(error) => return Err(failed(&path, "lock", error.into())),
            }
        }
        Err(LockError::Held(Box::new(read_record(&path).unwrap_or_else(unknown_holder))))
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
        // One at a time; waits only for others who take over, and they do nothing long.
        let guard_path = data_dir.join("plan.lock.take-over");
        let guard = open(&guard_path)?;
        flock(&guard, FlockOperation::LockExclusive)
            .map_err(|error| failed(&guard_path, "lock", error.into()))?;
        let holder = match Self::acquire(data_dir, record) {
            Err(LockError::Held(holder)) => holder,
            done => return done,
        };
        let allowed = match holder.state() {
            HolderState::Stopped | HolderState::Gone => true,
            HolderState::Elsewhere => elsewhere,
            HolderState::Alive => false,
        };
        if !allowed {
            return Err(LockError::Held(holder));
        }
        let fresh = data_dir.join(format!("plan.lock.{}", std::process::id()));
        let file = open(&fresh)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| failed(&fresh, "lock", error.into()))?;
        let mut lock = Self { file, path: fresh };
        lock.write(record)?;
        std::fs::rename(&lock.path, &path).map_err(|error| failed(&path, "replace", error))?;
        lock.path = path;
        Ok(lock)
    }

    /// Whether this is still the lock that others look at, or it was taken over.
    pub fn is_held(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// Writes the record anew, for example when the run has got its name.
    ///
    /// # Errors
    /// [`LockError::Failed`].
    pub fn write(&mut self, record: &Holder) -> Result<(), LockError> {
        let text = serde_json::to_string(record).unwrap_or_default();
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .map_err(|error| failed(&self.path, "write", error))
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // The record goes first, so that nobody reads an old one; the lock ends with the descriptor.
        let _ = self.file.set_len(0);
    }
}

/// Who holds the lock now; `None`: nobody.
pub fn holder_of(data_dir: &Path) -> Option<Holder> {
    let path = data_dir.join(LOCK_FILE);
    let file = File::open(&path).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        // Given back when `file` is closed, at once.
        Ok(()) => None,
        Err(_) => Some(read_record(&path).unwrap_or_else(unknown_holder)),
    }
}

fn open(path: &Path) -> Result<File, LockError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed(path, "open", error))
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => ours.ino() == theirs.ino() && ours.dev() == theirs.dev(),
        _ => false,
    }
}

fn read_record(path: &Path) -> Option<Holder> {
    let mut text = String::new();
    File::open(path).ok()?.take(1 << 16).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// The record is written just after the lock is taken: it can be missing for an instant.
fn unknown_holder() -> Holder {
    Holder {
        run: None,
        who: "somebody".to_owned(),
        host: String::new(),
        pid: 0,
        since: 0,
        started: None,
        pid_namespace: None,
    }
}

fn failed(path: &Path, what: &str, error: std::io::Error) -> LockError {
    let folder = path.parent().unwrap_or(path).display();
    LockError::Failed(
        Problem::error("maand::lock::failed", format!("cannot {what} {}: {error}", path.display()))
            .help(format!("see that {folder} is a folder that you may write to, with room on its disk")),
    )
}
