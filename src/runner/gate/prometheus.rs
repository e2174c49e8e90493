//! Queries to a Prometheus, and what their answers say (`/api/v1/query` and `/api/v1/query_range`).

use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;

use crate::http::Answer;
use crate::plan::{PrometheusQuery, visible_within};

use super::super::http::{document, points_to};
use super::Measurement;

/// So much of a series and of an error is shown.
const SHOWN: usize = 200;

/// What is asked.
pub(super) fn parameters(
    query: &PrometheusQuery,
    text: &str,
    now: SystemTime,
) -> Vec<(&'static str, String)> {
    let mut parameters = vec![("query", text.to_owned())];
    if let Some(over) = query.over {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = |time: Duration| format!("{:.3}", time.as_secs_f64());
        parameters.push(("start", seconds(now.saturating_sub(over))));
        parameters.push(("end", seconds(now)));
        parameters.push(("step", seconds(query.resolution)));
    }
    parameters
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

/// One value of an answer.
struct Sample {
    /// Shared by all values of a series: a name may be long, and they may be many.
    series: Rc<str>,
    value: f64,
}

/// What the answer says. A value beyond the limit fails, whatever else is said; without one the answer passes only when
/// it is whole, and every series of it has a value.
pub(super) fn judge(query: &PrometheusQuery, answer: &Answer) -> Measurement {
    let document = document(answer);
    let envelope = document.and_then(|document| {
        Envelope::deserialize(&document)
            .map_err(|error| format!("the answer is not that of a Prometheus: {error}"))
    });
    let envelope = match envelope {
        Ok(envelope) => envelope,
        Err(_) if answer.status != 200 => {
            return Measurement::nothing(format!("status {}{}", answer.status, points_to(answer)));
        }
        Err(why) => return Measurement::nothing(why),
    };
    if envelope.status != "success" || answer.status != 200 {
        let kind = envelope.error_type.unwrap_or_else(|| format!("status {}", answer.status));
        let error = envelope.error.unwrap_or_default();
        return Measurement::nothing(format!("Prometheus says {kind}: {error}"));
    }
    let Some(data) = envelope.data else { return Measurement::nothing("the answer has no data") };
    let samples = match samples(&data) {
        Ok(samples) => samples,
        Err(why) => return Measurement::nothing(why),
    };
    if let Some(beyond) = beyond(query, &samples) {
        return Measurement::fail(beyond);
    }
    if let Some(warning) = envelope.warnings.first() {
        return Measurement::nothing(format!("Prometheus warns: {warning}"));
    }
    if let Some(none) = samples.iter().find(|sample| sample.value.is_nan()) {
        return Measurement::nothing(format!("no number{}", of(&none.series)));
    }
    // The one nearest to a limit.
    let nearest = samples.iter().max_by(|a, b| distance(query, a.value).total_cmp(&distance(query, b.value)));
    match nearest {
        None => Measurement::nothing("no data: the query finds no series"),
        Some(sample) => {
            let more =
                if samples.len() > 1 { format!(", of {} values", samples.len()) } else { String::new() };
            Measurement::pass(format!(
                "{}{} is {}{more}",
                shown(sample.value),
                of(&sample.series),
                limit(query)
            ))
        }
    }
}

/// How far a value is beyond the limits; negative: within.
fn distance(query: &PrometheusQuery, value: f64) -> f64 {
    let above = query.max.map(|max| value - max);
    let below = query.min.map(|min| min - value);
    // An infinite limit and the same value are no distance apart, and no number either.
    let one =
        |distance: Option<f64>| distance.map_or(f64::NEG_INFINITY, |d| if d.is_nan() { 0.0 } else { d });
    one(above).max(one(below))
}

/// The worst value beyond a limit, in words.
fn beyond(query: &PrometheusQuery, samples: &[Sample]) -> Option<String> {
    let is_beyond =
        |value: f64| query.max.is_some_and(|max| value > max) || query.min.is_some_and(|min| value < min);
    let all: Vec<&Sample> = samples.iter().filter(|sample| is_beyond(sample.value)).collect();
    let worst = all.iter().max_by(|a, b| distance(query, a.value).total_cmp(&distance(query, b.value)))?;
    let more = match samples.len() {
        1 => String::new(),
        of => format!(", as {} of {of} values are not", all.len()),
    };
    Some(format!("{}{} is not {}{more}", shown(worst.value), of(&worst.series), limit(query)))
}

fn limit(query: &PrometheusQuery) -> String {
    match (query.min, query.max) {
        (Some(min), Some(max)) => format!("from {} to {}", shown(min), shown(max)),
        (Some(min), None) => format!("at least {}", shown(min)),
        (None, Some(max)) => format!("at most {}", shown(max)),
        (None, None) => "limited".to_owned(),
    }
}

/// A number as short as it is exact.
fn shown(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size.is_finite() && !(1e-4..1e15).contains(&size) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

fn of(series: &str) -> String {
    if series.is_empty() { String::new() } else { format!(" of {}", visible_within(series, SHOWN)) }
}

/// All values of an answer.
fn samples(data: &Data) -> Result<Vec<Sample>, String> {
    let wrong = || format!("the answer has a {} that cannot be read", visible_within(&data.kind, SHOWN));
    let mut found = Vec::new();
    let mut take = |series: &Rc<str>, pair: &Value| {
        let value = pair.get(1).and_then(Value::as_str).and_then(number).ok_or_else(wrong)?;
        found.push(Sample { series: Rc::clone(series), value });
        Ok::<(), String>(())
    };
    match data.kind.as_str() {
        "scalar" => take(&"".into(), &data.result)?,
        "vector" | "matrix" => {
            for one in data.result.as_array().ok_or_else(wrong)? {
                let series: Rc<str> =
                    name(one.get("metric").and_then(Value::as_object).ok_or_else(wrong)?).into();
                match (one.get("value"), one.get("values").and_then(Value::as_array)) {
                    (Some(pair), _) => take(&series, pair)?,
                    (None, Some(pairs)) if !pairs.is_empty() => {
                        pairs.iter().try_for_each(|pair| take(&series, pair))?;
                    }
                    _ => return Err(format!("no number{}: only numbers are compared", of(&series))),
                }
            }
        }
        kind => {
            return Err(format!(
                "the query answers with a {}, and not with numbers",
                visible_within(kind, SHOWN)
            ));
        }
    }
    Ok(found)
}

/// As Prometheus writes numbers.
fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

/// `errors{instance="a", job="b"}`.
fn name(metric: &serde_json::Map<String, Value>) -> String {
    let labels = metric.iter().filter(|(key, _)| *key != "__name__");
    let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
    let name = metric.get("__name__").and_then(Value::as_str).unwrap_or_default();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::Reading::{Fail, Inconclusive, Pass};

    fn query(min: Option<f64>, max: Option<f64>) -> PrometheusQuery {
        PrometheusQuery {
            url: "http://p".to_owned(),
            headers: BTreeMap::new(),
            query: "x".to_owned(),
            over: None,
            resolution: Duration::from_secs(30),
            min,
            max,
        }
    }

    fn judged(max: f64, status: u16, body: &str) -> Measurement {
        let answer = Answer::plain(status, body);
        judge(&query(None, Some(max)), &answer)
    }

    fn vector(values: &[&str]) -> String {
        let one = |(at, value): (usize, &&str)| {
            format!(r#"{{"metric":{{"__name__":"e","i":"{at}"}},"value":[1.5,"{value}"]}}"#)
        };
        let all: Vec<String> = values.iter().enumerate().map(one).collect();
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, all.join(","))
    }

    #[test]
    fn every_series_has_to_meet_the_limit_and_the_worst_is_named() {
        let of = |values: &[&str]| judged(0.05, 200, &vector(values));
        assert_eq!(of(&["0.01"]), Measurement::pass("0.01 of e{i=\"0\"} is at most 0.05"));
        assert_eq!(of(&["0.05", "0.01"]).reading, Pass);
        let worst = of(&["0.01", "0.06", "0.5", "0.2"]);
        assert_eq!(
            worst,
            Measurement::fail("0.5 of e{i=\"2\"} is not at most 0.05, as 3 of 4 values are not")
        );
        assert_eq!(
            of(&["+Inf", "0.1"]).words,
            "inf of e{i=\"0\"} is not at most 0.05, as 2 of 2 values are not"
        );
        assert_eq!(of(&["-Inf"]).reading, Pass);
        // What is no number says nothing, unless another one is beyond the limit.
        assert_eq!(of(&["NaN", "0.01"]), Measurement::nothing("no number of e{i=\"0\"}"));
        assert_eq!(
            of(&["NaN", "1e300"]).words,
            "1e300 of e{i=\"1\"} is not at most 0.05, as 1 of 2 values are not"
        );
        assert_eq!(of(&[]), Measurement::nothing("no data: the query finds no series"));
        let both = |value: &str| {
            let answer = Answer::plain(200, vector(&[value]));
            judge(&query(Some(1.0), Some(2.0)), &answer).reading
        };
        assert_eq!(["0.9", "1", "2", "2.1"].map(both), [Fail, Pass, Pass, Fail]);
    }

    #[test]
    fn all_kinds_of_results_are_read_or_said_to_be_no_numbers() {
        let of = |kind: &str, result: &str| {
            judged(
                1.0,
                200,
                &format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#),
            )
        };
        assert_eq!(of("scalar", r#"[1,"2"]"#), Measurement::fail("2 is not at most 1"));
        assert_eq!(of("scalar", r#"[1,"0"]"#).reading, Pass);
        let matrix = r#"[{"metric":{},"values":[[1,"0"],[2,"3"],[3,"0"]]}]"#;
        assert_eq!(of("matrix", matrix), Measurement::fail("3 is not at most 1, as 1 of 3 values are not"));
        for (kind, result) in [
            ("string", r#"[1,"x"]"#),
            ("vector", r#"[{"metric":{},"histogram":[1,{}]}]"#),
            ("vector", r#"[{"metric":{},"value":[1,2]}]"#),
            ("vector", r#"[{"metric":{},"value":[1,"much"]}]"#),
            ("vector", r#"[{"metric":{},"value":[1,"infinity"]}]"#),
            ("vector", r#"[{"value":[1,"0"]}]"#),
            ("vector", r#"{}"#),
            ("matrix", r#"[{"metric":{},"values":[]}]"#),
            ("scalar", "[]"),
            ("streams", "[]"),
        ] {
            assert_eq!(of(kind, result).reading, Inconclusive, "{kind} {result}");
        }
    }

    /// An answer of a megabyte may be one long name and many values.
    #[test]
    fn a_name_is_kept_once_however_many_values_it_has() {
        let result = serde_json::json!([{"metric": {"__name__": "e"}, "values": [[1, "0"], [2, "1"]]}]);
        let samples = samples(&Data { kind: "matrix".to_owned(), result }).unwrap();
        assert_eq!((&*samples[0].series, samples[1].value), ("e", 1.0));
        assert!(std::ptr::eq(&*samples[0].series, &*samples[1].series));
    }

    #[test]
    fn errors_warnings_and_what_is_no_prometheus_say_nothing() {
        let error = r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:3"}"#;
        let words = judged(1.0, 400, error);
        assert_eq!(words, Measurement::nothing("Prometheus says bad_data: invalid parameter \"query\": 1:3"));
        assert_eq!(
            judged(1.0, 503, r#"{"status":"error","errorType":"timeout","error":"x"}"#).reading,
            Inconclusive
        );
        assert_eq!(judged(1.0, 502, "<html>Bad gateway</html>"), Measurement::nothing("status 502"));
        assert!(judged(1.0, 200, "<html>Log in</html>").words.contains("not JSON"));
        assert!(judged(1.0, 200, "[]").words.contains("not that of a Prometheus"));
        assert_eq!(
            judged(1.0, 200, r#"{"status":"success"}"#),
            Measurement::nothing("the answer has no data")
        );
        // With a part of the servers silent.
        let warned = |value: &str| {
            vector(&[value]).replace("\"success\"", "\"success\",\"warnings\":[\"store \\u001b[2J away\"]")
        };
        let nothing = judged(1.0, 200, &warned("0"));
        assert!(nothing.reading == Inconclusive && !nothing.words.contains('\u{1b}'), "{nothing:?}");
        assert_eq!(judged(1.0, 200, &warned("2")).reading, Fail);
        let cut = Answer {
            status: 200,
            location: None,
            date: None,
            retry_after: None,
            body: vector(&["0"]).into(),
            is_whole: false,
        };
        assert_eq!(judge(&query(None, Some(1.0)), &cut).reading, Inconclusive);
        let long = judged(1.0, 400, &format!(r#"{{"status":"error","error":"{}"}}"#, "x".repeat(100_000)));
        assert!(long.words.len() < 1000);
    }
}
