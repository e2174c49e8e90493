//! Gates: what is measured outside of the run, by a Prometheus, an Alertmanager, some server or a command of this machine.
//!
//! Answers come from outside and may be anything. The rule for all of them: a value beyond its limit fails, a value within
//! it passes, and whatever else comes (nothing, an error, no data, something that cannot be read, a part of an answer)
//! says nothing, and is never taken for a pass.

mod alertmanager;
mod down;
mod measure;
mod prometheus;
mod step;

pub(super) use down::DownWorkers;
pub(super) use measure::{Measurement, Measuring};
pub(super) use step::hold;

/// What an answer of anybody says to both kinds of queries.
#[cfg(any(test, fuzzing))]
pub(super) fn judged(body: &[u8]) -> [Measurement; 2] {
    let answer =
        crate::http::Answer { status: 200, location: None, body: body.to_vec(), is_whole: true };
    let url = String::new;
    let query = crate::plan::PrometheusQuery {
        url: url(),
        headers: Default::default(),
        query: "up".to_owned(),
        over: None,
        resolution: std::time::Duration::from_secs(1),
        min: Some(-1.0),
        max: Some(1.0),
    };
    let alerts = crate::plan::AlertsQuery {
        url: url(),
        headers: Default::default(),
        matching: Vec::new(),
        except_down: true,
        linger: std::time::Duration::ZERO,
        worker_label: "instance".to_owned(),
    };
    [prometheus::judge(&query, &answer), alertmanager::judge(&alerts, &["w1".to_owned()], &answer)]
}
