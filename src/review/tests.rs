use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::testing::{example, inputs, plan, reviewed, web_fleet};
use super::{Document, Inputs, Reviewed, Rollout, SCHEMA, Unreadable, changes};
use crate::graph::testing::worker;
use crate::os::hash::sha256;

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares with a file that is checked in; `MAAND_UPDATE_SCHEMAS=1` writes it.
fn is_kept(path: &str, text: &str) {
    if std::env::var_os("MAAND_UPDATE_SCHEMAS").is_some() {
        std::fs::write(file(path), text).unwrap();
    }
    let kept = std::fs::read_to_string(file(path)).unwrap_or_default();
    assert!(kept == text, "{path} is not what the code says; MAAND_UPDATE_SCHEMAS=1 writes it");
}

#[test]
fn the_committed_schema_is_the_one_of_the_code() {
    let mut schema = schemars::schema_for!(Document).to_value();
    schema["title"] = "A reviewed plan file, as `maand plan show PLAN --out FILE` writes it".into();
    let fields = schema["properties"].as_object_mut().unwrap();
    fields.insert(
        "schema".to_owned(),
        serde_json::json!({"description": "Name and version.", "const": SCHEMA}),
    );
    let of = "SHA-256 of all bytes after this line, in hexadecimal.";
    fields.insert("sha256".to_owned(), serde_json::json!({"description": of, "type": "string"}));
    let required = schema["required"].as_array_mut().unwrap();
    required.extend(["schema".into(), "sha256".into()]);
    is_kept("schemas/reviewed.v1.schema.json", &format!("{schema:#}\n"));
    let valid = jsonschema::validator_for(&schema).unwrap();
    let written: Value = serde_json::from_slice(&example().1).unwrap();
    let wrong: Vec<String> = valid.iter_errors(&written).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_example_of_this_schema_is_read() {
    let (made, bytes) = example();
    is_kept("tests/data/reviewed-v1.json", std::str::from_utf8(&bytes).unwrap());
    let read = Reviewed::read(std::fs::read(file("tests/data/reviewed-v1.json")).unwrap()).unwrap();
    assert_eq!(read.document(), made.document());
    assert_eq!(read.plan().name, "monday");
    assert_eq!(read.graph().targets.len(), 3);
    assert_eq!(read.limits().concurrency, Some(1));
    assert_eq!(read.scripts()["fix.sh"], "echo fixed\n");
    // What `tail -n +4 FILE | sha256sum` says.
    let text = String::from_utf8(bytes).unwrap();
    let rest: String = text.split_inclusive('\n').skip(3).collect();
    assert_eq!(read.sha256(), sha256(rest));
    assert!(!text.contains("TOKEN=") && text.matches("from_env").count() == 1, "secrets by name only");
}

#[test]
fn every_bit_that_is_flipped_and_every_cut_is_refused() {
    let (_, bytes) = example();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(Reviewed::read(flipped).is_err(), "bit {bit} of byte {at}");
        }
        assert!(Reviewed::read(bytes[..at].to_vec()).is_err(), "cut at {at}");
    }
    let more = [bytes.as_slice(), b"\n}\n"].concat();
    assert!(matches!(Reviewed::read(more), Err(Unreadable::Altered)));
    let cut = bytes[..bytes.len() - 1].to_vec();
    assert!(matches!(Reviewed::read(cut), Err(Unreadable::Cut)));
}

/// The bytes with another content, and the hash that belongs to it: what somebody makes who means it.
fn forged(change: impl Fn(&str) -> String) -> Vec<u8> {
    let (_, bytes) = example();
    let text = String::from_utf8(bytes).unwrap();
    let at = text.match_indices('\n').nth(2).unwrap().0 + 1;
    let content = change(&text[at..]);
    let head = text[..at].replace(&text[at - 67..at - 3], &sha256(&content));
    (head + &content).into_bytes()
}

#[test]
fn what_is_forged_with_its_hash_has_to_be_true_in_itself() {
    assert!(Reviewed::read(forged(str::to_owned)).is_ok());
    let read = |from: &str, to: &str| {
        let bytes = forged(|text| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        Reviewed::read(bytes).unwrap_err()
    };
    for (from, to) in [
        ("\"selected\": 3", "\"selected\": 2"),
        ("\"how\": \"50% of 3", "\"how\": \"all of 3"),
        ("\"workers\": [\"10.0.0.1\"]", "\"workers\": [\"10.0.0.2\"]"),
        ("\"level\": 3", "\"level\": 4"),
        ("\"name\": \"monday\"", "\"name\": \"sunday\""),
        ("concurrency: 50%", "concurrency: 100%"),
    ] {
        assert!(matches!(read(from, to), Unreadable::OtherRollout { .. }), "{from} -> {to}");
    }
    for (from, to) in [
        ("{\"host\":\"10.0.0.4\"", "{\"host\":\"../etc\""),
        ("{\"host\":\"10.0.0.4\"", "{\"host\":\"a\\u0000b\""),
        ("{\"name\":\"db\"", "{\"name\":\"d/b\""),
        ("\"fix.sh\": [", "\"other.sh\": ["),
        ("\"echo fixed\"", "\"echo \\u0000\""),
        ("\"selected\": 3", "\"selected\": \"3\""),
        ("\"selected\": 3", "\"selected\": 3, \"more\": 1"),
        ("\"selected\": 3", "\"selected\": 3, \"selected\": 3"),
        ("\"disabled\": {", "\"made_up\": true, \"disabled\": {"),
    ] {
        assert!(matches!(read(from, to), Unreadable::Content(_)), "{from} -> {to}");
    }
    assert!(matches!(read("\"version: 1\"", "\"version: 9\""), Unreadable::Plan(_)));
    assert!(matches!(read("targets: {labels: [web]}", "targets: {labels: [gpu]}"), Unreadable::Plan(_)));
    let deep = forged(|_| format!(" \"rollout\": {}{}\n}}\n", "[".repeat(100_000), "]".repeat(100_000)));
    assert!(matches!(Reviewed::read(deep), Err(Unreadable::Content(_))));
}

#[test]
fn files_of_other_kinds_and_versions_are_named() {
    let (_, bytes) = example();
    let text = String::from_utf8(bytes).unwrap();
    let newer = Reviewed::read(text.replacen("reviewed/v1", "reviewed/v2", 1).into_bytes()).unwrap_err();
    assert!(matches!(&newer, Unreadable::Newer(kind) if kind == "maand/reviewed/v2"), "{newer}");
    let other = Reviewed::read(text.replacen("reviewed/v1", "plan-show/v1", 1).into_bytes()).unwrap_err();
    assert!(matches!(&other, Unreadable::OtherKind(kind) if kind == "maand/plan-show/v1"), "{other}");
    assert!(matches!(Reviewed::read(vec![0; 100]), Err(Unreadable::Altered)));
    assert!(matches!(Reviewed::read(Vec::new()), Err(Unreadable::Altered)));
}

/// Each value of a document that is no container, changed by itself, with its path.
fn mutations(value: &Value, path: &str, found: &mut Vec<(String, Value)>, whole: &dyn Fn(Value) -> Value) {
    let mut leaf = |changed: Value| found.push((path.to_owned(), whole(changed)));
    match value {
        Value::Null => {
            for value in [Value::from("other"), Value::from(7), serde_json::json!([])] {
                leaf(value);
            }
        }
        Value::Bool(flag) => leaf((!flag).into()),
        Value::Number(number) => match number.as_i64() {
            Some(number) => leaf((number + 1).into()),
            None => leaf((number.as_f64().unwrap() + 1.0).into()),
        },
        Value::String(text) => leaf(format!("{text}x").into()),
        Value::Array(values) => {
            for at in 0..values.len() {
                let put = |changed: Value| {
                    let mut values = values.clone();
                    values[at] = changed;
                    whole(values.into())
                };
                mutations(&values[at], &format!("{path}.{at}"), found, &put);
                let mut fewer = values.clone();
                fewer.remove(at);
                found.push((format!("{path}.-{at}"), whole(fewer.into())));
            }
            let mut reversed = values.clone();
            reversed.reverse();
            if reversed != *values {
                found.push((format!("{path}.reversed"), whole(reversed.into())));
            }
        }
        Value::Object(fields) => {
            for key in fields.keys() {
                let put = |changed: Value| {
                    let mut fields = fields.clone();
                    fields.insert(key.clone(), changed);
                    whole(fields.into())
                };
                mutations(&fields[key], &format!("{path}.{key}"), found, &put);
                let mut fewer = fields.clone();
                fewer.shift_remove(key);
                found.push((format!("{path}.-{key}"), whole(fewer.into())));
            }
        }
    }
}

#[test]
fn nothing_that_a_run_is_compiled_from_changes_unnamed() {
    let (made, _) = example();
    let document = made.document();
    let mut all = Vec::new();
    let inputs = serde_json::to_value(&document.inputs).unwrap();
    mutations(&inputs, "inputs", &mut all, &|changed| changed);
    let mut told = 0;
    for (path, changed) in all {
        // What cannot be read as one is no bucket's.
        let Ok(now) = serde_json::from_value::<Inputs>(changed) else { continue };
        let said = changes(document, &now, Ok(&document.rollout));
        if path.starts_with("inputs.newest_run") || path == "inputs.-newest_run" || now == document.inputs {
            assert!(said.is_empty(), "{path}: {said:?}");
            continue;
        }
        told += 1;
        assert!(!said.is_empty(), "{path}");
        // With something else that has changed it is named all the same.
        let both = Inputs { program: "9".to_owned(), ..now };
        let said_with = changes(document, &both, Ok(&document.rollout));
        let derived = ["inputs.program"];
        if !derived.iter().any(|derived| path.starts_with(derived)) && !path.ends_with("reversed") {
            assert!(said_with.len() > 1, "{path}: {said_with:?}");
        }
    }
    assert!(told > 150, "{told}");
    let mut all = Vec::new();
    mutations(&serde_json::to_value(&document.rollout).unwrap(), "rollout", &mut all, &|changed| changed);
    for (path, changed) in all {
        let Ok(now) = serde_json::from_value::<Rollout>(changed) else { continue };
        if now != document.rollout {
            assert!(!changes(document, &document.inputs, Ok(&now)).is_empty(), "{path}");
        }
    }
}

#[test]
fn changes_are_said_in_an_operators_words() {
    let (made, _) = example();
    let mut fleet = web_fleet();
    let mut added = worker("10.0.0.7", &["web", "api"], &["zone=a"]);
    added.position = 0;
    fleet.workers.insert(0, added);
    for (position, worker) in (0..).zip(&mut fleet.workers) {
        worker.position = position;
    }
    fleet.workers.pop();
    fleet.workers[3].tags = Arc::new([("zone".to_owned(), "b".to_owned())].into());
    fleet.workers[2].ssh_port = Some(2222);
    fleet.jobs[0].version = "1.2.0".to_owned();
    fleet.disabled.jobs.insert("api".to_owned(), ["10.0.0.2".to_owned()].into());
    fleet.disabled.workers.insert("10.0.0.3".to_owned());
    let plan = plan();
    let mut now = inputs(&plan, fleet);
    now.settings.insert("ssh_port".to_owned(), "2222".to_owned());
    now.settings.insert("ssh_user".to_owned(), "bob".to_owned());
    now.settings.insert("theirs".to_owned(), "sha256 00".to_owned());
    now.workspace.hash.clear();
    now.workspace.files.remove(2);
    now.workspace.files[2].sha256 = None;
    now.scripts.insert("fix.sh".to_owned(), "echo broken\n".to_owned().into());
    let (new, _) = reviewed(now.clone());
    assert_eq!(
        changes(made.document(), &now, Ok(&new.document().rollout)),
        [
            "plans/monday.yaml's file fix.sh has changed (first in line 1)",
            "maand.conf: ssh_port 22 -> 2222",
            "maand.conf: theirs has changed",
            "maand.conf: ssh_user is bob now, and was not set",
            "10.0.0.2: ssh_port is 2222 now, and was not set",
            "10.0.0.3: tag zone a -> b",
            "worker 10.0.0.4 was removed",
            "worker 10.0.0.7 was added and is selected",
            "job api: version 0.0.0 -> 1.2.0",
            "disabled.json: worker 10.0.0.3 is disabled now",
            "disabled.json: job api on 10.0.0.2 is disabled now",
            "workspace/jobs/api/Makefile was removed",
            "workspace/jobs/api/manifest.json has changed",
            "10.0.0.1 is in wave 2 now, and not in wave 1",
            "concurrency 1 (50% of 3 is 1.5, rounded down to 1) -> 2 (50% of 4 is 2)",
            "budget of api: keeps 2 of 3 -> 1 of 2",
            "step disable applies to 4 workers, and no longer to 3 workers",
            "step deploy applies to 4 workers, and no longer to 3 workers",
            "step run applies to 4 workers, and no longer to 3 workers",
            "step enable applies to 4 workers, and no longer to 3 workers",
        ]
    );
    let mut later = made.document().inputs.clone();
    later.program = "0.2.0".to_owned();
    later.engine.kind = "external".to_owned();
    let rollout = &made.document().rollout;
    assert_eq!(
        changes(made.document(), &later, Ok(rollout)),
        ["made by maand 0.1.0, this is 0.2.0", "the engine was builtin, and is external"]
    );
    let mut deployed = made.document().inputs.clone();
    let rows = deployed.catalog.as_mut().unwrap();
    rows[0].jobs[0].deployed = rows[0].jobs[0].built.clone();
    assert_eq!(
        changes(made.document(), &deployed, Ok(rollout)),
        ["job api on 10.0.0.1, 10.0.0.2: deployed version 1.0.0 -> 1.1.0"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the fleet and the texts: it comes back whole, in the same bytes, and one byte more or less is noticed.
    #[test]
    fn a_file_comes_back_whole(
        hosts in prop::collection::btree_set("[a-z][a-z0-9]{0,8}", 1..12),
        tags in prop::collection::vec(("[a-z]{1,4}", "\\PC{0,12}"), 0..4),
        script in "[^\0\r]{0,60}[a-z]",
        setting in any::<String>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let plan = plan();
        let mut fleet = web_fleet();
        for host in hosts {
            let mut worker = worker(&host, &["web"], &["zone=c"]);
            let mut all = worker.tags.as_ref().clone();
            all.extend(tags.iter().cloned());
            worker.tags = Arc::new(all);
            fleet.workers.push(worker);
        }
        let mut inputs = inputs(&plan, fleet);
        inputs.scripts.insert("fix.sh".to_owned(), format!("echo {script}").into());
        inputs.settings.insert("x".to_owned(), setting);
        let (made, bytes) = reviewed(inputs.clone());
        prop_assert_eq!(&reviewed(inputs).1, &bytes);
        let read = Reviewed::read(bytes.clone()).unwrap();
        prop_assert_eq!(read.document(), made.document());
        prop_assert_eq!(read.sha256(), made.sha256());
        prop_assert_eq!(read.graph().hash(), made.graph().hash());
        prop_assert!(changes(read.document(), &made.document().inputs, Ok(&made.document().rollout)).is_empty());
        let mut other = bytes.clone();
        let at = at.index(bytes.len());
        other[at] = byte;
        prop_assert!(other == bytes || Reviewed::read(other).is_err());
        let mut more = bytes;
        more.insert(at, byte);
        prop_assert!(Reviewed::read(more).is_err());
    }
}
