//! Clears the claim of a run that will never come back.

use crate::bucket::Host;
use crate::runner::release_claim;

use super::{RunError, Site};

/// Clears the claim on a worker, whichever run's it is; the worker, and whether there was a claim.
///
/// # Errors
/// [`RunError::NoSuchWorker`], [`RunError::Unreachable`]; and what keeps the bucket from being used.
pub fn release(site: &Site, worker: &str) -> Result<(Host, bool), RunError> {
    let (fleet, _) = site.bucket.load()?;
    let mut hosts = fleet.workers.iter().map(|worker| &worker.host);
    let host = hosts.find(|host| host.as_str() == Host::bare(worker)).cloned();
    let host = host.ok_or_else(|| RunError::NoSuchWorker(worker.to_owned()))?;
    let remote = site.connector.transport(&site.bucket, &fleet.workers)?;
    let cleared = release_claim(&remote, &host).map_err(RunError::Unreachable)?;
    Ok((host, cleared))
}
