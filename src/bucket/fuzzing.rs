//! What fuzzers call of this room.

use std::collections::BTreeMap;
use std::path::Path;

use super::conf;
use super::disabled;
use super::edit::{self, DisabledEntry, Wish};
use super::fields::Doc;
use super::fleet::{Disabled, Host, JobName, Worker};
use super::json::{self, Json, Node};
use super::manifest;
use super::settings::{Settings, is_user};
use super::workers;
use crate::fuzzing::{can_be_shown, choice, is_fit_to_print};
use crate::plan::{Source, is_host_name, source_from_bytes};

/// Reads bytes as a file of this name, shows what is wrong, and answers with what is right.
fn read<T>(name: &str, bytes: &[u8], take: impl FnOnce(&mut Doc<'_>) -> T) -> Option<T> {
    let source = source_from_bytes(name, bytes).ok()?;
    let mut doc = Doc::new(&source);
    let taken = take(&mut doc);
    let problems = doc.finish();
    can_be_shown(source.text(), problems.iter());
    (!problems.has_errors()).then_some(taken)
}

/// `maand.conf`, and the two small files of the workspace.
pub(crate) fn conf(bytes: &[u8]) {
    let (which, bytes) = choice(bytes, 3);
    match which {
        0 => {
            let bucket = Path::new("/bucket");
            let Some(settings) = read("maand.conf", bytes, |doc| Settings::read(doc, bucket)) else { return };
            assert!(
                is_user(&settings.ssh_user) && !settings.ssh_user.starts_with('-'),
                "{}",
                settings.ssh_user
            );
            assert!(settings.worker_root.is_absolute() && settings.ssh_key.is_absolute());
            assert!(
                settings.ssh_port > 0 && settings.max_handshakes > 0 && !settings.connect_timeout.is_zero()
            );
            assert!(settings.time_scale() > 0);
            if let Some(power) = &settings.power {
                let worker = Host::parse("w1").map(Worker::new);
                let worker = worker.map(|worker| Worker {
                    tags: BTreeMap::from([("bmc".to_owned(), "fd00::1".to_owned())]).into(),
                    ..worker
                });
                if let Some(Ok(url)) = worker.as_ref().and_then(|worker| power.url_of(worker)) {
                    let is_here = ["http://127.", "http://[::1]", "http://localhost"];
                    assert!(
                        url.starts_with("https://") || is_here.iter().any(|here| url.starts_with(here)),
                        "{url}"
                    );
                    assert!(!url[8..].contains(['/', '@', '?', '#', ' ']) && !url.ends_with('/'), "{url}");
                }
            }
            let again = read("maand.conf", bytes, |doc| Settings::read(doc, bucket));
            assert_eq!(again.map(|again| again.stated().clone()).as_ref(), Some(settings.stated()));
        }
        1 => {
            if let Some(ports) = read("bucket.conf", bytes, conf::port_range) {
                assert!(ports.start() <= ports.end() && *ports.start() > 0);
            }
        }
        _ => {
            for (_, found) in read("bucket.jobs.conf", bytes, conf::reservations).into_iter().flatten() {
                for (amount, _) in found.memory_mb.iter().chain(&found.cpu_mhz) {
                    assert!(amount.is_finite() && *amount >= 0.0);
                }
            }
        }
    }
}

/// `workers.json`: hosts are names, each once, in order.
pub(crate) fn workers(bytes: &[u8]) {
    as_serde_reads(bytes);
    let Some(all) = read("workers.json", bytes, workers::read) else { return };
    for placed in &all {
        let worker = &placed.worker;
        assert!(is_host_name(worker.host.as_str()), "{}", worker.host);
        assert!(worker.memory_mb.is_finite() && worker.memory_mb >= 0.0, "{}", worker.memory_mb);
        assert!(worker.cpu_mhz.is_finite() && worker.cpu_mhz >= 0.0, "{}", worker.cpu_mhz);
        assert!(worker.ssh_port != Some(0));
        assert_eq!(Host::parse(worker.host.as_str()).as_ref(), Some(&worker.host));
    }
    assert!(all.is_sorted_by_key(|placed| (placed.worker.position, placed.worker.host.clone())));
    let hosts: std::collections::BTreeSet<&Host> = all.iter().map(|placed| &placed.worker.host).collect();
    assert_eq!(hosts.len(), all.len(), "a host is there twice");
}

/// A job's manifest.
pub(crate) fn manifest(bytes: &[u8]) {
    let Some(name) = JobName::parse("api") else { return };
    let Some(Some(placed)) = read("manifest.json", bytes, |doc| manifest::read(doc, &name)) else { return };
    let job = placed.job;
    assert_eq!(job.name, name);
    assert!(job.max_concurrent_upgrades > 0);
    is_fit_to_print(&job.version);
    for port in placed.ports.keys() {
        let variable = manifest::port_variable(port);
        assert!(variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{variable}");
    }
    assert!(super::path_globs(&job.restart_globs).is_ok(), "{:?}", job.restart_globs);
}

/// `disabled.json`: what is added can be taken away again, and what operators have written stays.
pub(crate) fn disabled(bytes: &[u8]) {
    let (which, bytes) = choice(bytes, 4);
    as_serde_reads(bytes);
    read("disabled.json", bytes, disabled::read);
    let Ok(source) = source_from_bytes("disabled.json", bytes) else { return };
    let Some(entries) = entries(which) else { return };
    let Ok(added) = edit::apply(Some(&source), &entries, Wish::Present) else { return };
    let there = Source::new("disabled.json", added.text.clone());
    let again = edit::apply(Some(&there), &entries, Wish::Present);
    let Ok(again) = again else { panic!("what was made cannot be read: {}", added.text) };
    assert_eq!((again.text, again.changed.contains(&true)), (added.text.clone(), false), "added twice");
    let new: Vec<DisabledEntry> = entries
        .iter()
        .zip(&added.changed)
        .filter(|(_, changed)| **changed)
        .map(|(entry, _)| entry.clone())
        .collect();
    let Ok(removed) = edit::apply(Some(&there), &new, Wish::Absent) else {
        panic!("what was made cannot be edited: {}", added.text)
    };
    assert!(removed.changed.iter().all(|changed| *changed), "an entry that was added is not there");
    let made = edit::keys_made(Some(source.text()), &added.text);
    let back = edit::without_empty(&removed.text, &made);
    let (before, after) = (meaning(source.text()), meaning(&back));
    assert_eq!(before, after, "{} became {back}", source.text());
}

fn entries(which: u8) -> Option<Vec<DisabledEntry>> {
    let (host, job) = (Host::parse("w1")?, JobName::parse("api")?);
    let worker = DisabledEntry::Worker(host.clone());
    let allocation = DisabledEntry::Allocation(job, host);
    Some(match which {
        0 => vec![worker],
        1 => vec![allocation],
        2 => vec![worker, allocation],
        _ => vec![allocation, DisabledEntry::Worker(Host::parse("w2")?), worker],
    })
}

/// What a text says: who is disabled, and what else stands there.
fn meaning(text: &str) -> Option<(Disabled, serde_json::Value)> {
    let source = Source::new("disabled.json", text);
    let mut doc = Doc::new(&source);
    let read = disabled::read(&mut doc);
    let mut others: serde_json::Value =
        serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)).ok()?;
    for key in ["workers", "jobs"] {
        others.as_object_mut()?.remove(key);
    }
    (!doc.finish().has_errors()).then_some((read.disabled, others))
}

/// Our reader of JSON, which knows places, takes what serde_json takes, with the same values.
fn as_serde_reads(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ours = json::parse(text);
    let theirs = serde_json::from_str::<serde_json::Value>(text.strip_prefix('\u{feff}').unwrap_or(text));
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => same(text, ours, theirs),
        (Ok(_), Err(error)) => {
            // It knows numbers up to a size, and its stack fewer brackets.
            let words = error.to_string();
            assert!(
                words.contains("out of range") || words.contains("recursion"),
                "only we read {text:?}: {words}"
            );
        }
        (Err(error), Ok(_)) => {
            let known = error.message.contains("deeper") || error.message.contains("more than");
            assert!(known, "we refuse {text:?}: {}", error.message);
        }
        (Err(error), Err(_)) => assert!(text.get(error.span.clone()).is_some(), "{:?}", error.span),
    }
}

fn same(text: &str, ours: &Node, theirs: &serde_json::Value) {
    use serde_json::Value;
    assert!(text.get(ours.span.clone()).is_some());
    match (&ours.value, theirs) {
        (Json::Null, Value::Null) => {}
        (Json::Bool(one), Value::Bool(other)) => assert_eq!(one, other),
        (Json::String(one), Value::String(other)) => assert_eq!(**one, **other),
        (Json::Number(one), Value::Number(other)) => {
            assert_eq!(serde_json::from_str::<serde_json::Number>(one).ok().as_ref(), Some(other), "{one}");
        }
        (Json::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len());
            one.iter().zip(other).for_each(|(one, other)| same(text, one, other));
        }
        (Json::Object(members), Value::Object(other)) => {
            for member in members {
                assert!(text.get(member.key_span.clone()).is_some());
                let Some(value) = other.get(&*member.key) else { panic!("no {}", member.key) };
                // Of a key that is there twice they keep the last one.
                if members.iter().filter(|same| same.key == member.key).count() == 1 {
                    same(text, &member.value, value);
                }
            }
        }
        _ => panic!("{:?} and {theirs}", ours.value),
    }
}
