//! Locks between processes on one machine: `flock` on a file that also says who holds it.
//!
//! The kernel frees such a lock when its last descriptor closes, however the process ends; the record
//! is for people and is never what decides. A lock file that was replaced under us is noticed by its
//! inode. This module must not know what is locked.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Between two tries. `flock` has no time-out of its own, and signals are not ours to use.
const POLL: Duration = Duration::from_millis(50);
/// A record is longer than this never.
const RECORD_LIMIT: u64 = 4096;

/// Who holds a lock, as its holder wrote it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// What it does, such as `maand deploy` or a run's id.
    pub who: String,
    /// Its process.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// When it took the lock, RFC 3339 in UTC.
    pub since: String,
    /// When its process started, in clock ticks after boot: tells a reused pid.
    #[serde(default)]
    started: u64,
}

/// What has become of a holder's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderState {
    /// It runs.
    Running,
    /// It is stopped (Ctrl-Z, SIGSTOP) and may wake up again.
    Stopped,
    /// It has ended; something that it started still has the lock.
    Gone,
    /// It is on another machine: nothing is known of it.
    Elsewhere,
}

impl Holder {
    fn ourselves(who: &str) -> Self {
        let pid = std::process::id();
        Self {
            who: who.to_owned(),
            pid,
            host: machine(),
            since: jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string(),
            started: process(pid).map_or(0, |(_, started)| started),
        }
    }

    /// What has become of it.
    pub fn state(&self) -> HolderState {
        if self.host != machine() {
            return HolderState::Elsewhere;
        }
        match process(self.pid) {
            Some((_, started)) if self.started != 0 && started != self.started => HolderState::Gone,
            Some(('T' | 't', _)) => HolderState::Stopped,
            Some(('Z' | 'X', _)) | None => HolderState::Gone,
            Some(_) => HolderState::Running,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (process {} on {}) since {}", self.who, self.pid, self.host, self.since)?;
        match self.state() {
            HolderState::Running | HolderState::Elsewhere => Ok(()),
            HolderState::Stopped => write!(f, "; that process is stopped"),
            HolderState::Gone => {
                write!(f, "; that process has ended, and a command that it started still runs")
            }
        }
    }
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it; `None`: it was too fast to say who.
    #[error("{} is held by {}", .path.display(), .holder.as_ref().map_or_else(|| "another process".to_owned(), ToString::to_string))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who.
        holder: Option<Box<Holder>>,
    },
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
    /// The lock file can not be used.
    #[error("lock file {}: {error}", .path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
}

/// A held lock; dropping it gives it back.
#[derive(Debug)]
#[must_use]
pub struct Guard {
    file: File,
    path: PathBuf,
}

/// Takes the lock, waiting at most `wait` for whoever holds it. `who` is what a waiter is shown.
pub fn acquire(
    path: &Path,
    who: &str,
    wait: Duration,
    cancelled: &dyn Fn() -> bool,
) -> Result<Guard, LockError> {
    let io_error = |error| LockError::Io { path: path.to_path_buf(), error };
    let until = Instant::now() + wait;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io_error)?;
    }
    loop {
        let file = open(path).map_err(io_error)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let guard = Guard { file, path: path.to_path_buf() };
                // Between open and flock the file may have been taken over or removed: then others
                // lock another one.
                if guard.is_current() {
                    guard.write_record(&Holder::ourselves(who)).map_err(io_error)?;
                    return Ok(guard);
                }
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                if Instant::now() >= until {
                    let holder = holder(path).map(Box::new);
                    return Err(LockError::Held { path: path.to_path_buf(), holder });
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io_error(error.into())),
        }
        if cancelled() {
            return Err(LockError::Cancelled);
        }
        std::thread::sleep(POLL.min(until.saturating_duration_since(Instant::now())));
    }
}

/// Puts a new lock file in the place of one whose holder is stopped or gone, and takes it. The former
/// holder finds out by [`Guard::is_current`]. The caller has made sure that it may.
pub fn take_over(path: &Path, who: &str) -> Result<Guard, LockError> {
    let io_error = |error| LockError::Io { path: path.to_path_buf(), error };
    let fresh = path.with_extension(format!("take-over.{}", std::process::id()));
    let file = open(&fresh).map_err(io_error)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| io_error(error.into()))?;
    let guard = Guard { file, path: path.to_path_buf() };
    guard.write_record(&Holder::ourselves(who)).map_err(io_error)?;
    fs::rename(&fresh, path).map_err(io_error)?;
    Ok(guard)
}

/// What the lock file says about its holder; never waits. `None`: it is free or says nothing.
pub fn holder(path: &Path) -> Option<Holder> {
    let mut text = String::new();
    File::open(path).ok()?.take(RECORD_LIMIT).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

impl Guard {
    /// Whether the lock file is still this one, so that the lock means something.
    pub fn is_current(&self) -> bool {
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the lock back although something that a child left behind may have inherited it: the
    /// command for which it was taken has ended.
    pub fn release(self) {
        let Ok(file) = self.file.try_clone() else { return };
        // The record first: after the lock is free it would be another's.
        drop(self);
        let _ = flock(&file, FlockOperation::Unlock);
    }

    fn write_record(&self, holder: &Holder) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(serde_json::to_string(holder)?.as_bytes())
    }
}

/// For a child that is to keep the lock for as long as it runs.
impl AsFd for Guard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Nobody reads the record of a free lock; it is emptied for people who look. Where a child
        // has inherited the descriptor the lock stays held, so nothing is unlocked explicitly.
        if self.is_current() {
            let _ = self.file.set_len(0);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// State letter and start time of a process; `None`: there is none.
fn process(pid: u32) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything, so the fields are counted after it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: &dyn Fn() -> bool = &|| false;

    #[test]
    fn the_second_learns_who_holds_it_and_gets_it_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/catalog.lock");
        let first = acquire(&path, "maand deploy", Duration::ZERO, NEVER).unwrap();
        let Err(LockError::Held { holder: Some(holder), .. }) = acquire(&path, "x", Duration::ZERO, NEVER)
        else {
            panic!("held")
        };
        assert_eq!((holder.who.as_str(), holder.pid), ("maand deploy", std::process::id()));
        assert_eq!(holder.state(), HolderState::Running);
        drop(first);
        assert_eq!(super::holder(&path), None);
        acquire(&path, "x", Duration::ZERO, NEVER).map(drop).unwrap();
    }

    #[test]
    fn a_waiter_gets_it_when_it_is_free_or_gives_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let first = acquire(&path, "a", Duration::ZERO, NEVER).unwrap();
        assert!(matches!(acquire(&path, "b", Duration::from_secs(600), &|| true), Err(LockError::Cancelled)));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| acquire(&path, "b", Duration::from_secs(600), NEVER).map(drop));
            drop(first);
            waiter.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_released_lock_is_free_whoever_has_inherited_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let guard = acquire(&path, "a", Duration::ZERO, NEVER).unwrap();
        let inherited = guard.as_fd().try_clone_to_owned().unwrap();
        drop(guard);
        assert!(matches!(acquire(&path, "b", Duration::ZERO, NEVER), Err(LockError::Held { .. })));
        drop(inherited);
        let guard = acquire(&path, "a", Duration::ZERO, NEVER).unwrap();
        let _inherited = guard.as_fd().try_clone_to_owned().unwrap();
        guard.release();
        let other = acquire(&path, "b", Duration::ZERO, NEVER).unwrap();
        assert_eq!(super::holder(&path).map(|holder| holder.who), Some("b".to_owned()));
        drop(other);
    }

    #[test]
    fn a_lock_file_that_was_taken_over_is_worth_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let stopped = acquire(&path, "a", Duration::ZERO, NEVER).unwrap();
        let new = take_over(&path, "b").unwrap();
        assert!(!stopped.is_current() && new.is_current());
        drop(stopped);
        assert_eq!(super::holder(&path).map(|holder| holder.who), Some("b".to_owned()));
        assert!(matches!(acquire(&path, "c", Duration::ZERO, NEVER), Err(LockError::Held { .. })));
    }

    #[test]
    fn a_process_that_has_ended_is_gone() {
        let mut holder = Holder::ourselves("a");
        holder.started += 1;
        assert_eq!(holder.state(), HolderState::Gone, "the pid was used again");
        holder.host.push('x');
        assert_eq!(holder.state(), HolderState::Elsewhere);
    }
}
