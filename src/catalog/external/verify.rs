//! Whether what the database says was promoted is on the workers: after every deploy, in one round trip.
//!
//! A deploy that has lost its staged files deletes those of its jobs on every worker and promotes them all the
//! same. A job whose Makefile and manifest are as they were promoted was not hit by that; a job's own files are
//! not looked at, since a job may change or delete them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::database::{Row, Snapshot};
use crate::bucket::{Host, JobName};
use crate::catalog::Call;
use crate::os::parallel_map;
use crate::ssh::{Completion, Remote, Script, Shell};

/// Workers that are looked at side by side.
const PARALLEL: usize = 64;
/// Bound of one look, connecting included.
const WITHIN: Duration = Duration::from_secs(20);

/// The files of a job that are looked at: without the first nothing can be started or stopped.
pub(super) const FILES: [&str; 2] = ["Makefile", "manifest.json"];

/// Prints job, file and MD5 sum, where the file can be read. Without md5sum nothing can be told.
const SUMS: &str = r#"command -v md5sum >/dev/null || exit 0
for job in $MAAND_JOBS; do
  for file in Makefile manifest.json; do
    sum=$(md5sum <"$MAAND_DIR/jobs/$job/$file") && sum=${sum%% *} || sum=
    echo "$job $file $sum"
  done
done 2>/dev/null
"#;

/// Jobs whose files are not there as they were promoted, by worker. A worker that does not answer is left out.
pub(super) type Missing = BTreeMap<Host, BTreeSet<JobName>>;

/// Looks at all enabled allocations of these jobs, on all workers.
pub(super) fn missing(
    remote: &dyn Remote,
    snapshot: &Snapshot,
    in_scope: &dyn Fn(&JobName) -> bool,
    call: &Call,
) -> Missing {
    let mut hosts: BTreeMap<&Host, Vec<(&JobName, &Row)>> = BTreeMap::new();
    for ((job, host), row) in &snapshot.rows {
        if !row.disabled && !row.removed && row.is_promoted() && !row.files.is_empty() && in_scope(job) {
            hosts.entry(host).or_default().push((job, row));
        }
    }
    let hosts: Vec<(&Host, Vec<(&JobName, &Row)>)> = hosts.into_iter().collect();
    let looked = parallel_map(hosts, PARALLEL, |(host, jobs)| {
        let sums = sums(remote, host, &jobs, call)?;
        let differs = |(job, row): &&(&JobName, &Row)| {
            row.files.iter().any(|(file, sum)| {
                let found = sums.lines().find_map(|line| line.strip_prefix(&format!("{job} {file} ")));
                found.is_some_and(|found| found != sum)
            })
        };
        let gone: BTreeSet<JobName> = jobs.iter().filter(differs).map(|(job, _)| (*job).clone()).collect();
        (!gone.is_empty()).then(|| (host.clone(), gone))
    });
    looked.into_iter().flatten().collect()
}

fn sums(remote: &dyn Remote, host: &Host, jobs: &[(&JobName, &Row)], call: &Call) -> Option<String> {
    let until = call.until.min(Instant::now() + WITHIN);
    let mut connection = remote.connect(host, until, &call.cancel).ok()?;
    let profile = remote.profile(host);
    let names: Vec<&str> = jobs.iter().map(|(job, _)| job.as_str()).collect();
    let script = Script {
        what: "look at the files of jobs".to_owned(),
        shell: Shell::Sh,
        sudo: profile.use_sudo,
        text: SUMS.to_owned(),
        env: vec![
            ("MAAND_DIR".to_owned(), profile.worker_dir.to_string_lossy().into_owned()),
            ("MAAND_JOBS".to_owned(), names.join(" ")),
        ],
        deadline: until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1)),
        watchdog: true,
        silence: None,
        users_own: false,
        lock: false,
    };
    match connection.run(&script, None) {
        Completion::Exited { code: 0, stdout, .. } => Some(stdout.text()),
        _ => None,
    }
}

/// The command that brings the files back, and what it does besides.
pub(super) fn repair(jobs: &BTreeSet<JobName>) -> String {
    let names = jobs.iter().map(|job| job.as_str()).collect::<Vec<_>>().join(",");
    format!("`maand deploy --sync-only --force --jobs {names}` brings them back and restarts nothing")
}
