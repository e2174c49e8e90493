//! Editing `workspace/disabled.json` while people, editors and git may be editing it, too.
//!
//! The bucket's lock keeps out other commands of ours. People do not take it, so each edit is put in
//! place by *exchanging* the new file with the old (`renameat2`): what comes out is what really was
//! there. If that is not what the edit was made from, somebody was faster, and the edit is made again
//! on top of theirs. At every instant the name holds a whole file. It must not know why something is
//! disabled.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::edit::{self, DisabledEntry, Edited, Wish};
use super::files::{DISABLED_LIMIT, read_text};
use super::lock::Guard;
use super::open::{Bucket, shown};
use crate::plan::{Problem, Problems, Source};

/// So often an edit is made again because somebody else was faster. A person can not do that; a
/// program in a loop can.
const TRIES: usize = 50;
/// A file that does not parse may be half written by an editor: it is looked at again after this.
const HALF_WRITTEN: Duration = Duration::from_millis(100);

/// What an edit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct DisabledChange {
    /// These were changed: added by [`DisabledFile::disable`] and [`DisabledFile::ensure`], removed by
    /// [`DisabledFile::enable`]. After `disable` they are the caller's own.
    pub changed: Vec<DisabledEntry>,
    /// These were so already: somebody else's (after `disable`), or gone (after `enable`).
    pub unchanged: Vec<DisabledEntry>,
}

/// Asked directly before an edit becomes visible; an error ends it with nothing changed. Here a
/// controller that has been replaced finds out.
pub type Fence<'a> = &'a mut dyn FnMut() -> Result<(), Problem>;

/// A fence that lets everything pass.
pub fn no_fence() -> Result<(), Problem> {
    Ok(())
}

/// `workspace/disabled.json` of a bucket.
#[derive(Clone, Debug)]
pub struct DisabledFile {
    path: PathBuf,
}

impl DisabledFile {
    /// That of this bucket.
    pub fn of(bucket: &Bucket) -> Self {
        Self { path: bucket.paths().disabled_json.clone() }
    }

    /// Adds the entries that are not there yet. `lock` is the bucket's (`Paths::catalog_lock`).
    pub fn disable(
        &self,
        lock: &Guard,
        entries: &[DisabledEntry],
        fence: Fence<'_>,
    ) -> Result<DisabledChange, Problems> {
        self.edit(lock, entries, Wish::Present, fence)
    }

    /// Removes one of each of the caller's own entries; what else is there stays. A job's key goes with
    /// its last host, as an empty list means the whole job. A file that then is, byte for byte, what
    /// remains of one that we made goes, too: where there was none, there is none again.
    pub fn enable(
        &self,
        lock: &Guard,
        ours: &[DisabledEntry],
        fence: Fence<'_>,
    ) -> Result<DisabledChange, Problems> {
        self.edit(lock, ours, Wish::Absent, fence)
    }

    /// Puts back those of the caller's own entries that have vanished (a git checkout).
    pub fn ensure(
        &self,
        lock: &Guard,
        ours: &[DisabledEntry],
        fence: Fence<'_>,
    ) -> Result<DisabledChange, Problems> {
        self.edit(lock, ours, Wish::Present, fence)
    }

    fn edit(
        &self,
        lock: &Guard,
        entries: &[DisabledEntry],
        wish: Wish,
        fence: Fence<'_>,
    ) -> Result<DisabledChange, Problems> {
        if !lock.is_current() {
            return Err(Problem::error(
                "maand::bucket::lock_lost",
                "the bucket's lock was taken over by another process",
            )
            .help("this process must not change anything any more; see `maand plan status`")
            .into());
        }
        // A link (a workspace that is put together from several places) stays a link.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let edited = self.attempts(&path, entries, wish, fence)?;
        let mut change = DisabledChange::default();
        for (entry, changed) in entries.iter().zip(edited.changed) {
            let list = if changed { &mut change.changed } else { &mut change.unchanged };
            if !list.contains(entry) {
                list.push(entry.clone());
            }
        }
        // An entry that was named twice is new the first time and there the second.
        change.unchanged.retain(|entry| !change.changed.contains(entry));
        Ok(change)
    }

    fn attempts(
        &self,
        path: &Path,
        entries: &[DisabledEntry],
        wish: Wish,
        fence: Fence<'_>,
    ) -> Result<Edited, Problems> {
        let mut theirs = None;
        let result = self.attempts_with(path, entries, wish, fence, &mut theirs);
        match (&result, theirs) {
            // What we pushed out and did not get back in goes back as it was; ours is not kept.
            (Err(_), Some(theirs)) => drop(fs::rename(theirs, path)),
            (Ok(_), Some(theirs)) => drop(fs::remove_file(theirs)),
            _ => {}
        }
        result
    }

    /// `theirs` is the file with somebody else's edit while that is not in place.
    fn attempts_with(
        &self,
        path: &Path,
        entries: &[DisabledEntry],
        wish: Wish,
        fence: Fence<'_>,
        theirs: &mut Option<PathBuf>,
    ) -> Result<Edited, Problems> {
        let failed = |error: io::Error| {
            Problem::error("maand::bucket::write", format!("{} can not be written: {error}", shown(path)))
                .help("it is as it was; check the disk and the permissions of the folder")
        };
        // What the edit is made on, and what the file is believed to hold now.
        let mut base = self.read_whole(path, entries, wish)?;
        let mut expected = base.clone();
        for _ in 0..TRIES {
            let edited = edit::apply(base.as_ref(), entries, wish)?;
            let same = expected.as_ref().is_some_and(|expected| expected.text() == edited.text);
            if same || (expected.is_none() && !edited.changed.contains(&true)) {
                return Ok(edited);
            }
            let emptied = wish == Wish::Absent && edit::is_ours_emptied(&edited.text);
            if emptied && theirs.is_none() && !self.path.is_symlink() {
                fence()?;
                match remove(path, expected.as_ref()).map_err(failed)? {
                    Put::Done => {
                        sync_folder(path).map_err(failed)?;
                        return Ok(edited);
                    }
                    Put::Changed | Put::TheirsWas(_) => {
                        base = self.read_whole(path, entries, wish)?;
                        expected = base.clone();
                        continue;
                    }
                }
            }
            let temporary = write_beside(path, &edited.text, theirs.as_deref()).map_err(failed)?;
            // What was begun is finished: without this the file would lack somebody's edit.
            if theirs.is_none()
                && let Err(problem) = fence()
            {
                let _ = fs::remove_file(&temporary);
                return Err(problem.into());
            }
            match self.put(path, &temporary, expected.as_ref()).map_err(failed)? {
                Put::Done => {
                    sync_folder(path).map_err(failed)?;
                    return Ok(edited);
                }
                // Something else was there than we believed, and ours is in place now, without
                // their change. It is made again on top of theirs.
                Put::TheirsWas(source) => {
                    if let Some(older) = theirs.replace(temporary) {
                        let _ = fs::remove_file(older);
                    }
                    expected = Some(Source::new(shown(path), edited.text));
                    base = Some(source);
                }
                Put::Changed => {
                    let _ = fs::remove_file(&temporary);
                    base = self.read_whole(path, entries, wish)?;
                    expected = base.clone();
                    // Whoever wrote that wrote after what we had pushed out.
                    if let Some(older) = theirs.take() {
                        let _ = fs::remove_file(older);
                    }
                }
            }
        }
        Err(Problem::error("maand::bucket::contended", format!("{} changes all the time", shown(path)))
            .help("something rewrites it in a loop: stop that and try again")
            .into())
    }

    /// The file as it is; one that can not be used is looked at twice.
    fn read_whole(
        &self,
        path: &Path,
        entries: &[DisabledEntry],
        wish: Wish,
    ) -> Result<Option<Source>, Problems> {
        let read = || read_text(path, &shown(path), DISABLED_LIMIT);
        let source = read()?;
        if edit::apply(source.as_ref(), entries, wish).is_ok() {
            return Ok(source);
        }
        std::thread::sleep(HALF_WRITTEN);
        Ok(read()?)
    }

    /// Makes `temporary` the file, given that it still is as `expected`.
    fn put(&self, path: &Path, temporary: &Path, expected: Option<&Source>) -> io::Result<Put> {
        let current =
            read_text(path, "disabled.json", DISABLED_LIMIT).map_err(|p| io::Error::other(p.message))?;
        let text = |source: &Source| source.text().to_owned();
        if current.as_ref().map(text) != expected.map(text) {
            return Ok(Put::Changed);
        }
        let Some(expected) = expected else {
            return match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
                Ok(()) => Ok(Put::Done),
                Err(rustix::io::Errno::EXIST) => Ok(Put::Changed),
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                    fs::rename(temporary, path).map(|()| Put::Done)
                }
                Err(error) => Err(error.into()),
            };
        };
        match renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // Removed since we looked.
            Err(rustix::io::Errno::NOENT) => return Ok(Put::Changed),
            // A file system without it: the comparison above has to do.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                return fs::rename(temporary, path).map(|()| Put::Done);
            }
            Err(error) => return Err(error.into()),
        }
        match read_text(temporary, &shown(path), DISABLED_LIMIT) {
            Ok(Some(theirs)) if theirs.text() != expected.text() => Ok(Put::TheirsWas(theirs)),
            _ => {
                fs::remove_file(temporary)?;
                Ok(Put::Done)
            }
        }
    }
}

enum Put {
    Done,
    /// The file was something else; nothing was done.
    Changed,
    /// Ours is in place, and this is what was there.
    TheirsWas(Source),
}

/// Removes the file, given that it still is as `expected`. It is moved aside first, so that what is
/// removed is what was looked at.
fn remove(path: &Path, expected: Option<&Source>) -> io::Result<Put> {
    let read = |path: &Path| {
        read_text(path, "disabled.json", DISABLED_LIMIT).map_err(|problem| io::Error::other(problem.message))
    };
    let text = |source: &Source| source.text().to_owned();
    if read(path)?.as_ref().map(text) != expected.map(text) {
        return Ok(Put::Changed);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let aside = path.with_file_name(format!(".{name}.gone"));
    fs::rename(path, &aside)?;
    if read(&aside)?.as_ref().map(text) == expected.map(text) {
        fs::remove_file(&aside)?;
        return Ok(Put::Done);
    }
    // A person was faster by a hair: theirs goes back, unless there is an even newer one.
    match renameat_with(CWD, &aside, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => fs::remove_file(&aside)?,
        Err(_) => fs::rename(&aside, path)?,
    }
    Ok(Put::Changed)
}

/// The new text in a file beside `path` (and not in `taken`) with its mode and owner, on disk.
fn write_beside(path: &Path, text: &str, taken: Option<&Path>) -> io::Result<PathBuf> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut temporary = path.with_file_name(format!(".{name}.maand"));
    if taken == Some(&temporary) {
        temporary.set_extension("maand2");
    }
    let _ = fs::remove_file(&temporary);
    let mut file = File::create_new(&temporary)?;
    file.write_all(text.as_bytes())?;
    if let Ok(meta) = fs::metadata(path) {
        file.set_permissions(Permissions::from_mode(meta.mode() & 0o7777))?;
        // Only root can give a file away; for others it stays theirs, as with any editor.
        let _ = fchown(&file, Some(meta.uid()), Some(meta.gid()));
    }
    file.sync_all()?;
    Ok(temporary)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::fleet::{Host, JobName};
    use super::super::lock;
    use super::*;

    fn bucket() -> (tempfile::TempDir, DisabledFile, Guard) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("workspace")).unwrap();
        fs::write(dir.path().join("maand.conf"), "bucket_id = 'b'\n").unwrap();
        let file = DisabledFile::of(&Bucket::open(dir.path()).unwrap());
        let guard =
            lock::acquire(&dir.path().join("data/catalog.lock"), "t", Duration::ZERO, &|| false).unwrap();
        (dir, file, guard)
    }

    fn worker(host: &str) -> DisabledEntry {
        DisabledEntry::Worker(Host::parse(host).unwrap())
    }

    #[test]
    fn what_was_there_is_not_ours() {
        let (_dir, file, lock) = bucket();
        fs::write(&file.path, "{\"workers\": [\"h1\"], \"x\": 1}").unwrap();
        fs::set_permissions(&file.path, Permissions::from_mode(0o664)).unwrap();
        let ours = [
            worker("h1"),
            worker("h2"),
            DisabledEntry::Allocation(JobName::parse("api").unwrap(), Host::parse("h3").unwrap()),
        ];
        let change = file.disable(&lock, &ours, &mut no_fence).unwrap();
        assert_eq!((change.changed.as_slice(), change.unchanged.as_slice()), (&ours[1..], &ours[..1]));
        assert_eq!(fs::metadata(&file.path).unwrap().mode() & 0o777, 0o664);
        fs::write(&file.path, "{\"workers\": [\"h1\"]}").unwrap();
        let back = file.ensure(&lock, &change.changed, &mut no_fence).unwrap();
        assert_eq!(back.changed, ours[1..]);
        assert_eq!(file.enable(&lock, &back.changed, &mut no_fence).unwrap().changed, ours[1..]);
        assert_eq!(fs::read_to_string(&file.path).unwrap(), "{\"workers\": [\"h1\"], \"jobs\": {}}");
        let files: Vec<_> = fs::read_dir(file.path.parent().unwrap()).unwrap().collect();
        assert_eq!(files.len(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_is_only_ours_goes_with_the_last_entry() {
        let (_dir, file, lock) = bucket();
        let ours = [worker("h1"), worker("h2")];
        let _ = file.disable(&lock, &ours, &mut no_fence).unwrap();
        let _ = file.enable(&lock, &ours[..1], &mut no_fence).unwrap();
        assert!(file.path.exists());
        // A person gets in between looking and removing.
        let mut person = || {
            fs::write(&file.path, "{\"workers\": [\"h2\", \"p\"]}").unwrap();
            Ok(())
        };
        let _ = file.enable(&lock, &ours[1..], &mut person).unwrap();
        assert_eq!(fs::read_to_string(&file.path).unwrap(), "{\"workers\": [\"p\"]}");
        fs::remove_file(&file.path).unwrap();
        let job = DisabledEntry::Allocation(JobName::parse("api").unwrap(), Host::parse("h3").unwrap());
        for entry in [worker("h1"), job] {
            let all = [entry];
            let _ = file.disable(&lock, &all, &mut no_fence).unwrap();
            let _ = file.enable(&lock, &all, &mut no_fence).unwrap();
            assert!(!file.path.exists());
            // A person's own empty list, in another hand, stays.
            fs::write(&file.path, "{\"workers\": []}").unwrap();
            let _ = file.disable(&lock, &all, &mut no_fence).unwrap();
            let _ = file.enable(&lock, &all, &mut no_fence).unwrap();
            assert!(file.path.exists());
            fs::remove_file(&file.path).unwrap();
        }
        let files = fs::read_dir(file.path.parent().unwrap()).unwrap().count();
        assert_eq!(files, 0, "nothing is left beside it");
    }

    #[test]
    fn nothing_changes_when_the_fence_or_the_lock_says_no() {
        let (dir, file, lock) = bucket();
        let mut refuse = || Err(Problem::error("maand::test", "an older controller").help("x"));
        assert!(file.disable(&lock, &[worker("h")], &mut refuse).is_err());
        assert!(!file.path.exists());
        let _new = lock::take_over(&dir.path().join("data/catalog.lock"), "other").unwrap();
        let problems = file.disable(&lock, &[worker("h")], &mut no_fence).unwrap_err();
        assert_eq!(problems.iter().next().unwrap().code, "maand::bucket::lock_lost");
    }

    #[test]
    fn an_edit_between_reading_and_renaming_is_merged() {
        let (_dir, file, lock) = bucket();
        fs::write(&file.path, "{\"workers\": []}").unwrap();
        // The fence is asked between reading and renaming: a person is as fast as can be.
        let mut person = 0;
        let mut fence = || {
            person += 1;
            if person <= 3 {
                fs::write(&file.path, format!("{{\"workers\": [\"p{person}\"]}}")).unwrap();
            }
            Ok(())
        };
        let change = file.disable(&lock, &[worker("h")], &mut fence).unwrap();
        assert_eq!(change.changed, [worker("h")]);
        assert_eq!(fs::read_to_string(&file.path).unwrap(), "{\"workers\": [\"p3\", \"h\"]}");
    }

    #[test]
    fn a_broken_file_stays_as_the_person_left_it() {
        let (_dir, file, lock) = bucket();
        fs::write(&file.path, "{\"workers\": [").unwrap();
        assert!(file.disable(&lock, &[worker("h")], &mut no_fence).is_err());
        assert_eq!(fs::read_to_string(&file.path).unwrap(), "{\"workers\": [");
    }

    #[test]
    fn with_people_at_it_all_the_time_it_parses_at_every_instant_and_nobody_loses() {
        let (_dir, file, lock) = bucket();
        fs::write(&file.path, "{\"workers\": []}").unwrap();
        let done = AtomicBool::new(false);
        let mut last = 0;
        std::thread::scope(|scope| {
            let person = scope.spawn(|| {
                let mut count = 0;
                while !done.load(Ordering::SeqCst) {
                    // As an editor does: a whole new file by rename. What it holds of ours is lost
                    // with that, as with a git checkout.
                    count += 1;
                    let beside = file.path.with_extension("person");
                    fs::write(&beside, format!("{{\"workers\": [\"p{count}\"], \"n\": {count}}}")).unwrap();
                    fs::rename(&beside, &file.path).unwrap();
                    std::thread::yield_now();
                }
                count
            });
            let reader = scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let text = fs::read_to_string(&file.path).unwrap();
                    serde_json::from_str::<serde_json::Value>(&text).expect("whole at every instant");
                }
            });
            for _ in 0..200 {
                // Losing against a loop is no harm, only a problem.
                if let Ok(change) = file.disable(&lock, &[worker("ours")], &mut no_fence) {
                    let _ = file.enable(&lock, &change.changed, &mut no_fence);
                }
            }
            done.store(true, Ordering::SeqCst);
            last = person.join().unwrap();
            reader.join().unwrap();
        });
        let _ = file.enable(&lock, &[worker("ours")], &mut no_fence).unwrap();
        let value: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&file.path).unwrap()).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"workers": [format!("p{last}")], "n": last}),
            "the last edit stands"
        );
    }
}
