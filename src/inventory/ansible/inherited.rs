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
const MAX_INHERITED: usize = 5_000_000;

/// What hosts have from their groups.
pub(super) struct Inherited<'d> {
    document: &'d Document,
    /// Of each group with variables its place in the order in which they count.
    order: BTreeMap<&'d str, usize>,
}

/// Whose variables hosts have got, and how many.
#[derive(Default)]
pub(super) struct Used {
    groups: BTreeSet<usize>,
    variables: usize,
}

impl<'d> Inherited<'d> {
    pub(super) fn of(document: &'d Document, groups: &Groups<'d>) -> Self {
        let with = document.groups.iter().filter(|(_, group)| !group.variables.is_empty());
        let mut with: Vec<&str> = with.map(|(name, _)| name.as_str()).collect();
        if !with.is_empty() {
            let depths = groups.depths();
            let depth = |name: &str| depths.get(name).copied().unwrap_or(1);
            with.sort_by_key(|name| (depth(name), priority(document, name), *name));
        }
        Self { document, order: with.into_iter().zip(0..).collect() }
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

    /// Groups with variables that no host has got.
    pub(super) fn nobodys<'u>(&'u self, used: &'u Used) -> impl Iterator<Item = &'d str> + 'u {
        self.order.iter().filter(|(_, place)| !used.groups.contains(place)).map(|(name, _)| *name)
    }

    /// All variables of one host, with its `own`.
    ///
    /// # Errors
    /// Over all hosts they are more than anybody has.
    pub(super) fn with(
        &self,
        host: &str,
        own: &'d Variables,
        groups: &Groups<'d>,
        used: &mut Used,
        source: &str,
    ) -> Result<Cow<'d, Variables>, Problem> {
        if self.is_empty() {
            return Ok(Cow::Borrowed(own));
        }
        let mut around = groups.around(host);
        around.insert("all");
        let mut places: Vec<(usize, &Variables)> = Vec::new();
        for name in around {
            if let (Some(place), Some(group)) = (self.order.get(name), self.document.groups.get(name)) {
                places.push((*place, &group.variables));
            }
        }
        places.sort_unstable_by_key(|(place, _)| *place);
        let mut all = Variables::new();
        for (place, variables) in places {
            used.groups.insert(place);
            used.variables += variables.len();
            if used.variables > MAX_INHERITED {
                return Err(too_many(source, "variables of groups at their hosts", MAX_INHERITED));
            }
            all.extend(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        all.remove(PRIORITY);
        all.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(Cow::Owned(all))
    }
}

/// 1, unless the group says otherwise.
fn priority(document: &Document, name: &str) -> i64 {
    match document.groups.get(name).and_then(|group| group.variables.get(PRIORITY)) {
        Some(Value::Scalar(text)) => text.trim().parse().unwrap_or(1),
        _ => 1,
    }
}
