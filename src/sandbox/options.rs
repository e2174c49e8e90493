//! What a sandbox is asked for, and the folder that it lives in.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SandboxError;
use super::mirror::Blueprint;
use crate::os::{self, LockFile, open};

/// Marks a folder as a sandbox's: it may be deleted.
const MARK: &str = ".maand-sandbox";

/// How long a boot takes at speed 1.
pub const BOOT_TIME: Duration = Duration::from_secs(3);
/// How many workers a sandbox can have: each has an address of its own, a process, and files.
pub const WORKERS_MAX: usize = 500;

/// What a sandbox is asked for.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// Its workers and jobs.
    pub blueprint: Blueprint,
    /// Where; `None`: a fresh folder in the system's folder for temporary files, removed at the end.
    pub dir: Option<PathBuf>,
    /// Also text of the user's own is executed: plans' commands, Makefiles, probes.
    pub execute: bool,
    /// Divides [`BOOT_TIME`]; greater than 0.
    pub speed: f64,
    /// Our own binary, which is executed again as a guard; `None`: the running program.
    pub program: Option<PathBuf>,
}

impl SandboxOptions {
    /// A demo sandbox in a fresh folder.
    pub fn new(blueprint: Blueprint) -> Self {
        Self { blueprint, dir: None, execute: false, speed: 1.0, program: None }
    }

    /// How long a boot takes.
    pub(super) fn boot_time(&self) -> Result<Duration, SandboxError> {
        if !(self.speed.is_finite() && (0.01..=1000.0).contains(&self.speed)) {
            return Err(SandboxError::Speed(self.speed));
        }
        Ok(BOOT_TIME.div_f64(self.speed))
    }
}

/// The sandbox's folder; what is in it goes when this is dropped, unless it is to be kept.
pub(super) struct Folder {
    path: PathBuf,
    /// It was there before: then it stays, empty.
    found: bool,
    kept: bool,
}

impl Folder {
    /// Makes it, or takes one that is empty.
    pub(super) fn create(wanted: Option<&Path>) -> Result<Self, SandboxError> {
        let folder = match wanted {
            None => {
                let made = tempfile::Builder::new()
                    .prefix("maand-sandbox-")
                    // Commands run in it: it is nobody else's, whatever the umask is.
                    .permissions(Permissions::from_mode(0o700))
                    .tempdir()
                    .map_err(SandboxError::folder("make", &std::env::temp_dir()))?;
                Self { path: made.keep(), found: false, kept: false }
            }
            Some(path) => {
                let found = empty(path)?;
                let path = path.canonicalize().map_err(SandboxError::folder("use", path))?;
                Self { path, found, kept: false }
            }
        };
        if folder.path.to_str().is_none_or(|path| path.chars().any(char::is_control)) {
            return Err(SandboxError::FolderName(folder.path.clone()));
        }
        std::fs::write(
            folder.path.join(MARK),
            "A throwaway fleet of maand. It may be deleted at any time.\n",
        )
        .map_err(SandboxError::folder("write to", &folder.path))?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The sandbox has started: a folder that was asked for stays from now on.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }

    /// As if it had not started.
    pub(super) fn discard(&mut self) {
        self.kept = false;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let _ = if self.found { clear(&self.path) } else { std::fs::remove_dir_all(&self.path) };
    }
}

/// Makes an empty folder at `path`, or takes one that is empty. Nothing is ever removed from one.
/// Says whether it was there already.
fn empty(path: &Path) -> Result<bool, SandboxError> {
    let mut entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            open::own_folder(path).map_err(SandboxError::folder("make", path))?;
            return Ok(false);
        }
        Err(error) => return Err(SandboxError::folder("use", path)(error)),
    };
    let is_empty = entries.next().is_none();
    if !is_empty && !path.join(MARK).is_file() {
        return Err(SandboxError::NotASandbox(path.to_owned()));
    }
    if let Some(holder) = holder(path) {
        return Err(SandboxError::InUse { path: path.to_owned(), holder });
    }
    // Whoever asked for the folder by name wanted to keep it: a run that is still open in it, its output, its journal.
    if !is_empty {
        return Err(SandboxError::Earlier(path.to_owned()));
    }
    // Before anything is in it: nobody else may look on, or put something there.
    path.canonicalize()
        .and_then(|path| {
            open::check_own_folder(&path)?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o700))
        })
        .map_err(SandboxError::folder("use", path))?;
    Ok(true)
}

/// Removes what is in a folder.
fn clear(path: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

const LOCK: &str = "sandbox.pid";

/// The process that has this sandbox, if it lives: its number stands in a file that it keeps locked.
fn holder(path: &Path) -> Option<String> {
    let path = path.join(LOCK);
    os::is_held(&path).then(|| os::record::<u32>(&path).map_or_else(String::new, |pid| pid.to_string()))
}

/// Says that this process has the sandbox, as long as the lock is held.
pub(super) fn hold(path: &Path) -> Result<LockFile, SandboxError> {
    let lock = LockFile::take(&path.join(LOCK), &std::process::id())
        .and_then(|lock| lock.ok_or_else(|| std::io::ErrorKind::WouldBlock.into()));
    lock.map_err(SandboxError::folder("write to", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_things_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("precious"), "x").unwrap();
        let error = Folder::create(Some(folder.path())).err().unwrap();
        assert!(matches!(error, SandboxError::NotASandbox(_)), "{error}");
        assert!(folder.path().join("precious").exists());
    }

    #[test]
    fn an_earlier_sandbox_is_kept_and_an_empty_folder_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/one");
        Folder::create(Some(&path)).unwrap().keep();
        std::fs::create_dir(path.join("hosts")).unwrap();
        let held = hold(&path).unwrap();
        let error = Folder::create(Some(&path)).err().unwrap();
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(held);
        let error = Folder::create(Some(&path)).err().unwrap();
        assert!(matches!(error, SandboxError::Earlier(_)), "{error}");
        assert!(path.join("hosts").is_dir() && path.join(MARK).is_file());
        clear(&path).unwrap();
        // One that did not come to start leaves nothing, but the folder that it found.
        drop(Folder::create(Some(&path)).unwrap());
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        drop(Folder::create(Some(&folder.path().join("other"))).unwrap());
        assert!(!folder.path().join("other").exists());
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Folder::create(Some(file.path())).is_err());
        assert!(Folder::create(Some(&file.path().join("below"))).is_err());
    }
}
