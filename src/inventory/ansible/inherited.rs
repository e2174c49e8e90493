//! Variables of groups, where the inventory has them there (`--export`, and what scripts print), as Ansible gives them to
//! hosts: group by group by depth, priority and name; what comes later wins, and a host's own win over all.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::super::error::too_many;
use super::document::{Document, Value, Variables};
use super::groups::Groups;
use crate::plan::Problem;

/// Ansible's own name for the order of groups of the same depth; it is no variable of hosts.
const PRIORITY: &str = "ansible_group_priority";

/// More variables than this of groups, counted for each host that has them, are refused.
const MAX_INHERITED: usize = 1_000_000;

/// What hosts have from their groups.
pub(super) struct Inherited<'d> {
    document: &'d Document,
    /// Of each group with variables its place in the order in which they count.
    order: BTreeMap<&'d str, usize>,
    /// Groups with variables in which no host is.
    pub(super) nobodys: Vec<&'d str>,
}

impl<'d> Inherited<'d> {
    /// # Errors
    /// Over all hosts the variables are more than anybody has.
    pub(super) fn of(document: &'d Document, groups: &Groups<'d>, source: &str) -> Result<Self, Problem> {
        let with = document.groups.iter().filter(|(_, group)| !group.variables.is_empty());
        let mut with: Vec<&str> = with.map(|(name, _)| name.as_str()).collect();
        let mut found = Self { document, order: BTreeMap::new(), nobodys: Vec::new() };
        if with.is_empty() {
            return Ok(found);
        }
        let depths = groups.depths();
        let depth = |name: &str| depths.get(name).copied().unwrap_or(1);
        with.sort_by_key(|name| (depth(name), priority(document, name), *name));
        found.order = with.iter().copied().zip(0..).collect();
        let mut used: BTreeSet<usize> = BTreeSet::new();
        let mut count = 0;
        for host in &groups.hosts {
            for (place, variables) in found.around(host, groups) {
                used.insert(place);
                count += variables.len();
            }
            if count > MAX_INHERITED {
                return Err(too_many(source, "variables of groups at their hosts", MAX_INHERITED));
            }
        }
        found.nobodys = with.iter().copied().filter(|name| !used.contains(&found.order[name])).collect();
        Ok(found)
    }

    /// No group has any.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The names of all variables of groups.
    pub(super) fn names(&self) -> impl Iterator<Item = &'d str> + '_ {
        let groups = self.order.keys().filter_map(|name| self.document.groups.get(*name));
        groups.flat_map(|group| group.variables.keys()).map(String::as_str).filter(|name| *name != PRIORITY)
    }

    /// All variables of one host, with its `own`.
    pub(super) fn with(&self, host: &str, own: &'d Variables, groups: &Groups<'d>) -> Cow<'d, Variables> {
        let mut around = self.around(host, groups);
        if around.is_empty() {
            return Cow::Borrowed(own);
        }
        around.sort_unstable_by_key(|(place, _)| *place);
        let mut all = Variables::new();
        for variables in around.into_iter().map(|(_, variables)| variables).chain([own]) {
            all.extend(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        all.remove(PRIORITY);
        Cow::Owned(all)
    }

    /// The variables of the groups of one host, each with its place.
    fn around(&self, host: &str, groups: &Groups<'d>) -> Vec<(usize, &'d Variables)> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut around = groups.around(host);
        around.insert("all");
        let of = |name: &str| Some((*self.order.get(name)?, &self.document.groups.get(name)?.variables));
        around.into_iter().filter_map(of).collect()
    }
}

/// 1, unless the group says otherwise.
fn priority(document: &Document, name: &str) -> i64 {
    match document.groups.get(name).and_then(|group| group.variables.get(PRIORITY)) {
        Some(Value::Scalar(text)) => text.trim().parse().unwrap_or(1),
        _ => 1,
    }
}
