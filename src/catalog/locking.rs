//! The one lock of everything that changes the catalog: `data/catalog.lock`.

use std::time::{Duration, Instant};

use crate::bucket::Bucket;
use crate::bucket::lock::{Guard, LockError, acquire};
use crate::catalog::{BrokenCatalog, Call, CatalogError};

/// A build takes less; who waits longer wants to know for whom.
pub(super) const WAIT: Duration = Duration::from_secs(5);

/// Takes it, waiting for a short while; `what` is shown to others who wait.
pub(super) fn take(bucket: &Bucket, what: &str, call: &Call) -> Result<Guard, CatalogError> {
    take_until(bucket, what, call, call.until.min(Instant::now() + WAIT))
}

/// Takes it until then at the latest.
pub(super) fn take_until(
    bucket: &Bucket,
    what: &str,
    call: &Call,
    until: Instant,
) -> Result<Guard, CatalogError> {
    let wait = until.saturating_duration_since(Instant::now());
    let path = &bucket.paths().catalog_lock;
    acquire(path, &format!("maand {what}"), wait, &|| call.cancel.is_cancelled()).map_err(|error| match error
    {
        LockError::Held { holder, .. } => CatalogError::Locked {
            what: "the catalog of this bucket (data/catalog.lock)".to_owned(),
            holder: holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string()),
        },
        LockError::Cancelled => {
            CatalogError::Cancelled("cancelled while waiting for the catalog's lock".to_owned())
        }
        error @ LockError::Io { .. } => BrokenCatalog::Lock(error).into(),
    })
}
