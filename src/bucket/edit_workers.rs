//! What `workers.json` becomes when an inventory says something of its workers: only what it says is another text then.
//! Hand-written keys, order and formatting stay byte for byte. Pure: text in, text out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::fields::Doc;
use super::files::WORKERS_LIMIT;
use super::fleet::{Host, Worker};
use super::json::{self, Json, Node, quoted};
use super::rewrite::{Rewrite, get, items, members};
use super::workers;
use crate::plan::{Problem, Problems, Source};

/// The label that every worker has without a word.
const IMPLIED: &str = "worker";

/// The keys of an entry, as a new one has them.
const ORDER: [&str; 9] =
    ["host", "hostname", "labels", "memory", "cpu", "tags", "position", "ssh_port", "ssh_user"];

/// What an inventory says of one worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerEntry {
    /// The worker as the inventory has it; what is not in `stated` counts for nothing.
    worker: Worker,
    /// The keys of `workers.json` that it speaks of, each with its value as JSON; without `host`.
    stated: BTreeMap<&'static str, String>,
    /// Those of them that are only written where there is none.
    fills: BTreeSet<&'static str>,
}

impl WorkerEntry {
    /// Of this host, and nothing else is said.
    pub fn new(host: Host) -> Self {
        Self { worker: Worker::new(host), stated: BTreeMap::new(), fills: BTreeSet::new() }
    }

    /// The worker that it is about.
    pub fn host(&self) -> &Host {
        &self.worker.host
    }

    /// The worker as the inventory has it.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// It has these labels, in lower case, and no others.
    #[must_use]
    pub fn labels(mut self, labels: BTreeSet<String>) -> Self {
        let written: Vec<&String> = labels.iter().filter(|label| *label != IMPLIED).collect();
        self.stated.insert("labels", list(&written));
        self.worker.labels = labels.into_iter().chain([IMPLIED.to_owned()]).collect::<BTreeSet<_>>().into();
        self
    }

    /// It has these tags, in lower case, and no others.
    #[must_use]
    pub fn tags(mut self, tags: BTreeMap<String, String>) -> Self {
        let written: Vec<String> =
            tags.iter().map(|(key, value)| format!("{}: {}", quoted(key), quoted(value))).collect();
        self.stated.insert("tags", format!("{{{}}}", written.join(", ")));
        self.worker.tags = tags.into();
        self
    }

    /// Its SSH server listens there.
    #[must_use]
    pub fn ssh_port(mut self, port: u16) -> Self {
        self.stated.insert("ssh_port", port.to_string());
        self.worker.ssh_port = Some(port);
        self
    }

    /// Who logs in there.
    #[must_use]
    pub fn ssh_user(mut self, user: &str) -> Self {
        self.stated.insert("ssh_user", quoted(user));
        self.worker.ssh_user = Some(user.to_owned());
        self
    }

    /// How it is called elsewhere; a name that is there stays.
    #[must_use]
    pub fn called(mut self, name: &str) -> Self {
        self.stated.insert("hostname", quoted(name));
        self.fills.insert("hostname");
        self.worker.hostname = Some(name.to_owned());
        self
    }
}

/// Keys that mean nothing in `workers.json`, with the workers that have them.
pub type UnknownKeys = BTreeMap<String, Vec<Host>>;

/// The workers that a text in the form of `workers.json` has, in the order of the text; and keys that mean nothing there,
/// by worker.
///
/// # Errors
/// All that is wrong with it.
pub fn worker_entries(source: &Source) -> Result<(Vec<WorkerEntry>, UnknownKeys), Problems> {
    let (root, placed) = read(source)?;
    let mut entries = Vec::with_capacity(placed.len());
    let mut unknown = UnknownKeys::new();
    for (node, worker) in in_text(&root, placed) {
        let mut entry = WorkerEntry { worker, stated: BTreeMap::new(), fills: BTreeSet::new() };
        for member in members(Some(node)).iter().filter(|member| member.value.value != Json::Null) {
            match ORDER.iter().find(|key| **key == &*member.key) {
                Some(&"host") => {}
                Some(key) => {
                    let text = source.text()[member.value.span.clone()].to_owned();
                    entry.stated.insert(*key, text);
                }
                None => unknown.entry(member.key.to_string()).or_default().push(entry.worker.host.clone()),
            }
        }
        // In lower case, and without what every worker has.
        let Worker { labels, tags, ssh_port, .. } = entry.worker.clone();
        if entry.stated.contains_key("labels") {
            entry = entry.labels(labels.as_ref().clone());
        }
        if entry.stated.contains_key("tags") {
            entry = entry.tags(tags.as_ref().clone());
        }
        // It may stand behind the address.
        entry = ssh_port.map_or(entry.clone(), |port| entry.ssh_port(port));
        entries.push(entry);
    }
    Ok((entries, unknown))
}

/// A `workers.json` with what an inventory says.
#[derive(Clone, Debug, PartialEq)]
pub struct EditedWorkers {
    /// The new text. Where `before` and `after` are the same it need not be written.
    pub text: String,
    /// The workers of the old text, in the order of `position`, then host.
    pub before: Vec<Worker>,
    /// Those of the new one.
    pub after: Vec<Worker>,
    /// What the inventory does not have, and is still there.
    pub left: Vec<LeftThere>,
}

/// Something in `workers.json` that the inventory does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftThere {
    /// A worker.
    Worker(Host),
    /// A label of a worker that it has.
    Label(String, Host),
    /// A tag of a worker that it has, by its key.
    Tag(String, Host),
}

/// What `workers.json` (`None`: there is none) becomes when `entries` are as the inventory says. What it does not say stays
/// as it is; whole workers, labels and tags that it does not have go only with `remove`.
///
/// # Errors
/// What is wrong with the old text; or with the new one, such as more workers than there can be.
pub fn edited_workers(
    source: Option<&Source>,
    entries: &[WorkerEntry],
    remove: bool,
) -> Result<EditedWorkers, Problems> {
    let empty = Source::new("workers.json", "[]\n");
    let source = source.unwrap_or(&empty);
    let (root, placed) = read(source)?;
    let before: Vec<Worker> = placed.iter().map(|placed| placed.worker.clone()).collect();
    let keys = keys(entries, &before);
    let said: HashMap<&str, &WorkerEntry> = keys.iter().map(String::as_str).zip(entries).collect();
    let rewrite = Rewrite { text: source.text(), root: &root };
    let mut left = Vec::new();
    let mut found = BTreeSet::new();
    let (mut spans, mut keep) = (Vec::new(), Vec::new());
    for (node, worker) in in_text(&root, placed) {
        spans.push(node.span.clone());
        let key = worker.host.folded();
        keep.push(match said.get(key.as_str()) {
            Some(entry) => {
                found.insert(key);
                Some(Entry { rewrite: &rewrite, node, worker: &worker }.with(entry, remove, &mut left))
            }
            None if remove => None,
            None => {
                left.push(LeftThere::Worker(worker.host));
                Some(None)
            }
        });
    }
    let added = entries.iter().zip(&keys).filter(|(_, key)| !found.contains(*key));
    let added = added.map(|(entry, _)| new_entry(entry));
    let text = rewrite.with_root(&rewrite.rebuild(&root.span, &spans, keep, added.collect()));
    if text.len() as u64 > WORKERS_LIMIT {
        let message = format!("{} would be larger than {WORKERS_LIMIT} bytes", source.name());
        let help = "take fewer tags or workers, or make several buckets of the fleet";
        return Err(Problem::error("maand::bucket::too_large", message).help(help).into());
    }
    let (_, placed) = read(&Source::new(source.name(), text.as_str()))?;
    let after = placed.into_iter().map(|placed| placed.worker).collect();
    left.sort();
    Ok(EditedWorkers { text, before, after, left })
}

/// The host, folded, of the worker that each entry is about. Where `workers.json` does not have the address, and has a
/// worker by the name that the inventory calls it, that is the one: added once more, it would be rebooted twice.
fn keys(entries: &[WorkerEntry], there: &[Worker]) -> Vec<String> {
    let there: HashSet<String> = there.iter().map(|worker| worker.host.folded()).collect();
    let hosts: HashSet<String> = entries.iter().map(|entry| entry.host().folded()).collect();
    let mut names = HashSet::new();
    let key = |entry: &WorkerEntry| {
        let host = entry.host().folded();
        let name = entry.worker.hostname.as_ref().filter(|_| entry.fills.contains("hostname"));
        let name = name.map(|name| name.to_lowercase()).filter(|_| !there.contains(&host));
        let name = name.filter(|name| there.contains(name) && !hosts.contains(name));
        name.filter(|name| names.insert(name.clone())).unwrap_or(host)
    };
    entries.iter().map(key).collect()
}

/// The text as it was parsed, and its workers in the order of `position`; warnings are for who loads the bucket.
fn read(source: &Source) -> Result<(Node, Vec<workers::Placed>), Problems> {
    let mut doc = Doc::new(source);
    let placed = workers::read(&mut doc);
    let mut problems = doc.finish();
    match (problems.has_errors(), json::parse(source.text())) {
        (false, Ok(root)) => Ok((root, placed)),
        (_, Err(_)) if problems.is_empty() => {
            problems
                .push(Problem::error("maand::bucket::json_syntax", format!("{} is not JSON", source.name())));
            Err(problems)
        }
        _ => Err(problems),
    }
}

/// Each entry of the text with its worker, in the order of the text.
fn in_text(root: &Node, placed: Vec<workers::Placed>) -> Vec<(&Node, Worker)> {
    let mut by_place: HashMap<usize, Worker> =
        placed.into_iter().map(|placed| (placed.span.start, placed.worker)).collect();
    let worker = |node| by_place.remove(&get(Some(node), "host")?.span.start).map(|worker| (node, worker));
    items(Some(root)).iter().filter_map(worker).collect()
}

fn list(texts: &[impl AsRef<str>]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// On one line; empty lists are not written.
fn new_entry(entry: &WorkerEntry) -> String {
    let value = |key: &&str| match *key {
        "host" => Some(quoted(entry.host().as_str())),
        key => entry.stated.get(key).filter(|value| *value != "[]" && *value != "{}").cloned(),
    };
    let keys = ORDER.iter().filter_map(|key| Some(format!("{}: {}", quoted(key), value(key)?)));
    format!("{{{}}}", keys.collect::<Vec<_>>().join(", "))
}

/// One entry of the text.
struct Entry<'a> {
    rewrite: &'a Rewrite<'a>,
    node: &'a Node,
    worker: &'a Worker,
}

impl Entry<'_> {
    /// The entry as the inventory has it; `None`: as it is.
    fn with(&self, entry: &WorkerEntry, remove: bool, left: &mut Vec<LeftThere>) -> Option<String> {
        let mut wishes: Vec<(&str, Option<String>)> = Vec::new();
        for (key, value) in &entry.stated {
            let there = get(Some(self.node), key).filter(|node| node.value != Json::Null);
            let value = match *key {
                "labels" => self.labels(there, &entry.worker.labels, remove, left),
                "tags" => self.tags(there, &entry.worker.tags, remove, left),
                _ if entry.fills.contains(key) && (there.is_some() || self.is_called(entry)) => None,
                _ if self.has(key, there, &entry.worker) => None,
                _ => Some(value.clone()),
            };
            wishes.extend(value.map(|value| (*key, Some(value))));
        }
        if wishes.iter().any(|(key, _)| *key == "ssh_port") {
            // It may stand behind the address, in brackets.
            wishes.push(("host", Some(quoted(self.worker.host.as_str()))));
        }
        (!wishes.is_empty()).then(|| self.rewrite.object(self.node, wishes))
    }

    /// Whether its host is the name already.
    fn is_called(&self, entry: &WorkerEntry) -> bool {
        let name = entry.worker.hostname.as_deref();
        name.is_some_and(|name| name.eq_ignore_ascii_case(self.worker.host.as_str()))
    }

    /// Whether it says the same by this key, however it is written.
    fn has(&self, key: &str, there: Option<&Node>, other: &Worker) -> bool {
        let worker = self.worker;
        match key {
            "memory" => worker.memory_mb == other.memory_mb,
            "cpu" => worker.cpu_mhz == other.cpu_mhz,
            "hostname" => worker.hostname == other.hostname,
            "ssh_port" => worker.ssh_port == other.ssh_port,
            "ssh_user" => worker.ssh_user == other.ssh_user,
            // Without one it is the index, which is another one when workers go.
            _ => there.is_some() && worker.position == other.position,
        }
    }

    fn labels(
        &self,
        there: Option<&Node>,
        wanted: &BTreeSet<String>,
        remove: bool,
        left: &mut Vec<LeftThere>,
    ) -> Option<String> {
        let gone: Vec<&String> = self.worker.labels.difference(wanted).collect();
        let added: Vec<String> = wanted.difference(&self.worker.labels).map(|label| quoted(label)).collect();
        if !remove {
            let host = &self.worker.host;
            left.extend(gone.iter().map(|label| LeftThere::Label((*label).clone(), host.clone())));
        }
        let goes = |node: &Node| match &node.value {
            Json::String(text) => remove && gone.contains(&&text.trim().to_lowercase()),
            _ => false,
        };
        let all = items(there);
        if added.is_empty() && !all.iter().any(goes) {
            return None;
        }
        let Some(node) = there else { return Some(format!("[{}]", added.join(", "))) };
        let keep = all.iter().map(|item| (!goes(item)).then_some(None)).collect();
        let spans: Vec<_> = all.iter().map(|item| item.span.clone()).collect();
        Some(self.rewrite.rebuild(&node.span, &spans, keep, added))
    }

    fn tags(
        &self,
        there: Option<&Node>,
        wanted: &BTreeMap<String, String>,
        remove: bool,
        left: &mut Vec<LeftThere>,
    ) -> Option<String> {
        let (mut wishes, mut known): (Vec<(&str, Option<String>)>, BTreeSet<String>) = Default::default();
        for member in members(there) {
            let key = member.key.trim().to_lowercase();
            match wanted.get(&key) {
                Some(value) if self.worker.tags.get(&key) == Some(value) => {}
                Some(value) => wishes.push((&*member.key, Some(quoted(value)))),
                None if remove => wishes.push((&*member.key, None)),
                None => left.push(LeftThere::Tag(key.clone(), self.worker.host.clone())),
            }
            known.insert(key);
        }
        let new = wanted.iter().filter(|(key, _)| !known.contains(*key));
        wishes.extend(new.map(|(key, value)| (key.as_str(), Some(quoted(value)))));
        if wishes.is_empty() {
            return None;
        }
        Some(match there {
            Some(node) => self.rewrite.object(node, wishes),
            None => {
                let texts = wishes
                    .into_iter()
                    .filter_map(|(key, value)| value.map(|value| format!("{}: {value}", quoted(key))));
                format!("{{{}}}", texts.collect::<Vec<_>>().join(", "))
            }
        })
    }
}

#[cfg(test)]
#[path = "edit_workers_tests.rs"]
mod tests;
