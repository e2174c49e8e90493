//! What fuzzers call of this room.

use std::collections::BTreeSet;

use super::{AnsibleOptions, Import, LeadsTo, ansible, listed, ssh_config};
use crate::bucket::{EditedWorkers, Host, Worker, edited_workers};
use crate::fuzzing::{can_be_shown, choice};
use crate::plan::{Problems, Source, visible_line};
use crate::ssh::HostLine;

/// An inventory, and behind a zero byte the `workers.json` that is there: what is imported is read again as it was said,
/// importing twice changes nothing, and what the inventory does not have stays, or goes where that is wished.
pub(crate) fn inventory(bytes: &[u8]) {
    let (which, bytes) = choice(bytes, 4);
    let text = String::from_utf8_lossy(bytes);
    let (said, there) = text.split_once('\0').map_or((&*text, None), |(said, there)| (said, Some(there)));
    let source = Source::new("inventory", said);
    let some =
        AnsibleOptions { tags: Some(BTreeSet::from(["rack".to_owned()])), groups: vec!["web*".to_owned()] };
    let import = match which {
        0 => ansible(&source, &AnsibleOptions::default()),
        1 => ansible(&source, &some),
        2 => listed(&source),
        _ => of_ssh_config(said),
    };
    let import = match import {
        Ok(import) => import,
        Err(problems) => return can_be_shown(said, problems.iter()),
    };
    let hosts: BTreeSet<String> = import.workers.iter().map(|entry| entry.host().folded()).collect();
    assert!(!hosts.is_empty() && hosts.len() == import.workers.len(), "a host is there twice");
    if which < 2 {
        for (tag, value) in import.workers.iter().flat_map(|entry| entry.worker().tags.iter()) {
            assert!(
                visible_line(value) == *value && visible_line(tag) == *tag && value.len() <= 800,
                "{tag}"
            );
            assert!(!value.contains("private key"), "a secret became the tag {tag}");
        }
    }
    let there = there.map(|text| Source::new("workers.json", text));
    for remove in [false, true] {
        match edited_workers(there.as_ref(), &import.workers, remove) {
            Ok(edited) => is_as_said(&import, &edited, remove),
            Err(problems) => {
                let text = there.as_ref().map_or("", Source::text);
                assert!(there.is_some() || problems.has_errors());
                problems.iter().filter(|problem| problem.file().is_none()).for_each(|problem| {
                    can_be_shown(text, [problem]);
                });
            }
        }
    }
}

fn is_as_said(import: &Import, edited: &EditedWorkers, remove: bool) {
    let source = Source::new("workers.json", edited.text.as_str());
    let again = edited_workers(Some(&source), &import.workers, remove);
    let Ok(again) = again else { panic!("what was made cannot be read: {}", edited.text) };
    assert_eq!((&again.text, &again.before, &again.after), (&edited.text, &edited.after, &edited.after));
    let find = |host: &Host, name: Option<&String>| -> Option<&Worker> {
        let by = |name: &str| edited.after.iter().find(|worker| worker.host.folded() == name);
        by(&host.folded()).or_else(|| by(&name?.to_lowercase()))
    };
    for entry in &import.workers {
        let said = entry.worker();
        let Some(worker) = find(entry.host(), said.hostname.as_ref()) else {
            panic!("{} is not there: {}", entry.host(), edited.text)
        };
        assert!(said.ssh_port.is_none() || worker.ssh_port == said.ssh_port, "{}", edited.text);
        assert!(said.ssh_user.is_none() || worker.ssh_user == said.ssh_user, "{}", edited.text);
        assert!(worker.labels.is_superset(&said.labels), "{}", edited.text);
        assert!(said.tags.iter().all(|(tag, value)| worker.tags.get(tag) == Some(value)), "{}", edited.text);
    }
    if remove {
        assert_eq!(edited.after.len(), import.workers.len(), "{}", edited.text);
        assert!(edited.left.is_empty(), "{:?}", edited.left);
    } else {
        let after: BTreeSet<String> = edited.after.iter().map(|worker| worker.host.folded()).collect();
        assert!(edited.before.iter().all(|worker| after.contains(&worker.host.folded())), "{}", edited.text);
    }
}

/// Lines of words: `host NAME..`, `match WORD..`, `nested NAME..`.
fn of_ssh_config(text: &str) -> Result<Import, Problems> {
    let line = |(number, line): (usize, &str)| {
        let mut words = line.split_whitespace();
        let keyword = words.next().unwrap_or_default();
        HostLine {
            place: format!("config:{}", number + 1),
            words: words.map(str::to_owned).collect(),
            is_match: keyword == "match",
            is_nested: keyword == "nested",
        }
    };
    let lines: Vec<HostLine> = text.lines().enumerate().map(line).collect();
    let leads_to = |host: &Host| match host.as_str() {
        "gone" => Err("it leads nowhere".to_owned()),
        name => Ok(LeadsTo {
            machine: name.trim_end_matches(char::is_numeric).to_lowercase(),
            port: (name.len() % 3 == 0).then_some(2222),
            user: (name.len() % 2 == 0).then(|| name.to_owned()),
        }),
    };
    ssh_config("config", &lines, &[], &leads_to)
}
