//! Silences that a run keeps in a real Alertmanager.

use serde_json::{Value, json};

use crate::support::alertmanager::Alertmanager;

/// What silences are built on: the same one is extended as long as its start and its matchers stay, and not after it has
/// ended or is forgotten.
#[test]
fn alertmanager_extends_a_silence_under_its_id_while_it_lives() {
    let Some(mut alertmanager) = Alertmanager::start() else { return };
    let ask = |alertmanager: &Alertmanager, body: &Value| alertmanager.ask("POST", "/api/v2/silences", body);
    let silence = |more: Value| {
        let matcher = json!({"name": "instance", "value": "10\\.0\\.0\\.1(:[0-9]+)?", "isRegex": true});
        let mut body = json!({
            "matchers": [matcher], "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2999-01-01T00:00:00Z",
            "createdBy": "maand", "comment": "a test",
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let (status, made) = ask(&alertmanager, &silence(json!({})));
    assert_eq!(status, 200, "{made}");
    alertmanager.fire(&[
        &[("alertname", "Down"), ("instance", "10.0.0.1:9100")],
        &[("alertname", "Down"), ("instance", "10.0.0.10:9100")],
    ]);
    let states = alertmanager.alerts().into_iter().map(|alert| alert["status"]["state"].clone());
    let mut states: Vec<Value> = states.collect();
    states.sort_by_key(Value::to_string);
    assert_eq!(states, [json!("active"), json!("suppressed")]);
    let shown = alertmanager.amtool(&["silence", "query", "-q"]);
    assert_eq!(shown.trim(), made["silenceID"].as_str().unwrap());
    // It begins when it is made, whatever was asked for; with that start it keeps its id.
    let starts = alertmanager.silences()[0]["startsAt"].clone();
    let id = made["silenceID"].clone();
    let extended =
        ask(&alertmanager, &silence(json!({"id": id, "startsAt": starts, "endsAt": "2999-01-01T00:05:00Z"})));
    assert_eq!(extended, (200, json!({"silenceID": id})));
    let (status, other) = ask(&alertmanager, &silence(json!({"id": id})));
    assert!(status == 200 && other["silenceID"] != id, "another start: {status} {other}");
    // What ends in the past is refused.
    let (status, why) = ask(&alertmanager, &silence(json!({"endsAt": "2020-01-01T00:01:00Z"})));
    assert_eq!(status, 400, "{why}");
    alertmanager.forget();
    let (status, why) = ask(&alertmanager, &silence(json!({"id": id})));
    assert_eq!(status, 404, "{why}");
    alertmanager.end();
    alertmanager.begin_again();
    assert!(alertmanager.silences().is_empty());
}
