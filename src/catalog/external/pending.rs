//! What is pending in a bucket of the upstream program, as far as its database and the workspace tell. The program is
//! not asked: it may not be on this machine, and it writes whenever it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use sha2::{Digest, Sha256};

use super::database::Snapshot;
use super::judge;
use super::workspace::{BuiltFile, BuiltFiles, built_content, built_files};
use crate::bucket::{self, Bucket, Fleet, JobFileKind, JobName};
use crate::catalog::pending::{LONGEST, diffs, text_of};
use crate::catalog::{
    Action, AllocationChange, CatalogError, Changed, DeployRequest, FILES_LISTED, FileChange, FileState,
    Files, JobChange, JobVersion, PendingChanges, Seen, SeenJob, grouped, unbuilt,
};
use crate::catalog::{FileDiff, NotShown};
use crate::os::hash::sha256;
use crate::os::open;

/// Folders that its build leaves out, wherever they are in a job.
const LEFT_OUT: [&str; 4] = [".venv", "venv", "node_modules", "__pycache__"];

/// What a deploy would do, by the database of the last build, and what that build has not seen of the workspace. No
/// worker is contacted, nothing is written.
///
/// # Errors
/// The database cannot be read.
pub fn pending_changes(bucket: &Bucket, request: &DeployRequest) -> Result<PendingChanges, CatalogError> {
    let Some(snapshot) = Snapshot::read(&bucket.paths().upstream_db)? else {
        return Ok(PendingChanges::default());
    };
    let jobs = job_changes(&snapshot, request);
    let mut pending = PendingChanges { built: true, jobs, ..PendingChanges::default() };
    match workspace(bucket, &snapshot) {
        Ok(Workspace { built, now, before, after, private }) => {
            let mut files =
                |job: &JobName, _: &JobVersion, _: &JobVersion| match (built.get(job), now.get(job)) {
                    (Some(built), Some(now)) => {
                        file_changes(built, now, &|path| private.contains(&(job.clone(), path.to_owned())))
                    }
                    _ => Files { unknown: true, ..Files::default() },
                };
            pending.unbuilt = unbuilt(&before, &after, request.jobs.as_deref(), &mut files);
        }
        Err(why) => {
            pending.unknown.push(format!("what is new in the workspace is not known: {why}"));
        }
    }
    Ok(pending)
}

fn job_changes(snapshot: &Snapshot, request: &DeployRequest) -> Vec<JobChange> {
    // Its deploys know no workers: what is pending anywhere would be carried out.
    let asked = |job: &JobName| request.jobs.as_ref().is_none_or(|jobs| jobs.contains(job));
    let rows = snapshot.rows.iter();
    let rows = rows.filter(|((job, host), _)| asked(job) && snapshot.workers.contains_key(host));
    let changes = rows.filter_map(|((job, host), row)| {
        let planned = judge::pending(job, host, row);
        let version = |version: &Option<String>, hash: &Option<String>| JobVersion {
            version: version.clone().unwrap_or_default(),
            hash: hash.clone().unwrap_or_default(),
        };
        let from = row.previous_hash.is_some().then(|| version(&row.current_version, &row.previous_hash));
        let to = version(&row.new_version, &row.current_hash);
        let to = (planned.action != Action::Remove).then_some(to);
        let (job, host, why) = (job.clone(), host.clone(), Some(planned.reason));
        (planned.action != Action::Skip).then_some(AllocationChange {
            job,
            host,
            action: planned.action,
            from,
            to,
            why,
        })
    });
    // It keeps one sum for all files of an allocation, as they are rendered there.
    grouped(changes, &mut |_, _, _| Files { unknown: true, ..Files::default() })
}

type AllFiles = BTreeMap<JobName, BuiltFiles>;

/// The workspace as the last build saw it, and as it is now, each with its files.
struct Workspace {
    before: Seen,
    after: Seen,
    built: AllFiles,
    now: AllFiles,
    /// Files that others may not read.
    private: BTreeSet<(JobName, String)>,
}

/// Both looks; or why they cannot be had.
fn workspace(bucket: &Bucket, snapshot: &Snapshot) -> Result<Workspace, String> {
    let built =
        built_files(bucket).ok_or("the upstream program's database does not tell what its build has seen")?;
    let (fleet, _) = bucket
        .load()
        .map_err(|problems| problems.iter().next().map_or_else(String::new, |first| first.message.clone()))?;
    let (mut now, mut private) = (AllFiles::new(), BTreeSet::new());
    for job in &fleet.jobs {
        let files = read_files(bucket, &job.name, built.get(&job.name), &mut private)
            .map_err(|error| format!("the files of job {} cannot be read: {error}", job.name))?;
        now.insert(job.name.clone(), files);
    }
    Ok(Workspace { before: as_built(snapshot, &built), after: as_it_is(&fleet, &now), built, now, private })
}

fn as_built(snapshot: &Snapshot, files: &AllFiles) -> Seen {
    let mut seen = Seen::default();
    for (job, files) in files {
        let of_job = snapshot.rows.iter().filter(|((name, _), row)| name == job && !row.removed);
        let version = of_job.clone().find_map(|(_, row)| row.new_version.clone());
        let hosts = of_job.map(|((_, host), row)| (host.clone(), row.disabled)).collect();
        seen.jobs.insert(job.clone(), seen_job(version.unwrap_or_default(), files, hosts));
    }
    seen.workers = snapshot.workers.keys().map(|host| (host.clone(), String::new())).collect();
    seen
}

fn as_it_is(fleet: &Fleet, files: &AllFiles) -> Seen {
    let mut seen = Seen::default();
    for job in &fleet.jobs {
        let files = files.get(&job.name).cloned().unwrap_or_default();
        seen.jobs.insert(job.name.clone(), seen_job(job.version.clone(), &files, BTreeMap::new()));
    }
    for allocation in fleet.allocations() {
        if let Some(job) = seen.jobs.get_mut(&fleet.job(allocation.job).name) {
            job.hosts.insert(fleet.worker(allocation.worker).host.clone(), allocation.disabled);
        }
    }
    // A job without a worker has no version in the database.
    for job in seen.jobs.values_mut().filter(|job| job.hosts.is_empty()) {
        job.version.version.clear();
    }
    seen.workers = fleet.workers.iter().map(|worker| (worker.host.clone(), String::new())).collect();
    seen
}

fn seen_job(version: String, files: &BuiltFiles, hosts: BTreeMap<bucket::Host, bool>) -> SeenJob {
    let mut hasher = Sha256::new();
    for (path, file) in files {
        hasher.update(format!("{}:{path} {}\n", path.len(), file.text()));
    }
    let version = JobVersion { version, hash: hex::encode(hasher.finalize()) };
    SeenJob { version, ports: BTreeMap::new(), settings: None, hosts }
}

/// The files of a job as a build would take them now. A link to a file is taken for the file; as this program does not
/// follow it, it is taken to be what was built.
fn read_files(
    bucket: &Bucket,
    job: &JobName,
    built: Option<&BuiltFiles>,
    private: &mut BTreeSet<(JobName, String)>,
) -> io::Result<BuiltFiles> {
    let folder = bucket.paths().jobs.join(job.as_str());
    let found = bucket::walk(&folder, job.as_str()).map_err(|problems| {
        io::Error::other(problems.iter().next().map_or_else(String::new, |first| first.message.clone()))
    })?;
    let mut files = BuiltFiles::new();
    for file in found.into_iter().filter(|file| !file.path.split('/').any(|part| LEFT_OUT.contains(&part))) {
        if file.mode & 0o077 == 0 {
            private.insert((job.clone(), file.path.clone()));
        }
        let entry = match file.kind {
            JobFileKind::Folder => None,
            JobFileKind::Link { .. } => built.and_then(|built| built.get(&file.path)).cloned(),
            JobFileKind::File => {
                let open = open::plain_no_link(&folder.join(&file.path))?;
                let length = open.metadata()?.len();
                Some(match BuiltFile::by_length(length) {
                    Some(long) => long,
                    None => BuiltFile::of(&open::read_all(&open, length)?),
                })
            }
        };
        files.extend(entry.map(|entry| (file.path, entry)));
    }
    Ok(files)
}

fn file_changes(built: &BuiltFiles, now: &BuiltFiles, is_private: &dyn Fn(&str) -> bool) -> Files {
    let paths: BTreeSet<&String> = built.keys().chain(now.keys()).collect();
    let mut files = Files::default();
    let state = |file: &BuiltFile, private| FileState::File {
        sha256: match file {
            BuiltFile::Sum(sum) => Some(sum.clone()),
            BuiltFile::Long(_) => None,
        },
        private,
    };
    for path in paths {
        let (before, after) = (built.get(path), now.get(path));
        let Some(change) = Changed::of(before, after).filter(|_| before != after) else { continue };
        if files.changes.len() == FILES_LISTED {
            files.more += 1;
            continue;
        }
        let private = is_private(path);
        let (before, after) =
            (before.map(|file| state(file, private)), after.map(|file| state(file, private)));
        files.changes.push(FileChange { path: path.clone(), change, before, after });
    }
    files
}

/// The diffs of what the last build has not seen; `mask` takes out what must not be shown. What is deployed is known to
/// nobody but the workers, which have it rendered.
pub fn pending_diffs(
    bucket: &Bucket,
    pending: &PendingChanges,
    mask: &dyn Fn(&str) -> String,
) -> Vec<FileDiff> {
    let mut content = |job: &JobName, path: &str, state: &FileState| {
        let FileState::File { sha256: digest, .. } = state else { return Err(NotShown::NotKept) };
        let digest = digest.as_deref().ok_or(NotShown::TooLong)?;
        let file = bucket.paths().jobs.join(job.as_str()).join(path);
        let now =
            open::plain_below(&file, &bucket.paths().jobs).and_then(|file| open::read_all(&file, LONGEST));
        let built = || built_content(bucket, job, path, LONGEST);
        let is_it = |bytes: &Vec<u8>| sha256(bytes) == digest;
        let bytes = now.ok().filter(is_it).or_else(|| built().filter(is_it));
        text_of(bytes.ok_or(NotShown::Unreadable)?).map(|text| mask(&text))
    };
    diffs(pending, &mut content)
}
