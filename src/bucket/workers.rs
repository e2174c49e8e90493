//! `workspace/workers.json`: the list of workers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::fields::Doc;
use super::fleet::{Host, Worker};
use super::json::{Node, quoted};
use super::settings::is_user;
use super::units::Unit;
use crate::plan::Problem;

const KNOWN: &[&str] =
    &["host", "hostname", "labels", "memory", "cpu", "tags", "position", "ssh_port", "ssh_user"];

/// A worker and where its entry stands.
pub(super) struct Placed {
    pub(super) worker: Worker,
    /// Its host in the text.
    pub(super) span: Range<usize>,
}

/// All workers in the order of `position`, then host. Wrong entries are left out and reported.
pub(super) fn read(doc: &mut Doc<'_>) -> Vec<Placed> {
    let Some(node) = doc.parse() else { return Vec::new() };
    let Some(items) = doc.list(&node, "workers.json") else { return Vec::new() };
    let mut all: Vec<Placed> = Vec::with_capacity(items.len());
    let mut seen: BTreeMap<Host, Range<usize>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let Some(placed) = worker(doc, item, index) else { continue };
        if let Some(first) = seen.get(&placed.worker.host) {
            let message = format!("the host {} is there twice", placed.worker.host);
            let problem = Problem::error("maand::bucket::duplicate_host", message)
                .at(doc.source, placed.span.clone(), "again")
                .at(doc.source, first.clone(), "first here")
                .help("remove one of the two entries");
            doc.push(problem);
            continue;
        }
        seen.insert(placed.worker.host.clone(), placed.span.clone());
        all.push(placed);
    }
    all.sort_by(|a, b| (a.worker.position, &a.worker.host).cmp(&(b.worker.position, &b.worker.host)));
    all
}

fn worker(doc: &mut Doc<'_>, item: &Node, index: usize) -> Option<Placed> {
    let fields = doc.object(item, "a worker", KNOWN)?;
    let host = match fields.get("host") {
        Some(node) => host(doc, node).map(|host| (host, node.span.clone())),
        None => {
            doc.error(
                "maand::bucket::missing_key",
                "a worker has no `host`",
                &(fields.span.start..fields.span.start + 1),
                "this one",
                "add \"host\": \"10.0.0.1\"",
            );
            None
        }
    };
    let mut worker = Worker {
        host: Host::parse("0")?,
        labels: BTreeSet::from(["worker".to_owned()]),
        tags: BTreeMap::new(),
        position: index as i64,
        memory_mb: 0.0,
        cpu_mhz: 0.0,
        hostname: None,
        ssh_port: None,
        ssh_user: None,
    };
    if let Some(node) = fields.get("labels") {
        let labels = doc.texts(node, "`labels`");
        worker.labels.extend(labels.into_iter().map(|(label, _)| label.to_lowercase()));
    }
    if let Some(node) = fields.get("tags") {
        worker.tags = tags(doc, node);
    }
    if let Some(node) = fields.get("memory") {
        worker.memory_mb = doc.amount(node, "`memory`", Unit::Memory).unwrap_or(0.0);
    }
    if let Some(node) = fields.get("cpu") {
        worker.cpu_mhz = doc.amount(node, "`cpu`", Unit::Cpu).unwrap_or(0.0);
    }
    if let Some(node) = fields.get("position") {
        let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
        worker.position = doc.integer(node, "`position`", range).unwrap_or(worker.position);
    }
    if let Some(node) = fields.get("hostname") {
        worker.hostname = doc.text(node, "`hostname`").map(|name| name.trim().to_owned());
    }
    if let Some(node) = fields.get("ssh_port") {
        worker.ssh_port = doc.integer(node, "`ssh_port`", 1..=65535).map(|port| port as u16);
    }
    if let Some(node) = fields.get("ssh_user") {
        worker.ssh_user = doc.text(node, "`ssh_user`").map(str::to_owned);
        if worker.ssh_user.as_deref().is_some_and(|user| !is_user(user)) {
            doc.error(
                "maand::bucket::bad_value",
                "`ssh_user` is no user name",
                &node.span,
                "this",
                "letters, digits, `.`, `_` and `-`",
            );
        }
    }
    let (host, span) = host?;
    worker.host = host;
    Some(Placed { worker, span })
}

fn host(doc: &mut Doc<'_>, node: &Node) -> Option<Host> {
    let text = doc.text(node, "`host`")?;
    let host = Host::parse(text.trim());
    if host.is_none() {
        doc.error(
            "maand::bucket::invalid_host",
            format!("{} is no host name", quoted(&text.chars().take(80).collect::<String>())),
            &node.span,
            "this",
            "an address or a name: letters, digits, `.`, `_`, `:` and `-`, starting with a letter or digit",
        );
    }
    host
}

fn tags(doc: &mut Doc<'_>, node: &Node) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let Some(fields) = doc.object(node, "`tags`", &[]) else { return all };
    for member in fields.iter() {
        if let Some(value) = doc.text(&member.value, &format!("the tag `{}`", member.key)) {
            all.insert(member.key.trim().to_lowercase(), value.trim().to_lowercase());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Source;

    fn codes(text: &str) -> Vec<(usize, &'static str)> {
        let source = Source::new("workers.json", text);
        let mut doc = Doc::new(&source);
        read(&mut doc);
        doc.finish().iter().map(|p| (p.place().map_or(0, |at| at.1), p.code)).collect()
    }

    #[test]
    fn upstreams_forms_are_read() {
        let text = r#"[{"host": "10.0.0.2", "labels": ["API", "worker"], "memory": "8 gb", "cpu": 4000,
            "tags": {"Zone": "A"}, "rack": 7}, {"host": "10.0.0.1", "position": 0, "labels": null}]"#;
        let source = Source::new("workers.json", text);
        let mut doc = Doc::new(&source);
        let all = read(&mut doc);
        assert!(doc.finish().is_empty());
        let hosts: Vec<_> = all.iter().map(|p| p.worker.host.as_str()).collect();
        assert_eq!(hosts, ["10.0.0.1", "10.0.0.2"], "same position: by host");
        let worker = &all[1].worker;
        assert_eq!(worker.labels, BTreeSet::from(["api".to_owned(), "worker".to_owned()]));
        assert_eq!((worker.memory_mb, worker.cpu_mhz), (8192.0, 4000.0));
        assert_eq!(worker.tags.get("zone").map(String::as_str), Some("a"));
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        let text = "[\n{\"host\": \"-oProxyCommand=x\"},\n{\"labels\": [1, \"\"]},\n{\"host\": \"a\", \"memory\": \"much\"},\n\
            {\"host\": \"a\"},\n{\"host\": \"b\", \"ssh_port\": 0, \"position\": \"1\", \"lables\": []},\n7,\n\
            {\"host\": \"c\", \"host\": \"d\"},\n{\"host\": \"../x\", \"ssh_user\": \"-x\", \"tags\": {\"a\": 1}}\n]";
        assert_eq!(
            codes(text),
            [
                (2, "maand::bucket::invalid_host"),
                (3, "maand::bucket::missing_key"),
                (3, "maand::bucket::wrong_type"),
                (3, "maand::bucket::bad_value"),
                (4, "maand::bucket::bad_value"),
                (5, "maand::bucket::duplicate_host"),
                (6, "maand::bucket::unknown_key"),
                (6, "maand::bucket::wrong_type"),
                (6, "maand::bucket::bad_value"),
                (7, "maand::bucket::wrong_type"),
                (8, "maand::bucket::duplicate_key"),
                (9, "maand::bucket::invalid_host"),
                (9, "maand::bucket::wrong_type"),
                (9, "maand::bucket::bad_value"),
            ]
        );
    }

    #[test]
    fn a_million_mistakes_are_counted_not_kept() {
        let text = format!("[{}0]", "0,".repeat(200_000));
        let found = codes(&text);
        assert_eq!((found.len(), found[100].1), (101, "maand::bucket::more_problems"));
    }
}
