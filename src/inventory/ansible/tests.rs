use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::bucket::edited_workers;

/// What the real Ansible has made of `hosts.ini` and `more.yml` beside it; `tests/it/inventories.rs` does it again.
const LIST: &str = include_str!("../../../tests/data/ansible/list.json");

fn read(text: &str, options: &AnsibleOptions) -> Result<Import, Problems> {
    ansible(&Source::new("list.json", text), options)
}

fn taken(text: &str) -> Import {
    read(text, &AnsibleOptions::default()).unwrap()
}

/// What `workers.json` becomes where there is none.
fn written(import: &Import) -> String {
    edited_workers(None, &import.workers, false).unwrap().text
}

/// Names of what was not taken, with the beginning of the reason and the hosts.
fn not_taken(import: &Import) -> BTreeMap<&str, (&str, String)> {
    import.not_taken.iter().map(|one| (one.what.as_str(), (one.why, one.hosts.join(" ")))).collect()
}

#[test]
fn what_ansible_prints_becomes_workers() {
    let import = taken(LIST);
    insta::assert_snapshot!(written(&import), @r#"
    [
      {"host": "2001:db8::5", "hostname": "gpu1", "labels": ["gpu_nodes"], "tags": {"maintained": "true", "note": "as it is", "weight": "2.5"}},
      {"host": "web01.example.net", "labels": ["prod", "web"], "tags": {"environment_name": "prod"}, "ssh_user": "deploy"},
      {"host": "web02.example.net", "labels": ["prod", "web"], "tags": {"environment_name": "prod"}, "ssh_user": "deploy"},
      {"host": "web03.example.net", "labels": ["prod", "web"], "tags": {"environment_name": "prod"}, "ssh_user": "deploy"},
      {"host": "10.0.1.9", "labels": ["prod", "web"], "tags": {"environment_name": "prod", "zone": "a"}, "ssh_port": 2222},
      {"host": "10.0.2.1", "hostname": "db1", "labels": ["db", "prod"], "tags": {"environment_name": "prod", "zone": "b"}}
    ]
    "#);
    let found: Vec<String> = import
        .not_taken
        .iter()
        .map(|one| {
            format!("{} ({}): {}", one.what, one.hosts.join(", "), one.why.split([',', ':']).next().unwrap())
        })
        .collect();
    insta::assert_snapshot!(found.join("\n"), @r"
    host bastion (): Ansible does not reach it by SSH (`ansible_connection`)
    host win1 (): Ansible does not reach it by SSH (`ansible_connection`)
    variable racks (gpu1): a tag has one plain value
    host db1-admin (db1): another host of the inventory has the same address
    variable spare (gpu1): it has no value
    variable rack (gpu1): it is a template
    variable licence (gpu1): it is encrypted by Ansible Vault
    variable db_password (db1): it looks like a secret
    variable motd (gpu1): its name or value has several lines
    variable ansible_ssh_common_args (db1): options of ssh are not copied
    variable ansible_become (web01.example.net, web02.example.net, web03.example.net, 10.0.1.9, db1, db1-admin): whether commands run as root is one setting of the whole bucket
    ");
    assert!(!format!("{import:?}").contains("hunter2"), "a secret is kept nowhere");
}

#[test]
fn groups_and_variables_can_be_named() {
    let options = AnsibleOptions {
        tags: Some(BTreeSet::from(["db_password".to_owned(), "ansible_become".to_owned()])),
        groups: vec!["d?".to_owned()],
    };
    let import = read(LIST, &options).unwrap();
    let db = import.workers.iter().find(|entry| entry.host().as_str() == "10.0.2.1").unwrap().worker();
    assert_eq!(db.labels.iter().map(String::as_str).collect::<Vec<_>>(), ["db", "worker"]);
    assert_eq!(db.tags.get("db_password").map(String::as_str), Some("hunter2"));
    assert_eq!(db.tags.len(), 2);
    assert!(!not_taken(&import).contains_key("variable ansible_become"), "it is a tag");

    let wrong = AnsibleOptions {
        tags: Some(BTreeSet::from(["zome".to_owned()])),
        groups: vec!["wbe".to_owned(), "none*".to_owned()],
    };
    let problems = read(LIST, &wrong).unwrap_err();
    let codes: Vec<_> = problems.iter().map(|one| (one.code, one.help.clone().unwrap())).collect();
    assert_eq!(codes.len(), 3);
    assert_eq!(codes[0], ("maand::inventory::unknown_variable", "did you mean `zone`?".to_owned()));
    assert_eq!(codes[1], ("maand::inventory::unknown_group", "did you mean `web`?".to_owned()));
}

#[test]
fn a_group_around_a_group_is_a_label_too_also_in_a_circle() {
    let import = taken(
        r#"{"_meta": {"hostvars": {}}, "all": {"children": ["a"]}, "a": {"children": ["b"]}, "b": {"children": ["c"]},
            "c": {"children": ["a"], "hosts": ["h1"]}, "Worker": {"hosts": ["h1"]}, "C": ["h2"], "x,y": ["h2"]}"#,
    );
    assert_eq!(
        written(&import),
        "[\n  {\"host\": \"h1\", \"labels\": [\"a\", \"b\", \"c\"]},\n  {\"host\": \"h2\", \"labels\": [\"c\"]}\n]\n"
    );
    let names: Vec<_> = not_taken(&import).into_keys().collect();
    assert_eq!(names, ["group Worker", "group c", "group x,y"]);
}

#[test]
fn variables_of_groups_count_by_depth_priority_and_name() {
    let import = taken(
        r#"{"_meta": {"hostvars": {"h2": {"zone": "own"}}},
            "all": {"children": ["prod", "z"], "vars": {"site": "fra", "zone": "all", "rack": "all"}},
            "prod": {"children": ["a", "b"], "vars": {"zone": "prod", "rack": "prod", "ansible_port": 2222}},
            "a": {"hosts": ["h1", "h2"], "vars": {"zone": "a", "ansible_group_priority": 2}},
            "b": {"hosts": ["h1"], "vars": {"zone": "b", "rack": "b"}},
            "z": {"hosts": ["h1", "h3"], "vars": {"zone": "z", "rack": "z"}},
            "round": {"children": ["around"], "vars": {"x": 1}}, "around": {"children": ["round"]}}"#,
    );
    insta::assert_snapshot!(written(&import), @r#"
    [
      {"host": "h1", "labels": ["a", "b", "prod", "z"], "tags": {"rack": "b", "site": "fra", "zone": "a"}, "ssh_port": 2222},
      {"host": "h2", "labels": ["a", "prod"], "tags": {"rack": "prod", "site": "fra", "zone": "own"}, "ssh_port": 2222},
      {"host": "h3", "labels": ["z"], "tags": {"rack": "z", "site": "fra", "zone": "z"}}
    ]
    "#);
    assert_eq!(not_taken(&import).into_keys().collect::<Vec<_>>(), ["variables of group round"]);
    // Without `_meta` there are those of groups all the same.
    let import = taken(r#"{"web": {"hosts": ["h1"], "vars": {"zone": "a"}}}"#);
    assert_eq!(
        written(&import),
        "[\n  {\"host\": \"h1\", \"labels\": [\"web\"], \"tags\": {\"zone\": \"a\"}}\n]\n"
    );
    // Many hosts of a group with many variables are refused before they fill the memory.
    let hosts: Vec<String> = (0..3_000).map(|n| format!("\"h{n}\"")).collect();
    let variables: Vec<String> = (0..2_000).map(|n| format!("\"v{n}\": 1")).collect();
    let text = format!(r#"{{"g": {{"hosts": [{}], "vars": {{{}}}}}}}"#, hosts.join(","), variables.join(","));
    let problems = read(&text, &AnsibleOptions::default()).unwrap_err();
    assert_eq!(problems.iter().next().unwrap().code, "maand::inventory::too_large");
}

#[test]
fn what_cannot_be_a_worker_or_a_tag_is_named_and_nothing_of_it_is_written() {
    let import = taken(
        r#"{"_meta": {"hostvars": {
            "ok": {"ansible_host": "10.0.0.1", "ansible_port": "22", "ansible_ssh_user": "x"},
            "port": {"ansible_port": 70000, "ansible_user": "-oProxyCommand=x"},
            "template": {"ansible_host": "{{ ip }}"},
            "Ok": {"ansible_host": "10.0.0.1"},
            "two words": {}, "-o": {}, "a:22": {}, "web[01:03]": {},
            "bad1": {"ansible_host": "root@10.0.0.2"}, "bad2": {"ansible_host": "x\u001b[2J"}, "bad3": {"ansible_host": []},
            "docker": {"ansible_connection": "community.docker.docker"}, "full": {"ansible_connection": "ansible.builtin.ssh"},
            "tags": {"a b": "x", "Zone": "1", "zone": "2", "esc": "\u001b[2J", "long": "LONG", "url": "https://u:p@h/",
                "pem": "-----BEGIN PRIVATE KEY-----", "api_token": 1, "empty": " ", "list": [], "map": {}, "tpl": "{{ x }}"}
        }}}"#
            .replace("LONG", &"x".repeat(201))
            .as_str(),
    );
    let hosts: Vec<_> = import.workers.iter().map(|entry| entry.host().as_str()).collect();
    assert_eq!(hosts, ["10.0.0.1", "full", "port", "tags"]);
    let found = not_taken(&import);
    let names: Vec<&str> = found.keys().copied().collect();
    assert_eq!(
        names,
        [
            "host -o",
            "host a:22",
            "host bad1",
            "host bad2",
            "host bad3",
            "host docker",
            "host ok",
            "host template",
            "host two words",
            "host web[01:03]",
            "variable a b",
            "variable ansible_port",
            "variable ansible_user",
            "variable api_token",
            "variable empty",
            "variable esc",
            "variable list",
            "variable long",
            "variable map",
            "variable pem",
            "variable tpl",
            "variable url",
            "variable zone",
        ]
    );
    assert_eq!(found["host ok"].1, "Ok", "which other one it is");
    assert_eq!(found["variable zone"].1, "tags");
    let text = written(&import);
    for part in ["hunter", "u:p@", "PRIVATE", "\u{1b}", "xxxx"] {
        assert!(!text.contains(part), "{text}");
    }
}

#[test]
fn what_is_no_such_output_is_refused_with_what_to_type() {
    for (text, code) in [
        ("", "maand::inventory::not_ansible"),
        ("[web]\nh1 ansible_host=10.0.0.1\n", "maand::inventory::not_ansible"),
        ("---\nall:\n  hosts:\n    h1:\n", "maand::inventory::not_ansible"),
        ("all:\n  hosts:\n", "maand::inventory::not_ansible"),
        ("@all:\n  |--@ungrouped:\n", "maand::inventory::not_ansible"),
        ("{\"all\": {\"hosts\": [\"h1\"]}", "maand::inventory::not_ansible"),
        ("{\"all\": {\"hosts\": {\"h1\": null}}}", "maand::inventory::not_ansible"),
        ("{\"ansible_host\": \"10.0.0.1\"}", "maand::inventory::not_ansible"),
        ("[{\"host\": \"10.0.0.1\"}]", "maand::inventory::not_ansible"),
        ("{\"h\": {\"ansible_host\": \"10.0.0.1\"}}", "maand::inventory::not_ansible"),
        ("\"text\"", "maand::inventory::not_ansible"),
        ("null", "maand::inventory::not_ansible"),
        ("{}", "maand::inventory::no_hosts"),
        (
            "{\"_meta\": {\"hostvars\": {}}, \"all\": {\"children\": [\"ungrouped\"]}}",
            "maand::inventory::no_hosts",
        ),
    ] {
        let problems = read(text, &AnsibleOptions::default()).unwrap_err();
        let problem = problems.iter().next().unwrap();
        assert_eq!(problem.code, code, "{text}");
        assert!(problem.help.as_deref().unwrap().contains("ansible-inventory -i FILE --list"), "{text}");
    }
    let deep = format!(
        "{{\"_meta\": {{\"hostvars\": {{\"h\": {{\"v\": {}1{}}}}}}}}}",
        "[".repeat(9_000),
        "]".repeat(9_000)
    );
    // What is nested is not kept, and so need not be refused.
    assert_eq!(taken(&deep).workers.len(), 1);
    let wide: Vec<String> = (0..5_001).map(|n| format!("\"g{n}\": [\"h\"]")).collect();
    let problems = read(&format!("{{{}}}", wide.join(",")), &AnsibleOptions::default()).unwrap_err();
    assert_eq!(problems.iter().next().unwrap().code, "maand::inventory::too_large");
}

/// Of groups in groups a host has all of the labels, which are bounded for all hosts together.
#[test]
fn hosts_in_many_groups_around_each_other_are_refused() {
    let group = |at: usize| match at {
        0 => {
            let hosts: Vec<String> = (0..1_000).map(|host| format!("\"h{host}\"")).collect();
            format!("\"g0\": {{\"hosts\": [{}]}}", hosts.join(","))
        }
        at => format!("\"g{at}\": {{\"children\": [\"g{}\"]}}", at - 1),
    };
    let nested = |depth: usize| format!("{{{}}}", (0..depth).map(group).collect::<Vec<_>>().join(","));
    let import = taken(&nested(20));
    assert!(import.workers.iter().all(|entry| entry.worker().labels.len() == 21));
    let problems = read(&nested(500), &AnsibleOptions::default()).unwrap_err();
    assert_eq!(problems.iter().next().unwrap().code, "maand::inventory::too_large");
}

/// What is said of a host has its name, for each of its variables.
#[test]
fn a_long_name_is_told_once() {
    let variables: Vec<String> = (0..300).map(|at| format!("\"v{at}\": null")).collect();
    let long = format!("\"{}\": {{\"ansible_host\": \"a\", {}}}", "h".repeat(10_000), variables.join(","));
    let import = taken(&format!("{{\"_meta\": {{\"hostvars\": {{\"w1\": {{}}, {long}}}}}}}"));
    let told: usize = import.not_taken.iter().flat_map(|one| &one.hosts).map(String::len).sum();
    assert!(told < 100_000, "{told} bytes of names");
    assert_eq!((import.workers.len(), import.not_taken.len()), (1, 1));
}

/// A JSON value that may be anything, or something like an inventory.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let word = prop_oneof![
        Just("all".to_owned()),
        Just("hosts".to_owned()),
        Just("children".to_owned()),
        Just("_meta".to_owned()),
        Just("hostvars".to_owned()),
        Just("ansible_host".to_owned()),
        Just("ansible_port".to_owned()),
        Just("__ansible_unsafe".to_owned()),
        "[a-zA-Z0-9.:%_\\[\\]-]{0,6}",
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        word.clone().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map(word.clone(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics_and_what_is_taken_can_be_written(value in json(), inventory in any::<bool>()) {
        let text = match inventory {
            true => format!("{{\"_meta\": {{\"hostvars\": {{\"h1\": {value}, \"10.0.0.1\": {{\"v\": {value}}}}}}}, \"g\": {value}}}"),
            false => value.to_string(),
        };
        if let Ok(import) = read(&text, &AnsibleOptions::default()) {
            let edited = edited_workers(None, &import.workers, false);
            prop_assert!(edited.is_ok(), "{text}: {edited:?}");
            let edited = edited.unwrap();
            prop_assert_eq!(edited.after.len(), import.workers.len());
            // A second time there is nothing to do.
            let source = Source::new("workers.json", edited.text.as_str());
            let again = edited_workers(Some(&source), &import.workers, true).unwrap();
            prop_assert_eq!(&again.text, &edited.text);
            prop_assert!(again.left.is_empty());
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = read(&text, &AnsibleOptions::default());
    }
}
