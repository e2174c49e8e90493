//! A run that several machines may carry out takes its entries of `disabled.json` along: each has a checkout of the
//! bucket, and thus a file, of its own.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::bucket::lock::{self, Guard};
use crate::bucket::{Bucket, DisabledEntry, DisabledFile};
use crate::catalog::doubt_all_workers;
use crate::engine::Options;
use crate::journal::{Journal, Location, RunId};
use crate::os::{disk, open};

use super::stored::Stored;
use super::take_up::own_entries;
use super::{Engine, RunError, Site};

/// Names this checkout, in its `data` folder.
const FILE: &str = "checkout-id";
/// Bytes of that file: of a UUID.
const LIMIT: u64 = 64;
/// So long the lock of the bucket's files is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// Notes that a run is carried out here from now on. Where it was another checkout before, this one gets what the run has
/// disabled by its facts, and loses what it has enabled since it was carried out here.
pub(super) fn carry_on_here(site: &Site, journal: &Journal, stored: &Stored) -> Result<(), RunError> {
    if !journal.is_shared() {
        return Ok(());
    }
    // What an earlier run has left here is not this one's, and would be taken for an operator's.
    catch_up(&site.bucket)?;
    let here = id_of(&site.bucket)?;
    let before = journal.checkout_of(&stored.id)?;
    if before.is_some_and(|before| before != here) {
        let state = stored.replay(Options::default())?;
        let own = own_entries(&stored.graph, &state);
        adopt(&site.bucket, &stored.id, own.clone(), &own)?;
        if site.connector.engine_for(&site.bucket) == Engine::Builtin {
            let _guard = locked(&site.bucket, &stored.id)?;
            doubt_all_workers(&site.bucket).map_err(RunError::Catalog)?;
        }
    }
    Ok(journal.set_checkout(&stored.id, &here)?)
}

/// Puts this checkout right where a run has left entries in its `disabled.json` and was continued in another one since: they
/// are what that run has disabled by now, if it has anything. For whatever reads the file.
///
/// # Errors
/// The ledger cannot be read, or the file not be written.
pub fn catch_up(bucket: &Bucket) -> Result<(), RunError> {
    let location = Location::of(bucket)?;
    if !location.is_shared() {
        return Ok(());
    }
    let owner = DisabledFile::owner(bucket)
        .map_err(|error| RunError::Refused(format!("the record of what a run has disabled: {error}")))?;
    let Some((owner, _)) = owner else { return Ok(()) };
    let Some(journal) = location.open_if_any()? else { return Ok(()) };
    let Ok(run) = journal.find(Some(&owner)) else { return Ok(()) };
    if journal.checkout_of(&run)?.is_none_or(|there| id_of(bucket).is_ok_and(|here| here == there)) {
        return Ok(());
    }
    let stored = Stored::load(&journal, run)?;
    let own = own_entries(&stored.graph, &stored.replay(Options::default())?);
    adopt(bucket, &stored.id, own.clone(), &own)
}

fn locked(bucket: &Bucket, run: &RunId) -> Result<Guard, RunError> {
    lock::acquire(&bucket.paths().catalog_lock, &format!("maand plan, run {run}"), LOCK_WAIT, &|| false)
        .map_err(|error| RunError::Refused(error.to_string()))
}

/// The id of a bucket's checkout, made where there is none.
fn id_of(bucket: &Bucket) -> Result<String, RunError> {
    let path = bucket.paths().data.join(FILE);
    read_or_make(&path).map_err(|source| RunError::Unreadable { path, source })
}

fn read_or_make(path: &Path) -> io::Result<String> {
    let file = open::own(path)?;
    let known = String::from_utf8(open::read_all(&file, LIMIT)?).unwrap_or_default();
    if let Ok(known) = uuid::Uuid::parse_str(known.trim()) {
        return Ok(known.to_string());
    }
    let id = uuid::Uuid::new_v4().to_string();
    disk::replace(path, &id, 0o600)?;
    Ok(id)
}

/// Makes `own` what the run has in this checkout's `disabled.json`; `by_facts`: what counts where there is no record of it.
pub(super) fn adopt(
    bucket: &Bucket,
    run: &RunId,
    by_facts: BTreeSet<DisabledEntry>,
    own: &BTreeSet<DisabledEntry>,
) -> Result<(), RunError> {
    let here = DisabledFile::own_entries_of(bucket, run.as_str())
        .map_err(|error| RunError::Refused(format!("the record of what it has disabled: {error}")))?;
    if own.is_empty() && here.is_none_or(|here| here.is_empty()) {
        return Ok(());
    }
    let guard = locked(bucket, run)?;
    DisabledFile::of(bucket, run.as_str(), by_facts)
        .adopt(&guard, own, &mut || true)
        .map_err(|error| RunError::Refused(format!("disabled.json was not changed: {error}")))
}
