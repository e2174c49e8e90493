//! The numbers of the bucket, for a Prometheus that asks for them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;

use super::answer::Trouble;
use super::reads::within;
use super::routes::App;
use crate::bucket::Bucket;
use crate::metrics::{OPENMETRICS, PROMETHEUS_TEXT, openmetrics, prometheus_text};
use crate::run::{Leaves, MetricsReader};

/// Who has read what so far. One at a time asks: it is the one place of all that a slow first time takes.
#[derive(Clone)]
pub(super) struct Metrics(Arc<Mutex<MetricsReader>>);

impl Metrics {
    pub(super) fn new(bucket: &Bucket) -> Self {
        Self(Arc::new(Mutex::new(MetricsReader::new(bucket))))
    }
}

/// The numbers of now.
pub(super) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response, Trouble> {
    let words = app.watchers.words();
    let waiting = Arc::clone(&app.metrics.0).lock_owned();
    let mut reader = within(async { Ok(waiting.await) }).await?;
    let read = move || reader.read(Leaves::No).map_err(|error| Trouble::of(error, words));
    let now = app.reads.read(read).await?;
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (kind, text) = if takes_openmetrics(accepted) {
        (OPENMETRICS, openmetrics(now))
    } else {
        (PROMETHEUS_TEXT, prometheus_text(now))
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Whether what is accepted names OpenMetrics, and not the older format before it. Browsers and curl name neither.
fn takes_openmetrics<'a>(accepted: impl Iterator<Item = &'a str>) -> bool {
    let (mut new, mut old) = (0.0, 0.0);
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let wish = match parts.next() {
            Some(kind) if kind.eq_ignore_ascii_case("application/openmetrics-text") => &mut new,
            Some(kind) if kind.eq_ignore_ascii_case("text/plain") => &mut old,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let quality: f64 = quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
        *wish = quality.max(*wish);
    }
    new > 0.0 && new >= old
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_prefers_the_newer_format_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accepted, new) in [
            (prometheus, true),
            ("Application/OpenMetrics-Text", true),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", true),
            ("text/plain, application/openmetrics-text", true),
            ("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.5", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=much", false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("*/*", false),
            ("", false),
            (",;,;q=", false),
        ] {
            assert_eq!(takes_openmetrics([accepted].into_iter()), new, "{accepted}");
        }
        assert!(takes_openmetrics(["text/plain;q=0.1", "application/openmetrics-text;q=0.2"].into_iter()));
        assert!(!takes_openmetrics(std::iter::empty()));
    }
}
