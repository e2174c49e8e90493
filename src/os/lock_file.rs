//! A lock between processes on one machine: `flock` on a file that also says who holds it.
//!
//! The kernel frees such a lock when its last descriptor closes, however the process ends; the record is for
//! those who look and is never what decides. A lock file that was replaced under its holder is noticed by its
//! inode.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::open;

/// A record is never longer than this.
const RECORD_LIMIT: u64 = 64 * 1024;

/// Between two tries. `flock` has no time-out of its own, and signals are not ours to use.
const POLL: Duration = Duration::from_millis(20);
/// A process that only asks has the lock for an instant: one try is never the last.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(200);

/// A held lock; dropping it gives it back.
#[derive(Debug)]
#[must_use]
pub struct LockFile {
    file: File,
    path: PathBuf,
    given_back: AtomicBool,
}

impl LockFile {
    /// Takes the lock without waiting and writes `record` into it; `None`: it is not to be had now.
    ///
    /// A process that only asks ([`is_held`]) has it for an instant, so a caller tries more than once.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn take(path: &Path, record: &impl Serialize) -> io::Result<Option<Self>> {
        let file = open::own(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let lock = Self { file, path: path.to_path_buf(), given_back: AtomicBool::new(false) };
        // Between open and flock the file may have been taken over or removed: then others lock
        // another one.
        if !lock.is_current() {
            return Ok(None);
        }
        lock.write(record)?;
        Ok(Some(lock))
    }

    /// As [`LockFile::take`], trying again for as long as `patience` unless `cancelled`; `record` is
    /// asked anew for each try. `None`: it was held all the time, or cancelled.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn take_within<R: Serialize>(
        path: &Path,
        record: impl Fn() -> R,
        patience: Duration,
        cancelled: &dyn Fn() -> bool,
    ) -> io::Result<Option<Self>> {
        // `None`: beyond what the clock can say, so for ever.
        let until = Instant::now().checked_add(patience.max(SHORTEST_PATIENCE));
        loop {
            if let Some(lock) = Self::take(path, &record())? {
                return Ok(Some(lock));
            }
            let left = until.map_or(POLL, |until| until.saturating_duration_since(Instant::now()));
            if cancelled() || left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(POLL.min(left));
        }
    }

    /// Puts a new file in the place of one whose holder is stopped or gone, and holds that. The former
    /// holder finds out by [`LockFile::is_current`]. The caller has made sure that it may.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn replace(path: &Path, record: &impl Serialize) -> io::Result<Self> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(format!(".{}", std::process::id()));
        let fresh = PathBuf::from(fresh);
        let file = open::own(&fresh)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let mut lock = Self { file, path: fresh, given_back: AtomicBool::new(false) };
        lock.write(record)?;
        fs::rename(&lock.path, path)?;
        lock.path = path.to_path_buf();
        Ok(lock)
    }

    /// Whether the file at the lock's path is still this one, so that the lock means something.
    pub fn is_current(&self) -> bool {
        match (self.file.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }

    /// Writes the record anew.
    ///
    /// # Errors
    /// The disk is full, or the like.
    pub fn write(&self, record: &impl Serialize) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(serde_json::to_string(record)?.as_bytes())
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the lock back although something that a child left behind may have inherited it: the
    /// command for which it was taken has ended.
    pub fn release(self) {
        self.give_back();
    }

    /// Gives the lock back now, whoever else still has this value or has inherited its descriptor.
    pub fn give_back(&self) {
        if !self.given_back.swap(true, Ordering::SeqCst) {
            // The record first: after the lock is free it would be another's.
            self.clear();
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
    }

    /// The record of a free lock is not read; it is emptied for those who look at the file.
    fn clear(&self) {
        if self.is_current() {
            let _ = self.file.set_len(0);
        }
    }
}

/// For a child that is to keep the lock for as long as it runs.
impl AsFd for LockFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Where a child has inherited the descriptor the lock stays held, so nothing is unlocked explicitly.
        if !*self.given_back.get_mut() {
            self.clear();
        }
    }
}

/// Whether the lock is held. Writes nothing, and never waits.
pub fn is_held(path: &Path) -> bool {
    let Ok(file) = open::plain_no_link(path) else { return false };
    // Given back when `file` is closed, at once.
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

/// The record in a lock file, whether or not it is held.
pub fn record<R: DeserializeOwned>(path: &Path) -> Option<R> {
    let mut text = String::new();
    open::plain_no_link(path).ok()?.take(RECORD_LIMIT).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(path: &Path, who: &str) -> Option<LockFile> {
        LockFile::take(path, &who).unwrap()
    }

    #[test]
    fn a_released_lock_is_free_whoever_has_inherited_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let lock = take(&path, "a").unwrap();
        let inherited = lock.as_fd().try_clone_to_owned().unwrap();
        drop(lock);
        assert!(take(&path, "b").is_none() && is_held(&path));
        drop(inherited);
        assert!(!is_held(&path));
        let lock = take(&path, "a").unwrap();
        let _inherited = lock.as_fd().try_clone_to_owned().unwrap();
        lock.release();
        let other = take(&path, "b").unwrap();
        assert_eq!(record::<String>(&path).as_deref(), Some("b"));
        drop(other);
    }

    #[test]
    fn a_lock_that_was_given_back_is_another_ones_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let lock = take(&path, "a").unwrap();
        let _inherited = lock.as_fd().try_clone_to_owned().unwrap();
        lock.give_back();
        let other = take(&path, "b").unwrap();
        lock.give_back();
        drop(lock);
        assert_eq!(record::<String>(&path).as_deref(), Some("b"));
        assert!(is_held(&path));
        drop(other);
    }

    #[test]
    fn a_lock_file_that_was_replaced_is_worth_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let stopped = take(&path, "a").unwrap();
        let new = LockFile::replace(&path, &"b").unwrap();
        assert!(!stopped.is_current() && new.is_current());
        drop(stopped);
        assert_eq!(record::<String>(&path).as_deref(), Some("b"));
        assert!(take(&path, "c").is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_in_the_place_of_a_lock_is_refused_and_its_target_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let (path, precious) = (dir.path().join("l"), dir.path().join("precious"));
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        assert!(LockFile::take(&path, &"a").is_err() && !is_held(&path) && record::<String>(&path).is_none());
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    }

    #[test]
    fn looking_takes_nothing_and_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        assert!(!is_held(&path) && !path.exists());
        drop(take(&path, "a"));
        assert!(!is_held(&path));
        assert!(take(&path, "b").is_some());
    }
}
