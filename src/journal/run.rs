//! What is known of a run: its name, what is fixed when it starts, how it stands.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bucket::{Fleet, WorkspaceFiles};
use crate::engine::{Millis, PublicRunState};

/// The name of a run: `YYYYMMDD-HHMM-` (UTC) and four hexadecimal digits, so that it can be typed,
/// sorts by time, and does not repeat.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub(super) String);

impl RunId {
    /// A new name: the minute of `at` and two random bytes; [`super::Journal::create_run`] draws until it is free.
    pub fn draw(at: Millis) -> Self {
        let time = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let random = uuid::Uuid::new_v4();
        let [a, b, ..] = random.as_bytes();
        Self(format!("{}-{a:02x}{b:02x}", time.strftime("%Y%m%d-%H%M")))
    }

    /// `None` when it cannot be a run's name: names stand in files, and in scripts on workers.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let [day, time, random] = parts.as_slice() else { return None };
        let digits = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (digits(day, 8) && digits(time, 4) && random.len() == 4 && random.bytes().all(hex))
            .then(|| Self(text.to_owned()))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is fixed when a run starts; a resume uses this and nothing that is on disk by then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// The plan's name.
    pub plan: String,
    /// The plan file as the operator named it, for messages.
    pub plan_file: String,
    /// The plan file's text.
    pub plan_text: String,
    /// SHA-256 of the text, in hexadecimal.
    pub plan_sha256: String,
    /// `--set`, in the order given.
    pub overrides: Vec<(String, String)>,
    /// `--workers`: the selection was narrowed to these.
    pub only_workers: Option<Vec<String>>,
    /// The snapshot of the bucket that the plan was compiled for.
    pub fleet: Fleet,
    /// [`crate::graph::RolloutGraph::hash`].
    pub graph_hash: String,
    /// SHA-256 of `workers.json`, in hexadecimal.
    pub workers_sha256: String,
    /// Hash of the workspace less `disabled.json`.
    pub workspace_hash: String,
    /// Short hashes of its files, to name what has changed; `None`: a run of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_files: Option<WorkspaceFiles>,
    /// Version of the program.
    pub program: String,
    /// `user@host`.
    pub who: String,
    /// Jitter is drawn from it.
    pub seed: u64,
    /// Text of the plan's scripts and calendars, by the path written in the plan.
    pub scripts: BTreeMap<String, String>,
    /// The selected workers in the order of [`crate::graph::TargetIx`].
    pub hosts: Vec<String>,
    /// The kinds of the plan's steps; history counts by them.
    pub kinds: StepKinds,
    /// When the run was started.
    pub started_at: Millis,
    /// SHA-256 of the reviewed plan file that it carries out; `None`: it was started from a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed: Option<String>,
}

/// [`crate::plan::StepKind::keyword`] of each step, list by list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the plan's")]
pub struct StepKinds {
    pub before: Vec<String>,
    pub steps: Vec<String>,
    pub after: Vec<String>,
}

/// A run as it is stored, without its facts.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRun {
    /// Its name.
    pub id: RunId,
    /// The epoch of the newest controller.
    pub epoch: u64,
    /// How many facts there are.
    pub last_seq: u64,
    /// As of the newest fact; whether a process carries it out is the run lock's to know.
    pub state: PublicRunState,
    /// What was fixed at the start.
    pub header: RunHeader,
}

/// A line of `maand plan list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its name.
    pub id: RunId,
    /// The plan's name.
    pub plan: String,
    /// Selected workers.
    pub workers: u32,
    /// Of them: ended well.
    pub succeeded: u32,
    /// Of them: failed, also when reverted afterwards, and not skipped or retried since.
    pub failed: u32,
    /// Of them: taken out by an operator, or left alone from the start.
    pub skipped: u32,
    /// When it was started.
    pub started_at: Millis,
    /// When the newest fact was learnt.
    pub last_at: Millis,
    /// When the last fact of all was.
    pub finished_at: Option<Millis>,
    /// As of the newest fact; whether somebody carries it out is the run lock's to know.
    pub state: PublicRunState,
}

#[cfg(test)]
pub(super) mod example {
    use super::*;
    use crate::bucket::Disabled;

    /// Of a run without workers.
    pub(crate) fn header() -> RunHeader {
        let fleet = Fleet {
            bucket_id: "7d3c7f5e-0000-4000-8000-000000000000".into(),
            workers: Vec::new(),
            jobs: Vec::new(),
            disabled: Disabled::default(),
            synthetic: true,
        };
        RunHeader {
            plan: "rolling".into(),
            plan_file: "plans/rolling.yaml".into(),
            plan_text: "name: rolling\n".into(),
            plan_sha256: "00".into(),
            overrides: Vec::new(),
            only_workers: None,
            fleet,
            graph_hash: "11".into(),
            workers_sha256: "22".into(),
            workspace_hash: "33".into(),
            workspace_files: None,
            program: "0.1.0".into(),
            who: "me@here".into(),
            seed: 42,
            scripts: BTreeMap::new(),
            hosts: Vec::new(),
            kinds: StepKinds::default(),
            started_at: 1_795_392_900_000,
            reviewed: None,
        }
    }
}
