//! The inventory of Ansible, as `ansible-inventory --list` prints it: groups become labels, variables of hosts tags, and
//! what Ansible connects by becomes host, port and user.

mod document;
mod groups;
mod host;
mod inherited;
mod settings;
mod tags;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use document::{Document, Variables};
use groups::Groups;
use host::mapped;
use inherited::Inherited;

use super::error::{ANSIBLE_HELP, MAX_HOSTS, no_hosts, not_of_this_form, too_many};
use super::import::{Gathered, Import, Reason};
use crate::bucket::WorkerEntry;
use crate::plan::suggest::did_you_mean;
use crate::plan::{Problem, Problems, Source, counted};

const SAME_MACHINE: Reason = (
    "another host of the inventory has the same address, and a machine that is there twice would be rebooted twice",
    "take one of the two out, or give each a name of its own: `Host NAME` with HostName and Port in ~/.ssh/config, and no \
     `ansible_host`",
);
const NO_META: Reason = (
    "the variables of hosts are missing: it has no `_meta`",
    "let Ansible ask for them: `ansible-inventory -i FILE --list` puts them there",
);
const NOBODYS_VARIABLES: Reason =
    ("no host is in this group", "look at what Ansible makes of it: `ansible-inventory -i FILE --graph`");

/// What is taken of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnsibleOptions {
    /// The variables that become tags; `None`: all that have one plain value, are no settings of Ansible's own and do not
    /// look like secrets.
    pub tags: Option<BTreeSet<String>>,
    /// Patterns (`*` and `?`) of the groups that become labels; empty: all groups do.
    pub groups: Vec<String>,
}

/// The workers of an inventory.
///
/// # Errors
/// It is not the output of `ansible-inventory --list`, has no host that could be a worker, or lacks what the options name.
pub fn ansible(source: &Source, options: &AnsibleOptions) -> Result<Import, Problems> {
    let document: Document = serde_json::from_str(source.text())
        .map_err(|error| not_of_this_form(source, &error, ANSIBLE_HELP))?;
    let groups = Groups::of(&document, source.name())?;
    let mut not_taken = Gathered::default();
    if document.variables.is_none() {
        not_taken.push(NO_META, "variables of hosts");
    }
    let inherited = Inherited::of(&document, &groups, source.name())?;
    for group in &inherited.nobodys {
        not_taken.push(NOBODYS_VARIABLES, format!("variables of group {group}"));
    }
    there_are_such(&document, &inherited, options)?;
    let labels = groups.labels(&options.groups, &mut not_taken);
    if groups.hosts.len() > MAX_HOSTS {
        return Err(too_many(source.name(), "hosts", MAX_HOSTS).into());
    }
    let none = Variables::new();
    let mut workers: Vec<WorkerEntry> = Vec::new();
    let mut by_address: BTreeMap<String, &str> = BTreeMap::new();
    for name in &groups.hosts {
        let own = document.variables.as_ref().and_then(|all| all.get(*name)).unwrap_or(&none);
        let variables = inherited.with(name, own, &groups);
        let variables: &Variables = &variables;
        let mut entry = match mapped(name, variables, options.tags.as_ref(), &mut not_taken) {
            Ok(entry) => entry,
            Err(reason) => {
                not_taken.push(reason, format!("host {name}"));
                continue;
            }
        };
        let address = entry.host().folded();
        if let Some(first) = by_address.get(&address) {
            not_taken.push_at(SAME_MACHINE, format!("host {name}"), first);
            continue;
        }
        by_address.insert(address, name);
        let labels = labels.of(name);
        if !document.groups.is_empty() {
            entry = entry.labels(labels);
        }
        if document.variables.is_some() || !inherited.is_empty() {
            entry = entry.tags(tags::of(name, variables, options.tags.as_ref(), &mut not_taken));
        }
        workers.push(entry);
    }
    if workers.is_empty() {
        let help = "look at what Ansible makes of it: `ansible-inventory -i FILE --list`; an inventory that cannot be \
                    read is an empty one to it, with a warning";
        return Err(no_hosts(source.name(), help).into());
    }
    Ok(Import { workers, not_taken: not_taken.finish() })
}

/// What an operator has named is there.
fn there_are_such(
    document: &Document,
    inherited: &Inherited<'_>,
    options: &AnsibleOptions,
) -> Result<(), Problems> {
    let mut problems = Problems::new();
    let variables: BTreeSet<&str> = document
        .variables
        .iter()
        .flat_map(BTreeMap::values)
        .flat_map(|all| all.keys().map(String::as_str))
        .chain(inherited.names())
        .collect();
    for tag in options.tags.iter().flatten().filter(|tag| !variables.contains(tag.as_str())) {
        let otherwise = || format!("the hosts have {}", counted(variables.len(), "variable"));
        let help = did_you_mean(tag, variables.iter().copied(), otherwise);
        let message = format!("no host of the inventory has a variable `{tag}`");
        problems.push(Problem::error("maand::inventory::unknown_variable", message).help(help));
    }
    for pattern in options.groups.iter().filter(|pattern| !groups::has_such(document, pattern)) {
        let otherwise = || "`ansible-inventory --graph` shows the groups".to_owned();
        let help = did_you_mean(pattern, document.groups.keys().map(String::as_str), otherwise);
        let message = format!("the inventory has no group `{pattern}`");
        problems.push(Problem::error("maand::inventory::unknown_group", message).help(help));
    }
    problems.into_result().map(drop)
}
