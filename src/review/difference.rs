//! What differs between two values of which nothing else is known, in words: the net below everything that has words of
//! its own.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::plan::visible_line;

/// At most this much of a value is shown.
const SHOWN: usize = 60;

/// One thing that differs: where, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Keys and indices from the outside inwards.
    pub(super) path: Vec<String>,
    /// `1 -> 2`, `is 2 now, and was not set`, ...
    pub(super) how: String,
}

impl Difference {
    /// `resources.memory_max_mb 512 -> 1024`.
    pub(super) fn describe(&self) -> String {
        if self.path.is_empty() { self.how.clone() } else { format!("{} {}", self.path.join("."), self.how) }
    }
}

/// All that differs between two values, in the order of the first.
pub(super) fn differences<T: Serialize>(old: &T, new: &T) -> Vec<Difference> {
    // A value that JSON lacks would be a bug of the document, and its whole is told of by its hash.
    let value = |value: &T| serde_json::to_value(value).unwrap_or_default();
    let mut found = Vec::new();
    compare(&value(old), &value(new), &mut Vec::new(), &mut found);
    found
}

fn compare(old: &Value, new: &Value, path: &mut Vec<String>, found: &mut Vec<Difference>) {
    let mut below = |key: &str, old: &Value, new: &Value| {
        path.push(key.to_owned());
        compare(old, new, path, found);
        path.pop();
    };
    match (old, new) {
        _ if old == new => {}
        (Value::Object(before), Value::Object(now)) => {
            let none = Value::Null;
            for (key, old) in before {
                below(key, old, now.get(key).unwrap_or(&none));
            }
            for (key, new) in now.iter().filter(|(key, _)| !before.contains_key(*key)) {
                below(key, &none, new);
            }
        }
        (Value::Array(before), Value::Array(now)) if before.iter().chain(now).all(is_plain) => {
            let how = describe_lists(before, now);
            found.push(Difference { path: path.clone(), how });
        }
        (Value::Array(before), Value::Array(now)) => {
            for at in 0..before.len().max(now.len()) {
                let none = Value::Null;
                below(&(at + 1).to_string(), before.get(at).unwrap_or(&none), now.get(at).unwrap_or(&none));
            }
        }
        _ => found.push(Difference { path: path.clone(), how: describe(old, new) }),
    }
}

fn is_plain(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

/// Of two lists of plain values: what has come and what has gone.
fn describe_lists(old: &[Value], new: &[Value]) -> String {
    let (before, now): (BTreeSet<String>, BTreeSet<String>) =
        (old.iter().map(shown).collect(), new.iter().map(shown).collect());
    let listed = |sign: &str, values: Vec<&String>| -> String {
        values.iter().map(|value| format!("{sign}{value}")).collect::<Vec<_>>().join(", ")
    };
    let (gone, come) =
        (listed("-", before.difference(&now).collect()), listed("+", now.difference(&before).collect()));
    match (gone.as_str(), come.as_str()) {
        ("", "") => "have another order".to_owned(),
        (all, "") | ("", all) => all.to_owned(),
        (gone, come) => format!("{gone}, {come}"),
    }
}

/// How one plain value differs from another.
pub(super) fn describe(old: &Value, new: &Value) -> String {
    match (old, new) {
        (Value::Null, new) => format!("is {} now, and was not set", shown(new)),
        (old, Value::Null) => format!("is no longer set (was {})", shown(old)),
        (old, new) => format!("{} -> {}", shown(old), shown(new)),
    }
}

/// A value on one line.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        // Sizes are fractions to JSON, and whole to operators.
        Value::Number(number) => number.to_string().trim_end_matches(".0").to_owned(),
        other => other.to_string(),
    };
    let line = visible_line(&text);
    if line.chars().count() <= SHOWN {
        return line;
    }
    line.chars().take(SHOWN).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(old: Value, new: Value) -> Vec<String> {
        differences(&old, &new).iter().map(Difference::describe).collect()
    }

    #[test]
    fn every_difference_has_its_path() {
        let old = json!({"a": 1, "b": {"c": "x", "d": [1, 2]}, "e": null, "f": 2.0, "h": [{"i": 1}]});
        let new =
            json!({"a": 2, "b": {"c": "", "d": [2, 3]}, "e": true, "g": "n", "h": [{"i": 2}, {"i": 3}]});
        assert_eq!(
            said(old, new),
            [
                "a 1 -> 2",
                "b.c x -> \"\"",
                "b.d -1, +3",
                "e is true now, and was not set",
                "f is no longer set (was 2)",
                "h.1.i 1 -> 2",
                "h.2 is {\"i\":3} now, and was not set",
                "g is n now, and was not set",
            ]
        );
        assert_eq!(said(json!({"l": [1, 2]}), json!({"l": [2, 1]})), ["l have another order"]);
        assert_eq!(said(json!([1]), json!([1])), Vec::<String>::new());
        let long = said(json!("\u{1b}[2J"), json!("y".repeat(100)));
        assert_eq!(long, [format!("\\x1b[2J -> {}...", "y".repeat(60))]);
    }
}
