//! What differs between two snapshots of a bucket, in an operator's words.

use std::collections::{BTreeMap, BTreeSet};

use super::difference::{Difference, differences};
use crate::bucket::{Disabled, Fleet, Job, Worker};

/// All that differs. `selected` says of a worker whether it is selected: before, and now.
pub(super) fn fleet_changes(
    old: &Fleet,
    new: &Fleet,
    selected: &dyn Fn(&str) -> (bool, bool),
    said: &mut Vec<String>,
) {
    workers(old, new, selected, said);
    jobs(old, new, said);
    disabled(&old.disabled, &new.disabled, said);
}

/// What differs between two lists of workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkersDifference {
    /// Hosts that only the new one has, in its order.
    pub added: Vec<String>,
    /// Hosts that only the old one has, in its order.
    pub removed: Vec<String>,
    /// Hosts of both, with each thing of theirs that is another one, in words: `tag zone a -> b`.
    pub changed: Vec<(String, Vec<String>)>,
}

impl WorkersDifference {
    /// Both lists are in the order of `position`, as a [`Fleet`] has them.
    pub fn between(old: &[Worker], new: &[Worker]) -> Self {
        fn by_host(workers: &[Worker]) -> BTreeMap<&str, &Worker> {
            workers.iter().map(|worker| (worker.host.as_str(), worker)).collect()
        }
        let (before, now) = (by_host(old), by_host(new));
        let hosts = |workers: &[Worker], is: &dyn Fn(&str) -> bool| -> Vec<String> {
            workers.iter().map(|worker| worker.host.to_string()).filter(|host| is(host)).collect()
        };
        // Where workers have come or gone, the places of the others in the file say nothing, unless their order is another.
        let same_hosts = before.keys().eq(now.keys());
        let moved = same_hosts
            || hosts(old, &|host| now.contains_key(host)) != hosts(new, &|host| before.contains_key(host));
        let mut changed = Vec::new();
        for (host, worker) in &before {
            let Some(other) = now.get(host).filter(|other| *other != worker) else { continue };
            let differences = differences(worker, other);
            let named = differences.iter().filter(|one| moved || one.path != ["position"]);
            let named: Vec<String> = named.map(worker_words).collect();
            if !named.is_empty() {
                changed.push(((*host).to_owned(), named));
            }
        }
        Self {
            added: hosts(new, &|host| !before.contains_key(host)),
            removed: hosts(old, &|host| !now.contains_key(host)),
            changed,
        }
    }
}

fn workers(old: &Fleet, new: &Fleet, selected: &dyn Fn(&str) -> (bool, bool), said: &mut Vec<String>) {
    let mut difference = WorkersDifference::between(&old.workers, &new.workers);
    // By host, also where what is removed stands between what has changed.
    let was = |host: &str| if selected(host).0 { " (it was selected)" } else { "" };
    let removed = difference.removed.iter();
    let removed = removed.map(|host| (host.clone(), vec![format!("worker {host} was removed{}", was(host))]));
    let changed = difference.changed.iter();
    let changed = changed
        .map(|(host, words)| (host.clone(), words.iter().map(|one| format!("{host}: {one}")).collect()));
    let mut all: Vec<(String, Vec<String>)> = removed.chain(changed).collect();
    all.sort();
    said.extend(all.into_iter().flat_map(|(_, lines)| lines));
    difference.added.sort();
    for host in &difference.added {
        let is = if selected(host).1 { " and is selected" } else { " (it is not selected)" };
        said.push(format!("worker {host} was added{is}"));
    }
}

/// `tag zone a -> b`, `labels +gpu`.
fn worker_words(difference: &Difference) -> String {
    match difference.path.as_slice() {
        [tags, rest @ ..] if tags == "tags" && !rest.is_empty() => {
            format!("tag {} {}", rest.join("."), difference.how)
        }
        _ => difference.describe(),
    }
}

fn jobs(old: &Fleet, new: &Fleet, said: &mut Vec<String>) {
    fn by_name(fleet: &Fleet) -> BTreeMap<&str, &Job> {
        fleet.jobs.iter().map(|job| (job.name.as_str(), job)).collect()
    }
    let (before, now) = (by_name(old), by_name(new));
    for (name, job) in &before {
        match now.get(name) {
            None => said.push(format!("job {name} was removed")),
            Some(same) if same == job => {}
            Some(other) => {
                let differences = differences(job, other);
                said.extend(differences.iter().map(|one| format!("job {name}: {}", one.describe())));
            }
        }
    }
    let added = now.keys().filter(|name| !before.contains_key(*name));
    said.extend(added.map(|name| format!("job {name} was added")));
}

fn disabled(old: &Disabled, new: &Disabled, said: &mut Vec<String>) {
    let mut entries = |before: &BTreeSet<String>, now: &BTreeSet<String>, what: &dyn Fn(&str) -> String| {
        said.extend(
            now.difference(before).map(|one| format!("disabled.json: {} is disabled now", what(one))),
        );
        said.extend(
            before.difference(now).map(|one| format!("disabled.json: {} is no longer disabled", what(one))),
        );
    };
    entries(&old.workers, &new.workers, &|host| format!("worker {host}"));
    let names: BTreeSet<&String> = old.jobs.keys().chain(new.jobs.keys()).collect();
    // An empty list is the whole job, and no list at all is none of it.
    let whole = |disabled: &Disabled, job: &str| -> BTreeSet<String> {
        let is_whole = disabled.jobs.get(job).is_some_and(BTreeSet::is_empty);
        is_whole.then(|| job.to_owned()).into_iter().collect()
    };
    for job in names {
        entries(&whole(old, job), &whole(new, job), &|job| format!("job {job}"));
        let none = BTreeSet::new();
        let hosts = |disabled: &'_ Disabled| disabled.jobs.get(job).unwrap_or(&none).clone();
        entries(&hosts(old), &hosts(new), &|host| format!("job {job} on {host}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_job_is_not_none_of_it() {
        let of = |jobs: &[(&str, &[&str])], workers: &[&str]| Disabled {
            workers: workers.iter().map(|host| (*host).to_owned()).collect(),
            jobs: jobs
                .iter()
                .map(|(job, hosts)| {
                    ((*job).to_owned(), hosts.iter().map(|host| (*host).to_owned()).collect())
                })
                .collect(),
        };
        let said = |old: &Disabled, new: &Disabled| {
            let mut said = Vec::new();
            disabled(old, new, &mut said);
            said
        };
        let old = of(&[("api", &["h1", "h2"]), ("db", &[])], &["h9"]);
        let new = of(&[("api", &[]), ("web", &["h3"])], &["h8"]);
        assert_eq!(
            said(&old, &new),
            [
                "disabled.json: worker h8 is disabled now",
                "disabled.json: worker h9 is no longer disabled",
                "disabled.json: job api is disabled now",
                "disabled.json: job api on h1 is no longer disabled",
                "disabled.json: job api on h2 is no longer disabled",
                "disabled.json: job db is no longer disabled",
                "disabled.json: job web on h3 is disabled now",
            ]
        );
        assert!(said(&old, &old).is_empty());
    }
}
