//! The difference as text: what comes, what goes, what is another one, what stays and what was not taken.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;

use super::propose::Proposal;
use crate::bucket::{LeftThere, Worker};
use crate::inventory::NotTaken;
use crate::plan::{counted, visible_line};

/// Of more workers the first ones are shown; JSON has all of them.
const WORKERS_SHOWN: usize = 40;

/// Of more hosts with the same thing the first ones are named.
const HOSTS_SHOWN: usize = 3;

pub(super) fn render(proposal: &Proposal<'_>) -> String {
    let Proposal { found, edited, difference } = proposal;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let is_new: HashSet<&str> = difference.added.iter().map(String::as_str).collect();
    let added = edited.after.iter().filter(|worker| is_new.contains(worker.host.as_str()));
    let added = added.map(|worker| format!("+ {}{}", worker.host, described(worker)));
    let removed = difference.removed.iter().map(|host| format!("- {host}"));
    let changed =
        difference.changed.iter().map(|(host, changes)| format!("~ {host}  {}", changes.join("; ")));
    let lines: Vec<String> = added.chain(removed).chain(changed).collect();
    let source = visible_line(&found.source);
    if lines.is_empty() {
        let workers = counted(edited.after.len(), "worker");
        let _ = writeln!(
            text,
            "workspace/workers.json has what {source} says: {workers}, and nothing to change."
        );
    } else {
        let _ = writeln!(text, "workspace/workers.json, as {source} has it:");
    }
    for line in lines.iter().take(WORKERS_SHOWN) {
        let _ = writeln!(text, "  {}", visible_line(line));
    }
    if lines.len() > WORKERS_SHOWN {
        let more = lines.len() - WORKERS_SHOWN;
        let _ = writeln!(text, "  and {more} more; --output json has all of them");
    }
    if !lines.is_empty() {
        let touched = difference.added.len() + difference.changed.len();
        let same = counted(edited.after.len() - touched, "worker");
        let _ = writeln!(
            text,
            "{} added, {} removed, {} changed; {same} as before.",
            difference.added.len(),
            difference.removed.len(),
            difference.changed.len()
        );
    }
    left(&edited.left, &mut text);
    not_taken(&found.import.not_taken, &mut text);
    text
}

/// `  labels prod, web; tag zone a; port 2222; user deploy`.
fn described(worker: &Worker) -> String {
    let labels: Vec<&str> =
        worker.labels.iter().map(String::as_str).filter(|label| *label != "worker").collect();
    let mut parts = Vec::new();
    if !labels.is_empty() {
        parts.push(format!("labels {}", labels.join(", ")));
    }
    parts.extend(worker.tags.iter().map(|(key, value)| format!("tag {key} {value}")));
    parts.extend(worker.ssh_port.map(|port| format!("port {port}")));
    parts.extend(worker.ssh_user.iter().map(|user| format!("user {user}")));
    parts.extend(worker.hostname.iter().map(|name| format!("called {name}")));
    if parts.is_empty() { String::new() } else { format!("  {}", parts.join("; ")) }
}

fn left(left: &[LeftThere], text: &mut String) {
    if left.is_empty() {
        return;
    }
    let _ = writeln!(text, "It does not have, and these stay (--remove takes them out):");
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in left {
        let (what, host) = match one {
            LeftThere::Worker(host) => ("workers".to_owned(), host),
            LeftThere::Label(name, host) => (format!("label {name} of"), host),
            LeftThere::Tag(name, host) => (format!("tag {name} of"), host),
        };
        of.entry(what).or_default().push(host.to_string());
    }
    for (what, hosts) in of {
        let _ = writeln!(text, "  {} {}", visible_line(&what), some(&hosts));
    }
}

fn not_taken(all: &[NotTaken], text: &mut String) {
    if all.is_empty() {
        return;
    }
    let _ = writeln!(text, "Not taken:");
    let reasons: BTreeSet<(&str, &str)> = all.iter().map(|one| (one.why, one.help)).collect();
    for (why, help) in reasons {
        for one in all.iter().filter(|one| (one.why, one.help) == (why, help)) {
            let at = if one.hosts.is_empty() { String::new() } else { format!(" ({})", some(&one.hosts)) };
            let _ = writeln!(text, "  {}{at}", visible_line(&one.what));
        }
        let _ = writeln!(text, "    {why}: {help}");
    }
}

/// The first ones, and how many there are more.
fn some(hosts: &[String]) -> String {
    let named: Vec<String> = hosts.iter().take(HOSTS_SHOWN).map(|host| visible_line(host)).collect();
    match hosts.len().saturating_sub(HOSTS_SHOWN) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
