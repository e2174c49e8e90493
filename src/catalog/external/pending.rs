//! What is pending in a bucket of the upstream program, as far as its database and the workspace tell. The program is
//! not asked: it may not be on this machine, and it writes whenever it is.

use std::collections::BTreeMap;

use super::database::Snapshot;
use super::judge;
use crate::bucket::{Bucket, Host, JobName};
use crate::catalog::{
    Action, CatalogError, DeployRequest, Files, JobChange, JobVersion, PendingChanges, action_name,
};

/// What a deploy would do, by the database of the last build. No worker is contacted, nothing is written.
///
/// # Errors
/// The database cannot be read.
pub fn pending_changes(bucket: &Bucket, request: &DeployRequest) -> Result<PendingChanges, CatalogError> {
    let snapshot = Snapshot::read(&bucket.paths().upstream_db)?;
    let mut pending = PendingChanges { built: snapshot.is_some(), ..PendingChanges::default() };
    let snapshot = snapshot.unwrap_or_default();
    pending.jobs = job_changes(&snapshot, request);
    Ok(pending)
}

fn job_changes(snapshot: &Snapshot, request: &DeployRequest) -> Vec<JobChange> {
    // Its deploys know no workers: what is pending anywhere would be carried out.
    let asked = |job: &JobName| request.jobs.as_ref().is_none_or(|jobs| jobs.contains(job));
    type Key = (JobName, Option<JobVersion>, Option<JobVersion>, &'static str, String);
    let mut groups: BTreeMap<Key, (Action, Vec<Host>)> = BTreeMap::new();
    let rows =
        snapshot.rows.iter().filter(|((job, host), _)| asked(job) && snapshot.workers.contains_key(host));
    for ((job, host), row) in rows {
        let planned = judge::pending(job, host, row);
        if planned.action == Action::Skip {
            continue;
        }
        let version = |version: &Option<String>, hash: &Option<String>| {
            hash.clone().map(|hash| JobVersion { version: version.clone().unwrap_or_default(), hash })
        };
        let from = version(&row.current_version, &row.previous_hash);
        let to = (planned.action != Action::Remove).then(|| JobVersion {
            version: row.new_version.clone().unwrap_or_default(),
            hash: row.current_hash.clone().unwrap_or_default(),
        });
        let key = (job.clone(), from, to, action_name(planned.action), planned.reason);
        groups.entry(key).or_insert_with(|| (planned.action, Vec::new())).1.push(host.clone());
    }
    let change = |((job, from, to, _, why), (action, mut workers)): (Key, (Action, Vec<Host>))| {
        workers.sort();
        // It keeps one sum for all files of an allocation, as they are rendered there.
        let differs = from.as_ref().zip(to.as_ref()).is_some_and(|(from, to)| from.hash != to.hash);
        let files = Files { unknown: differs, ..Files::default() };
        JobChange { job, action, from, to, why: Some(why), workers, files }
    };
    groups.into_iter().map(change).collect()
}
