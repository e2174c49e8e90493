//! The runs of a bucket as numbers for a Prometheus: facts in, [OpenMetrics] out.
//!
//! [`RunTally`] folds the facts of one run, [`BucketNow`] has what all runs of a bucket come to, and [`openmetrics`]
//! and [`prometheus_text`] write that down. What counts over time ([`Counted`]) is only ever added to, at the fact that
//! ends it, by a clock that is never set back: a number that falls would be taken for a restart.
//!
//! Pure: it must not know where facts come from, nor who asks for the numbers.
//!
//! [OpenMetrics]: https://prometheus.io/docs/specs/om/open_metrics_spec/

mod bucket;
mod counted;
mod encode;
mod labels;
mod tally;
#[cfg(test)]
mod tests;

pub use bucket::{BucketNow, JournalNow, RunNow};
pub use counted::{Counted, Durations};
pub use encode::{OPENMETRICS, PROMETHEUS_TEXT, openmetrics, prometheus_text};
pub use labels::{Ended, Wait};
pub use tally::RunTally;
