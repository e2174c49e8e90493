//! The content of a reviewed plan file.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CatalogRow, Lines, Rollout, Workspace, fleet_rows};
use crate::bucket::Fleet;
use crate::catalog::PendingChanges;
use crate::plan::Plan;

/// A reviewed plan file without its first lines, which name the format and the hash of the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What would happen: what the inputs compile to.
    pub rollout: Rollout,
    /// All that it was compiled from.
    pub inputs: Inputs,
}

/// All that a run is compiled from, and all that it uses of this machine afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// Version of the program that compiled it.
    pub program: String,
    /// Who builds and deploys.
    pub engine: EngineUsed,
    /// The newest run of the bucket; `null`: this machine knew of none. Runs since are told of; they make nothing stale.
    pub newest_run: Option<String>,
    /// The plan.
    pub plan: PlanPart,
    /// The text of the plan's scripts and calendars, by the path written in the plan.
    pub scripts: BTreeMap<String, Lines>,
    /// What `maand.conf` says, key by key; of keys that this program does not know the hash of what they say.
    pub settings: BTreeMap<String, String>,
    /// What the plan's deploys would carry out besides its own changes, with the hashes of each file that differs;
    /// `null`: it deploys nothing.
    pub pending: Option<PendingChanges>,
    /// The catalog: what is built and what is deployed, where a step of the plan uses it; `null`: none does, or nothing
    /// was ever built.
    pub catalog: Option<Vec<CatalogRow>>,
    /// The files of the workspace, by their hashes.
    pub workspace: Workspace,
    /// The snapshot of the bucket that the plan was compiled for.
    #[serde(with = "fleet_rows")]
    #[schemars(with = "fleet_rows::FleetRows")]
    pub fleet: Arc<Fleet>,
}

/// Who builds and deploys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineUsed {
    /// `builtin` or `external`.
    pub kind: String,
    /// SHA-256 of the upstream program; `null` with the built-in engine.
    pub program_sha256: Option<String>,
}

/// The plan, and what the command line said besides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanPart {
    /// The plan's name.
    pub name: String,
    /// The plan file, as it was named.
    pub file: String,
    /// `--set`, in the order given.
    pub set: Vec<(String, String)>,
    /// `--workers`: only these of the plan's workers; `null`: all of them.
    pub only_workers: Option<Vec<String>>,
    /// The plan's variables as they were resolved. Secrets are none of them: a plan names those, and has no values.
    pub variables: BTreeMap<String, serde_json::Value>,
    /// The plan file's text.
    pub text: Lines,
}

impl PlanPart {
    /// Of a plan; `set` and `only_workers` are what the command line said.
    pub fn of(plan: &Plan, set: Vec<(String, String)>, only_workers: Option<Vec<String>>) -> Self {
        // A value that JSON lacks is none that a plan can have.
        let value = |value| serde_json::to_value(value).unwrap_or_default();
        Self {
            name: plan.name.clone(),
            file: plan.source.name().to_owned(),
            set,
            only_workers,
            variables: plan.vars.iter().map(|(name, var)| (name.clone(), value(var))).collect(),
            text: Lines::from(plan.source.text().to_owned()),
        }
    }
}
