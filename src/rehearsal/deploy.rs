//! The first deployment of a sandbox's jobs, so that there is something that a plan can take down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bucket::Bucket;
use crate::catalog::{Builtin, Call, Catalog, Cuts, DeployRequest, WorkerOutcome};
use crate::run::Connector;
use crate::sandbox::Sandbox;
use crate::ssh::Cancel;

use super::RehearsalError;

/// A sandbox of hundreds on a busy machine takes a minute.
const DEPLOY_WITHIN: Duration = Duration::from_secs(300);

/// Builds the sandbox's bucket and deploys its jobs, as `maand build` and `maand deploy` do.
///
/// # Errors
/// [`RehearsalError::Deploy`] with the first worker or job that could not be brought up.
pub fn deploy_jobs(sandbox: &Sandbox, connector: &Connector, cancel: &Cancel) -> Result<(), RehearsalError> {
    let failed = |why: String| RehearsalError::Deploy(why);
    let bucket = Bucket::open(&sandbox.bucket_dir())?;
    let (fleet, _) = bucket.load()?;
    let remote = connector.transport(&bucket, &fleet.workers)?;
    let catalog = Builtin::new(Arc::new(bucket), remote);
    let call = Call {
        stopping: Cancel::new(),
        cancel: cancel.clone(),
        until: Instant::now() + DEPLOY_WITHIN,
        output: Arc::new(|_, _| {}),
        fence: None,
        cuts: Cuts::default(),
    };
    catalog.build(&call).map_err(|error| failed(error.to_string()))?;
    let report =
        catalog.deploy(&DeployRequest::default(), &call).map_err(|error| failed(error.to_string()))?;
    let workers = report.workers.iter().map(|(host, outcome)| (host.to_string(), Some(outcome)));
    let jobs =
        report.allocations.iter().map(|one| (format!("{} on {}", one.job, one.host), one.outcome.as_ref()));
    for (what, outcome) in workers.chain(jobs) {
        match outcome {
            None | Some(WorkerOutcome::Ok { .. }) => {}
            Some(
                WorkerOutcome::Failed { error, .. }
                | WorkerOutcome::NotBegun { error }
                | WorkerOutcome::Unreachable { error },
            ) => {
                return Err(failed(format!("{what}: {error}")));
            }
            Some(WorkerOutcome::Unknown { why }) => return Err(failed(format!("{what}: {why}"))),
        }
    }
    Ok(())
}
