//! `docs/language-reference.md`, written from the schema of the plan language: every key with its type, its default and
//! what it does. `UPDATE_SCHEMA=1` writes it; without, it has to be what the schema says.

mod defaults;
mod tables;

use std::collections::BTreeSet;

use serde_json::Value;

use tables::{Key, keys_of, type_of};

const HEAD: &str = "# Language reference

Every key of the plan language, version 1. The page is generated from [the JSON Schema](../schemas/plan.v1.schema.json),
which `maand plan schema` prints for editors; a test holds schema and parser together. To learn the language, begin with
[the plan language](language.md).

A text may hold variables, `\"${name}\"`, except in commands, which get them as environment. A text that is only a variable
takes its type, so that it may stand for a number, a truth value or a list. *Required* keys have no default.
";

/// Sections of a plan besides the document itself: heading, definition, what stands below it.
const SECTIONS: &[(&str, &str, &str)] = &[
    ("`targets`", "Targets", "The workers to operate on: those that match everything that is given here."),
    ("`targets.exclude`", "Exclude", "Workers that are left out: those that match any one of these."),
    ("`targets.expect`", "Expect", "Bounds for the number of selected workers, both included."),
    ("`rollout`", "RolloutSection", "How the rollout proceeds over the workers."),
    (
        "`rollout.waves`, a wave that covers tags",
        "CoverWave",
        "A wave of as few workers as have every value of these \
      tags that no earlier wave has had.",
    ),
    ("`rollout.spread`", "Spread", "A bound for the number of failure domains that are disturbed at a time."),
    ("`rollout.budgets`, each", "Budget", "How much of a job must stay available."),
    (
        "`rollout.window`",
        "Window",
        "When new workers are admitted. It may cross midnight; workers that have started \
      go to their end.",
    ),
    (
        "`rollout.freeze`",
        "Freeze",
        "When no new workers are admitted, whatever the windows say; workers that have started go to their end.",
    ),
    (
        "`rollout.gates`",
        "WaveGates",
        "What has to pass before and after each wave: a gate, or a list of them.",
    ),
    (
        "`rollout.guard`, and each of `rollout.gates`",
        "RolloutGate",
        "A gate: exactly one of `prometheus`, `alertmanager`, `http` and `command`. `$wave` and `$down` stand for the number \
         of the wave, and the workers that are down.",
    ),
    ("`prometheus` of a gate", "Prometheus", "A query, and its limit: `min`, `max`, or both."),
    (
        "`alertmanager` of a gate",
        "Alertmanager",
        "Alerts that must not fire; those that are silenced or inhibited do not.",
    ),
    ("`http` of a gate", "HttpCheck", "A request, and the answer to it that passes."),
    (
        "`prepare`",
        "PrepareSection",
        "What is done on all workers before the first one is started, while none is down.",
    ),
    (
        "`silence`",
        "Silence",
        "A silence in an Alertmanager for each worker, from when it is started until its steps have ended: short, extended \
      while the run holds it down, and gone by itself when the controller is.",
    ),
    ("`expect` of `reboot`", "ExpectedBoot", "What a worker has to have booted."),
    ("`expect` of `http`", "HttpExpect", "What makes an answer a success: all that is given."),
    ("`undo` of `http`", "HttpRequest", "A request that undoes another; any answer of 2xx is a success."),
    (
        "`notify`, each target",
        "NoticeTarget",
        "Who is told, of what, and how: one of `webhook`, `slack`, `teams`, `ntfy`, `mail` and `command`.",
    ),
    ("`webhook` of `notify`", "Webhook", "A JSON document by POST."),
    ("`slack` and `teams` of `notify`", "IncomingWebhook", "An incoming webhook."),
    ("`ntfy` of `notify`", "Ntfy", "A topic of an ntfy server."),
    ("`mail` of `notify`", "Mail", "A mail by the sendmail of this machine."),
    ("`defaults`", "Defaults", "Options of every step that does not set them itself."),
    ("`retries`", "Retries", "Of `defaults` and of each step: how often a step is tried."),
    (
        "`when`",
        "When",
        "Of a step: the workers that it runs on are those that match everything that is given.",
    ),
    (
        "`env`, a secret",
        "FromEnv",
        "Of `run` and `local`: a value of `env` is a text, a number or a truth value, or a \
      secret that is read when the step runs, never stored, and masked in output.",
    ),
];

/// The heading of the section that describes a definition.
fn heading(definition: &str) -> Option<&'static str> {
    SECTIONS.iter().find(|(_, name, _)| *name == definition).map(|(heading, _, _)| *heading)
}

fn table(keys: &[Key]) -> String {
    let mut text = String::from("| key | type | default | what |\n|---|---|---|---|\n");
    for Key { name, kind, default, what } in keys {
        text += &format!("| `{name}` | {kind} | {default} | {what} |\n");
    }
    text
}

/// What each kind of step does, and its options.
fn kinds(schema: &Value) -> String {
    let definitions = &schema["definitions"];
    let names = |definition: &str| -> Vec<String> {
        let required = definitions[definition]["oneOf"].as_array().unwrap();
        required.iter().map(|one| one["required"][0].as_str().unwrap().to_owned()).collect()
    };
    let (all, once, ahead) = (names("WorkerStep"), names("OnceStep"), names("PrepareStep"));
    let alone = |entry: &str, kind: &str| -> Option<String> {
        let choices = definitions[entry]["anyOf"].as_array().unwrap();
        let bare = choices.iter().find(|choice| choice["const"] == kind)?;
        Some(bare["description"].as_str().unwrap().to_owned())
    };
    let mut text = String::new();
    for kind in &all {
        let node = &definitions["WorkerStep"]["properties"][kind];
        let options = keys_of(schema, node);
        let described = alone("StepEntry", kind).unwrap_or_else(|| tables::described(node).0);
        text += &format!("\n### `{kind}`\n\n{}\n\n", tables::cell(&described));
        let place = match (once.contains(kind), ahead.contains(kind)) {
            (true, true) => "In `prepare`, `steps`, `before` and `after`",
            (true, false) => "In `steps`, `before` and `after`",
            (false, true) => "In `prepare` and `steps`",
            (false, false) => "In `steps`",
        };
        let written = match (alone("StepEntry", kind).is_some(), options.is_empty()) {
            (true, true) => format!("written as `{kind}`"),
            (true, false) => format!("written as `{kind}`, or with options"),
            (false, true) => format!("written as `{kind}: VALUE`, with a {}", type_of(schema, node)),
            (false, false) => "written with options".to_owned(),
        };
        text += &format!("{place}; {written}.\n");
        if let Some(other) = alone("OnceStepEntry", kind).filter(|other| *other != described) {
            text += &format!("In `before` and `after`: {}\n", tables::cell(&other));
        }
        if !options.is_empty() {
            text += &format!("\n{}", table(&options));
        }
    }
    text
}

fn page() -> String {
    let schema = maand::plan::schema();
    let mut text = format!("{HEAD}\n## The document\n\n{}", table(&keys_of(&schema, &schema)));
    for (heading, definition, what) in SECTIONS {
        let keys = keys_of(&schema, &schema["definitions"][definition]);
        text += &format!("\n## {heading}\n\n{what}\n\n{}", table(&keys));
    }
    let step = &schema["definitions"]["WorkerStep"];
    let required = step["oneOf"].as_array().unwrap();
    let kinds_of: BTreeSet<&str> = required.iter().map(|one| one["required"][0].as_str().unwrap()).collect();
    let mut common = keys_of(&schema, step);
    common.retain(|key| !kinds_of.contains(key.name.as_str()));
    let once = schema["definitions"]["OnceStep"]["properties"].as_object().unwrap();
    for key in common.iter_mut().filter(|key| !once.contains_key(&key.name)) {
        key.what += " Not in `before` and `after`.";
    }
    text += "\n## Keys of every step\n\nA step is the name of a kind, or a map with exactly one kind, its options inside \
             of it, and any of these keys beside it.\n\n";
    text += &table(&common);
    text += "\n## Kinds of steps\n";
    text += &kinds(&schema);
    text += "\n## Types\n\n| type | what it takes |\n|---|---|\n";
    for (name, what) in tables::types(&schema) {
        text += &format!("| {name} | {what} |\n");
    }
    text
}

#[test]
fn the_reference_says_what_the_schema_says() {
    let (path, page) = (super::root().join("docs/language-reference.md"), page());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "{}: run the tests with UPDATE_SCHEMA=1", path.display());
}

#[test]
fn every_key_is_in_it_with_a_default_or_as_required() {
    let (schema, page) = (maand::plan::schema(), page());
    let mut looked_at = 0;
    let definitions = schema["definitions"].as_object().unwrap().iter();
    for (definition, node) in definitions.filter(|(_, node)| node["properties"].is_object()) {
        for key in keys_of(&schema, node) {
            let is_kind = ["WorkerStep", "PrepareStep", "OnceStep"].contains(&definition.as_str())
                && node["oneOf"].to_string().contains(&format!("\"{}\"", key.name));
            assert!(is_kind || !key.default.is_empty(), "{definition}.{} has no default", key.name);
            assert!(is_kind || page.contains(&format!("| `{}` |", key.name)), "{definition}.{}", key.name);
            looked_at += 1;
        }
    }
    assert!(looked_at > 80, "only {looked_at} keys");
    assert!(!page.contains("(?"), "a regular expression is nothing for readers");
}
