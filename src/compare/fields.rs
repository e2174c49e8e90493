//! What a step does, as names and texts. Made from what serde says of a step, so that no option is forgotten, one that
//! comes later included.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::plan::{CommandSource, Step, StepKind, VarValue, duration};

/// The options of the step at `at` of a list, those that are not given left out. `needs` is there where it is not just
/// the step before.
pub(super) fn fields_of(
    steps: &[Step],
    at: usize,
    scripts: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let step = &steps[at];
    let mut fields = BTreeMap::new();
    let mut add = |name: &str, text: String| {
        fields.insert(name.to_owned(), text);
    };
    if let Some(name) = &step.name {
        add("name", name.clone());
    }
    let in_order = at.checked_sub(1).map_or(step.needs.is_empty(), |before| step.needs == [before]);
    if !in_order {
        let needs: Vec<&str> = step.needs.iter().map(|need| steps[*need].id.as_str()).collect();
        add("needs", if needs.is_empty() { "nothing".to_owned() } else { needs.join(", ") });
    }
    match step.timeout {
        Some(timeout) => add("timeout", duration(timeout)),
        None if matches!(step.kind, StepKind::Pause { .. }) => {}
        None => add("timeout", "no limit".to_owned()),
    }
    if step.retries.attempts > 1 {
        let retries = &step.retries;
        add("attempts", retries.attempts.to_string());
        add("retry delay", duration(retries.delay));
        add("backoff", retries.backoff.to_string());
        add("longest delay", duration(retries.max_delay));
    }
    if let StepKind::Run(command) | StepKind::Local(command) = &step.kind
        && let CommandSource::Script(path) = &command.action
        && let Some(text) = scripts.get(&path.value)
    {
        add("script text", text.clone());
    }
    add("on_failure", text_of(&step.on_failure));
    flatten("when", &json(&step.when), &mut fields);
    if let Value::Object(options) = json(&step.kind) {
        let is_job = matches!(step.kind, StepKind::Job { .. });
        // Its keyword is the kind of the step.
        for (name, value) in
            options.iter().filter(|(name, _)| *name != "kind" && !(is_job && *name == "action"))
        {
            flatten(name, value, &mut fields);
        }
    }
    fields
}

/// Below `name` what a value has, by paths with dots; nothing for what is not given.
pub(super) fn flatten(name: &str, value: &Value, fields: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(parts) => {
            if let Some(time) = as_duration(value) {
                fields.insert(name.to_owned(), duration(time));
                return;
            }
            for (key, part) in parts {
                flatten(&below(name, key), part, fields);
            }
        }
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) => {
            fields.insert(name.to_owned(), items.iter().map(item).collect::<Vec<_>>().join(", "));
        }
        Value::String(text) if (name == "undo" && text == "unstated") || text.is_empty() => {}
        Value::String(text) if name == "undo" && text == "nothing" => {
            fields.insert(name.to_owned(), "none".to_owned());
        }
        value => {
            fields.insert(name.to_owned(), item(value));
        }
    }
}

/// The words of the plan where those of the model differ.
fn below(name: &str, key: &str) -> String {
    match (name, key) {
        ("action", _) => key.to_owned(),
        ("undo", "command") => "undo".to_owned(),
        ("expect.kernel", "like") => "expect.kernel".to_owned(),
        (name, "plain") if name.starts_with("env.") => name.to_owned(),
        (name, "from_env") if name.starts_with("env.") => format!("{name} (secret)"),
        _ => format!("{name}.{key}"),
    }
}

/// Of a list, or by itself.
fn item(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // A tag with its values.
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(key), Value::Array(values)] => {
                format!("{key}={}", values.iter().map(item).collect::<Vec<_>>().join("|"))
            }
            items => items.iter().map(item).collect::<Vec<_>>().join(" "),
        },
        Value::Object(parts) => {
            parts.iter().map(|(key, part)| format!("{key} {}", item(part))).collect::<Vec<_>>().join(" ")
        }
        value => value.to_string(),
    }
}

fn as_duration(value: &Value) -> Option<Duration> {
    let parts = value.as_object().filter(|parts| parts.len() == 2)?;
    let nanos = u32::try_from(parts.get("nanos")?.as_u64()?).ok()?;
    Some(Duration::new(parts.get("secs")?.as_u64()?, nanos))
}

/// A value that serde cannot write has no field: the model has none such.
pub(super) fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// A value in one line.
pub(super) fn text_of(value: &impl serde::Serialize) -> String {
    item(&json(value))
}

/// A variable's value as a command gets it.
pub(super) fn variable(value: &VarValue) -> String {
    match value {
        VarValue::List(items) => items.iter().map(variable).collect::<Vec<_>>().join(","),
        value => text_of(value),
    }
}
