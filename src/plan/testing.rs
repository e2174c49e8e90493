//! Every key of the language, each changed by itself: for tests of what an operator is told of a plan.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Plan, Problem, Severity, Source, parse, parse_duration, schema};

/// A calendar with one event.
pub(crate) const CALENDAR: &str = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20261224T000000Z\r\n\
                                   DTEND:20261225T000000Z\r\nSUMMARY:Holidays\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
/// The files that plans of [`each_change`] name as calendars.
pub(crate) const CALENDARS: [&str; 2] = ["c.ics", "c.icsx"];

/// Calls `see` for each value in examples that have every key of the language between them: with the path of the value, the
/// plan as it is, and as it is with another value there. A key without an example is a panic: it may have been added later.
pub(crate) fn each_change(mut see: impl FnMut(&str, &Plan, &Plan)) {
    let schema = schema();
    let mut wanted = BTreeSet::new();
    each_property(&schema, &mut wanted);
    let mut wrong = Vec::new();
    for example in examples() {
        let old = read(&example).unwrap();
        let mut places = Vec::new();
        leaves(&example, &mut Vec::new(), &mut places);
        for place in places {
            let path = place.join("/");
            cover(&schema, &schema, &example, &place, &mut wanted);
            let mut changed = example.clone();
            let value =
                changed.pointer_mut(&format!("/{}", place.join("/").replace("//", "/~1"))).expect(&path);
            let Some(another) = another(&place, value) else { continue };
            *value = another;
            match read(&changed) {
                Ok(new) => see(&path, &old, &new),
                Err(why) => wrong.push(format!("{path}: {why:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "write other values into `another`: {wrong:#?}");
    // The kinds of steps are there or not, and what they are is compared by tests of its own.
    wanted.retain(|(_, key)| key != "version" && !super::decode::keys::KINDS.contains(&key.as_str()));
    let missing: Vec<_> = wanted.iter().map(|(keys, key)| format!("{key} (beside {keys})")).collect();
    assert!(missing.is_empty(), "keys without an example in src/plan/testing.rs: {missing:#?}");
}

fn read(document: &Value) -> Result<Plan, Vec<String>> {
    let source = Source::new("p.yaml", document.to_string());
    let errors = |problem: &&Problem| problem.severity == Severity::Error;
    parse(&source, &[]).map_err(|all| all.iter().filter(errors).map(ToString::to_string).collect())
}

/// The places of all values that are no maps and no lists.
fn leaves(value: &Value, at: &mut Vec<String>, all: &mut Vec<Vec<String>>) {
    let mut below = |key: String, value: &Value| {
        at.push(key);
        leaves(value, at, all);
        at.pop();
    };
    match value {
        Value::Object(keys) => keys.iter().for_each(|(key, value)| below(key.clone(), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| below(n.to_string(), item)),
        _ => all.push(at.clone()),
    }
}

/// What may stand there as well; `None`: nothing else.
fn another(place: &[String], value: &Value) -> Option<Value> {
    let key = place.iter().rev().find(|part| part.parse::<usize>().is_err()).map_or("", String::as_str);
    Some(match value {
        _ if key == "version" => return None,
        Value::Bool(flag) => (!flag).into(),
        Value::Number(number) => match number.as_u64() {
            Some(number) => (number + 1).into(),
            None => (number.as_f64().unwrap_or_default() * 2.0).into(),
        },
        Value::String(text) => match (key, text.as_str()) {
            ("on_failure", "halt") => "revert".into(),
            ("on_failure", "fail") => "ignore".into(),
            ("on_fail" | "on_inconclusive", "wait") => "ignore".into(),
            ("method", _) => "PUT".into(),
            ("scope", _) => "fleet".into(),
            ("kernel", "newest") => "6.1.*".into(),
            ("cannot_tell", _) => "reboot".into(),
            ("on_no_return", _) => "power_cycle".into(),
            ("timezone", _) => "Europe/Berlin".into(),
            ("open" | "close", _) => "03:30".into(),
            ("days", _) => "tue".into(),
            ("dates", _) => "2026-12-25".into(),
            ("status", _) => "204".into(),
            ("on", _) => "resumed".into(),
            ("needs", "one" | "p-one") => text.replace("one", "two").into(),
            ("needs", _) | ("id", "one" | "p-one" | "two" | "five") => return None,
            ("order", "reverse") => "host".into(),
            ("waves", "rest") => return None,
            ("unless", "not_required") => return None,
            ("matchers", text) => text.replace("instance", "host").replace("node", "web").into(),
            ("matching", text) => text.replace("critical", "warning").into(),
            (_, "none" | "enable" | "build" | "sync_check") => return None,
            (_, text) if text.ends_with('%') => "77%".into(),
            (_, text) if parse_duration(text).is_ok() => {
                let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
                let number: u64 = text[..text.len() - unit.len()].parse().unwrap();
                format!("{}{unit}", number + 1).into()
            }
            (_, text) if text.starts_with("http") => format!("{text}/x").into(),
            (_, text) => format!("{text}x").into(),
        },
        _ => return None,
    })
}

/// Every key of every map of the schema, with the keys beside it.
fn each_property(schema: &Value, all: &mut BTreeSet<(String, String)>) {
    match schema {
        Value::Object(keys) => {
            if let Some(Value::Object(properties)) = keys.get("properties") {
                all.extend(properties.keys().map(|key| (beside(properties), key.clone())));
            }
            keys.values().for_each(|value| each_property(value, all));
        }
        Value::Array(items) => items.iter().for_each(|item| each_property(item, all)),
        _ => {}
    }
}

fn beside(properties: &serde_json::Map<String, Value>) -> String {
    properties.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Strikes out the keys that lead to a place.
fn cover(
    root: &Value,
    schema: &Value,
    value: &Value,
    place: &[String],
    wanted: &mut BTreeSet<(String, String)>,
) {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/definitions/")) {
        cover(root, &root["definitions"][name], value, place, wanted);
    }
    for choice in ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema[key].as_array()).flatten() {
        cover(root, choice, value, place, wanted);
    }
    let Some((first, rest)) = place.split_first() else { return };
    if let Value::Array(items) = value {
        let n: usize = first.parse().unwrap();
        return cover(root, &schema["items"], &items[n], rest, wanted);
    }
    match schema["properties"].get(first) {
        Some(property) => {
            wanted.remove(&(beside(schema["properties"].as_object().unwrap()), first.clone()));
            cover(root, property, &value[first], rest, wanted);
        }
        None => cover(root, &schema["additionalProperties"], &value[first], rest, wanted),
    }
}

/// Plans that have every key between them.
fn examples() -> Vec<Value> {
    let request = json!({
        "method": "POST", "url": "http://lb/servers/x", "headers": {"X-Reason": "reboot", "X-Token": {"from_env": "LB_TOKEN"}},
        "json": {"state": "drain", "weights": [1, 2], "note": "a"},
    });
    let text = json!({"method": "POST", "url": "http://lb/x", "headers": {"X-Reason": "a"}, "body": "drain"});
    let expect = json!({"status": ["2xx", 301], "json": {"/state": "drained", "/n": 1}});
    let with = |request: &Value, more: Value| {
        let mut all = request.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let prometheus = json!({
        "url": "http://p:9090", "headers": {"X-Scope": "1"}, "query": "errors", "over": "10m", "resolution": "30s",
        "min": 0.25, "max": 5,
    });
    let alertmanager = json!({
        "url": "http://a:9093", "headers": {"X-Scope": "1"}, "matching": ["severity=\"critical\""], "except_down": true,
        "linger": "2m", "worker_label": "instance",
    });
    let timing = json!({
        "interval": "10s", "count": 3, "failures": 1, "answer_within": "10s", "on_fail": "wait", "on_inconclusive": "wait",
    });
    let of_rollout = with(&timing, json!({"name": "errors", "patience": "15m"}));
    let check = |request: &Value| with(request, json!({"expect": expect}));
    let command = json!({
        "command": "upgrade", "idempotent": false, "disturbs": true, "fenced": false, "unless": "test -e /done",
        "env": {"LEVEL": "3", "TOKEN": {"from_env": "MY_TOKEN"}}, "undo": "downgrade",
    });
    let here = json!({
        "command": "upgrade", "idempotent": false, "fenced": false, "unless": "test -e /done",
        "env": {"LEVEL": "3", "TOKEN": {"from_env": "MY_TOKEN"}}, "undo": "downgrade",
    });
    let common = json!({
        "name": "a name", "timeout": "4m",
        "retries": {"attempts": 3, "delay": "5s", "backoff": 1.5, "max_delay": "1m"},
    });
    let when = json!({"when": {"labels": ["web"], "tags": {"zone": ["a"]}, "jobs": ["api"]}});
    let step = |id: &str, more: Value| with(&with(&common, json!({"id": id})), more);
    let rollout = json!({
        "version": 1, "name": "all", "description": "about",
        "vars": {"level": "low", "sizes": [1, 2], "share": 0.5, "strict": true},
        "targets": {
            "workers": ["w1", "w2", "w3", "w4", "w5", "w6"], "labels": ["web"], "tags": {"zone": ["a", "b"]}, "jobs": ["api"],
            "exclude": {"workers": ["w6"], "labels": ["old"], "tags": {"rack": ["r9"]}, "jobs": ["batch"]},
            "expect": {"min": 1, "max": 9},
        },
        "rollout": {
            "concurrency": 2, "waves": [{"cover": ["zone"], "at_most": 2}, 1, "rest"], "order": "reverse",
            "spread": {"tag": "zone", "at_most": 2},
            "budgets": [{"job": "api", "min_available": 1}, {"job": "web", "max_unavailable": 2}],
            "max_failures": 1, "on_failure": "halt", "soak": "1m",
            "window": [{"timezone": "UTC", "open": "22:00", "close": "05:00", "days": ["mon"]}],
            "freeze": {"timezone": "UTC", "dates": ["2026-12-24..2027-01-02"], "calendars": ["c.ics"]},
            "gates": {
                "before_wave": [with(&of_rollout, json!({"prometheus": prometheus}))],
                "after_wave": [with(&of_rollout, json!({"http": check(&request)})), with(&timing, json!({"command": "look"}))],
            },
            "guard": [
                with(&of_rollout, json!({"alertmanager": alertmanager})),
                with(&timing, json!({"http": check(&text)})),
                {"command": "look", "interval": "20s"},
            ],
        },
        "silence": {
            "url": "http://a:9093", "headers": {"X-Scope": "1", "X-Token": {"from_env": "AM_TOKEN"}},
            "matchers": ["instance=\"$MAAND_HOST\"", "job=\"node\""], "lease": "5m", "tail": "2m", "at_most": "1h",
            "timeout": "5s", "comment": "kernels",
        },
        "notify": {
            "a": {
                "webhook": {"url": "http://relay/x", "headers": {"X-A": "1"}, "json": {"text": "a", "n": 1}},
                "on": ["halted"], "title": "title", "text": "text", "timeout": "10s", "give_up_after": "10m",
            },
            "b": {"slack": {"url": "https://hooks.slack.com/services/T1/B1/X1"}},
            "c": {"teams": {"url": {"from_env": "TEAMS_URL"}}},
            "d": {"ntfy": {"url": "https://ntfy.internal", "topic": "ops", "token": "tk_abcdef", "priority": 3}},
            "e": {"mail": {"to": ["ops@example.org"], "from": "maand@example.org", "sendmail": "/usr/sbin/sendmail"}},
            "f": {"command": "logger"},
        },
        "defaults": {"timeout": "7m", "retries": {"attempts": 2, "delay": "5s", "backoff": 2, "max_delay": "3m"}},
        "steps": [{"health": {"jobs": ["api", "web"]}}],
    });
    let steps = json!({
        "version": 1, "name": "steps",
        "rollout": {"window": {"timezone": "UTC", "open": "22:00", "close": "05:00"}},
        "before": [
            step("one", json!({"needs": [], "deploy": {"jobs": ["api"], "force": false}})),
            step("two", json!({"local": here})),
            step("three", json!({"on_failure": "fail", "needs": ["one"], "http": with(&check(&request), json!({"idempotent": false, "undo": request}))})),
            step("four", json!({"gate": with(&timing, json!({"prometheus": prometheus}))})),
            step("five", json!({"health": {"jobs": ["api"], "wait": true}})),
            {"pause": "10s"},
            step("six", json!({"approve": {"message": "go?"}})),
        ],
        "prepare": {
            "concurrency": 5, "outside_window": false,
            "steps": [
                with(&step("p-one", json!({"needs": [], "run": {"command": "fetch", "idempotent": true}})), when.clone()),
                step("p-two", json!({"local": here})),
                step("p-three", json!({"on_failure": "fail", "needs": ["p-one"], "http": with(&text, json!({"undo": text}))})),
                step("p-four", json!({"health": {"jobs": ["api"], "wait": true, "scope": "worker"}})),
                "sync_check",
            ],
        },
        "steps": [
            with(&step("one", json!({"needs": [], "run": command})), when),
            step("two", json!({"run": {"script": "patch.sh", "env": {"A": "b"}}})),
            step("three", json!({"needs": ["one"], "disable": {"jobs": ["api"]}})),
            step("four", json!({"deploy": {"jobs": ["api"], "force": false}})),
            {"id": "five", "start": {"jobs": ["api"]}},
            step("six", json!({
                "needs": ["two", "five"],
                "reboot": {
                    "command": "reboot", "down_within": "2m", "unless": "not_required", "cannot_tell": "fail",
                    "expect": {"kernel": "newest", "cmdline": ["nosmt"]},
                },
            })),
            step("seven", json!({"wait_for_ssh": {"settle": "10s", "interval": "1s", "on_no_return": "fail"}})),
            "enable",
            step("eight", json!({"on_failure": "fail", "http": with(&check(&text), json!({"idempotent": true, "undo": text}))})),
            step("nine", json!({"gate": with(&timing, json!({"alertmanager": alertmanager}))})),
            step("ten", json!({"gate": with(&timing, json!({"http": check(&request)}))})),
            step("eleven", json!({"gate": with(&timing, json!({"command": "look"}))})),
            step("twelve", json!({"health": {"jobs": ["api"], "wait": true, "scope": "worker"}})),
            {"id": "thirteen", "sync_check": {"repair": false}},
            {"approve": {"message": "go on?"}},
        ],
        "after": ["build"],
    });
    vec![rollout, steps]
}
