//! Which fleet a rehearsal starts.

use std::path::{Path, PathBuf};

use crate::bucket::{Bucket, Fleet, Host};
use crate::graph;
use crate::plan::Plan;
use crate::sandbox::{Blueprint, WORKERS_MAX};

use super::RehearsalError;

/// The number of made-up workers where none is given.
const WORKERS: u32 = 3;

/// The fleet that a rehearsal makes up.
#[derive(Clone, Debug)]
pub struct Likeness {
    pub(super) blueprint: Blueprint,
    /// Its workers.
    pub hosts: Vec<Host>,
    /// The folder of the bucket beside it, where scripts of the plan may be.
    pub bucket: Option<PathBuf>,
    /// It is like the bucket's fleet; else it is made up for the plan.
    pub mirrors_bucket: bool,
}

impl Likeness {
    /// Made-up workers where `workers` says how many; else those of the bucket in `folder` (`None`: the nearest
    /// one); else, without a bucket or with an empty one, three made-up workers that fit the plan.
    ///
    /// # Errors
    /// The bucket that was named cannot be read, or has more workers than a sandbox can have.
    pub fn choose(plan: &Plan, workers: Option<u32>, folder: Option<&Path>) -> Result<Self, RehearsalError> {
        if workers.is_none()
            && let Some((bucket, fleet)) = bucket_fleet(folder)?
        {
            let count = fleet.workers.len();
            if count > WORKERS_MAX {
                return Err(RehearsalError::TooManyWorkers(count));
            }
            let blueprint = Blueprint::mirror(&fleet).or_demo_jobs();
            let hosts = hosts(&fleet);
            return Ok(Self { blueprint, hosts, bucket: Some(bucket), mirrors_bucket: true });
        }
        let fleet = graph::synthetic_fleet(plan, workers.unwrap_or(WORKERS));
        Ok(Self {
            blueprint: Blueprint::synthetic(&fleet),
            hosts: hosts(&fleet),
            bucket: Bucket::find(folder).ok().map(|bucket| bucket.paths().root.clone()),
            mirrors_bucket: false,
        })
    }
}

fn hosts(fleet: &Fleet) -> Vec<Host> {
    fleet.workers.iter().map(|worker| worker.host.clone()).collect()
}

/// `None`: there is no bucket, and none was named; or it has no workers.
fn bucket_fleet(folder: Option<&Path>) -> Result<Option<(PathBuf, Fleet)>, RehearsalError> {
    let Some(bucket) = Bucket::find_if_any(folder)? else { return Ok(None) };
    let (fleet, _) = bucket.load()?;
    Ok((!fleet.workers.is_empty()).then(|| (bucket.paths().root.clone(), fleet)))
}
