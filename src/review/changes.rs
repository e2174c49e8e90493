//! What has changed between a review and now: everything that a run is compiled from, compared whole.

use std::collections::{BTreeMap, BTreeSet};

use super::difference::{Difference, describe, differences};
use super::fleet::fleet_changes;
use super::rollout_changes::{places, rollout_changes, some_of};
use super::{CatalogJob, CatalogRow, Document, EngineUsed, Inputs, Lines, Rollout, WorkspaceFile};
use crate::plan::{Problems, Severity};

/// Everything that differs between what was reviewed and the inputs of now, in an operator's words; none: nothing does.
/// `rollout` is what the reviewed plan compiles to with the inputs of now, or why it does not.
pub fn changes(reviewed: &Document, now: &Inputs, rollout: Result<&Rollout, &Problems>) -> Vec<String> {
    // A field that is new has to be compared, too: this does not compile until it is named here.
    let Inputs {
        program,
        engine,
        newest_run: _,
        plan,
        scripts,
        settings,
        pending,
        catalog,
        workspace,
        fleet,
    } = now;
    let old = &reviewed.inputs;
    let mut said = Vec::new();
    if *program != old.program {
        said.push(format!("made by maand {}, this is {program}", old.program));
    }
    if fleet.bucket_id != old.fleet.bucket_id {
        said.push(format!("for bucket {}, this is {}", old.fleet.bucket_id, fleet.bucket_id));
    }
    engines(&old.engine, engine, &mut said);
    if let Some(line) = old.plan.text.first_difference(&plan.text) {
        said.push(format!("{} has changed (first in line {line})", old.plan.file));
    }
    let mut others = old.plan.clone();
    others.text = plan.text.clone();
    said.extend(differences(&others, plan).iter().map(|one| format!("plan: {}", one.describe())));
    files_changed(&old.plan.file, &old.scripts, scripts, &mut said);
    said.extend(
        differences(&old.settings, settings).iter().map(|one| format!("maand.conf: {}", setting(one))),
    );

    let causes = said.len();
    let before = places(&reviewed.rollout);
    let after = rollout.ok().map(places).unwrap_or_default();
    let selected = |host: &str| (before.contains_key(host), after.contains_key(host));
    fleet_changes(&old.fleet, fleet, &selected, &mut said);
    if old.workspace != *workspace {
        let already = said.len();
        files(&old.workspace.files, &workspace.files, &mut said);
        if said.len() == already && old.workspace.files == workspace.files {
            said.push("the workspace has changed".to_owned());
        }
    }
    catalogs(old.catalog.as_deref(), catalog.as_deref(), &mut said);
    if said.len() == causes {
        // Else it follows from what was named.
        said.extend(
            differences(&old.pending, pending).iter().map(|one| format!("pending: {}", one.describe())),
        );
    }
    match rollout {
        Ok(rollout) => {
            let of = |fleet: &'_ crate::bucket::Fleet| -> BTreeSet<String> {
                fleet.workers.iter().map(|worker| worker.host.to_string()).collect()
            };
            let (then, today) = (of(&old.fleet), of(fleet));
            let others = then.symmetric_difference(&today).map(String::as_str).collect();
            said.extend(rollout_changes(&reviewed.rollout, rollout, &others));
            if said.is_empty() && reviewed.rollout != *rollout {
                said.extend(differences(&reviewed.rollout, rollout).iter().map(Difference::describe));
                said.push("the plan compiles to another rollout".to_owned());
            }
        }
        Err(problems) => {
            let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
            said.extend(errors.map(|problem| format!("the plan does not fit any more: {problem}")));
        }
    }
    let same = Inputs { newest_run: old.newest_run.clone(), ..now.clone() };
    if said.is_empty() && *old != same {
        // Whatever has no words of its own: what differs is refused, named or not.
        said.extend(differences(old, &same).iter().map(Difference::describe));
        said.push("what the plan is compiled from is something else".to_owned());
    }
    said
}

fn engines(old: &EngineUsed, new: &EngineUsed, said: &mut Vec<String>) {
    if old.kind != new.kind {
        said.push(format!("the engine was {}, and is {}", old.kind, new.kind));
    } else if old != new {
        said.push("the upstream program is another one".to_owned());
    }
}

fn files_changed(
    plan: &str,
    old: &BTreeMap<String, Lines>,
    new: &BTreeMap<String, Lines>,
    said: &mut Vec<String>,
) {
    for (path, text) in old {
        match new.get(path) {
            None => said.push(format!("{plan}'s file {path} is gone")),
            Some(now) => {
                if let Some(line) = text.first_difference(now) {
                    said.push(format!("{plan}'s file {path} has changed (first in line {line})"));
                }
            }
        }
    }
    said.extend(
        new.keys().filter(|path| !old.contains_key(*path)).map(|path| format!("{plan}'s file {path} is new")),
    );
}

/// Values of keys of other programs are known by their hashes only.
fn setting(difference: &Difference) -> String {
    let key = difference.path.join(".");
    match difference.how.contains("sha256 ") {
        true => format!("{key} has changed"),
        false => difference.describe(),
    }
}

fn files(old: &[WorkspaceFile], new: &[WorkspaceFile], said: &mut Vec<String>) {
    fn by_path(files: &[WorkspaceFile]) -> BTreeMap<&str, &WorkspaceFile> {
        files.iter().map(|file| (file.path.as_str(), file)).collect()
    }
    let (before, now) = (by_path(old), by_path(new));
    // Of a folder that has come or gone its own name is enough.
    let covered = |path: &str, others: &BTreeMap<&str, &WorkspaceFile>| {
        path.rsplit_once('/').is_some_and(|(folder, _)| !others.contains_key(folder))
    };
    for (path, file) in &before {
        match now.get(path) {
            None if covered(path, &now) => {}
            None => said.push(format!("workspace/{path} was removed")),
            Some(same) if same == file => {}
            Some(other) if other.kind != file.kind => {
                said.push(format!("workspace/{path} was {}, and is {}", kind(file), kind(other)));
            }
            Some(_) => said.push(format!("workspace/{path} has changed")),
        }
    }
    for path in now.keys().filter(|path| !before.contains_key(*path)) {
        if !covered(path, &before) {
            said.push(format!("workspace/{path} was added"));
        }
    }
}

fn kind(file: &WorkspaceFile) -> &str {
    match file.kind.as_str() {
        "file" => "a file",
        "exec" => "a file that may be executed",
        "link" => "a link",
        "dir" => "a folder",
        other => other,
    }
}

/// What is built, and what is deployed where.
fn catalogs(old: Option<&[CatalogRow]>, new: Option<&[CatalogRow]>, said: &mut Vec<String>) {
    if old == new {
        return;
    }
    let (Some(old), Some(new)) = (old, new) else {
        let built = if old.is_none() {
            "the bucket was built since"
        } else {
            "the catalog is gone: nothing is built"
        };
        said.push(built.to_owned());
        return;
    };
    type Of<'a> = BTreeMap<(&'a str, &'a str), &'a CatalogJob>;
    fn by_allocation(rows: &[CatalogRow]) -> Of<'_> {
        let jobs = rows.iter().flat_map(|row| row.jobs.iter().map(move |job| (job, &row.workers)));
        jobs.flat_map(|(job, hosts)| hosts.iter().map(move |host| ((job.job.as_str(), host.as_str()), job)))
            .collect()
    }
    let (before, now) = (by_allocation(old), by_allocation(new));
    // What is the same for many workers is said once.
    let mut groups: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    let keys: BTreeSet<&(&str, &str)> = before.keys().chain(now.keys()).collect();
    for key @ (job, host) in keys {
        match (before.get(key), now.get(key)) {
            (Some(old), Some(new)) => {
                for how in allocation(old, new) {
                    groups.entry((job, how)).or_default().push(host);
                }
            }
            (old, _) => {
                let how =
                    if old.is_some() { "was removed from the catalog" } else { "is new in the catalog" };
                groups.entry((job, how.to_owned())).or_default().push(host);
            }
        }
    }
    said.extend(groups.iter().map(|((job, how), hosts)| format!("job {job} on {}: {how}", some_of(hosts))));
}

fn allocation(old: &CatalogJob, new: &CatalogJob) -> Vec<String> {
    let mut said = Vec::new();
    for (what, old, new) in [("built", &old.built, &new.built), ("deployed", &old.deployed, &new.deployed)] {
        if old == new {
            continue;
        }
        let version = |version: &Option<String>| version.clone().map(serde_json::Value::from);
        said.push(match old.version == new.version {
            true => format!("{what} again, with other files"),
            false => format!(
                "{what} version {}",
                describe(version(&old.version).as_ref(), version(&new.version).as_ref())
            ),
        });
    }
    let rest = CatalogJob { built: old.built.clone(), deployed: old.deployed.clone(), ..new.clone() };
    said.extend(differences(old, &rest).iter().map(Difference::describe));
    said
}
