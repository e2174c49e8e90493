//! The groups of an inventory: in which order they name the hosts, and which labels they come to.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::too_many;
use super::super::import::{Gathered, Reason};
use super::document::Document;
use crate::plan::{Problem, visible_line};
use crate::ssh::matches_pattern;

/// More groups than this are refused; and more labels of all hosts together, those of groups around their groups
/// included.
const MAX_GROUPS: usize = 5_000;
const MAX_LABELS: usize = 400_000;

/// Every inventory has these, and they say nothing.
const OF_ALL: [&str; 2] = ["all", "ungrouped"];

const BAD_LABEL: Reason = (
    "its name cannot be a label: a label has no commas, no signs that cannot be seen, and at most 128 bytes",
    "rename the group, or leave it out with --groups",
);
const IMPLIED: Reason = (
    "every worker has the label `worker` anyway",
    "rename the group, if jobs or plans are to tell its hosts from others",
);
const SAME_LABEL: Reason = (
    "labels are in lower case, and another group has the same one then: both are one label",
    "rename one of the two groups, if they are not the same",
);

/// Whether there is a group that the pattern means.
pub(super) fn has_such(document: &Document, pattern: &str) -> bool {
    document.groups.keys().any(|name| matches_pattern(pattern, name))
}

/// Who is in which group.
pub(super) struct Groups<'d> {
    /// Each host once, as the groups name them from `all` downwards.
    pub(super) hosts: Vec<&'d str>,
    /// The groups in which each host is by itself.
    direct: BTreeMap<&'d str, BTreeSet<&'d str>>,
    /// The groups that have this one as a child.
    parents: BTreeMap<&'d str, BTreeSet<&'d str>>,
    /// All groups that are named.
    names: BTreeSet<&'d str>,
}

impl<'d> Groups<'d> {
    /// # Errors
    /// There are more groups than anybody has.
    pub(super) fn of(document: &'d Document, source: &str) -> Result<Self, Problem> {
        let mut found = Self {
            hosts: Vec::new(),
            direct: BTreeMap::new(),
            parents: BTreeMap::new(),
            names: BTreeSet::new(),
        };
        for (name, group) in &document.groups {
            found.names.insert(name);
            for child in &group.children {
                found.names.insert(child);
                found.parents.entry(child).or_default().insert(name);
            }
            for host in &group.hosts {
                found.direct.entry(host).or_default().insert(name);
            }
            if found.names.len() > MAX_GROUPS {
                return Err(too_many(source, "groups", MAX_GROUPS));
            }
        }
        let mut seen = BTreeSet::new();
        let mut seen_hosts = BTreeSet::new();
        let begins = std::iter::once("all").chain(document.groups.keys().map(String::as_str));
        for begin in begins {
            let mut open = vec![begin];
            while let Some(name) = open.pop() {
                let Some((name, group)) = document.groups.get_key_value(name) else { continue };
                if seen.insert(name.as_str()) {
                    let hosts = group.hosts.iter().map(String::as_str);
                    found.hosts.extend(hosts.filter(|host| seen_hosts.insert(*host)));
                    open.extend(group.children.iter().rev().map(String::as_str));
                }
            }
        }
        let others = document.variables.iter().flat_map(BTreeMap::keys).map(String::as_str);
        found.hosts.extend(others.filter(|host| seen_hosts.insert(*host)));
        let mut labels = 0;
        for host in &found.hosts {
            labels += found.around(host).len();
            if labels > MAX_LABELS {
                return Err(too_many(source, "hosts in groups", MAX_LABELS));
            }
        }
        Ok(found)
    }

    /// The groups of one host, and the groups around these.
    pub(super) fn around(&self, host: &str) -> BTreeSet<&'d str> {
        let mut seen: BTreeSet<&'d str> = BTreeSet::new();
        let mut open: Vec<&'d str> = self.direct.get(host).into_iter().flatten().copied().collect();
        // A group that is in itself is looked at once.
        while let Some(group) = open.pop() {
            if seen.insert(group) {
                open.extend(self.parents.get(group).into_iter().flatten());
            }
        }
        seen
    }

    /// How far each group is from `all`, by the longest way: 0 for `all` itself; what is in no other group is in `all`.
    /// Groups in a circle, which Ansible refuses, are not in it.
    pub(super) fn depths(&self) -> BTreeMap<&'d str, usize> {
        let mut children: BTreeMap<&'d str, Vec<&'d str>> = BTreeMap::new();
        for (child, parents) in &self.parents {
            for parent in parents {
                children.entry(parent).or_default().push(child);
            }
        }
        let mut missing: BTreeMap<&'d str, usize> =
            self.parents.iter().map(|(child, parents)| (*child, parents.len())).collect();
        let begins = self.names.iter().filter(|name| !missing.contains_key(*name));
        let mut depths: BTreeMap<&'d str, usize> =
            begins.map(|name| (*name, usize::from(*name != "all"))).collect();
        let mut ready: Vec<&'d str> = depths.keys().copied().collect();
        while let Some(name) = ready.pop() {
            let depth = depths.get(name).copied().unwrap_or(0) + 1;
            for child in children.get(name).into_iter().flatten() {
                let known = depths.entry(child).or_default();
                *known = depth.max(*known);
                if let Some(left) = missing.get_mut(child) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(child);
                    }
                }
            }
        }
        depths
    }

    /// The label that each group is, where it is one and `patterns` mean it.
    pub(super) fn labels(&self, patterns: &[String], not_taken: &mut Gathered) -> Labels<'_, 'd> {
        let mut by_group = BTreeMap::new();
        let mut taken: BTreeMap<String, &str> = BTreeMap::new();
        let wanted =
            |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| matches_pattern(pattern, name));
        let names = self.names.iter().filter(|name| !OF_ALL.contains(name) && wanted(name));
        for name in names {
            let label = name.to_lowercase();
            let is_plain = visible_line(&label) == label && label.trim() == label && !label.contains(',');
            let reason = match label.as_str() {
                "worker" => Some(IMPLIED),
                _ if label.is_empty() || !is_plain || label.len() > 128 => Some(BAD_LABEL),
                _ => None,
            };
            if let Some(reason) = reason {
                not_taken.push(reason, format!("group {name}"));
                continue;
            }
            if taken.insert(label.clone(), name).is_some() {
                not_taken.push(SAME_LABEL, format!("group {name}"));
            }
            by_group.insert(*name, label);
        }
        Labels { groups: self, by_group }
    }
}

/// The labels of each host.
pub(super) struct Labels<'g, 'd> {
    groups: &'g Groups<'d>,
    by_group: BTreeMap<&'d str, String>,
}

impl Labels<'_, '_> {
    /// Those of one host: of its groups, and of the groups around these.
    pub(super) fn of(&self, host: &str) -> BTreeSet<String> {
        let groups = self.groups.around(host);
        groups.into_iter().filter_map(|group| self.by_group.get(group)).cloned().collect()
    }
}
