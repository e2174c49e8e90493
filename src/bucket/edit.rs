//! Changing the text of `disabled.json` without touching anything else in it: the operators' entries,
//! unknown keys, order and formatting stay byte for byte. Pure: text in, text out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::disabled;
use super::fields::Doc;
use super::fleet::{Host, JobName};
use super::json::{self, Json, Member, Node, quoted};
use super::rewrite::{Rewrite, get, items, members};
use crate::plan::{Problems, Source};

/// One thing that can be disabled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledEntry {
    /// Every allocation on this worker: an entry of `workers`.
    Worker(Host),
    /// One allocation: an entry of the job's `allocations`.
    Allocation(JobName, Host),
}

impl DisabledEntry {
    /// The worker that it is about.
    pub fn host(&self) -> &Host {
        match self {
            Self::Worker(host) | Self::Allocation(_, host) => host,
        }
    }
}

/// What becomes of the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// They are there.
    Present,
    /// One of each is removed.
    Absent,
}

/// A changed text.
#[derive(Debug)]
pub(super) struct Edited {
    pub(super) text: String,
    /// For each entry that was asked for: whether the text was changed for it.
    pub(super) changed: Vec<bool>,
}

/// Carries out `wish` for `entries` on the text of the file (`None`: there is none). A text that is not
/// a good `disabled.json` is not touched.
pub(super) fn apply(
    source: Option<&Source>,
    entries: &[DisabledEntry],
    wish: Wish,
) -> Result<Edited, Problems> {
    let empty = Source::new("disabled.json", "{}\n");
    let source = source.unwrap_or(&empty);
    let mut doc = Doc::new(source);
    disabled::read(&mut doc);
    doc.finish().into_result()?;
    let Ok(root) = json::parse(source.text()) else {
        // It was read just now.
        return Ok(Edited { text: source.text().to_owned(), changed: vec![false; entries.len()] });
    };
    let rewrite = Rewrite { text: source.text(), root: &root };
    let mut edit = Edit { rewrite, workers: Vec::new(), jobs: BTreeMap::new() };
    let changed = entries.iter().map(|entry| edit.note(entry, wish)).collect::<Vec<_>>();
    let text = if changed.contains(&true) { edit.render(wish) } else { source.text().to_owned() };
    Ok(Edited { text, changed })
}

/// What remains, byte for byte, of a file that [`apply`] has made where there was none, when all its
/// entries are gone again.
pub(super) const EMPTIED: [&str; 3] =
    ["{\n  \"workers\": []\n}\n", "{\n  \"jobs\": {}\n}\n", "{\n  \"workers\": [],\n  \"jobs\": {}\n}\n"];

/// What the text of `disabled.json` becomes when `entries` are added (`there`) or one of each is removed;
/// `None`: there is no file. The pure part of [`super::DisabledFile`], for worlds without files.
///
/// # Errors
/// The text is no good `disabled.json`; it is not touched.
pub fn edited_disabled(
    text: Option<&str>,
    entries: &[DisabledEntry],
    there: bool,
) -> Result<Option<String>, Problems> {
    let source = text.map(|text| Source::new("disabled.json", text));
    let wish = if there { Wish::Present } else { Wish::Absent };
    let edited = apply(source.as_ref(), entries, wish)?;
    let gone = wish == Wish::Absent && EMPTIED.contains(&edited.text.as_str());
    let none = gone || (text.is_none() && !edited.changed.contains(&true));
    Ok((!none).then_some(edited.text))
}

/// Of `workers` and `jobs`, those that `text` has and `base` lacks; none where there was no file, which then
/// is ours as a whole.
pub(super) fn keys_made(base: Option<&str>, text: &str) -> Vec<String> {
    let (Some(Ok(before)), Ok(after)) = (base.map(json::parse), json::parse(text)) else { return Vec::new() };
    let is_new = |member: &&Member| get(Some(&before), &member.key).is_none();
    members(Some(&after)).iter().filter(is_new).map(|member| member.key.to_string()).collect()
}

/// Leaves out those of `keys` that hold an empty list or object.
pub(super) fn without_empty(text: &str, keys: &[String]) -> String {
    let Ok(root) = json::parse(text) else { return text.to_owned() };
    let is_empty = |key: &&String| match get(Some(&root), key).map(|node| &node.value) {
        Some(Json::Array(items)) => items.is_empty(),
        Some(Json::Object(members)) => members.is_empty(),
        _ => false,
    };
    let leave_out: Vec<_> = keys.iter().filter(is_empty).map(|key| (key.as_str(), None)).collect();
    if leave_out.is_empty() {
        return text.to_owned();
    }
    let rewrite = Rewrite { text, root: &root };
    rewrite.with_root(&rewrite.object(&root, leave_out))
}

struct Edit<'t> {
    rewrite: Rewrite<'t>,
    /// Hosts to add to, or remove from, `workers`.
    workers: Vec<String>,
    /// Hosts to add to, or remove from, the job's `allocations`.
    jobs: BTreeMap<String, Vec<String>>,
}

fn has(list: Option<&Node>, host: &str) -> bool {
    items(list).iter().any(|item| is(item, host))
}

fn is(item: &Node, host: &str) -> bool {
    matches!(&item.value, Json::String(text) if text.trim() == host)
}

impl Edit<'_> {
    /// Notes what is to be done for one entry; `false`: nothing is.
    fn note(&mut self, entry: &DisabledEntry, wish: Wish) -> bool {
        let (list, host, noted) = match entry {
            DisabledEntry::Worker(host) => (get(Some(self.rewrite.root), "workers"), host, &mut self.workers),
            DisabledEntry::Allocation(job, host) => {
                let there = get(get(Some(self.rewrite.root), "jobs"), job.as_str());
                let list = get(there, "allocations");
                // The whole job is disabled: a host in the list would make it less than that.
                if there.is_some() && items(list).is_empty() {
                    return false;
                }
                (list, host, self.jobs.entry(job.to_string()).or_default())
            }
        };
        let wanted = wish == Wish::Present;
        if has(list, host.as_str()) == wanted || noted.iter().any(|other| other == host.as_str()) {
            return false;
        }
        noted.push(host.to_string());
        true
    }

    fn render(&self, wish: Wish) -> String {
        let mut wishes = Vec::new();
        if !self.workers.is_empty() {
            let list = get(Some(self.rewrite.root), "workers");
            wishes.push(("workers", Some(self.list(list, &self.workers, wish))));
        }
        if self.jobs.values().any(|hosts| !hosts.is_empty()) {
            wishes.push(("jobs", Some(self.render_jobs(wish))));
        }
        let object = self.rewrite.object(self.rewrite.root, wishes);
        self.rewrite.with_root(&object)
    }

    fn render_jobs(&self, wish: Wish) -> String {
        let jobs = get(Some(self.rewrite.root), "jobs");
        let mut wishes = Vec::new();
        for (name, hosts) in self.jobs.iter().filter(|(_, hosts)| !hosts.is_empty()) {
            let job = get(jobs, name);
            let list = get(job, "allocations");
            let rendered = match job {
                None => Some(format!("{{\"allocations\": {}}}", self.list(None, hosts, wish))),
                // With its last host the job goes: an empty list means all of it.
                Some(_) if wish == Wish::Absent && items(list).len() == hosts.len() => None,
                Some(job) => {
                    Some(self.rewrite.object(job, vec![("allocations", Some(self.list(list, hosts, wish)))]))
                }
            };
            wishes.push((name.as_str(), rendered));
        }
        match jobs {
            Some(node) if matches!(node.value, Json::Object(_)) => self.rewrite.object(node, wishes),
            _ => {
                let parts: Vec<String> = wishes
                    .into_iter()
                    .filter_map(|(name, text)| Some(format!("{}: {}", quoted(name), text?)))
                    .collect();
                format!("{{{}}}", parts.join(", "))
            }
        }
    }

    /// A list of hosts with some added at its end, or with the last occurrence of each removed.
    fn list(&self, node: Option<&Node>, hosts: &[String], wish: Wish) -> String {
        let Some(node) = node.filter(|node| matches!(node.value, Json::Array(_))) else {
            let texts: Vec<String> = hosts.iter().map(|host| quoted(host)).collect();
            return format!("[{}]", texts.join(", "));
        };
        let all = items(Some(node));
        let mut keep: Vec<Option<Option<String>>> = vec![Some(None); all.len()];
        let mut added = Vec::new();
        for host in hosts {
            match wish {
                Wish::Present => added.push(quoted(host)),
                Wish::Absent => {
                    if let Some(at) = all.iter().rposition(|item| is(item, host)) {
                        keep[at] = None;
                    }
                }
            }
        }
        let spans = all.iter().map(|item| item.span.clone()).collect::<Vec<_>>();
        self.rewrite.rebuild(&node.span, &spans, keep, added)
    }
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
