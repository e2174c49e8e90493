//! What happens beside a command of ours while it runs.
//!
//! A second `deploy` or `build` empties `tmp/` before it can notice that the database is locked, and dies of that.
//! Its victim stages nothing new, takes what is missing for files that a job no longer has, deletes them on every
//! worker, and reports success. Neither exit code nor database shows that afterwards: so other commands, and
//! another folder in the place of the one that was staged in, are looked for all the time.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, fstat, open};

use super::others::Others;

/// Between two looks at all processes: a command that finds the database locked waits for seconds.
const LOOK: Duration = Duration::from_millis(100);

/// Looks for it.
pub struct Watch {
    others: Others,
    staging: [Staging; 2],
    next: Instant,
    beside: Beside,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// What may have cost the command its staged files, in words.
    pub harmful: Option<String>,
    /// Another command, which may have had to do with it.
    pub other: Option<String>,
}

impl Watch {
    /// Before a command of `program` is started in `folder` that replaces `tmp/` so many times itself.
    pub fn begin(program: &Path, folder: &Path, replaces: u8) -> Self {
        let staging = ["tmp", "tmp/workers"].map(|name| Staging::new(folder.join(name), replaces));
        Self {
            others: Others::new(program, folder),
            staging,
            next: Instant::now(),
            beside: Beside::default(),
        }
    }

    /// To be called all the time while the command, our process `own`, runs.
    pub fn look(&mut self, own: u32) {
        if self.staging.iter_mut().any(Staging::was_replaced) {
            let words = "another process has deleted tmp/, where the files for the workers are staged";
            self.beside.harmful.get_or_insert_with(|| words.to_owned());
        }
        if Instant::now() >= self.next {
            self.look_for_others(own);
            self.next = Instant::now() + LOOK;
        }
    }

    fn look_for_others(&mut self, own: u32) {
        let Some(other) = self.others.at_work(Some(own)) else { return };
        let place = if other.deploys { &mut self.beside.harmful } else { &mut self.beside.other };
        if place.as_ref().is_none_or(|words| !words.starts_with('`')) {
            *place = Some(format!("{} was started by hand and ran at the same time", other.words));
        }
    }

    /// After its end.
    pub fn end(mut self, own: u32) -> Beside {
        self.next = Instant::now();
        self.look(own);
        self.beside
    }
}

/// A folder that is held, so that no other one can get its number.
struct Staging {
    path: PathBuf,
    held: Option<OwnedFd>,
    /// The command itself deletes the one that it finds.
    replacements: u8,
}

impl Staging {
    fn new(path: PathBuf, replaces: u8) -> Self {
        let held = folder(&path);
        // Where there is none there is one less to delete.
        let replacements = if held.is_some() { replaces } else { replaces.saturating_sub(1) };
        Self { path, held, replacements }
    }

    fn was_replaced(&mut self) -> bool {
        // One that is gone may have been deleted by the command, at its end.
        let Some(now) = folder(&self.path) else { return false };
        let same = |held: &OwnedFd| match (fstat(held), fstat(&now)) {
            (Ok(held), Ok(now)) => (held.st_dev, held.st_ino) == (now.st_dev, now.st_ino),
            _ => true,
        };
        if self.held.as_ref().is_some_and(same) {
            return false;
        }
        let first = self.held.replace(now).is_none();
        if first || self.replacements > 0 {
            self.replacements -= u8::from(!first);
            return false;
        }
        true
    }
}

fn folder(path: &Path) -> Option<OwnedFd> {
    open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_staging_folder_that_is_not_the_one_of_before_is_noticed() {
        let bucket = tempfile::tempdir().unwrap();
        let tmp = bucket.path().join("tmp");
        let own = std::process::id();
        let watch = |replaces| Watch::begin(Path::new("/nowhere/maand"), bucket.path(), replaces);
        let again = || {
            let _ = fs::remove_dir_all(&tmp);
            fs::create_dir_all(tmp.join("workers")).unwrap();
        };
        // A deploy: it deletes what it finds, and at its end what it made.
        for there in [false, true] {
            if there {
                again();
            }
            let mut quiet = watch(1);
            quiet.look(own);
            again();
            quiet.look(own);
            quiet.look(own);
            fs::remove_dir_all(&tmp).unwrap();
            assert_eq!(quiet.end(own), Beside::default());
        }
        // Another one deletes it in the middle, as a whole or what is in it.
        for victim in ["tmp", "tmp/workers"] {
            let mut disturbed = watch(1);
            again();
            disturbed.look(own);
            fs::remove_dir_all(bucket.path().join(victim)).unwrap();
            disturbed.look(own);
            fs::create_dir_all(tmp.join("workers")).unwrap();
            let seen = disturbed.end(own).harmful.expect(victim);
            assert!(seen.contains("tmp/"), "{seen}");
            fs::remove_dir_all(&tmp).unwrap();
        }
        // No other command of ours replaces it at all.
        again();
        let mut build = watch(0);
        build.look(own);
        again();
        assert!(build.end(own).harmful.is_some());
    }
}
