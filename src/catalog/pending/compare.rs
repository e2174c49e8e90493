//! Two looks at a workspace compared, and what a deploy does brought into groups. Pure: whoever looked says what it saw.

use std::collections::{BTreeMap, BTreeSet};

use super::{Changed, Files, JobChange, JobVersion, Unbuilt, UnbuiltJob, WorkerChange};
use crate::bucket::{Host, Job, JobName};
use crate::catalog::{Action, action_name};

/// Tells which files differ between two versions of a job.
pub(crate) type CompareFiles<'a> = &'a mut dyn FnMut(&JobName, &JobVersion, &JobVersion) -> Files;

/// A workspace, as a build saw it or would see it. What is not known is the same in both looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) jobs: BTreeMap<JobName, SeenJob>,
    /// By host, all that is known of the worker, to be compared.
    pub(crate) workers: BTreeMap<Host, String>,
}

/// One job of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeenJob {
    pub(crate) version: JobVersion,
    pub(crate) ports: BTreeMap<String, u16>,
    /// With what `bucket.jobs.conf` says.
    pub(crate) settings: Option<Job>,
    /// Its workers, and whether it is disabled there.
    pub(crate) hosts: BTreeMap<Host, bool>,
}

/// What the later look has that the earlier one has not, of these jobs (`None`: all).
pub(crate) fn unbuilt(
    before: &Seen,
    after: &Seen,
    asked: Option<&[JobName]>,
    files: CompareFiles<'_>,
) -> Unbuilt {
    let names: BTreeSet<&JobName> = before.jobs.keys().chain(after.jobs.keys()).collect();
    let mut found = Unbuilt::default();
    for name in names.into_iter().filter(|name| asked.is_none_or(|asked| asked.contains(name))) {
        let (was, is) = (before.jobs.get(name), after.jobs.get(name));
        if was != is
            && let Some(change) = Changed::of(was, is)
        {
            found.jobs.push(unbuilt_job(name, change, was, is, files));
        }
    }
    let hosts: BTreeSet<&Host> = before.workers.keys().chain(after.workers.keys()).collect();
    for host in hosts {
        let (was, is) = (before.workers.get(host), after.workers.get(host));
        if was != is
            && let Some(change) = Changed::of(was, is)
        {
            found.workers.push(WorkerChange { host: host.clone(), change });
        }
    }
    found
}

fn unbuilt_job(
    name: &JobName,
    change: Changed,
    was: Option<&SeenJob>,
    is: Option<&SeenJob>,
    files: CompareFiles<'_>,
) -> UnbuiltJob {
    let none = BTreeMap::new();
    let hosts = |job: Option<&'_ SeenJob>| job.map_or(none.clone(), |job| job.hosts.clone());
    let (old, new) = (hosts(was), hosts(is));
    let only = |these: &BTreeMap<Host, bool>, those: &BTreeMap<Host, bool>| -> Vec<Host> {
        these.keys().filter(|host| !those.contains_key(*host)).cloned().collect()
    };
    let became = |disabled: bool| -> Vec<Host> {
        let now = new.iter().filter(|(host, now)| **now == disabled && old.get(host) == Some(&!disabled));
        now.map(|(host, _)| host.clone()).collect()
    };
    let both = was.zip(is);
    let same_content = both.is_some_and(|(was, is)| was.version == is.version);
    UnbuiltJob {
        job: name.clone(),
        change,
        files: match both {
            Some((was, is)) if !same_content => files(name, &was.version, &is.version),
            _ => Files::default(),
        },
        joins: only(&new, &old),
        leaves: only(&old, &new),
        disabled: became(true),
        enabled: became(false),
        other_ports: both.is_some_and(|(was, is)| was.ports != is.ports),
        // All of the manifest is among the files.
        other_settings: same_content && both.is_some_and(|(was, is)| was.settings != is.settings),
        from: was.map(|was| was.version.clone()),
        to: is.map(|is| is.version.clone()),
    }
}

/// What happens to one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllocationChange {
    pub(crate) job: JobName,
    pub(crate) host: Host,
    pub(crate) action: Action,
    pub(crate) from: Option<JobVersion>,
    pub(crate) to: Option<JobVersion>,
    pub(crate) why: Option<String>,
}

/// Allocations to which the same happens, together.
pub(crate) fn grouped(
    all: impl IntoIterator<Item = AllocationChange>,
    files: CompareFiles<'_>,
) -> Vec<JobChange> {
    type Key = (JobName, Option<JobVersion>, Option<JobVersion>, &'static str, Option<String>);
    let mut groups: BTreeMap<Key, (Action, BTreeSet<Host>)> = BTreeMap::new();
    for one in all {
        let key = (one.job, one.from, one.to, action_name(one.action), one.why);
        groups.entry(key).or_insert_with(|| (one.action, BTreeSet::new())).1.insert(one.host);
    }
    let change = |((job, from, to, _, why), (action, workers)): (Key, (Action, BTreeSet<Host>))| {
        let files = match from.as_ref().zip(to.as_ref()) {
            Some((from, to)) if from.hash != to.hash => files(&job, from, to),
            _ => Files::default(),
        };
        JobChange { job, action, from, to, why, workers: workers.into_iter().collect(), files }
    };
    groups.into_iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{FileChange, FileState};

    fn name(text: &str) -> JobName {
        JobName::parse(text).unwrap()
    }

    fn version(version: &str, hash: &str) -> JobVersion {
        JobVersion { version: version.to_owned(), hash: hash.to_owned() }
    }

    fn changed(paths: &[(&str, Changed)]) -> Files {
        let state = || Some(FileState::Folder { private: false });
        let file = |(path, change): &(&str, Changed)| FileChange {
            path: (*path).to_owned(),
            change: *change,
            before: state(),
            after: state(),
        };
        Files { changes: paths.iter().map(file).collect(), ..Files::default() }
    }

    fn one(host: &str, action: Action, from: Option<JobVersion>, to: Option<JobVersion>) -> AllocationChange {
        AllocationChange { job: name("api"), host: Host::parse(host).unwrap(), action, from, to, why: None }
    }

    #[test]
    fn the_same_on_many_workers_is_one_line() {
        let (old, older, new) = (version("1.0.0", "a"), version("0.9.0", "z"), version("1.1.0", "b"));
        let mut all: Vec<AllocationChange> = (0..30)
            .rev()
            .map(|n| one(&format!("10.0.0.{n}"), Action::Restart, Some(old.clone()), Some(new.clone())))
            .collect();
        all.push(one("10.0.1.1", Action::Restart, Some(older), Some(new.clone())));
        all.push(one("10.0.1.2", Action::Start, None, Some(new.clone())));
        all.push(one("10.0.1.3", Action::Remove, Some(old.clone()), None));
        all.push(AllocationChange {
            why: Some("it failed before".into()),
            ..one("10.0.1.4", Action::Restart, Some(old.clone()), Some(version("1.0.0", "b")))
        });
        all.push(AllocationChange {
            why: Some("forced".into()),
            ..one("10.0.1.5", Action::Reload, Some(new.clone()), Some(new.clone()))
        });
        let mut files = |_: &JobName, from: &JobVersion, _: &JobVersion| match from.hash.as_str() {
            "z" => Files { unknown: true, ..Files::default() },
            _ => changed(&[("Makefile", Changed::Changed), ("manifest.json", Changed::Changed)]),
        };
        let groups = grouped(all.clone(), &mut files);
        let lines: Vec<String> = groups.iter().map(JobChange::line).collect();
        let expected = [
            "api 1.1.0 is new on 10.0.1.2",
            "api 0.9.0 -> 1.1.0 on 10.0.1.1: which files differ is not known",
            "api 1.0.0 is removed from 10.0.1.3",
            "api 1.0.0 on 10.0.1.4: Makefile, 1 more (it failed before)",
            "api 1.0.0 -> 1.1.0 on 30 workers: Makefile, 1 more",
            "api 1.1.0 is reloaded on 10.0.1.5 (forced)",
        ];
        assert_eq!(lines, expected);
        // In whatever order they come.
        all.reverse();
        assert_eq!(grouped(all, &mut files), groups);
    }

    #[test]
    fn a_workspace_that_is_newer_says_in_what() {
        let job = |hash: &str, hosts: &[(&str, bool)]| SeenJob {
            version: version("1.0.0", hash),
            ports: BTreeMap::new(),
            settings: None,
            hosts: hosts.iter().map(|(host, off)| (Host::parse(host).unwrap(), *off)).collect(),
        };
        let workers = |names: &[(&str, &str)]| {
            names.iter().map(|(host, what)| (Host::parse(host).unwrap(), (*what).to_owned())).collect()
        };
        let before = Seen {
            jobs: [
                (name("api"), job("a", &[("w1", false), ("w2", false), ("w3", true)])),
                (name("old"), job("o", &[("w1", false)])),
                (name("same"), job("s", &[("w1", false)])),
            ]
            .into(),
            workers: workers(&[("w1", "x"), ("w2", "x"), ("w3", "x")]),
        };
        let with_port =
            SeenJob { ports: [("http".to_owned(), 1)].into(), ..before.jobs[&name("same")].clone() };
        let after = Seen {
            jobs: [
                (name("api"), job("b", &[("w1", true), ("w3", false), ("w4", false)])),
                (name("new"), job("n", &[("w1", false), ("w4", false)])),
                (name("same"), with_port),
            ]
            .into(),
            workers: workers(&[("w1", "x"), ("w3", "y"), ("w4", "x")]),
        };
        let mut files = |_: &JobName, _: &JobVersion, _: &JobVersion| {
            changed(&[("a\nb\u{1b}[2J", Changed::Added), ("gone", Changed::Removed)])
        };
        let found = unbuilt(&before, &after, None, &mut files);
        let expected = [
            "api 1.0.0: a b\\x1b[2J, 1 more (1 added, 1 removed); joins w4; leaves w2; disabled on w1; enabled on w3",
            "new 1.0.0: it is new; joins 2 workers",
            "old 1.0.0: its folder is gone; leaves w1",
            "same 1.0.0: other ports",
            "w2: removed from workers.json",
            "w3: its entry in workers.json has changed",
            "w4: added to workers.json",
        ];
        assert_eq!(found.lines(10), expected);
        assert_eq!(found.lines(2)[2], "... 5 more");
        assert_eq!(unbuilt(&before, &after, Some(&[name("old")]), &mut files).jobs.len(), 1);
        assert!(unbuilt(&after, &after, None, &mut files).is_empty());
    }
}
