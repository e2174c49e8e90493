//! What is built and what is deployed, as far as the catalog knows: workers of which it says the same share a row.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The content of a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// The version that its manifest says.
    pub version: Option<String>,
    /// Hash of its files.
    pub hash: Option<String>,
}

/// What the catalog says of a job on a worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogJob {
    /// The job's name.
    pub job: String,
    /// What the last build has made of it.
    pub built: Content,
    /// What was last promoted there.
    pub deployed: Content,
    /// It is disabled there, as of the last build.
    pub disabled: bool,
    /// It is no longer selected there and waits for its removal.
    pub removed: bool,
    /// Position in the order of deployment.
    pub deployment_seq: u32,
}

/// Workers of which the catalog says the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogRow {
    /// All jobs that each of them has.
    pub jobs: Vec<CatalogJob>,
    /// The hosts.
    pub workers: Vec<String>,
}

impl CatalogRow {
    /// Rows of what the catalog says of jobs on workers, in whatever order.
    pub fn rows(allocations: impl Iterator<Item = (String, CatalogJob)>) -> Vec<Self> {
        let mut of_host: BTreeMap<String, Vec<CatalogJob>> = BTreeMap::new();
        for (host, job) in allocations {
            of_host.entry(host).or_default().push(job);
        }
        let mut rows: BTreeMap<Vec<CatalogJob>, Vec<String>> = BTreeMap::new();
        for (host, mut jobs) in of_host {
            jobs.sort();
            rows.entry(jobs).or_default().push(host);
        }
        rows.into_iter().map(|(jobs, workers)| Self { jobs, workers }).collect()
    }
}
