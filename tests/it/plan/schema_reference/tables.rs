//! What the schema says of a key, as the cells of a table.

use serde_json::Value;

use super::heading;

/// A row.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) default: String,
    pub(super) what: String,
}

/// Definitions that are told by a name, which the last table of the page explains, and how each is called.
const NAMED: &[(&str, &str)] = &[
    ("Duration", "duration"),
    ("TimeOfDay", "time of day"),
    ("Day", "`mon` to `sun`, or one of each month"),
    ("Dates", "date, or `FIRST..LAST`"),
    ("Status", "status, or all of a hundred"),
    ("Host", "host"),
    ("JobName", "job"),
    ("BudgetJob", "job, or `\"*\"`"),
    ("Id", "id"),
    ("PlanName", "name"),
    ("Text", "text"),
    ("OneOrMoreWord", "tag value, or list of them"),
    ("Word", "tag value"),
    ("VariableValue", "value, or list of them"),
    ("EnvValue", "value, or secret"),
    ("Amount", "amount"),
    ("PositiveAmount", "amount, not 0"),
];

/// The row for each key of an object: of the document, a definition, or the options of a kind of step.
pub(super) fn keys_of(schema: &Value, node: &Value) -> Vec<Key> {
    let node = options(schema, node);
    let required: Vec<&str> =
        node["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let one_of = node["oneOf"].as_array().into_iter().flatten();
    let one_of: Vec<&str> = one_of.filter_map(|one| one["required"][0].as_str()).collect();
    let keys = node["properties"].as_object().into_iter().flatten();
    let row = |(name, value): (&String, &Value)| {
        let (what, said) = described(value);
        let default = match () {
            () if required.contains(&name.as_str()) => "*required*".to_owned(),
            () if one_of.contains(&name.as_str()) && one_of.len() == 2 => {
                format!("*required*, this or `{}`", one_of.iter().find(|one| *one != name).unwrap())
            }
            () => said.unwrap_or_default(),
        };
        Key { name: name.clone(), kind: type_of(schema, value), default: cell(&default), what: cell(&what) }
    };
    keys.map(row).collect()
}

/// The object in a schema that also takes nothing, or is a reference.
fn options<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    if let Some(name) = reference(node) {
        return options(schema, &schema["definitions"][name]);
    }
    let choices = node["anyOf"].as_array().into_iter().flatten();
    let mut objects =
        choices.map(|choice| options(schema, choice)).filter(|one| one["properties"].is_object());
    if node["properties"].is_object() { node } else { objects.next().unwrap_or(node) }
}

fn reference(node: &Value) -> Option<&str> {
    node["$ref"].as_str()?.strip_prefix("#/definitions/")
}

/// What a key does, and what it is where it is not given.
pub(super) fn described(node: &Value) -> (String, Option<String>) {
    let text = node["description"].as_str().unwrap_or_default().replace('\n', " ");
    let Some((what, default)) = text.split_once(" Default: ") else { return (text, None) };
    let default = default.strip_suffix('.').unwrap_or(default);
    (what.to_owned(), Some(default.to_owned()))
}

/// As the cell of a table.
pub(super) fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

/// What stands for a value: without what only editors read.
fn bare(node: &Value) -> Value {
    let mut node = node.clone();
    if let Some(keys) = node.as_object_mut() {
        keys.retain(|key, _| !["description", "defaultSnippets"].contains(&key.as_str()));
    }
    node
}

/// The name of the definition that a key has taken in.
fn named(schema: &Value, node: &Value) -> Option<&'static str> {
    let node = bare(node);
    let same = |(name, _): &&(&str, &str)| bare(&schema["definitions"][*name]) == node;
    NAMED.iter().find(same).map(|(_, called)| *called)
}

/// The anchor that a forge and mdBook make of a heading.
fn link(heading: &str) -> String {
    let lower = heading.to_lowercase().replace(' ', "-");
    let anchor: String = lower.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
    format!("[{heading}](#{anchor})")
}

/// What a value may be, in words. A variable is nowhere told, as it may stand everywhere.
pub(super) fn type_of(schema: &Value, node: &Value) -> String {
    if let Some(name) = reference(node) {
        if let Some(heading) = heading(name) {
            return link(heading);
        }
        let called = NAMED.iter().find(|(known, _)| *known == name).map(|(_, called)| (*called).to_owned());
        return called.unwrap_or_else(|| type_of(schema, &schema["definitions"][name]));
    }
    if let Some(called) = named(schema, node) {
        return called.to_owned();
    }
    let section = schema["definitions"].as_object().into_iter().flatten();
    let mut section = section.filter(|(name, one)| {
        one["properties"].is_object() && bare(one) == bare(node) && heading(name).is_some()
    });
    if let Some(heading) = section.next().and_then(|(name, _)| heading(name)) {
        return link(heading);
    }
    if let Some(choices) = node["anyOf"].as_array() {
        return either(schema, choices);
    }
    if let Some(words) = node["enum"].as_array() {
        return words
            .iter()
            .filter_map(Value::as_str)
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if !node["const"].is_null() {
        return format!("`{}`", node["const"]);
    }
    match node["type"].as_str() {
        Some("array") if is_step(&node["items"]) => "list: [step](#kinds-of-steps)".to_owned(),
        Some("array") => format!("list: {}", type_of(schema, &node["items"])),
        Some("object") if node["additionalProperties"] == Value::Bool(true) => {
            "map: name to any value".to_owned()
        }
        Some("object") if node["additionalProperties"].is_object() => {
            format!("map: name to {}", type_of(schema, &node["additionalProperties"]))
        }
        Some("object") => "options".to_owned(),
        Some(number @ ("integer" | "number")) => bounds(number, node),
        Some("boolean") => "`true` or `false`".to_owned(),
        None if node["description"].is_string() => "any value".to_owned(),
        _ => panic!("no words for {node:#}"),
    }
}

fn is_step(items: &Value) -> bool {
    reference(items).is_some_and(|name| ["StepEntry", "OnceStepEntry"].contains(&name))
}

fn bounds(number: &str, node: &Value) -> String {
    let word = if number == "integer" { "whole number" } else { "number" };
    let most = node["maximum"].as_f64().filter(|most| *most < 1e15);
    match (node["minimum"].as_f64(), most) {
        (Some(least), Some(most)) => format!("{word} ({least} to {most})"),
        (Some(least), None) => format!("{word} ({least} or more)"),
        _ => word.to_owned(),
    }
}

/// Of several choices: what each is; variables alone are left out.
fn either(schema: &Value, choices: &[Value]) -> String {
    let mut words: Vec<String> = Vec::new();
    for choice in choices {
        let message = choice["patternErrorMessage"].as_str();
        if let Some(message) = message.filter(|message| message.contains("a percentage")) {
            // Beside a whole number: it says that, too.
            let word = message.rsplit_once("or ").map_or("", |(_, word)| word.trim_end_matches('.'));
            let word =
                if ["auto", "rest"].contains(&word) { format!(", or `{word}`") } else { String::new() };
            let number = words.pop().unwrap_or_default();
            words.push(format!("{number}, percentage{word}"));
        } else if message.is_some_and(|message| message.contains("variable"))
            || choice["const"].is_null() && choice.get("const").is_some()
        {
            // A variable, or nothing: the page says so once.
        } else if choice["type"] == "array"
            && choice["items"]["type"] == "string"
            && choice["items"]["pattern"].is_string()
        {
            words.push("list: host".to_owned());
        } else {
            words.push(type_of(schema, choice));
        }
    }
    words.dedup();
    words.join(", or ")
}

/// The types that the tables name.
pub(super) fn types(schema: &Value) -> Vec<(&'static str, String)> {
    let message = |name: &str| -> String {
        let text = schema["definitions"][name]["description"].as_str().unwrap_or_default();
        cell(text)
    };
    NAMED
        .iter()
        .map(|(name, called)| {
            let what = match *name {
                "Text" => "not empty".to_owned(),
                "OneOrMoreWord" => "one of these, or a list with at least one".to_owned(),
                "Word" => "a text; `1`, `1.5` and `true` are taken as texts, as they are written".to_owned(),
                "VariableValue" => "text, number, `true` or `false`, or a list of these".to_owned(),
                "EnvValue" => "text, number, `true` or `false`, or `{from_env: NAME}`".to_owned(),
                "Amount" => {
                    "a whole number of 0 or more, or a percentage such as `10%`, at most `100%`".to_owned()
                }
                "PositiveAmount" => "a whole number of 1 or more, or a percentage".to_owned(),
                _ => message(name),
            };
            (*called, what)
        })
        .collect()
}
