//! What fuzzers call of gates.

use std::time::Duration;

use crate::http::Answer;
use crate::plan::{AlertsQuery, PrometheusQuery};

use super::{Measurement, alertmanager, prometheus};

/// What an answer of anybody says to both kinds of queries.
pub(in crate::runner) fn judged(body: &[u8]) -> [Measurement; 2] {
    let answer = Answer::plain(200, body.to_vec());
    let url = String::new;
    let query = PrometheusQuery {
        url: url(),
        headers: Default::default(),
        query: "up".to_owned(),
        over: None,
        resolution: Duration::from_secs(1),
        min: Some(-1.0),
        max: Some(1.0),
    };
    let alerts = AlertsQuery {
        url: url(),
        headers: Default::default(),
        matching: Vec::new(),
        except_down: true,
        linger: Duration::ZERO,
        worker_label: "instance".to_owned(),
    };
    [prometheus::judge(&query, &answer), alertmanager::judge(&alerts, &["w1".to_owned()], &answer)]
}
