//! What is pending, for the built-in engine: a build in memory, compared with the catalog and with what was deployed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::build;
use super::planning::{self, Planned};
use super::reading::Reading;
use super::state::{AllocationKey, JobRow, State};
use super::store::Store;
use super::tree::{Entry, Kind, Tree};
use crate::bucket::{Bucket, JobName};
use crate::catalog::{
    Action, AllocationChange, CatalogError, Changed, DeployRequest, FILES_LISTED, FileChange, FileState,
    Files, JobChange, JobVersion, PendingChanges, Seen, SeenJob, grouped, unbuilt,
};
use crate::plan::Problems;

/// More bytes of the workspace than this are not read to compare them: a build takes its time, a look must not.
const READ_MOST: u64 = 16 << 30;

/// What a deploy of this kind would do: of what was built, or (`builds`) of the workspace as a build would take it up
/// first. No worker is contacted, nothing is written, no lock is taken.
///
/// # Errors
/// The bucket is the upstream program's, or its catalog cannot be read. A workspace that cannot be built is none: it
/// is told of in the result.
pub fn pending_changes(
    bucket: &Bucket,
    request: &DeployRequest,
    builds: bool,
) -> Result<PendingChanges, CatalogError> {
    build::refuse_upstream(bucket)?;
    let store = Store::open_read_only(&bucket.paths().catalog_db)?;
    let old = store.as_ref().map(Store::load).transpose()?.unwrap_or_default();
    let mut pending = PendingChanges { built: !old.bucket_id.is_empty(), ..PendingChanges::default() };
    let mut trees = Trees { store: store.as_ref(), known: HashMap::new() };
    let next = match build::build(bucket, &old, &mut Reading::bounded(READ_MOST)) {
        Ok(built) => {
            trees.known.extend(built.trees.into_iter().map(|(hash, tree)| (hash, Some(tree))));
            let (before, after) = (seen(&old), seen(&built.state));
            let mut files = |_: &JobName, from: &JobVersion, to: &JobVersion| trees.compare(from, to);
            pending.unbuilt = unbuilt(&before, &after, request.jobs.as_deref(), &mut files);
            Some(built.state)
        }
        Err(CatalogError::Invalid(problems)) => {
            pending.unknown.push(not_built(&problems));
            None
        }
        Err(CatalogError::Cancelled(why)) => {
            pending.unknown.push(format!("the workspace was not compared with the last build: {why}"));
            None
        }
        Err(error) => return Err(error),
    };
    let state = next.filter(|_| builds).unwrap_or(old);
    pending.jobs = job_changes(&state, request, &mut trees);
    Ok(pending)
}

fn not_built(problems: &Problems) -> String {
    let first = problems.iter().next().map_or_else(String::new, |first| format!(": {first}"));
    let more = match problems.iter().count().saturating_sub(1) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("what is new in the workspace is not known, as `maand build` would refuse it{first}{more}")
}

/// The file lists behind content hashes, each read once.
struct Trees<'a> {
    store: Option<&'a Store>,
    known: HashMap<String, Option<Tree>>,
}

impl Trees<'_> {
    fn load(&mut self, hash: &str) {
        if !self.known.contains_key(hash) {
            let tree = self.store.and_then(|store| store.tree(hash).ok().flatten());
            self.known.insert(hash.to_owned(), tree);
        }
    }

    fn get(&self, hash: &str) -> Option<&Tree> {
        self.known.get(hash)?.as_ref()
    }

    fn compare(&mut self, from: &JobVersion, to: &JobVersion) -> Files {
        self.load(&from.hash);
        self.load(&to.hash);
        match (self.get(&from.hash), self.get(&to.hash)) {
            (Some(from), Some(to)) => file_changes(from, to),
            _ => Files { unknown: true, ..Files::default() },
        }
    }
}

/// What a deploy does.
fn job_changes(state: &State, request: &DeployRequest, trees: &mut Trees<'_>) -> Vec<JobChange> {
    for row in state.allocations.values() {
        row.current_hash.iter().for_each(|hash| trees.load(hash));
    }
    state.jobs.values().for_each(|row| trees.load(&row.hash));
    let plan = planning::plan(state, request, |hash| trees.get(hash).cloned());
    let changes = plan.work().map(|planned| {
        let (from, to) = (deployed(state, planned), wanted(state, planned));
        let why = why(state, planned, from.as_ref(), to.as_ref());
        let (job, host) = (planned.job.clone(), planned.host.clone());
        AllocationChange { job, host, action: planned.action, from, to, why }
    });
    grouped(changes, &mut |_, from, to| trees.compare(from, to))
}

fn deployed(state: &State, planned: &Planned) -> Option<JobVersion> {
    let key = AllocationKey { host: planned.host.clone(), job: planned.job.clone() };
    let row = state.allocations.get(&key)?;
    let version = row.current_version.clone().unwrap_or_default();
    row.current_hash.clone().map(|hash| JobVersion { version, hash })
}

fn wanted(state: &State, planned: &Planned) -> Option<JobVersion> {
    if matches!(planned.action, Action::Stop | Action::Remove) {
        return None;
    }
    state.jobs.get(&planned.job).map(version_of)
}

fn version_of(row: &JobRow) -> JobVersion {
    JobVersion { version: row.job.version.clone(), hash: row.hash.clone() }
}

/// Why, where the versions do not say it.
fn why(
    state: &State,
    planned: &Planned,
    from: Option<&JobVersion>,
    to: Option<&JobVersion>,
) -> Option<String> {
    let key = AllocationKey { host: planned.host.clone(), job: planned.job.clone() };
    let row = state.allocations.get(&key)?;
    let tried = row.attempt.as_ref().filter(|attempt| !attempt.is_stop());
    let last = tried.map(|attempt| match attempt.failed {
        true => "it failed before",
        false => "how the last try ended is not known",
    });
    match (from, to) {
        (None, Some(_)) => last.map(str::to_owned),
        (Some(from), Some(to)) if from.hash != to.hash => {
            let enabled = row.stopped.then_some("enabled again");
            let all: Vec<&str> = enabled.into_iter().chain(last).collect();
            (!all.is_empty()).then(|| all.join("; "))
        }
        _ => Some(planned.reason.clone()),
    }
}

/// What differs between two trees. A folder that comes or goes with what is in it is not worth a line.
pub(super) fn file_changes(from: &Tree, to: &Tree) -> Files {
    let changed = to.changed_since(from);
    let paths: BTreeSet<&str> = changed.iter().map(String::as_str).collect();
    let is_folder = |path: &str| {
        [from, to].iter().all(|tree| tree.0.get(path).is_none_or(|entry| entry.kind == Kind::Folder))
    };
    let has_listed = |path: &str| {
        let inside = format!("{path}/");
        paths.range(inside.as_str()..).next().is_some_and(|next| next.starts_with(&inside))
    };
    let mut files = Files::default();
    for path in changed.iter().filter(|path| !(is_folder(path) && has_listed(path))) {
        let (before, after) = (from.0.get(path).map(state_of), to.0.get(path).map(state_of));
        let Some(change) = Changed::of(before.as_ref(), after.as_ref()) else { continue };
        if files.changes.len() == FILES_LISTED {
            files.more += 1;
        } else {
            files.changes.push(FileChange { path: path.clone(), change, before, after });
        }
    }
    files
}

fn state_of(entry: &Entry) -> FileState {
    let private = entry.is_private();
    match &entry.kind {
        Kind::File(sha256) => FileState::File { sha256: Some(sha256.clone()), private },
        Kind::Link(target) => FileState::Link { target: target.clone() },
        Kind::Folder => FileState::Folder { private },
    }
}

/// The workspace as this state has it.
fn seen(state: &State) -> Seen {
    let mut seen = Seen::default();
    for (name, row) in state.jobs.iter().filter(|(_, row)| !row.removed) {
        let job = SeenJob {
            version: version_of(row),
            ports: row.ports.clone(),
            settings: Some(row.job.clone()),
            hosts: BTreeMap::new(),
        };
        seen.jobs.insert(name.clone(), job);
    }
    for (key, row) in state.allocations.iter().filter(|(_, row)| !row.removed) {
        if let Some(job) = seen.jobs.get_mut(&key.job) {
            job.hosts.insert(key.host.clone(), row.disabled);
        }
    }
    for (host, row) in state.workers.iter().filter(|(_, row)| !row.removed) {
        seen.workers.insert(host.clone(), serde_json::to_string(&row.worker).unwrap_or_default());
    }
    seen
}
