//! Contents of files as they were built, kept in the catalog so that a difference can be shown when the file is another
//! one by then. Only short texts that everybody may read: nothing that may be a secret is written anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::state::State;
use super::store::Store;
use super::tree::{Kind, Tree};
use crate::bucket::{Bucket, JobName};
use crate::catalog::pending::{LONGEST, NotShown, is_secret_path, is_secret_text, text_of};
use crate::catalog::{CatalogError, FileDiff, FileState, PendingChanges};
use crate::os::hash::sha256;
use crate::os::open;

/// All contents that are kept, in bytes.
const KEPT: u64 = 64 << 20;

/// Keeps the contents of what was just built, and lets go those that nothing names any more. What cannot be kept is
/// left out: it is only for eyes.
pub(super) fn keep(
    bucket: &Bucket,
    store: &mut Store,
    state: &State,
    trees: &[(String, Tree)],
) -> Result<(), CatalogError> {
    let jobs = &bucket.paths().jobs;
    let mut wanted: BTreeMap<String, Option<PathBuf>> = BTreeMap::new();
    let mut secret: BTreeSet<String> = BTreeSet::new();
    let mut note = |tree: &Tree, folder: Option<&Path>| {
        for (path, entry) in &tree.0 {
            let Kind::File(digest) = &entry.kind else { continue };
            if entry.is_private() || is_secret_path(path) {
                secret.insert(digest.clone());
            } else {
                let file = wanted.entry(digest.clone()).or_default();
                *file = file.take().or(folder.map(|folder| folder.join(path)));
            }
        }
    };
    let built: BTreeMap<&str, &Tree> = trees.iter().map(|(hash, tree)| (hash.as_str(), tree)).collect();
    for (name, row) in state.jobs.iter().filter(|(_, row)| !row.removed) {
        if let Some(tree) = built.get(row.hash.as_str()) {
            note(tree, Some(&jobs.join(name.as_str())));
        }
    }
    let deployed: BTreeSet<&str> =
        state.allocations.values().filter_map(|row| row.current_hash.as_deref()).collect();
    for hash in deployed.into_iter().filter(|hash| !built.contains_key(hash)) {
        if let Some(tree) = store.tree(hash)? {
            note(&tree, None);
        }
    }
    wanted.retain(|digest, _| !secret.contains(digest));
    let known = store.contents()?;
    let mut total: u64 =
        known.iter().filter(|(digest, _)| wanted.contains_key(*digest)).map(|(_, size)| size).sum();
    let mut new = Vec::new();
    for (digest, path) in &wanted {
        if known.contains_key(digest) || total > KEPT {
            continue;
        }
        let Some(Ok(text)) = path.as_ref().map(|path| read(path, digest)) else { continue };
        total += text.len() as u64;
        new.push((digest.as_str(), text));
    }
    let gone: Vec<&str> =
        known.keys().filter(|digest| !wanted.contains_key(*digest)).map(String::as_str).collect();
    if new.is_empty() && gone.is_empty() { Ok(()) } else { store.keep_contents(&new, &gone) }
}

/// A short text with this sum.
fn read(path: &Path, digest: &str) -> Result<String, NotShown> {
    let file = open::plain_no_link(path).map_err(|_| NotShown::Unreadable)?;
    if file.metadata().map_err(|_| NotShown::Unreadable)?.len() > LONGEST {
        return Err(NotShown::TooLong);
    }
    let bytes = open::read_all(&file, LONGEST).map_err(|_| NotShown::Unreadable)?;
    if sha256(&bytes) != digest {
        return Err(NotShown::Unreadable);
    }
    let text = text_of(bytes)?;
    if is_secret_text(&text) { Err(NotShown::Secret) } else { Ok(text) }
}

/// The diffs of what is pending; `mask` takes out what must not be shown. Contents of before come from the catalog, where
/// the last builds have kept them, those of now from the workspace.
///
/// # Errors
/// The catalog cannot be read.
pub fn pending_diffs(
    bucket: &Bucket,
    pending: &PendingChanges,
    mask: &dyn Fn(&str) -> String,
) -> Result<Vec<FileDiff>, CatalogError> {
    let store = Store::open_read_only(&bucket.paths().catalog_db)?;
    let mut content = |job: &JobName, path: &str, state: &FileState| {
        let FileState::File { sha256: Some(digest), .. } = state else { return Err(NotShown::NotKept) };
        if let Some(kept) = store.as_ref().and_then(|store| store.content(digest).ok().flatten()) {
            return Ok(mask(&kept));
        }
        // A list of files that somebody else wrote must not lead out of the job.
        if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(NotShown::NotKept);
        }
        match read(&bucket.paths().jobs.join(job.as_str()).join(path), digest) {
            Ok(text) => Ok(mask(&text)),
            // It is another one by now.
            Err(NotShown::Unreadable) => Err(NotShown::NotKept),
            Err(why) => Err(why),
        }
    };
    Ok(crate::catalog::pending::diffs(pending, &mut content))
}
