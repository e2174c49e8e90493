//! What is built and what is deployed, as far as the catalog knows: workers of which it says the same share a row.

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

/// One job on the workers of which the catalog says the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogRow {
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
    /// The hosts.
    pub workers: Vec<String>,
}
