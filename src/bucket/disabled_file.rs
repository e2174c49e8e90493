//! Editing `workspace/disabled.json` while operators, editors and git may be editing it, too.
//!
//! The bucket's lock keeps out other commands of ours. Operators do not take it, so each edit is put in place by
//! *exchanging* the new file with the old: if what comes out is not what the edit was made from, another writer was
//! faster, theirs goes back, and the edit is made again on top of it. At every instant the name holds a whole
//! file. What is about to be changed is recorded before and noted after, so that also after a crash it is
//! known whose an entry is, and an operator's edit that was pushed out at that instant goes back.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::edit::{self, DisabledEntry, Edited, Wish};
use super::failpoint::{Point, reach};
use super::files::{DISABLED_LIMIT, read_text};
use super::lock::Guard;
use super::open::{Bucket, shown};
use super::record::{Pending, Record};
use crate::bucket::Host;
use crate::os::exchange::{self, Exchange};
use crate::os::hash::{sha256, sha256_of_file};
use crate::os::{disk, open};
use crate::plan::{Problem, Problems, Source};

/// How often an edit is made again because another writer was faster. No operator is that fast; a
/// program in a loop can.
const TRIES: usize = 50;
/// A file that does not parse may be half written by an editor: it is looked at again after this.
const HALF_WRITTEN: Duration = Duration::from_millis(100);

/// What an edit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct DisabledChange {
    /// After [`DisabledFile::disable`] and [`DisabledFile::ensure`]: there and the owner's own, from now on or
    /// since an earlier edit. After [`DisabledFile::enable`]: removed.
    pub changed: Vec<DisabledEntry>,
    /// There and not the owner's (after `disable`), or the owner's and gone already (after `enable`).
    pub unchanged: Vec<DisabledEntry>,
    /// There, and after a crash it cannot be told whether the owner or an operator put them there: they are
    /// left as they are until an operator removes them.
    pub ambiguous: Vec<DisabledEntry>,
    /// All that is the owner's own now.
    pub own: BTreeSet<DisabledEntry>,
}

/// Asked directly before an edit becomes visible; `false` ends it with nothing changed. Here a
/// controller that has been replaced finds out.
pub type Fence<'a> = &'a mut dyn FnMut() -> bool;

/// A fence that lets everything pass.
pub fn no_fence() -> bool {
    true
}

/// Why `disabled.json` was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DisabledError {
    /// Another process has taken the bucket's lock over: this one must not change anything any more.
    #[error("the bucket's lock was taken over by another process")]
    LockLost,
    /// The [`Fence`] said no.
    #[error("the edit was given up")]
    GivenUp,
    /// Something rewrites the file in a loop.
    #[error("{} changes all the time", shown(path))]
    Contended {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder cannot be written; the operators' entries are as they were.
    #[error("{} cannot be written: {source}", shown(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file, or the record beside it, cannot be used as it is.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    File(#[from] Problems),
}

impl From<Problem> for DisabledError {
    fn from(problem: Problem) -> Self {
        Self::File(problem.into())
    }
}

/// `workspace/disabled.json` of a bucket, for one owner.
#[derive(Clone, Debug)]
pub struct DisabledFile {
    path: PathBuf,
    /// The bucket's folder.
    root: PathBuf,
    record: PathBuf,
    owner: String,
    own: BTreeSet<DisabledEntry>,
}

impl DisabledFile {
    /// That of this bucket, for `owner`. `own` is what it has in it as far as is known; it counts
    /// where there is no record of that owner.
    pub fn of(bucket: &Bucket, owner: &str, own: BTreeSet<DisabledEntry>) -> Self {
        let paths = bucket.paths();
        let (path, record) = (paths.disabled_json.clone(), paths.disabled_record.clone());
        Self { path, root: paths.root.clone(), record, owner: owner.to_owned(), own }
    }

    /// Adds the entries that are not there yet. `lock` is the bucket's (`Paths::catalog_lock`).
    pub fn disable(
        &self,
        lock: &Guard,
        entries: &[DisabledEntry],
        fence: Fence<'_>,
    ) -> Result<DisabledChange, DisabledError> {
        let (record, _) = self.edit(lock, |_| entries.to_vec(), Wish::Present, fence)?;
        let mut change = DisabledChange::default();
        for entry in entries {
            let list = if record.own.contains(entry) {
                &mut change.changed
            } else if record.ambiguous.contains(entry) {
                &mut change.ambiguous
            } else {
                &mut change.unchanged
            };
            if !list.contains(entry) {
                list.push(entry.clone());
            }
        }
        change.own = record.own;
        Ok(change)
    }

    /// Removes the owner's own entries of this worker; what else is there stays. A job's key goes
    /// with its last host, as an empty list means the whole job. A file in which, byte for
    /// byte, nothing remains but the frame that we write ourselves is removed: where there was none, there is none
    /// again.
    pub fn enable(
        &self,
        lock: &Guard,
        host: &Host,
        fence: Fence<'_>,
    ) -> Result<DisabledChange, DisabledError> {
        let of_host = |entry: &&DisabledEntry| entry.host() == host;
        let mut ours = Vec::new();
        let (record, changed) = self.edit(
            lock,
            |record| {
                ours = record.own.iter().filter(of_host).cloned().collect();
                ours.clone()
            },
            Wish::Absent,
            fence,
        )?;
        let (mut removed, mut gone) = (Vec::new(), Vec::new());
        for (entry, changed) in ours.into_iter().zip(changed) {
            if changed { removed.push(entry) } else { gone.push(entry) }
        }
        let ambiguous = record.ambiguous.iter().filter(of_host).cloned().collect();
        Ok(DisabledChange { changed: removed, unchanged: gone, ambiguous, own: record.own })
    }

    /// Puts back those of the owner's own entries that have vanished (a git checkout).
    pub fn ensure(&self, lock: &Guard, fence: Fence<'_>) -> Result<DisabledChange, DisabledError> {
        let own = |record: &Record| record.own.iter().cloned().collect();
        let (record, _) = self.edit(lock, own, Wish::Present, fence)?;
        let changed = record.own.iter().cloned().collect();
        Ok(DisabledChange { changed, own: record.own, ..DisabledChange::default() })
    }

    /// What the record says of these workers is no longer the owner's: an operator has removed it while the owner had
    /// come to its end. The file itself is left as it is.
    pub fn forget(&self, lock: &Guard, hosts: &BTreeSet<Host>) -> Result<(), DisabledError> {
        if !lock.is_current() {
            return Err(DisabledError::LockLost);
        }
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut record = Record::load(&self.record, &self.owner, &self.own)?;
        self.settle(&path, &mut record)?;
        record.own.retain(|entry| !hosts.contains(entry.host()));
        Ok(record.save(&self.record)?)
    }

    /// Entries that are `owner`'s own in this bucket, by its record; an edit that was begun counts with what it adds.
    /// `None`: there is no record of that owner.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn own_entries_of(
        bucket: &Bucket,
        owner: &str,
    ) -> Result<Option<BTreeSet<DisabledEntry>>, DisabledError> {
        let record = Record::of_owner(&bucket.paths().disabled_record, owner)?;
        Ok(record.map(|record| {
            let adds = record.pending.into_iter().flat_map(|pending| pending.adds);
            record.own.into_iter().chain(adds).collect()
        }))
    }

    /// Who has entries in this checkout's file, by the record, and which; `None`: nobody.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn owner(bucket: &Bucket) -> Result<Option<(String, BTreeSet<DisabledEntry>)>, DisabledError> {
        let record = Record::read(&bucket.paths().disabled_record)?;
        Ok(record.map(|record| (record.owner, record.own)).filter(|(_, own)| !own.is_empty()))
    }

    /// Makes `own` the owner's entries, as it was continued elsewhere meanwhile: what it had here and has no longer is
    /// removed from the file, and what it has is put there.
    ///
    /// # Errors
    /// As of [`DisabledFile::enable`].
    pub fn adopt(
        &self,
        lock: &Guard,
        own: &BTreeSet<DisabledEntry>,
        fence: Fence<'_>,
    ) -> Result<(), DisabledError> {
        let gone = |record: &Record| record.own.difference(own).cloned().collect();
        self.edit(lock, gone, Wish::Absent, fence)?;
        let mut record = Record::load(&self.record, &self.owner, &self.own)?;
        record.own.clone_from(own);
        record.save(&self.record)?;
        self.edit(lock, |record| record.own.iter().cloned().collect(), Wish::Present, fence)?;
        Ok(())
    }

    /// One edit from the record to the record; answers with this and which entries it changed.
    fn edit(
        &self,
        lock: &Guard,
        entries: impl FnOnce(&Record) -> Vec<DisabledEntry>,
        wish: Wish,
        fence: Fence<'_>,
    ) -> Result<(Record, Vec<bool>), DisabledError> {
        if !lock.is_current() {
            return Err(DisabledError::LockLost);
        }
        // A link (a workspace that is put together from several places) stays a link; none leads us to
        // a file outside of the bucket.
        open::check_below(&self.path, &self.root).map_err(|source| unwritable(&self.path, source))?;
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut record = Record::load(&self.record, &self.owner, &self.own)?;
        exchange::return_aside(&path).map_err(|source| unwritable(&path, source))?;
        self.settle(&path, &mut record)?;
        let entries = entries(&record);
        let edited = match self.attempts(&path, &mut record, &entries, wish, fence) {
            Ok(edited) => edited,
            Err(error) => {
                // As after a crash: what was pushed out goes back in. What cannot be done now is done
                // before the next edit.
                let _ = self.settle(&path, &mut record);
                return Err(error);
            }
        };
        let noted = record.clone();
        let beside = match record.pending.take() {
            Some(pending) => {
                record.took_place(&pending);
                self.tidy(&path, &pending)?;
                Some(path.with_file_name(&pending.beside))
            }
            None => None,
        };
        if wish == Wish::Absent {
            record.own.retain(|entry| !entries.contains(entry));
        }
        let source = Source::new(shown(&path), edited.text.clone());
        record.ambiguous.retain(|entry| is_there(Some(&source), entry));
        if record != noted {
            record.save(&self.record)?;
        }
        reach(Point::Noted);
        if let Some(beside) = beside {
            let _ = fs::remove_file(beside);
        }
        Ok((record, edited.changed))
    }

    /// Makes the edit until it is on top of what is there. What the last try did is pending in the
    /// record.
    fn attempts(
        &self,
        path: &Path,
        record: &mut Record,
        entries: &[DisabledEntry],
        wish: Wish,
        fence: Fence<'_>,
    ) -> Result<Edited, DisabledError> {
        let failed = |source: io::Error| unwritable(path, source);
        let made = record.made.clone();
        for _ in 0..TRIES {
            let base = read_whole(path, &self.root, entries, wish)?;
            let mut edited = edit::apply(base.as_ref(), entries, wish)?;
            if !edited.changed.contains(&true) {
                return Ok(edited);
            }
            match wish {
                Wish::Present => {
                    // Anew in each try: the key may be an operator's by now.
                    record.made.clone_from(&made);
                    record.made.extend(edit::keys_made(base.as_ref().map(Source::text), &edited.text));
                }
                Wish::Absent => edited.text = edit::without_empty(&edited.text, &record.made),
            }
            let before = base.as_ref().map(|base| sha256(base.text()));
            let name = exchange::name_beside(path, "maand");
            let beside = exchange::write_beside(path, &name, &edited.text).map_err(failed)?;
            let changed = entries.iter().zip(&edited.changed).filter(|(_, changed)| **changed);
            let changed: Vec<_> = changed.map(|(entry, _)| entry.clone()).collect();
            let (adds, removes) = match wish {
                Wish::Present => (changed, Vec::new()),
                Wish::Absent => (Vec::new(), changed),
            };
            let after = sha256(&edited.text);
            record.pending = Some(Pending { adds, removes, before: before.clone(), after, beside: name });
            record.save(&self.record)?;
            reach(Point::Recorded);
            if !fence() {
                return Err(DisabledError::GivenUp);
            }
            match exchange::exchange(path, &beside, before.as_deref()).map_err(failed)? {
                Exchange::Done => {
                    disk::sync_folder_of(path).map_err(failed)?;
                    reach(Point::Swapped);
                    return Ok(edited);
                }
                Exchange::Changed => self.settle(path, record)?,
            }
        }
        Err(DisabledError::Contended { path: path.to_owned() })
    }

    /// Where there was no file before the owner's first entry, there is none again after its last.
    fn tidy(&self, path: &Path, pending: &Pending) -> Result<(), DisabledError> {
        let is_empty = edit::EMPTIED.iter().any(|text| sha256(text) == pending.after);
        if pending.removes.is_empty() || !is_empty || self.path.is_symlink() {
            return Ok(());
        }
        exchange::remove(path, &pending.after).map_err(|source| unwritable(path, source))
    }

    /// Finds out what came of the pending edit, if there is one, and puts back what it has pushed out
    /// of another writer's file.
    ///
    /// The file beside tells: it holds the new text until the exchange, and from then on what was there.
    /// It is removed only after the end of the edit was noted.
    fn settle(&self, path: &Path, record: &mut Record) -> Result<(), DisabledError> {
        let Some(pending) = record.pending.clone() else {
            // Of an edit whose end was noted, and nothing more.
            let _ = fs::remove_file(path.with_file_name(exchange::name_beside(path, "maand")));
            return Ok(());
        };
        let failed = |source: io::Error| unwritable(path, source);
        let beside = path.with_file_name(&pending.beside);
        let now = sha256_of_file(path).map_err(failed)?;
        let there = sha256_of_file(&beside).map_err(failed)?;
        let is_in_place = now.as_ref() == Some(&pending.after);
        match there {
            Some(there) if there == pending.after => {}
            Some(there) if Some(&there) == pending.before.as_ref() => {
                record.took_place(&pending);
                self.tidy(path, &pending)?;
            }
            Some(_) if is_in_place => exchange::put_back(path, &beside, &pending.after).map_err(failed)?,
            // Without a file before, or on a file system that cannot exchange, nothing comes out.
            None if is_in_place => record.took_place(&pending),
            None if now == pending.before => {}
            // Another writer has changed the file since, and the evidence with it.
            Some(_) | None => {
                let source = read_text(path, &self.root, &shown(path), DISABLED_LIMIT);
                record.is_unclear(&pending, &|entry| match &source {
                    Ok(source) => is_there(source.as_ref(), entry),
                    Err(_) => true,
                });
            }
        }
        record.pending = None;
        record.save(&self.record)?;
        let _ = fs::remove_file(&beside);
        Ok(())
    }
}

/// Whether the text has the entry; one that cannot be read may have it.
fn is_there(source: Option<&Source>, entry: &DisabledEntry) -> bool {
    edit::apply(source, std::slice::from_ref(entry), Wish::Present)
        .map_or(true, |edited| !edited.changed.contains(&true))
}

/// The file as it is; one that cannot be used is looked at twice.
fn read_whole(
    path: &Path,
    root: &Path,
    entries: &[DisabledEntry],
    wish: Wish,
) -> Result<Option<Source>, Problems> {
    let read = || read_text(path, root, &shown(path), DISABLED_LIMIT);
    match read() {
        Ok(source) if edit::apply(source.as_ref(), entries, wish).is_ok() => return Ok(source),
        Ok(_) | Err(_) => std::thread::sleep(HALF_WRITTEN),
    }
    Ok(read()?)
}

fn unwritable(path: &Path, source: io::Error) -> DisabledError {
    DisabledError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
#[path = "disabled_file_tests.rs"]
mod tests;
