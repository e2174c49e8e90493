//! The lock of a bucket's catalog, for which others wait a moment: `data/catalog.lock`.
//!
//! Built on [`LockFile`]; what is here is who holds it, in words.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::os::{self, LockFile, Process, ProcessState, open};

/// A held lock; dropping it gives it back.
pub type Guard = LockFile;

/// Who holds a lock, as its holder wrote it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// What it does, such as `maand deploy` or a run's id.
    pub who: String,
    /// The user who runs it; absent in records of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it took the lock, RFC 3339 in UTC.
    pub since: String,
    /// Which process.
    #[serde(flatten)]
    pub process: Process,
}

impl Holder {
    fn ourselves(who: &str) -> Self {
        Self {
            who: who.to_owned(),
            by: os::user_name(),
            since: jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string(),
            process: Process::this(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Process { pid, host, .. } = &self.process;
        write!(f, "`{}`", self.who)?;
        if let Some(by) = &self.by {
            write!(f, " of {by}")?;
        }
        write!(f, " (process {pid} on {host}) since {}", self.since)?;
        match self.process.state() {
            ProcessState::Alive | ProcessState::Elsewhere => Ok(()),
            ProcessState::Stopped => write!(f, "; that process is stopped"),
            ProcessState::Gone => {
                write!(f, "; that process has ended, and a command that it started still runs")
            }
        }
    }
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it; `None`: it was too fast to say which.
    #[error("{} is held by {}", .path.display(), .holder.as_ref().map_or_else(|| "another process".to_owned(), ToString::to_string))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote about itself.
        holder: Option<Box<Holder>>,
    },
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
    /// The lock file cannot be used.
    #[error("{} cannot be used: {source}", .path.display())]
    Io {
        /// The lock file, or its folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Takes the lock, waiting at most `wait` for its holder. `who` is what a waiter is shown.
pub fn acquire(
    path: &Path,
    who: &str,
    wait: Duration,
    cancelled: &dyn Fn() -> bool,
) -> Result<Guard, LockError> {
    let io_error = |source| LockError::Io { path: path.to_path_buf(), source };
    if let Some(folder) = path.parent() {
        open::own_folder(folder).map_err(|source| LockError::Io { path: folder.to_path_buf(), source })?;
    }
    match LockFile::take_within(path, || Holder::ourselves(who), wait, cancelled).map_err(io_error)? {
        Some(lock) => Ok(lock),
        None if cancelled() => Err(LockError::Cancelled),
        None => Err(LockError::Held { path: path.to_path_buf(), holder: os::record(path).map(Box::new) }),
    }
}

/// Who holds the lock now; never waits. `None`: no process, or one that was too fast to say which.
pub fn holder(path: &Path) -> Option<Holder> {
    // A process that was killed has left its record behind.
    if os::is_held(path) { os::record(path) } else { None }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        assert_eq!((holder.who.as_str(), holder.process.pid), ("maand deploy", std::process::id()));
        assert_eq!(holder.process.state(), ProcessState::Alive);
        let named = Holder { by: Some("ada".to_owned()), ..*holder };
        let words = format!("`maand deploy` of ada (process {} on ", std::process::id());
        assert!(named.to_string().starts_with(&words), "{named}");
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
    fn the_record_of_a_killed_holder_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        fs::write(&path, serde_json::to_string(&Holder::ourselves("maand deploy")).unwrap()).unwrap();
        assert_eq!(super::holder(&path), None);
        let _held = acquire(&path, "maand build", Duration::ZERO, NEVER).unwrap();
        assert_eq!(super::holder(&path).map(|holder| holder.who), Some("maand build".to_owned()));
    }
}
