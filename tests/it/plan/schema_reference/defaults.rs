//! A default that the reference gives literally is what the parser takes where the key is left out.

use serde_json::{Value, json};

use super::tables::described;

/// Every literal default: the definition, its key, the value as it is written.
fn literal(schema: &Value) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (definition, node) in schema["definitions"].as_object().unwrap() {
        for (key, value) in node["properties"].as_object().into_iter().flatten() {
            let default = described(value).1;
            let text = default.as_deref().and_then(|text| text.strip_prefix('`')?.strip_suffix('`'));
            found.extend(text.map(|text| (definition.clone(), key.clone(), text.to_owned())));
        }
    }
    found
}

/// A plan in which the object of that definition holds `more` beside what it needs.
fn plan(definition: &str, more: &Value) -> Value {
    let with = |mut object: Value| {
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        object
    };
    let steps = |steps: Value| json!({ "version": 1, "name": "x", "steps": steps });
    let rollout =
        |rollout: Value| json!({ "version": 1, "name": "x", "rollout": rollout, "steps": ["health"] });
    let none = || with(json!({}));
    match definition {
        "RolloutSection" => rollout(none()),
        "Spread" => rollout(json!({ "spread": with(json!({ "tag": "zone" })) })),
        "Retries" => {
            json!({ "version": 1, "name": "x", "defaults": { "retries": none() }, "steps": ["health"] })
        }
        "WorkerStep" => steps(json!([with(json!({ "health": {} }))])),
        "OnceStep" => {
            json!({ "version": 1, "name": "x", "before": [with(json!({ "health": {} }))], "steps": ["health"] })
        }
        "PrepareSection" => {
            let prepare = with(json!({ "steps": ["health"] }));
            json!({ "version": 1, "name": "x", "prepare": prepare, "steps": ["health"] })
        }
        "PrepareStep" => {
            let prepare = json!({ "steps": [with(json!({ "health": {} }))] });
            json!({ "version": 1, "name": "x", "prepare": prepare, "steps": ["health"] })
        }
        "Deploy" => steps(json!([{ "deploy": none() }])),
        "Reboot" => steps(json!([{ "reboot": none() }, "wait_for_ssh"])),
        "WaitForSsh" => steps(json!(["reboot", { "wait_for_ssh": none() }])),
        "Command" => steps(json!([{ "run": with(json!({ "command": "true" })) }])),
        "GateStep" => steps(json!([{ "gate": with(json!({ "command": "true" })) }])),
        "RolloutGate" => rollout(json!({ "guard": with(json!({ "command": "true" })) })),
        "Prometheus" => {
            let query = json!({ "url": "http://p", "query": "up", "over": "1h", "max": 1 });
            steps(json!([{ "gate": { "prometheus": with(query) } }]))
        }
        "Alertmanager" => {
            let alerts = json!({ "url": "http://a", "matching": ["a=b"] });
            steps(json!([{ "gate": { "alertmanager": with(alerts) } }]))
        }
        "Health" => steps(json!([{ "health": none() }])),
        "SyncCheck" => steps(json!([{ "sync_check": none() }])),
        _ => panic!("{definition} has a literal default: say in which plan it stands"),
    }
}

/// What the parser makes of it, without places.
fn meaning(plan: &Value) -> Value {
    let source = maand::plan::Source::new("x.yaml", plan.to_string());
    let plan = maand::plan::parse(&source, &[]).unwrap_or_else(|problems| panic!("{plan}: {problems:?}"));
    json!([plan.rollout, plan.before, plan.prepare, plan.steps])
}

#[test]
fn a_default_is_what_is_taken_where_nothing_is_said() {
    let all = literal(&maand::plan::schema());
    assert!(all.len() > 15, "only {all:?}");
    for (definition, key, text) in all {
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone()));
        let without = meaning(&plan(&definition, &json!({})));
        let with = meaning(&plan(&definition, &json!({ key.as_str(): value })));
        assert_eq!(without, with, "{definition}.{key}: the default is not `{text}`");
        // And the plan is one in which the key counts.
        let other = match value {
            Value::Bool(value) => json!(!value),
            Value::Number(_) => json!(7),
            _ => ["halt", "position", "fail", "sudo shutdown -r now"]
                .iter()
                .position(|one| *one == text)
                .map_or_else(|| json!("20s"), |at| json!(["revert", "reverse", "ignore", "reboot"][at])),
        };
        let changed = plan(&definition, &json!({ key.as_str(): other }));
        assert_ne!(without, meaning(&changed), "{definition}.{key} is not looked at");
    }
}
