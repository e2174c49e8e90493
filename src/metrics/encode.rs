//! The numbers as text.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, NoLabelSet, prometheus_text as old, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::bucket::BucketNow;
use super::counted::BOUNDS;
use super::labels::Wait;
use crate::engine::{Millis, PublicRunState, PublicWorkerState};

/// The content type of [`openmetrics`].
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type of [`prometheus_text`].
pub const PROMETHEUS_TEXT: &str = old::CONTENT_TYPE;

/// The numbers as OpenMetrics.
pub fn openmetrics(now: BucketNow) -> String {
    let mut written = String::new();
    // A String takes whatever is written.
    let _ = text::encode(&mut written, &registry(now));
    written
}

/// The numbers in the text format before OpenMetrics, which node_exporter reads from files.
pub fn prometheus_text(now: BucketNow) -> String {
    let mut written = String::new();
    // A String takes whatever is written.
    let _ = old::encode(&mut written, &registry(now));
    written
}

fn registry(now: BucketNow) -> Registry {
    let labels = [("bucket".into(), now.bucket.clone().into())];
    let mut registry = Registry::with_prefix_and_labels("maand", labels.into_iter());
    registry.register_collector(Box::new(Page(now)));
    registry
}

#[derive(Debug)]
struct Page(BucketNow);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        build(encoder)?;
        self.runs(encoder)?;
        self.times(encoder)?;
        self.workers(encoder)?;
        self.steps(encoder)?;
        self.waits(encoder)?;
        self.journal(encoder)
    }
}

fn build(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "The version of maand that has made these numbers.";
    let mut metric = encoder.encode_descriptor("build", help, None, MetricType::Info)?;
    metric.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
}

impl Page {
    fn runs(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let now = &self.0;
        let states = PublicRunState::ALL;
        let states = states.map(|state| ([("state", state.as_str())], now.runs_in(state) as i64));
        gauge(encoder, "runs", "Runs that the journal has, by state.", None, states)?;
        let unreadable = [([("", ""); 0], now.unreadable as i64)];
        let help = "Runs of which this version can count the state alone.";
        gauge(encoder, "runs_unreadable", help, None, unreadable)?;
        let help = "1: a process carries a run out.";
        gauge(encoder, "controller_alive", help, None, [([("", ""); 0], i64::from(now.has_controller))])
    }

    fn times(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let now = &self.0;
        let none = [("", ""); 0];
        let oldest = now.oldest_unfinished();
        let help = "When these numbers were made.";
        gauge(encoder, "updated_timestamp", help, Some(&Unit::Seconds), [(none, seconds(now.at))])?;
        let help = "When the oldest run was started that has not ended; nothing: all have.";
        let name = "oldest_unfinished_run_started_timestamp";
        gauge(encoder, name, help, Some(&Unit::Seconds), oldest.map(|at| (none, seconds(at))))?;
        let help = "How long ago that was when these numbers were made; 0: all have ended.";
        let age = seconds(oldest.map_or(0, |at| now.at.saturating_sub(at).max(0)));
        gauge(encoder, "oldest_unfinished_run_age", help, Some(&Unit::Seconds), [(none, age)])?;
        let last = now.last_finished();
        let help = "When the newest finished run of a plan ended.";
        let times = last.iter().map(|(plan, last)| ([("plan", *plan)], seconds(last.at)));
        gauge(encoder, "last_finished_run_timestamp", help, Some(&Unit::Seconds), times)?;
        let help = "1: so the newest finished run of a plan ended.";
        let ends = PublicRunState::ALL.into_iter().filter(|state| state.is_final());
        let outcomes = last.iter().flat_map(|(plan, last)| {
            ends.clone()
                .map(|end| ([("plan", *plan), ("outcome", end.as_str())], i64::from(end == last.state)))
        });
        gauge(encoder, "last_finished_run_outcome", help, None, outcomes)
    }

    fn workers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let now = &self.0;
        let names = PublicWorkerState::ALL.map(|state| (state.describe().replace(' ', "_"), state));
        let states =
            names.iter().map(|(name, state)| ([("state", name.as_str())], i64::from(now.workers_in(*state))));
        gauge(encoder, "workers", "Workers of runs that have not ended, by state.", None, states)?;
        let help = "Workers that runs have disabled and that nobody has enabled since.";
        let left = now.left_disabled.map(|left| ([("", ""); 0], left as i64));
        gauge(encoder, "workers_left_disabled", help, None, left)
    }

    fn steps(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "How long attempts of steps took, by the kind of the step and how they ended.";
        let seconds_ = Some(&Unit::Seconds);
        let mut metric = encoder.encode_descriptor("step_duration", help, seconds_, MetricType::Histogram)?;
        for ((kind, how), durations) in &self.0.counted.steps {
            let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(durations.buckets).collect();
            let labels = [("kind", kind.as_ref()), ("outcome", how.as_str())];
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                seconds(durations.sum),
                durations.count(),
                &buckets,
                None,
            )?;
        }
        Ok(())
    }

    fn waits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let now = &self.0;
        let waits = Wait::ALL.map(|wait| ([("reason", wait.as_str())], i64::from(now.waiting(wait))));
        let help = "Steps, next workers in line and runs that wait now, by reason.";
        gauge(encoder, "waiting", help, None, waits)?;
        let help = "How long was waited, by reason, in waits that are over.";
        let mut metric =
            encoder.encode_descriptor("wait", help, Some(&Unit::Seconds), MetricType::Counter)?;
        for wait in Wait::ALL {
            let waited = now.counted.waited.get(&wait).copied().unwrap_or(0);
            let none: Option<&Exemplar<NoLabelSet, f64>> = None;
            metric.encode_family(&[("reason", wait.as_str())])?.encode_counter(&seconds(waited), none)?;
        }
        Ok(())
    }

    fn journal(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let journal = self.0.journal;
        let none = [("", ""); 0];
        let schema = journal.map(|journal| (none, journal.schema));
        gauge(encoder, "journal_schema_version", "The version of the journal's tables.", None, schema)?;
        let bytes = journal.map(|journal| (none, journal.bytes as i64));
        let help = "What the journal takes on the disk.";
        gauge(encoder, "journal_size", help, Some(&Unit::Bytes), bytes)
    }
}

fn seconds(millis: Millis) -> f64 {
    millis as f64 / 1000.0
}

fn gauge<'l, const N: usize, V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    samples: impl IntoIterator<Item = ([(&'l str, &'l str); N], V)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    for (labels, value) in samples {
        metric.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}
