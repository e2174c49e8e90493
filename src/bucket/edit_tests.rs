//! Examples and properties of the edits of `disabled.json`.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn worker(host: &str) -> DisabledEntry {
    DisabledEntry::Worker(Host::parse(host).unwrap())
}

fn allocation(job: &str, host: &str) -> DisabledEntry {
    DisabledEntry::Allocation(JobName::parse(job).unwrap(), Host::parse(host).unwrap())
}

fn edit(text: &str, entries: &[DisabledEntry], wish: Wish) -> (String, Vec<bool>) {
    let edited = apply(Some(&Source::new("disabled.json", text)), entries, wish).unwrap();
    (edited.text, edited.changed)
}

#[test]
fn the_files_own_formatting_is_kept() {
    let text = "{\n    \"note\": \"mine\",\n    \"workers\": [\n        \"10.0.0.1\"\n    ]\n}\n";
    let (with, _) = edit(text, &[worker("h2"), allocation("api", "h3")], Wish::Present);
    assert_eq!(
        with,
        "{\n    \"note\": \"mine\",\n    \"workers\": [\n        \"10.0.0.1\",\n        \"h2\"\n    ],\n    \
         \"jobs\": {\"api\": {\"allocations\": [\"h3\"]}}\n}\n"
    );
    let (without, _) = edit(&with, &[worker("h2"), allocation("api", "h3")], Wish::Absent);
    assert_eq!(without, text.replace("]\n}", "],\n    \"jobs\": {}\n}"));
    let (flat, _) = edit("{\"workers\":[]}", &[worker("a"), worker("b")], Wish::Present);
    assert_eq!(flat, "{\"workers\":[\"a\", \"b\"]}");
    let new = apply(None, &[worker("a")], Wish::Present).unwrap();
    assert_eq!(new.text, "{\n  \"workers\": [\"a\"]\n}\n");
}

#[test]
fn a_whole_job_that_an_operator_disabled_stays() {
    for text in [
        "{\"jobs\": {\"api\": {}}}",
        "{\"jobs\": {\"api\": {\"allocations\": []}}}",
        "{\"jobs\": {\"api\": {\"allocations\": null}}}",
    ] {
        for wish in [Wish::Present, Wish::Absent] {
            assert_eq!(edit(text, &[allocation("api", "h")], wish), (text.to_owned(), vec![false]));
        }
    }
}

#[test]
fn with_our_last_host_the_job_goes() {
    let text = "{\"jobs\": {\"api\": {\"allocations\": [\"h\"]}, \"db\": {}}}";
    let (after, changed) = edit(text, &[allocation("api", "h")], Wish::Absent);
    assert_eq!((after.as_str(), changed), ("{\"jobs\": {\"db\": {}}}", vec![true]));
}

#[test]
fn what_an_operator_added_as_well_stays_once() {
    let (after, _) = edit("{\"workers\": [\"h\", \"x\", \"h\"]}", &[worker("h")], Wish::Absent);
    assert_eq!(after, "{\"workers\": [\"h\", \"x\"]}");
    let text = "{\"jobs\": {\"api\": {\"allocations\": [\"h\", \"h\"]}}}";
    let (after, _) = edit(text, &[allocation("api", "h")], Wish::Absent);
    assert_eq!(after, "{\"jobs\": {\"api\": {\"allocations\": [\"h\"]}}}");
}

#[test]
fn a_broken_file_is_not_touched() {
    for text in ["", "{", "[]", "{\"workers\": {}}", "{\"jobs\": 1}"] {
        assert!(apply(Some(&Source::new("d", text)), &[worker("h")], Wish::Present).is_err(), "{text}");
    }
    assert_eq!(edit("{\"workers\": null}", &[worker("h")], Wish::Present).0, "{\"workers\": [\"h\"]}");
}

/// A job's name, its `allocations` where it has some, and whether it has a note of an operator's.
type JobEntry = (u8, Option<Vec<u8>>, bool);

/// A model of the file: what is in its lists, in order, and what else it has.
#[derive(Clone, Debug)]
struct Model {
    workers: Option<Vec<u8>>,
    jobs: Option<Vec<JobEntry>>,
    note: bool,
    pretty: bool,
}

fn model() -> impl Strategy<Value = Model> {
    let hosts = || prop::collection::vec(0u8..4, 0..4);
    let job = (prop::option::of(hosts()), any::<bool>());
    let jobs = prop::collection::btree_map(0u8..3, job, 0..3)
        .prop_map(|jobs| jobs.into_iter().map(|(name, (hosts, note))| (name, hosts, note)).collect());
    (prop::option::of(hosts()), prop::option::of(jobs), any::<bool>(), any::<bool>())
        .prop_map(|(workers, jobs, note, pretty)| Model { workers, jobs, note, pretty })
}

impl Model {
    fn text(&self) -> String {
        let names = |hosts: &Vec<u8>| hosts.iter().map(|h| format!("h{h}")).collect::<serde_json::Value>();
        let mut root = serde_json::Map::new();
        if self.note {
            root.insert("note".into(), serde_json::json!({"workers": ["h0"], "jobs": [","]}));
        }
        if let Some(jobs) = &self.jobs {
            let mut all = serde_json::Map::new();
            for (name, hosts, note) in jobs {
                let mut job = serde_json::Map::new();
                if *note {
                    job.insert("why".into(), "a, b".into());
                }
                if let Some(hosts) = hosts {
                    job.insert("allocations".into(), names(hosts));
                }
                all.insert(format!("j{name}"), job.into());
            }
            root.insert("jobs".into(), all.into());
        }
        if let Some(workers) = &self.workers {
            root.insert("workers".into(), names(workers));
        }
        let root = serde_json::Value::Object(root);
        if self.pretty { format!("{root:#}\n") } else { root.to_string() }
    }
}

fn entries() -> impl Strategy<Value = Vec<DisabledEntry>> {
    let one = prop_oneof![
        (0u8..4).prop_map(|h| worker(&format!("h{h}"))),
        (0u8..3, 0u8..4).prop_map(|(j, h)| allocation(&format!("j{j}"), &format!("h{h}"))),
    ];
    prop::collection::vec(one, 0..6)
}

/// All that the file says besides whether entries are there: for "nothing else was touched".
fn says(text: &str) -> (crate::bucket::Disabled, Vec<String>) {
    let source = Source::new("d", text);
    let mut doc = Doc::new(&source);
    let read = disabled::read(&mut doc);
    assert!(!doc.finish().has_errors(), "{text}");
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut other = vec![value.get("note").map(ToString::to_string).unwrap_or_default()];
    if let Some(jobs) = value.get("jobs").and_then(|jobs| jobs.as_object()) {
        other.extend(jobs.iter().filter_map(|(name, job)| Some(format!("{name} {}", job.get("why")?))));
    }
    (read.disabled, other)
}

fn covers(disabled: &crate::bucket::Disabled, entry: &DisabledEntry) -> bool {
    match entry {
        DisabledEntry::Worker(host) => disabled.workers.contains(host.as_str()),
        DisabledEntry::Allocation(job, host) => disabled
            .jobs
            .get(job.as_str())
            .is_some_and(|hosts| hosts.is_empty() || hosts.contains(host.as_str())),
    }
}

proptest! {
    #[test]
    fn disable_adds_what_is_asked_for_and_nothing_else(model in model(), ours in entries()) {
        let text = model.text();
        let (after, changed) = edit(&text, &ours, Wish::Present);
        let ((before, other), (now, other_now)) = (says(&text), says(&after));
        prop_assert_eq!(other, other_now);
        for entry in &ours {
            prop_assert!(covers(&now, entry), "{} lacks {:?}", after, entry);
        }
        // No entry is enabled, nor disabled beyond what was asked for.
        let asked: BTreeSet<_> = ours.iter().cloned().collect();
        for h in 0..4 {
            for entry in (0..3).map(|j| allocation(&format!("j{j}"), &format!("h{h}"))).chain([worker(&format!("h{h}"))]) {
                let expected = covers(&before, &entry) || asked.contains(&entry);
                prop_assert_eq!(covers(&now, &entry), expected, "{:?} in {} from {}", entry, after, text);
            }
        }
        prop_assert_eq!(changed.contains(&true), after != text);
    }

    #[test]
    fn enable_undoes_disable_and_leaves_what_people_wrote(model in model(), ours in entries()) {
        let text = model.text();
        let (with, changed) = edit(&text, &ours, Wish::Present);
        let added: Vec<_> = ours.iter().zip(changed).filter(|(_, new)| *new).map(|(e, _)| e.clone()).collect();
        let (after, removed) = edit(&with, &added, Wish::Absent);
        prop_assert!(removed.iter().all(|was| *was));
        prop_assert_eq!(says(&after), says(&text), "{} by way of {} became {}", text, with, after);
        let (again, removed) = edit(&after, &added, Wish::Absent);
        prop_assert_eq!(again, after);
        prop_assert!(!removed.contains(&true));
    }

    #[test]
    fn people_may_edit_in_between(first in model(), second in model(), ours in entries()) {
        // An operator replaces the file as a whole; enabling then removes at most ours.
        let (with, changed) = edit(&first.text(), &ours, Wish::Present);
        says(&with);
        let added: Vec<_> = ours.iter().zip(changed).filter(|(_, new)| *new).map(|(e, _)| e.clone()).collect();
        let (after, _) = edit(&second.text(), &added, Wish::Absent);
        let (before, _) = says(&second.text());
        let (now, _) = says(&after);
        for h in 0..4 {
            for entry in (0..3).map(|j| allocation(&format!("j{j}"), &format!("h{h}"))).chain([worker(&format!("h{h}"))]) {
                if !added.contains(&entry) {
                    prop_assert_eq!(covers(&now, &entry), covers(&before, &entry), "{:?}", entry);
                }
            }
        }
    }
}
