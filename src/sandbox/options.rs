//! What a sandbox is asked for, and the folder that it lives in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::mirror::Blueprint;
use crate::os::{self, LockFile};
use crate::plan::Problem;

/// Marks a folder as a sandbox's, so that a later one may empty it.
const MARK: &str = ".maand-sandbox";

/// How long a made-up boot takes at speed 1.
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
    pub(super) fn boot_time(&self) -> Result<Duration, Problem> {
        if !(self.speed.is_finite() && (0.01..=1000.0).contains(&self.speed)) {
            return Err(Problem::error(
                "maand::sandbox::speed",
                format!("the speed cannot be {}", self.speed),
            )
            .help("write a number from 0.01 to 1000; 2 is twice as fast"));
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
    /// Makes it, or empties that of an earlier sandbox.
    pub(super) fn create(wanted: Option<&Path>) -> Result<Self, Problem> {
        let folder = match wanted {
            None => {
                let made = tempfile::Builder::new()
                    .prefix("maand-sandbox-")
                    .tempdir()
                    .map_err(|error| trouble("make", &std::env::temp_dir(), &error))?;
                Self { path: made.keep(), found: false, kept: false }
            }
            Some(path) => {
                let found = empty(path)?;
                let path = path.canonicalize().map_err(|error| trouble("use", path, &error))?;
                Self { path, found, kept: false }
            }
        };
        if folder.path.to_str().is_none_or(|path| path.chars().any(char::is_control)) {
            let message = format!("the folder {} has a name that is not plain text", folder.path.display());
            return Err(Problem::error("maand::sandbox::dir", message).help("choose another one with --dir"));
        }
        std::fs::write(
            folder.path.join(MARK),
            "A throwaway fleet of maand. It may be deleted at any time.\n",
        )
        .map_err(|error| trouble("write to", &folder.path, &error))?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The sandbox has started: a folder that somebody asked for stays from now on.
    pub(super) fn keep(&mut self) {
        self.kept = true;
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

/// Makes an empty folder at `path`: a new one, or that of an earlier sandbox. Nothing else is touched.
/// Says whether it was there already.
fn empty(path: &Path) -> Result<bool, Problem> {
    let mut entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(path).map_err(|error| trouble("make", path, &error))?;
            return Ok(false);
        }
        Err(error) => return Err(trouble("use", path, &error)),
    };
    if entries.next().is_none() {
        return Ok(true);
    }
    if !path.join(MARK).is_file() {
        let message = format!("the folder {} is not empty and is not a sandbox's", path.display());
        return Err(Problem::error("maand::sandbox::dir", message)
            .help("name a folder that does not exist yet, or leave --dir out"));
    }
    if let Some(holder) = holder(path) {
        let message = format!("a sandbox lives in {} (process {holder})", path.display());
        return Err(
            Problem::error("maand::sandbox::dir", message).help("end it first, or name another folder")
        );
    }
    clear(path).map_err(|error| trouble("empty", path, &error))?;
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
pub(super) fn hold(path: &Path) -> Result<LockFile, Problem> {
    let lock = LockFile::take(&path.join(LOCK), &std::process::id())
        .and_then(|lock| lock.ok_or_else(|| std::io::ErrorKind::WouldBlock.into()));
    lock.map_err(|error| trouble("write to", path, &error))
}

/// A problem with a file or folder, with advice for the ones that people meet.
pub(super) fn trouble(verb: &str, path: &Path, error: &std::io::Error) -> Problem {
    use std::io::ErrorKind;
    let help = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "the disk is full: make room, or name a folder on another one with TMPDIR, or `sandbox up --dir`"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "name a folder that you may write to with TMPDIR, or `sandbox up --dir`"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "name a folder, not a file, with TMPDIR or --dir"
        }
        _ => "name another folder with TMPDIR, or `sandbox up --dir`",
    };
    Problem::error("maand::sandbox::dir", format!("cannot {verb} {}: {error}", path.display())).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_things_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("precious"), "x").unwrap();
        let problem = Folder::create(Some(folder.path())).err().unwrap();
        assert_eq!(problem.code, "maand::sandbox::dir");
        assert!(folder.path().join("precious").exists());
    }

    #[test]
    fn an_earlier_sandbox_is_emptied_unless_it_lives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/one");
        Folder::create(Some(&path)).unwrap().keep();
        std::fs::create_dir(path.join("hosts")).unwrap();
        let held = hold(&path).unwrap();
        let problem = Folder::create(Some(&path)).err().unwrap();
        assert!(problem.message.contains(&std::process::id().to_string()), "{}", problem.message);
        drop(held);
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
