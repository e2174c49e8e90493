//! The JSON Schema of plan files, for editors and other programs.
//!
//! Generated from types that describe the shape of the document as it is written. What it cannot
//! know (ids, order, time zones, variables) stays with [`super::parse`]; whatever it refuses, `parse`
//! refuses too, and tests hold the two together.

mod document;
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
    schema.to_value()
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
            ("Budget", keys::BUDGET),
            ("Retries", keys::RETRIES),
            ("When", keys::WHEN),
            ("Defaults", keys::DEFAULTS),
        ] {
            assert_eq!(properties(&schema, Some(definition)), set(expected), "{definition}");
        }
        let both: Vec<&str> = keys::COMMON.iter().chain(keys::KINDS).copied().collect();
        assert_eq!(properties(&schema, Some("WorkerStep")), set(&both));
        let once: Vec<&str> =
            keys::COMMON.iter().filter(|key| **key != "when").chain(keys::ONCE).copied().collect();
        assert_eq!(properties(&schema, Some("OnceStep")), set(&once));
        for kind in keys::KINDS {
            let options = keys::options(kind);
            let definition = match *kind {
                "disable" | "start" | "stop" | "restart" => "Jobs",
                "deploy" => "Deploy",
                "reboot" => "Reboot",
                "wait_for_ssh" => "WaitForSsh",
                "run" | "local" => "Command",
                "health" => "Health",
                "sync_check" => "SyncCheck",
                "approve" => "Approve",
                _ => continue,
            };
            assert_eq!(properties(&schema, Some(definition)), set(options), "{kind}");
        }
    }
}
