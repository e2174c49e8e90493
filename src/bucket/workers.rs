//! `workspace/workers.json`: the list of workers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::fields::Doc;
use super::fleet::{Host, Worker};
use super::json::{Json, Node, quoted};
use super::settings::is_user;
use super::units::Unit;
use crate::plan::Problem;

const KNOWN: &[&str] =
    &["host", "hostname", "labels", "memory", "cpu", "tags", "position", "ssh_port", "ssh_user"];

/// More workers than this are refused, and more labels or tags of one: no fleet has them, and a checkout may have any file.
const MAX_WORKERS: usize = 50_000;
const MAX_WORDS: usize = 1_000;

/// A worker and where its entry stands.
pub(super) struct Placed {
    pub(super) worker: Worker,
    /// Its host in the text.
    pub(super) span: Range<usize>,
}

/// All workers in the order of `position`, then host. Wrong entries are left out and reported.
pub(super) fn read(doc: &mut Doc<'_>) -> Vec<Placed> {
    let Some(node) = doc.parse() else { return Vec::new() };
    if doc.list(&node, "workers.json").is_none() {
        return Vec::new();
    }
    let Json::Array(items) = node.value else { return Vec::new() };
    if items.len() > MAX_WORKERS {
        let message = format!("workers.json has {} entries, more than {MAX_WORKERS}", items.len());
        let begin = node.span.start..node.span.start + 1;
        let help = "make several buckets of the fleet";
        doc.error("maand::bucket::bad_value", message, &begin, "this list", help);
        return Vec::new();
    }
    let mut all: Vec<Placed> = Vec::with_capacity(items.len());
    let mut seen: BTreeMap<Host, Range<usize>> = BTreeMap::new();
    let mut shared = Shared::default();
    // Each entry goes as soon as it has been read.
    for (index, item) in items.into_iter().enumerate() {
        let Some(placed) = worker(doc, &item, index, &mut shared) else { continue };
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

/// Labels and tags that earlier workers had.
#[derive(Default)]
struct Shared {
    labels: BTreeSet<Arc<BTreeSet<String>>>,
    tags: BTreeSet<Arc<BTreeMap<String, String>>>,
}

fn share<T: Ord>(all: &mut BTreeSet<Arc<T>>, one: T) -> Arc<T> {
    match all.get(&one) {
        Some(shared) => Arc::clone(shared),
        None => {
            let shared = Arc::new(one);
            all.insert(Arc::clone(&shared));
            shared
        }
    }
}

fn worker(doc: &mut Doc<'_>, item: &Node, index: usize, shared: &mut Shared) -> Option<Placed> {
    let fields = doc.object(item, "a worker", KNOWN)?;
    let host = match fields.get("host") {
        Some(node) => host(doc, node).map(|(host, port)| (host, port, node.span.clone())),
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
    let mut worker = Worker { position: index as i64, ..Worker::new(Host::parse("0")?) };
    let labels = fields.get("labels").filter(|node| are_few(doc, node, "labels"));
    let labels = labels.map(|node| doc.texts(node, "`labels`")).unwrap_or_default();
    let labels = labels.into_iter().map(|(label, _)| label.to_lowercase());
    let labels: BTreeSet<String> = labels.chain(["worker".to_owned()]).collect();
    worker.labels = share(&mut shared.labels, labels);
    if let Some(node) = fields.get("tags").filter(|node| are_few(doc, node, "tags")) {
        worker.tags = share(&mut shared.tags, tags(doc, node));
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
    let (host, port, span) = host?;
    if let Some(port) = port {
        if worker.ssh_port.is_some_and(|stated| stated != port) {
            let message = format!("{host} has the port {port} behind its address, and another `ssh_port`");
            doc.error("maand::bucket::bad_value", message, &span, "this", "leave one of them out");
        }
        worker.ssh_port = Some(port);
    }
    worker.host = host;
    Some(Placed { worker, span })
}

/// The host, and the port where it stands behind it: `[::1]:2222`.
fn host(doc: &mut Doc<'_>, node: &Node) -> Option<(Host, Option<u16>)> {
    let text = doc.text(node, "`host`")?.trim();
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((inner, port)) => (inner, port.parse().ok().filter(|port| *port != 0)),
        None => (text, None),
    };
    let host = Host::parse(name).filter(|host| {
        let has_brackets = name.len() < text.len() || host.as_str().len() < name.len();
        // Anything else with a colon is a port behind a name, which nothing could connect to.
        let is_plain = host.is_ipv6() || !(has_brackets || name.contains(':'));
        is_plain && (port.is_some() || name.len() == text.len())
    });
    let Some(host) = host else {
        let shown = text.chars().take(80).collect::<String>();
        let is_name = text.rsplit_once(':').filter(|(name, port)| {
            Host::parse(name).is_some_and(|name| !name.as_str().contains(':')) && port.parse::<u16>().is_ok()
        });
        let help = match is_name {
            Some((name, port)) => {
                format!("the port stands in a key of its own: \"host\": {}, \"ssh_port\": {port}", quoted(name))
            }
            None => "an address or a name: letters, digits, `.`, `_` and `-`, starting with a letter or digit; or an \
                     address of IPv6 such as \"::1\""
                .to_owned(),
        };
        doc.error(
            "maand::bucket::invalid_host",
            format!("{} is no host name", quoted(&shown)),
            &node.span,
            "this",
            help,
        );
        return None;
    };
    Some((host, port))
}

fn are_few(doc: &mut Doc<'_>, node: &Node, what: &str) -> bool {
    let number = match &node.value {
        Json::Array(items) => items.len(),
        Json::Object(members) => members.len(),
        _ => 0,
    };
    if number > MAX_WORDS {
        let message = format!("a worker has {number} {what}, more than {MAX_WORDS}");
        let begin = node.span.start..node.span.start + 1;
        doc.error("maand::bucket::bad_value", message, &begin, "these", "leave most of them out");
    }
    number <= MAX_WORDS
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
        assert_eq!(*worker.labels, BTreeSet::from(["api".to_owned(), "worker".to_owned()]));
        assert_eq!((worker.memory_mb, worker.cpu_mhz), (8192.0, 4000.0));
        assert_eq!(worker.tags.get("zone").map(String::as_str), Some("a"));
    }

    #[test]
    fn addresses_of_ipv6_and_their_ports() {
        let text = r#"[{"host": "::1"}, {"host": "[::2]"}, {"host": "[::3]:2222"}, {"host": "fe80::1%eth0"},
            {"host": "[::4]:22", "ssh_port": 22}, {"host": "2001:DB8::1"}, {"host": "::ffff:10.0.0.1"}]"#;
        let source = Source::new("workers.json", text);
        let mut doc = Doc::new(&source);
        let all = read(&mut doc);
        assert!(doc.finish().is_empty());
        let found: Vec<_> = all.iter().map(|p| (p.worker.host.as_str(), p.worker.ssh_port)).collect();
        let expected = [
            ("::1", None),
            ("::2", None),
            ("::3", Some(2222)),
            ("fe80::1%eth0", None),
            ("::4", Some(22)),
            ("2001:DB8::1", None),
            ("::ffff:10.0.0.1", None),
        ];
        assert_eq!(found, expected);
        for bad in [
            ":",
            "::",
            "[::1",
            "::1]",
            "[]",
            "[]:22",
            "[::1]:",
            "[::1]:0",
            "[::1]:65536",
            "[::1]22",
            "[w1]",
            "[w1]:22",
            "w1:22",
            "10.0.0.1:22",
            "1:2:3",
            "::1%",
            "::1%a/b",
            "fe80::1%25eth0%",
            "::1:22222",
            "[[::1]]",
            "[::1]:2:2",
        ] {
            let text = format!("[{{\"host\": \"{bad}\"}}]");
            assert_eq!(codes(&text), [(1, "maand::bucket::invalid_host")], "{bad}");
        }
        assert_eq!(codes(r#"[{"host": "[::1]:5", "ssh_port": 6}]"#), [(1, "maand::bucket::bad_value")]);
        assert_eq!(codes(r#"[{"host": "::1"}, {"host": "[::1]"}]"#), [(1, "maand::bucket::duplicate_host")]);
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
    fn no_file_is_a_fleet_of_any_size() {
        let many = |n: usize| format!("[{}]", vec!["{\"host\": \"a\"}"; n].join(","));
        assert_eq!(codes(&many(MAX_WORKERS + 1)), [(1, "maand::bucket::bad_value")]);
        let words = |n: usize| {
            let labels: Vec<_> = (0..n).map(|n| format!("\"l{n}\"")).collect();
            let tags: Vec<_> = (0..n).map(|n| format!("\"t{n}\": \"v\"")).collect();
            format!(
                "[{{\"host\": \"a\", \"labels\": [{}], \"tags\": {{{}}}}}]",
                labels.join(","),
                tags.join(",")
            )
        };
        assert!(codes(&words(MAX_WORDS)).is_empty());
        assert_eq!(codes(&words(MAX_WORDS + 1)), [(1, "maand::bucket::bad_value"); 2]);
    }

    #[test]
    fn many_mistakes_are_counted_not_kept() {
        let text = format!("[{}0]", "0,".repeat(40_000));
        let found = codes(&text);
        assert_eq!((found.len(), found[100].1), (101, "maand::bucket::more_problems"));
    }
}
