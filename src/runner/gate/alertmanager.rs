//! Alerts of an Alertmanager (`/api/v2/alerts`).

use serde::Deserialize;
use serde_json::Value;

use crate::http::Answer;
use crate::plan::{AlertsQuery, bare_host, visible_within};

use super::super::http::{document, points_to};
use super::Measurement;

/// So many alerts are named.
const NAMED: usize = 3;
/// So much of one is shown.
const SHOWN: usize = 120;

/// What is asked: alerts that fire and that nobody has silenced.
pub(super) fn parameters(filters: Vec<String>) -> Vec<(&'static str, String)> {
    let flags = [("active", "true"), ("unprocessed", "true"), ("silenced", "false"), ("inhibited", "false")];
    let flags = flags.into_iter().map(|(name, value)| (name, value.to_owned()));
    flags.chain(filters.into_iter().map(|filter| ("filter", filter))).collect()
}

#[derive(Deserialize)]
struct Alert {
    labels: std::collections::BTreeMap<String, String>,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    state: String,
}

/// What the answer says. `expected`: the workers whose alerts are.
pub(super) fn judge(query: &AlertsQuery, expected: &[String], answer: &Answer) -> Measurement {
    if answer.status != 200 {
        // An error is a JSON text.
        let why = document(answer).ok().as_ref().and_then(Value::as_str).map(|why| format!(": {why}"));
        let why = why.unwrap_or_default();
        return Measurement::nothing(format!("status {}{}{why}", answer.status, points_to(answer)));
    }
    let alerts = document(answer).and_then(|document| {
        Vec::<Alert>::deserialize(&document)
            .map_err(|error| format!("the answer is not that of an Alertmanager: {error}"))
    });
    let mut alerts = match alerts {
        Ok(alerts) => alerts,
        Err(why) => return Measurement::nothing(why),
    };
    // One that does not know the parameters says so of each.
    alerts.retain(|alert| alert.status.state != "suppressed");
    let all = alerts.len();
    alerts.retain(|alert| {
        let of = alert.labels.get(&query.worker_label).map(|label| host_of(label));
        !of.is_some_and(|host| expected.iter().any(|worker| bare_host(worker).eq_ignore_ascii_case(host)))
    });
    let besides = match all - alerts.len() {
        0 => String::new(),
        expected => format!(", besides {expected} of workers that are down"),
    };
    if alerts.is_empty() {
        return Measurement::pass(format!("no alert fires{besides}"));
    }
    let named: Vec<String> = alerts.iter().take(NAMED).map(name).collect();
    let more = match alerts.len() {
        few if few <= NAMED => String::new(),
        many => format!(" and {} more", many - NAMED),
    };
    let word = if alerts.len() == 1 { "fires" } else { "fire" };
    Measurement::fail(format!("{}{more} {word}{besides}", named.join(", ")))
}

/// A host with or without a port.
fn host_of(label: &str) -> &str {
    if let Some(rest) = label.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    match label.split_once(':') {
        // An address of IPv6 has more than one colon.
        Some((host, port)) if !port.contains(':') => host,
        _ => label,
    }
}

/// `HighErrors{job="api"}`.
fn name(alert: &Alert) -> String {
    let labels = alert.labels.iter().filter(|(key, _)| *key != "alertname");
    let labels: Vec<String> = labels.map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    let name = alert.labels.get("alertname").map_or("an alert", String::as_str);
    visible_within(&format!("{name}{{{}}}", labels.join(", ")), SHOWN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::Reading::{Fail, Inconclusive, Pass};

    fn judged(status: u16, body: &str) -> Measurement {
        let query = AlertsQuery {
            url: "http://a".to_owned(),
            headers: Default::default(),
            matching: vec!["severity=\"critical\"".to_owned()],
            except_down: true,
            linger: Duration::ZERO,
            worker_label: "instance".to_owned(),
        };
        let answer = Answer::plain(status, body);
        judge(&query, &["10.0.0.1".to_owned(), "fd00::7".to_owned(), "Web-1".to_owned()], &answer)
    }

    fn alerts(instances: &[&str]) -> String {
        let one = |instance: &&str| {
            format!(
                r#"{{"labels":{{"alertname":"Down","instance":"{instance}"}},"annotations":{{}},"status":{{"state":"active","silencedBy":[],"inhibitedBy":[]}}}}"#
            )
        };
        format!("[{}]", instances.iter().map(one).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn alerts_of_workers_that_are_down_are_expected_and_others_are_named() {
        assert_eq!(judged(200, "[]"), Measurement::pass("no alert fires"));
        let down = ["10.0.0.1:9100", "10.0.0.1", "[fd00::7]:9100", "fd00::7", "web-1:80"];
        assert_eq!(
            judged(200, &alerts(&down)),
            Measurement::pass("no alert fires, besides 5 of workers that are down")
        );
        let other = judged(200, &alerts(&["10.0.0.11:9100", "10.0.0.1:9100"]));
        let words = "Down{instance=\"10.0.0.11:9100\"} fires, besides 1 of workers that are down";
        assert_eq!(other, Measurement::fail(words));
        let many = judged(200, &alerts(&["a", "b", "c", "d", "e"]));
        assert!(many.reading == Fail && many.words.ends_with("and 2 more fire"), "{many:?}");
        let suppressed = alerts(&["a"]).replace("active", "suppressed");
        assert_eq!(judged(200, &suppressed).reading, Pass);
        assert_eq!(judged(200, &alerts(&["a"]).replace("\"instance\"", "\"host\"")).reading, Fail);
    }

    #[test]
    fn what_is_no_list_of_alerts_says_nothing() {
        let refused = judged(400, "\"bad matcher format: x\"");
        assert_eq!(refused, Measurement::nothing("status 400: bad matcher format: x"));
        for (status, body) in
            [(502, "<html>"), (200, "<html>"), (200, "{}"), (200, "[1]"), (200, "[{}]"), (200, "")]
        {
            assert_eq!(judged(status, body).reading, Inconclusive, "{body}");
        }
    }
}
