//! What an owner (a run) has in `disabled.json`: a record in `data/`, written before the file is
//! changed and again afterwards, so that a crash in between leaves no doubt about whose an entry is.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::edit::DisabledEntry;
use super::files::DISABLED_LIMIT;
use super::open::shown;
use crate::os::{disk, open};
use crate::plan::Problem;

/// The form of the record that this program writes.
const VERSION: u32 = 1;

/// The record's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// Whose: a run's name.
    pub(super) owner: String,
    /// Entries that are the owner's own.
    pub(super) own: BTreeSet<DisabledEntry>,
    /// Entries of which it cannot be told whether the owner or an operator put them there. Only an
    /// operator removes them.
    #[serde(default)]
    pub(super) ambiguous: BTreeSet<DisabledEntry>,
    /// Keys of the file that the owner's edits have added to what operators had: they go when they are empty.
    #[serde(default)]
    pub(super) made: Vec<String>,
    /// The edit that was begun and is not known to have ended.
    #[serde(default)]
    pub(super) pending: Option<Pending>,
}

/// One edit, as it is recorded before the file is changed. Files are named, not placed: all of them are
/// beside `disabled.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Entries that the new text has and the old one lacks.
    pub(super) adds: Vec<DisabledEntry>,
    /// Entries that the old text has and the new one lacks.
    pub(super) removes: Vec<DisabledEntry>,
    /// SHA-256 of the text that is replaced; `None`: there is no file.
    pub(super) before: Option<String>,
    /// SHA-256 of the new text.
    pub(super) after: String,
    /// The file that holds the new text up to the exchange, and what was there from then on.
    pub(super) beside: String,
}

impl Record {
    /// Reads the record where it is this owner's.
    pub(super) fn of_owner(path: &Path, owner: &str) -> Result<Option<Self>, Problem> {
        Ok(Self::read(path)?.filter(|found| found.owner == owner))
    }

    /// Reads the record; one of another owner, or none, gives a new one with `own` in it. A pending edit
    /// stays in it in any case.
    pub(super) fn load(path: &Path, owner: &str, own: &BTreeSet<DisabledEntry>) -> Result<Self, Problem> {
        Ok(match Self::read(path)? {
            Some(found) if found.owner == owner => Self { version: VERSION, ..found },
            other => Self {
                version: VERSION,
                owner: owner.to_owned(),
                own: own.clone(),
                ambiguous: BTreeSet::new(),
                made: Vec::new(),
                // Another owner's: what it pushed out still goes back.
                pending: other.and_then(|other| other.pending).map(|pending| Pending {
                    adds: Vec::new(),
                    removes: Vec::new(),
                    ..pending
                }),
            },
        })
    }

    /// Whosever it is; `None`: there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Problem> {
        let unusable = |why: &dyn std::fmt::Display| {
            Problem::error("maand::bucket::record", format!("{} cannot be used: {why}", shown(path))).help(
                "it says which entries of disabled.json are the run's own. Put it back from a copy, or remove \
                 it: then the run's journal says so, as far as it goes, and other entries count as the operators'",
            )
        };
        let text = open::read_own(path, DISABLED_LIMIT).map_err(|error| unusable(&error))?;
        let found: Option<Self> = match text {
            Some(text) => Some(serde_json::from_str(&text).map_err(|error| unusable(&error))?),
            None => None,
        };
        if found.as_ref().is_some_and(|found| found.version > VERSION) {
            return Err(unusable(&"a newer maand has written it"));
        }
        Ok(found)
    }

    /// Writes the record; it is on disk when this returns.
    pub(super) fn save(&self, path: &Path) -> Result<(), Problem> {
        let write =
            || disk::replace(path, &serde_json::to_string(self).map_err(std::io::Error::from)?, 0o600);
        write().map_err(|error| {
            Problem::error("maand::bucket::write", format!("{} cannot be written: {error}", shown(path)))
                .help("disabled.json is not changed without it; check the disk and the permissions of the folder")
        })
    }

    /// The pending edit has taken place: its entries are the owner's, or no longer.
    pub(super) fn took_place(&mut self, pending: &Pending) {
        for entry in &pending.adds {
            self.ambiguous.remove(entry);
            self.own.insert(entry.clone());
        }
        for entry in &pending.removes {
            self.own.remove(entry);
        }
    }

    /// It cannot be told whether it has: the owner of what is in the file (`present`) is not known.
    pub(super) fn is_unclear(&mut self, pending: &Pending, present: &dyn Fn(&DisabledEntry) -> bool) {
        for entry in pending.removes.iter().chain(&pending.adds) {
            let was_own = self.own.remove(entry) && pending.adds.contains(entry);
            if was_own {
                // Put back after it had vanished: it is the owner's either way.
                self.own.insert(entry.clone());
            } else if present(entry) {
                self.ambiguous.insert(entry.clone());
            }
        }
    }
}
