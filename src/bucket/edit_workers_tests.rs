use proptest::prelude::*;

use super::*;

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

fn words(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

fn pairs(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn edit(text: &str, entries: &[WorkerEntry], remove: bool) -> EditedWorkers {
    edited_workers(Some(&Source::new("workers.json", text)), entries, remove).unwrap()
}

/// As somebody has written it by hand.
const MINE: &str = r#"[
    {
        "host": "10.0.0.1",   "memory": "8 gb",
        "labels": [ "API", "gpu" ],
        "tags": {"Zone": "A", "rack": "r1"},
        "note": {"mine": [1,2]}
    },
    {"host": "10.0.0.2", "position": 7, "labels": null},
    {"host": "[::1]:2222"}
]
"#;

#[test]
fn what_is_not_spoken_of_stays_byte_for_byte() {
    let entries = [
        WorkerEntry::new(host("10.0.0.1"))
            .labels(words(&["api", "web"]))
            .tags(pairs(&[("zone", "b"), ("rack", "r1"), ("new", "x")]))
            .ssh_port(22)
            .called("db1"),
        WorkerEntry::new(host("10.0.0.2")).labels(words(&["web"])),
        WorkerEntry::new(host("0:0::1")).ssh_port(2223),
        WorkerEntry::new(host("10.0.0.9")).labels(words(&["worker"])).ssh_user("deploy"),
    ];
    let edited = edit(MINE, &entries, false);
    let expected = r#"[
    {
        "host": "10.0.0.1",   "memory": "8 gb",
        "labels": [ "API", "gpu", "web" ],
        "tags": {"Zone": "b", "rack": "r1", "new": "x"},
        "note": {"mine": [1,2]},   "hostname": "db1",   "ssh_port": 22
    },
    {"host": "10.0.0.2", "position": 7, "labels": ["web"]},
    {"host": "::1", "ssh_port": 2223},
    {"host": "10.0.0.9", "ssh_user": "deploy"}
]
"#;
    assert_eq!(edited.text, expected);
    assert_eq!(edited.left, [LeftThere::Label("gpu".to_owned(), host("10.0.0.1"))]);
    let again = edit(&edited.text, &entries, false);
    assert_eq!(again.text, edited.text, "a second time nothing is to be done");
}

#[test]
fn what_the_inventory_lacks_goes_only_when_it_is_to() {
    let entries = [WorkerEntry::new(host("10.0.0.1")).labels(words(&["api"])).tags(pairs(&[("zone", "a")]))];
    let kept = edit(MINE, &entries, false);
    assert_eq!(kept.text, MINE);
    assert_eq!(
        kept.left,
        [
            LeftThere::Worker(host("10.0.0.2")),
            LeftThere::Worker(host("::1")),
            LeftThere::Label("gpu".to_owned(), host("10.0.0.1")),
            LeftThere::Tag("rack".to_owned(), host("10.0.0.1")),
        ]
    );
    let gone = edit(MINE, &entries, true);
    assert_eq!(
        gone.text,
        r#"[
    {
        "host": "10.0.0.1",   "memory": "8 gb",
        "labels": [ "API" ],
        "tags": {"Zone": "A"},
        "note": {"mine": [1,2]}
    }
]
"#
    );
    assert!(gone.left.is_empty());
    let silent = edit(MINE, &[WorkerEntry::new(host("10.0.0.1"))], true);
    assert!(silent.text.contains(r#"[ "API", "gpu" ]"#), "of labels it says nothing: {}", silent.text);
}

#[test]
fn amounts_are_compared_and_not_their_spelling() {
    let list = |text: &str| worker_entries(&Source::new("printed", text)).unwrap().0;
    let same = list(r#"[{"host": "10.0.0.1", "memory": 8192, "labels": ["GPU", "api"], "note": 1}]"#);
    assert_eq!(edit(MINE, &same, false).text, MINE);
    let other = list(r#"[{"host": "10.0.0.1", "memory": "16 gb", "cpu": 4000, "position": 3}]"#);
    let edited = edit(MINE, &other, false);
    assert!(edited.text.contains(r#""memory": "16 gb""#), "{}", edited.text);
    assert!(edited.text.contains(r#""cpu": 4000,   "position": 3"#), "{}", edited.text);
    let (_, unknown) =
        worker_entries(&Source::new("printed", r#"[{"host": "a", "rack": 7, "labels": null}]"#)).unwrap();
    assert_eq!(unknown, BTreeMap::from([("rack".to_owned(), vec![host("a")])]));
}

#[test]
fn a_worker_that_is_there_by_its_name_is_not_added_by_its_address() {
    let entry = |host_is: &str, name: &str| WorkerEntry::new(host(host_is)).called(name).ssh_port(5);
    let text = "[{\"host\": \"DB1\"}]";
    let by_name = edit(text, &[entry("10.0.0.1", "db1")], false);
    assert_eq!(by_name.text, "[{\"host\": \"DB1\", \"ssh_port\": 5}]");
    // Where its address is there, or the name is the address of another one, it is that one.
    for (text, entries) in [
        ("[{\"host\": \"db1\"}, {\"host\": \"10.0.0.1\"}]", vec![entry("10.0.0.1", "db1")]),
        ("[{\"host\": \"db1\"}]", vec![entry("10.0.0.1", "db1"), WorkerEntry::new(host("db1"))]),
        ("[{\"host\": \"db1\"}]", vec![entry("10.0.0.2", "db1"), entry("10.0.0.1", "db1")]),
    ] {
        let edited = edit(text, &entries, false);
        let ports: Vec<_> =
            edited.after.iter().map(|worker| (worker.host.as_str(), worker.ssh_port)).collect();
        assert!(ports.contains(&("10.0.0.1", Some(5))), "{}", edited.text);
        assert_eq!(ports.len(), 2, "{}", edited.text);
    }
}

#[test]
fn a_broken_file_is_not_touched_and_none_is_an_empty_one() {
    for text in ["", "{}", "[", "[{\"host\": \"a\"}, {\"host\": \"a\"}]", "[{\"hostt\": 1}]"] {
        let source = Source::new("workers.json", text);
        assert!(edited_workers(Some(&source), &[WorkerEntry::new(host("a"))], false).is_err(), "{text}");
    }
    let made = edited_workers(None, &[WorkerEntry::new(host("a"))], false).unwrap();
    assert_eq!(made.text, "[\n  {\"host\": \"a\"}\n]\n");
    assert_eq!(edit("[{\"host\": \"W1\"}]", &[WorkerEntry::new(host("w1"))], false).after.len(), 1);
}

proptest! {
    #[test]
    fn entries_in_any_spelling_stay_readable(
        hosts in prop::collection::btree_set("[a-z][a-z0-9]{0,3}", 0..5),
        there in prop::collection::vec(("[a-e][0-9]?", any::<bool>(), "[ \n]{0,2}"), 0..6),
        label in any::<String>(), tag in any::<String>(), remove in any::<bool>(),
    ) {
        let mut seen = BTreeSet::new();
        let there = there.iter().filter(|(host, ..)| seen.insert(host.clone())).map(|(host, tags, gap)| match tags {
            true => format!("{{\"host\":{gap}\"{host}\"{gap},\"tags\":{{{gap}\"a\":\"b\"}},\"labels\":[{gap}]}}{gap}"),
            false => format!("{gap}{{ \"labels\" : [\"x\",{gap}\"y\"], \"host\": \"{host}\"{gap}}}"),
        });
        let text = format!("[{}]", there.collect::<Vec<_>>().join(","));
        let label = label.to_lowercase();
        let tag = tag.to_lowercase();
        let entries: Vec<WorkerEntry> = hosts
            .iter()
            .map(|name| {
                let entry = WorkerEntry::new(host(name)).tags(pairs(&[("t", tag.trim())])).ssh_port(5);
                if label.trim().is_empty() { entry } else { entry.labels(words(&[label.trim()])) }
            })
            .collect();
        let edited = edit(&text, &entries, remove);
        for entry in &entries {
            let worker = edited.after.iter().find(|worker| &worker.host == entry.host()).unwrap();
            prop_assert_eq!(worker.ssh_port, Some(5));
            prop_assert!(entry.worker().labels.is_subset(&worker.labels));
            prop_assert!(!remove || worker.tags.len() == 1);
        }
        let again = edit(&edited.text, &entries, remove);
        prop_assert_eq!(again.text, edited.text);
    }
}
