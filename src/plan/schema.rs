//! The JSON Schema of plan files, for editors and other programs.
//!
//! Generated from types that describe the shape of the document as it is written. What it cannot
//! know (ids, order, time zones, variables) stays with [`super::parse`]; whatever it refuses, `parse`
//! refuses too, and tests hold the two together.

mod bare;
mod document;
mod gate;
mod notify;
mod snippets;
mod steps;
mod values;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use serde_json::Value;

/// The JSON Schema (draft 7, which all editors know) of version 1 of the language.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().for_deserialize().with_transform(without_null);
    let mut schema = settings.into_generator().into_root_schema_for::<document::Plan>();
    schema.insert("$id".to_owned(), "https://maand.dev/schemas/plan.v1.schema.json".into());
    let mut schema = schema.to_value();
    let definitions = schema["definitions"].clone();
    inline(&mut schema, &definitions);
    for (_, definition) in schema["definitions"].as_object_mut().into_iter().flatten() {
        // Where one stands, a key has said what it is for: editors show the first description that they find.
        if definition["type"] == "object"
            && let Some(definition) = definition.as_object_mut()
        {
            definition.shift_remove("description");
        }
    }
    schema
}

/// A key with a description of its own takes its definition in. A reference beside it is not enough: draft 7 ignores
/// what stands beside `$ref`, and editors show the description of what is in `allOf` before the key's own.
fn inline(schema: &mut Value, definitions: &Value) {
    match schema {
        Value::Object(keys) => {
            let named = match keys.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
                Some([Value::Object(only)]) if only.len() == 1 => only.get("$ref").and_then(Value::as_str),
                _ => None,
            };
            let named = named.and_then(|name| name.strip_prefix("#/definitions/"));
            if let Some(Value::Object(definition)) = named.and_then(|name| definitions.get(name)) {
                keys.shift_remove("allOf");
                for (key, value) in definition {
                    keys.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            keys.values_mut().for_each(|value| inline(value, definitions));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| inline(item, definitions)),
        _ => {}
    }
}

/// Takes out the `null` that schemars puts in for every `Option`: a key without a value is an error here.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let null = serde_json::json!({ "type": "null" });
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        let before = choices.len();
        choices.retain(|choice| *choice != null);
        if let (true, [Value::Object(only)]) = (choices.len() < before, choices.as_slice()) {
            let only = only.clone();
            schema.remove("anyOf");
            let alone = only.keys().all(|key| key == "$ref");
            if alone && schema.as_object().is_some_and(|schema| !schema.is_empty()) {
                // In draft 7 whatever stands beside a `$ref` is ignored.
                schema.insert("allOf".to_owned(), Value::Array(vec![Value::Object(only)]));
            } else {
                for (key, value) in only {
                    schema.insert(key, value);
                }
            }
        }
    }
    transform_subschemas(&mut without_null, schema);
}

#[cfg(test)]
mod tests {
    use super::super::decode::keys;
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// The property names of a definition of the schema (`None`: of the document).
    fn properties(schema: &Value, definition: Option<&str>) -> BTreeSet<String> {
        let at = match definition {
            Some(name) => &schema["definitions"][name],
            None => schema,
        };
        let properties =
            at["properties"].as_object().unwrap_or_else(|| panic!("no properties: {definition:?}"));
        assert_eq!(at["additionalProperties"], Value::Bool(false), "{definition:?} takes any key");
        properties.keys().cloned().collect()
    }

    /// Every schema in it, with the path that leads there.
    fn each(schema: &Value, path: &str, see: &mut dyn FnMut(&str, &Value)) {
        see(path, schema);
        match schema {
            Value::Object(keys) => {
                keys.iter().for_each(|(key, value)| each(value, &format!("{path}/{key}"), see));
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, item)| each(item, &format!("{path}/{at}"), see));
            }
            _ => {}
        }
    }

    #[test]
    fn the_description_of_a_key_is_the_first_that_is_found() {
        let schema = super::schema();
        each(&schema, "", &mut |path, node| {
            let Some(keys) = node["properties"].as_object().filter(|_| !path.ends_with("/properties")) else {
                return;
            };
            for (key, value) in keys {
                assert!(value["description"].is_string(), "{path}: {key} says nothing");
                assert!(
                    value.get("allOf").is_none() && value.get("$ref").is_none(),
                    "{path}: {key} is hidden"
                );
                for choice in value["anyOf"].as_array().into_iter().flatten() {
                    let name = choice["$ref"].as_str().and_then(|name| name.strip_prefix("#/definitions/"));
                    let definition = name.map_or(choice, |name| &schema["definitions"][name]);
                    assert!(definition.get("description").is_none(), "{path}: {key} is hidden by {choice}");
                }
            }
        });
    }

    #[test]
    fn no_editor_shows_a_regular_expression() {
        let mut seen = 0;
        each(&super::schema(), "", &mut |path, node| {
            if node["pattern"].is_string() && !path.ends_with("/not") {
                let message = node["patternErrorMessage"].as_str().unwrap_or_default();
                assert!(!message.is_empty() && !message.contains(['^', '\\']), "{path}: {node}");
                seen += 1;
            }
        });
        assert!(seen > 20, "only {seen}");
    }

    #[test]
    fn each_bare_step_says_what_it_does_and_its_defaults() {
        let schema = super::schema();
        let described = |entry: &str| -> Vec<(String, String)> {
            let choices = schema["definitions"][entry]["anyOf"].as_array().unwrap();
            let bare = choices.iter().filter(|choice| choice["const"].is_string());
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            bare.map(|one| (text(&one["const"]), text(&one["description"]))).collect()
        };
        let on_worker = described("StepEntry");
        let names: Vec<&str> = on_worker.iter().map(|(name, _)| name.as_str()).collect();
        let expected: Vec<&str> = keys::KINDS
            .iter()
            .filter(|kind| !["run", "local", "http", "gate", "pause"].contains(kind))
            .copied()
            .collect();
        assert_eq!(names, expected);
        let texts: BTreeSet<&str> = on_worker.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts.len() + 1, on_worker.len(), "enable and re-enable are one, and no others");
        let once: Vec<String> = described("OnceStepEntry").into_iter().map(|(name, _)| name).collect();
        let expected: Vec<&str> = keys::ONCE
            .iter()
            .filter(|kind| !["local", "http", "gate", "pause"].contains(kind))
            .copied()
            .collect();
        assert_eq!(once, expected);
        // What is said is what the parser makes of it.
        let text = "version: 1\nname: x\nsteps: [reboot, wait_for_ssh, health, deploy]\n";
        let plan = crate::plan::parse(&crate::plan::Source::new("x.yaml", text), &[]).unwrap();
        let say = |name: &str| &on_worker.iter().find(|(one, _)| one == name).unwrap().1;
        for step in &plan.steps {
            let said = say(step.kind.keyword());
            if let Some(timeout) = step.timeout.filter(|_| said.contains("time-out")) {
                let timeout = format!("time-out {}m", timeout.as_secs() / 60);
                assert!(said.contains(&timeout), "{said}: {timeout}");
            }
            if let crate::plan::StepKind::Reboot { command, down_within, .. } = &step.kind {
                let within = format!("within {}m", down_within.as_secs() / 60);
                assert!(said.contains(command.as_str()) && said.contains(&within), "{said}");
            }
            if let crate::plan::StepKind::WaitForSsh { settle, interval, .. } = &step.kind {
                let defaults = format!("settle {}s; interval {}s", settle.as_secs(), interval.as_secs());
                assert!(said.contains(&defaults), "{said}");
            }
        }
    }

    /// The text that is inserted, with its places filled in as they are at first.
    fn filled_in(body: &Value) -> Value {
        match body {
            Value::String(text) => match text.strip_prefix("${").and_then(|rest| rest.split_once(':')) {
                Some((_, rest)) => rest.trim_end_matches('}').into(),
                None => text.clone().into(),
            },
            Value::Array(items) => items.iter().map(filled_in).collect(),
            Value::Object(keys) => {
                Value::Object(keys.iter().map(|(key, value)| (key.clone(), filled_in(value))).collect())
            }
            other => other.clone(),
        }
    }

    #[test]
    fn what_an_editor_inserts_is_valid() {
        let schema = super::schema();
        let mut seen = 0;
        each(&schema, "", &mut |path, node| {
            for snippet in node["defaultSnippets"].as_array().into_iter().flatten() {
                let body = filled_in(&snippet["body"]);
                let mut alone = node.clone();
                alone["definitions"] = schema["definitions"].clone();
                alone["$schema"] = schema["$schema"].clone();
                let validator = jsonschema::validator_for(&alone).unwrap();
                assert!(validator.is_valid(&body), "{path}: {body:#}");
                seen += 1;
                // JSON is YAML: the whole plan, or one with this step.
                let plan = match path {
                    "" => body,
                    "/definitions/StepEntry" => {
                        let steps = match () {
                            () if body["reboot"].is_object() => serde_json::json!([body, "wait_for_ssh"]),
                            () if body["wait_for_ssh"].is_object() => serde_json::json!(["reboot", body]),
                            () => serde_json::json!([body]),
                        };
                        serde_json::json!({ "version": 1, "name": "x", "steps": steps })
                    }
                    "/definitions/OnceStepEntry" => {
                        serde_json::json!({ "version": 1, "name": "x", "before": [body], "steps": ["health"] })
                    }
                    "/definitions/PrepareStepEntry" => {
                        let prepare = serde_json::json!({ "steps": [body] });
                        serde_json::json!({ "version": 1, "name": "x", "prepare": prepare, "steps": ["health"] })
                    }
                    _ => continue,
                };
                let source = crate::plan::Source::new("x.yaml", plan.to_string());
                if let Err(problems) = crate::plan::parse(&source, &[]) {
                    panic!("{plan:#}: {problems:?}");
                }
            }
        });
        assert!(seen >= 10, "only {seen}");
    }

    #[test]
    fn the_schema_has_the_keys_that_the_parser_has() {
        let schema = super::schema();
        let set = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(properties(&schema, None), set(keys::PLAN));
        for (definition, expected) in [
            ("Targets", keys::TARGETS),
            ("Exclude", keys::EXCLUDE),
            ("RolloutSection", keys::ROLLOUT),
            ("Window", keys::WINDOW),
            ("Freeze", keys::FREEZE),
            ("Budget", keys::BUDGET),
            ("Retries", keys::RETRIES),
            ("When", keys::WHEN),
            ("WaveGates", keys::GATES),
            ("Prometheus", keys::PROMETHEUS),
            ("Alertmanager", keys::ALERTMANAGER),
            ("HttpCheck", keys::HTTP_CHECK),
            ("ExpectedBoot", keys::EXPECTED_BOOT),
            ("Defaults", keys::DEFAULTS),
            ("PrepareSection", keys::PREPARE),
            ("NoticeTarget", keys::NOTICE_TARGET),
            ("Webhook", keys::WEBHOOK),
            ("IncomingWebhook", keys::URL_ONLY),
            ("Ntfy", keys::NTFY),
            ("Mail", keys::MAIL),
        ] {
            assert_eq!(properties(&schema, Some(definition)), set(expected), "{definition}");
        }
        let of_rollout: Vec<&str> = keys::GATE.iter().chain(keys::GATE_OF_ROLLOUT).copied().collect();
        assert_eq!(properties(&schema, Some("RolloutGate")), set(&of_rollout));
        let both: Vec<&str> = keys::COMMON.iter().chain(keys::KINDS).copied().collect();
        assert_eq!(properties(&schema, Some("WorkerStep")), set(&both));
        let once: Vec<&str> =
            keys::COMMON.iter().filter(|key| **key != "when").chain(keys::ONCE).copied().collect();
        assert_eq!(properties(&schema, Some("OnceStep")), set(&once));
        let preparing: Vec<&str> = keys::COMMON.iter().chain(keys::PREPARING).copied().collect();
        assert_eq!(properties(&schema, Some("PrepareStep")), set(&preparing));
        for kind in keys::KINDS {
            let options = keys::options(kind);
            let definition = match *kind {
                "disable" | "start" | "stop" | "restart" => "Jobs",
                "deploy" => "Deploy",
                "reboot" => "Reboot",
                "wait_for_ssh" => "WaitForSsh",
                "run" | "local" => "Command",
                "http" => "Http",
                "gate" => "GateStep",
                "health" => "Health",
                "sync_check" => "SyncCheck",
                "approve" => "Approve",
                _ => continue,
            };
            assert_eq!(properties(&schema, Some(definition)), set(options), "{kind}");
        }
    }
}
