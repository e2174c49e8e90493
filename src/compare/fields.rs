//! What a step does, as names and texts. Made from what serde says of a step, so that no option is forgotten, one that
//! comes later included.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::settings::millis;
use crate::plan::secret::{is_secret, masked};
use crate::plan::{
    CommandSource, EnvValue, Gate, GateAction, Notify, StatusRange, Step, StepKind, VarValue, duration,
    parse_duration,
};

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
    match &step.kind {
        StepKind::Gate(gate) => fields.extend(fields_of_gate(gate, GateAction::OF_STEP)),
        kind => {
            if let Value::Object(options) = json(kind) {
                let is_job = matches!(kind, StepKind::Job { .. });
                // Its keyword is the kind of the step.
                for (name, value) in
                    options.iter().filter(|(name, _)| *name != "kind" && !(is_job && *name == "action"))
                {
                    flatten(name, value, &mut fields);
                }
            }
        }
    }
    fields
}

/// The options of the step at `at` of a list by their keys, those that are not given left out.
pub fn step_options(steps: &[Step], at: usize) -> BTreeMap<String, String> {
    fields_of(steps, at, &BTreeMap::new())
}

/// The options of a gate of the rollout by their keys.
pub fn gate_options(gate: &Gate) -> BTreeMap<String, String> {
    fields_of_gate(gate, GateAction::OF_ROLLOUT)
}

/// What a gate asks and expects, and what follows. `actions` are the words for that, in the order of [`GateAction`].
pub(super) fn fields_of_gate(gate: &Gate, actions: [&str; 3]) -> BTreeMap<String, String> {
    let mut fields = fields_of_all(gate);
    for (name, action) in [("on_fail", gate.on_fail), ("on_inconclusive", gate.on_inconclusive)] {
        fields.insert(name.to_owned(), actions[action as usize].to_owned());
    }
    fields
}

/// How much a gate lets pass, of an option that has more and less of it; only those of the same option compare.
pub(super) fn leeway_of_gate(name: &str, text: &str) -> Option<u64> {
    match name {
        "failures" => text.parse().ok(),
        "on_fail" | "on_inconclusive" => match text {
            "wait" => Some(1),
            "ignore" => Some(2),
            _ => Some(0),
        },
        "alertmanager.except_down" => Some(u64::from(text == "true")),
        "alertmanager.linger" => parse_duration(text).ok().map(millis),
        "prometheus.max" => text.parse().ok().map(in_order),
        "prometheus.min" => text.parse().ok().map(|min| u64::MAX - in_order(min)),
        _ => None,
    }
}

/// A number that is larger where the other one is.
fn in_order(number: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    let bits = number.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// Who is told: everything of each target, by its name.
pub(super) fn fields_of_notify(notify: &Notify) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if notify.nobody {
        all.insert("notify".to_owned(), "none".to_owned());
    }
    for (name, target) in &notify.targets {
        let Some(target) = target else {
            all.insert(format!("notify {name}"), "none".to_owned());
            continue;
        };
        let mut fields = fields_of_all(target);
        if let Some(url @ EnvValue::Plain(_)) = target.to.url() {
            fields.insert(format!("{}.url", target.to.keyword()), target.to.shown_url(url));
        }
        all.extend(fields.into_iter().map(|(key, text)| (format!("notify {name} {key}"), text)));
    }
    all
}

/// Everything that serde says of a value, by the keys of the plan.
pub(super) fn fields_of_all(value: &impl Serialize) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    if let Value::Object(keys) = json(value) {
        keys.iter().for_each(|(key, value)| flatten(key, value, &mut fields));
    }
    fields
}

/// Below `name` what a value has, by paths with dots; nothing for what is not given.
pub(super) fn flatten(name: &str, value: &Value, fields: &mut BTreeMap<String, String>) {
    // What the plan's author has written as a document is shown as one: in it `null`, an empty list and a text of digits are
    // not the same as nothing and a number.
    if DOCUMENTS.iter().any(|document| name == *document || name.ends_with(&format!(".{document}"))) {
        match value {
            Value::Null if !name.ends_with("body.json") => {}
            // Places in a document, each with the value that it has to have.
            Value::Array(pairs) if name.ends_with("expect.json") => {
                for pair in pairs {
                    let place = pair[0].as_str().unwrap_or_default();
                    fields.insert(format!("{name} {place}"), pair[1].to_string());
                }
            }
            value => {
                fields.insert(name.to_owned(), format!("{value:#}"));
            }
        }
        return;
    }
    match value {
        Value::Null => {}
        Value::Object(parts) => {
            if let Some(text) = in_words(value) {
                fields.insert(name.to_owned(), text);
                return;
            }
            if let (1, Some(Value::String(plain))) = (parts.len(), parts.get("plain")) {
                // Behind what it belongs to, the name of the header or the variable is left.
                let own = ["headers.", "env."].iter().find_map(|map| Some(name.rsplit_once(map)?.1));
                let own = own.or(name.rsplit('.').next()).unwrap_or_default();
                let shown = if is_secret(own, plain) { masked(plain) } else { plain.clone() };
                flatten(name, &Value::String(shown), fields);
                return;
            }
            for (key, part) in parts {
                flatten(&below(name, key), part, fields);
            }
        }
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) => {
            fields.insert(name.to_owned(), items.iter().map(of_list).collect::<Vec<_>>().join(", "));
        }
        Value::String(text) if name == "undo" && text == "unstated" => {}
        Value::String(text) if name == "undo" && text == "nothing" => {
            fields.insert(name.to_owned(), "none".to_owned());
        }
        Value::String(text) if text.is_empty() => {
            fields.insert(name.to_owned(), "\"\"".to_owned());
        }
        value => {
            fields.insert(name.to_owned(), item(value));
        }
    }
}

/// Documents of the plan's author, by their names in a path.
const DOCUMENTS: [&str; 3] = ["body.json", "webhook.json", "expect.json"];

/// The words of the plan where those of the model differ.
fn below(name: &str, key: &str) -> String {
    match (name, key) {
        // Names are the author's there.
        (name, _)
            if ["env", "headers"].iter().any(|map| name == *map || name.ends_with(&format!(".{map}"))) =>
        {
            format!("{name}.{key}")
        }
        ("action" | "measure" | "to", _) => key.to_owned(),
        ("undo", "command" | "request") => "undo".to_owned(),
        ("expect.kernel", "like") => "expect.kernel".to_owned(),
        // A value that may be a secret, whatever it is for; a body is a text, or a document.
        (name, "plain" | "text") => name.to_owned(),
        (name, "from_env") => format!("{name} (secret)"),
        _ => format!("{name}.{key}"),
    }
}

/// One of several. Where they stand behind each other it must be seen where each ends.
fn of_list(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() || text.contains(", ") => value.to_string(),
        value => item(value),
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
        Value::Object(parts) => in_words(value).unwrap_or_else(|| {
            parts.iter().map(|(key, part)| format!("{key} {}", item(part))).collect::<Vec<_>>().join(" ")
        }),
        value => value.to_string(),
    }
}

/// Of a value that is written as one word in a plan: a duration, a status of an answer, a matcher.
fn in_words(value: &Value) -> Option<String> {
    let parts = value.as_object()?;
    if let Some(time) = as_duration(value) {
        return Some(duration(time));
    }
    let code = |key: &str| u16::try_from(parts.get(key)?.as_u64()?).ok();
    if let (2, Some(first), Some(last)) = (parts.len(), code("first"), code("last")) {
        return Some(StatusRange { first, last }.to_string());
    }
    let text = |key: &str| parts.get(key).and_then(Value::as_str);
    match (parts.len(), text("name"), text("op"), text("value")) {
        (3, Some(name), Some(op), Some(_)) => Some(format!("{name}{op}{}", parts["value"])),
        _ => None,
    }
}

fn as_duration(value: &Value) -> Option<Duration> {
    let parts = value.as_object().filter(|parts| parts.len() == 2)?;
    let nanos = u32::try_from(parts.get("nanos")?.as_u64()?).ok()?;
    Some(Duration::new(parts.get("secs")?.as_u64()?, nanos))
}

/// A value that serde cannot write has no field: the model has none such.
pub(super) fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// A value in one line.
pub(super) fn text_of(value: &impl Serialize) -> String {
    item(&json(value))
}

/// A variable's value as a command gets it.
pub(super) fn variable(value: &VarValue) -> String {
    match value {
        VarValue::List(items) => items.iter().map(variable).collect::<Vec<_>>().join(","),
        value => text_of(value),
    }
}
