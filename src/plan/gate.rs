//! `gate`: something outside of the run is measured, and what it says decides whether the run continues.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{EnvValue, HttpExpect, HttpRequest, duration};

/// What is measured, how often, and what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// Free text, shown instead of what is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the answer comes from, and what it has to be.
    pub measure: Measure,
    /// The time between two measurements.
    pub interval: Duration,
    /// How many measurements it takes; at least 1.
    pub count: u32,
    /// How many of them may fail; less than `count`.
    pub failures: u32,
    /// An answer that does not come within this time is none.
    pub answer_within: Duration,
    /// What follows when more of them fail.
    pub on_fail: GateAction,
    /// What follows when a measurement says nothing.
    pub on_inconclusive: GateAction,
    /// How long it waits before it halts the run; of a step: `None`, as its time-out bounds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<Duration>,
}

/// What follows from a measurement that did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateAction {
    /// The step fails; the rollout halts.
    Stop,
    /// It is measured again, and stops when patience has run out.
    Wait,
    /// As if it had passed.
    Ignore,
}

impl GateAction {
    /// As in a plan, in the order of the variants: of a step.
    pub const OF_STEP: [&str; 3] = ["fail", "wait", "ignore"];
    /// As in a plan, in the order of the variants: below `rollout`.
    pub const OF_ROLLOUT: [&str; 3] = ["halt", "wait", "ignore"];
    /// In the order of the words.
    pub(super) const ALL: [Self; 3] = [Self::Stop, Self::Wait, Self::Ignore];
}

/// Where an answer comes from, and what it has to be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// A query to a Prometheus.
    Prometheus(PrometheusQuery),
    /// No alert may fire.
    Alertmanager(AlertsQuery),
    /// A request.
    Http(HttpCheck),
    /// A command on this machine: exit code 0 passes; 3, 126, 127, a signal and no end in time say nothing.
    Command(String),
}

/// A request and the answer to it that passes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpCheck {
    /// What is asked.
    #[serde(flatten)]
    pub request: HttpRequest,
    /// What passes.
    pub expect: HttpExpect,
}

/// A query in PromQL. Every value of its answer has to be within the limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PrometheusQuery {
    /// The server, without `/api/v1`.
    pub url: String,
    /// As of a request.
    pub headers: BTreeMap<String, EnvValue>,
    /// The query, with placeholders.
    pub query: String,
    /// The time up to now whose values count; `None`: only that of now.
    pub over: Option<Duration>,
    /// The time between two values of `over`.
    pub resolution: Duration,
    /// Values below fail.
    pub min: Option<f64>,
    /// Values above fail.
    pub max: Option<f64>,
}

/// Alerts that must not fire.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertsQuery {
    /// The server, without `/api/v2`.
    pub url: String,
    /// As of a request.
    pub headers: BTreeMap<String, EnvValue>,
    /// Matchers as Alertmanager reads them, all of which an alert has to match; not empty.
    pub matching: Vec<String>,
    /// Alerts of workers that are down by the run are expected.
    pub except_down: bool,
    /// So long after a worker has come back its alerts are expected, too.
    pub linger: Duration,
    /// The label whose value names the worker of an alert, with or without a port.
    pub worker_label: String,
}

impl Measure {
    /// As written in a plan.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Prometheus(_) => "prometheus",
            Self::Alertmanager(_) => "alertmanager",
            Self::Http(_) => "http",
            Self::Command(_) => "command",
        }
    }

    /// The headers of its request.
    pub fn headers(&self) -> Option<&BTreeMap<String, EnvValue>> {
        match self {
            Self::Prometheus(query) => Some(&query.headers),
            Self::Alertmanager(query) => Some(&query.headers),
            Self::Http(check) => Some(&check.request.headers),
            Self::Command(_) => None,
        }
    }

    /// What passes, in a few words: `at most 0.05`.
    pub fn limit(&self) -> String {
        match self {
            Self::Prometheus(PrometheusQuery { min, max, .. }) => match (min, max) {
                (Some(min), Some(max)) => format!("from {min} to {max}"),
                (Some(min), None) => format!("at least {min}"),
                (None, Some(max)) => format!("at most {max}"),
                (None, None) => "any".to_owned(),
            },
            Self::Alertmanager(AlertsQuery { except_down: false, .. }) => "none firing".to_owned(),
            Self::Alertmanager(AlertsQuery { linger, worker_label, .. }) => format!(
                "none firing, but of workers (label {worker_label}) that are down or were within {}",
                duration(*linger)
            ),
            Self::Http(HttpCheck { expect, .. }) => expect.to_string(),
            Self::Command(_) => "exit code 0".to_owned(),
        }
    }
}

/// The whole of what is asked, as it stands in the plan.
impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prometheus(PrometheusQuery { url, query, over, resolution, .. }) => {
                write!(f, "{query}\nof {url}")?;
                match over {
                    Some(over) => write!(f, ", over {} each {}", duration(*over), duration(*resolution)),
                    None => Ok(()),
                }
            }
            Self::Alertmanager(AlertsQuery { url, matching, .. }) => {
                write!(f, "alerts {{{}}}\nof {url}", matching.join(", "))
            }
            Self::Http(check) => check.request.fmt(f),
            Self::Command(text) => f.write_str(text),
        }
    }
}

impl Gate {
    /// Its name, or what is measured.
    pub fn title(&self) -> String {
        let text = || self.measure.to_string();
        let named = self.name.clone().unwrap_or_else(text);
        let mut lines = named.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.next().unwrap_or_default().to_owned()
    }

    /// How often it is measured and what may fail: `3 times every 10s, 1 may fail`.
    pub fn rhythm(&self) -> String {
        let every = duration(self.interval);
        let times = match self.count {
            1 => "once".to_owned(),
            count => format!("{count} times every {every}"),
        };
        match self.failures {
            0 => times,
            failures => format!("{times}, {failures} may fail"),
        }
    }

    /// What follows when it does not pass: `else waits up to 10m (no answer: waits, too)`.
    pub fn consequences(&self) -> String {
        let word = |action: GateAction| match (action, self.patience) {
            (GateAction::Stop, None) => "fails".to_owned(),
            (GateAction::Stop, Some(_)) => "halts".to_owned(),
            (GateAction::Ignore, _) => "continues".to_owned(),
            (GateAction::Wait, None) => "waits until its time-out".to_owned(),
            (GateAction::Wait, Some(patience)) => format!("waits up to {}", duration(patience)),
        };
        format!("fail: {}; inconclusive: {}", word(self.on_fail), word(self.on_inconclusive))
    }

    /// How long all its measurements take at least.
    pub fn least(&self) -> Duration {
        self.interval.saturating_mul(self.count.saturating_sub(1))
    }
}

/// What one measurement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// It is within its limit.
    Pass,
    /// It is not.
    Fail,
    /// It says nothing: no answer, no data, or none that can be read.
    Inconclusive,
}

/// The latest measurements of a gate, of which some may fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whether each has failed, the latest last. Inconclusive ones are not among them.
    latest: VecDeque<bool>,
}

impl Tally {
    /// Counts a measurement, and says what it comes to with those before it: a pass, or a failure that is one too many,
    /// or nothing yet (`None`): more measurements are to come.
    pub fn take(&mut self, gate: &Gate, reading: Reading) -> Option<Reading> {
        let reading = match (reading, gate.on_inconclusive) {
            (Reading::Inconclusive, GateAction::Ignore) => Reading::Pass,
            (Reading::Inconclusive, _) => return Some(Reading::Inconclusive),
            (reading, _) => reading,
        };
        self.latest.push_back(reading == Reading::Fail);
        while self.latest.len() > gate.count as usize {
            self.latest.pop_front();
        }
        if self.failed() > gate.failures {
            return Some(if gate.on_fail == GateAction::Ignore { Reading::Pass } else { Reading::Fail });
        }
        (self.latest.len() == gate.count as usize).then_some(Reading::Pass)
    }

    /// How many of the latest have failed.
    pub fn failed(&self) -> u32 {
        self.latest.iter().filter(|failed| **failed).count() as u32
    }

    /// How many of the latest were conclusive.
    pub fn measured(&self) -> u32 {
        self.latest.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(count: u32, failures: u32, on_inconclusive: GateAction) -> Gate {
        Gate {
            name: None,
            measure: Measure::Command("true".to_owned()),
            interval: Duration::from_secs(10),
            count,
            failures,
            answer_within: Duration::from_secs(10),
            on_fail: GateAction::Stop,
            on_inconclusive,
            patience: None,
        }
    }

    #[test]
    fn so_many_of_the_latest_may_fail_and_what_says_nothing_is_no_pass() {
        use Reading::{Fail, Inconclusive, Pass};
        let three = gate(3, 1, GateAction::Wait);
        let mut tally = Tally::default();
        let mut all = |readings: &[Reading]| -> Vec<Option<Reading>> {
            readings.iter().map(|reading| tally.take(&three, *reading)).collect()
        };
        assert_eq!(all(&[Pass, Fail, Inconclusive]), [None, None, Some(Inconclusive)]);
        // The inconclusive one was not counted.
        assert_eq!(all(&[Pass, Pass, Fail, Fail]), [Some(Pass), Some(Pass), Some(Pass), Some(Fail)]);
        assert_eq!(all(&[Pass, Pass]), [Some(Fail), Some(Pass)]);
        let mut tally = Tally::default();
        assert_eq!(tally.take(&gate(1, 0, GateAction::Wait), Inconclusive), Some(Inconclusive));
        assert_eq!(tally.take(&gate(1, 0, GateAction::Ignore), Inconclusive), Some(Pass));
        assert_eq!(tally.take(&gate(1, 0, GateAction::Ignore), Fail), Some(Fail));
        let careless = Gate { on_fail: GateAction::Ignore, ..gate(1, 0, GateAction::Wait) };
        assert_eq!(Tally::default().take(&careless, Fail), Some(Pass));
        assert_eq!(Tally::default().take(&careless, Inconclusive), Some(Inconclusive));
    }
}
