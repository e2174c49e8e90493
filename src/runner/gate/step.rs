//! A gate as a step: it is measured until it has passed, or failed, or its time is over.

use std::time::{Duration, Instant};

use crate::engine::{ErrorKind, Outcome, StepError};
use crate::plan::{Gate, GateAction, Reading, Tally, duration};
use crate::ssh::Cancel;

use super::super::command::Sink;
use super::{Measurement, Measuring};

/// How soon it is noticed that the step was given up.
const LOOK: Duration = Duration::from_millis(50);

/// Measures until the end of the step.
pub(in crate::runner) fn hold(
    gate: &Gate,
    measuring: &Measuring<'_>,
    timeout: Duration,
    cancel: &Cancel,
    sink: Sink<'_>,
) -> Outcome {
    let until = Instant::now() + timeout;
    let mut tally = Tally::default();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Measurement { reading, words } = match measuring.once(gate, gate.answer_within.min(left), cancel)
        {
            Ok(measured) => measured,
            Err(error) => return Outcome::Failed { error },
        };
        if cancel.is_cancelled() {
            return given_up();
        }
        let word = match reading {
            Reading::Pass => "pass",
            Reading::Fail => "fail",
            Reading::Inconclusive => "inconclusive",
        };
        sink(format!("{word}: {words}\n").as_bytes());
        let comes_to = tally.take(gate, reading);
        let action = match comes_to {
            Some(Reading::Pass) => return Outcome::noted(words),
            Some(Reading::Fail) => gate.on_fail,
            Some(Reading::Inconclusive) => gate.on_inconclusive,
            None => GateAction::Wait,
        };
        let is_over = Instant::now() + gate.interval >= until;
        if action == GateAction::Stop || is_over {
            return failed(gate, &tally, comes_to, &words, is_over.then_some(timeout));
        }
        let next = Instant::now() + gate.interval;
        while Instant::now() < next {
            if cancel.is_cancelled() {
                return given_up();
            }
            std::thread::sleep(LOOK.min(next.saturating_duration_since(Instant::now())));
        }
    }
}

/// It changes nothing, so that nobody has to say whether it was done.
fn given_up() -> Outcome {
    Outcome::NotDone { reason: "the gate was given up before it passed; it is measured again".to_owned() }
}

fn failed(
    gate: &Gate,
    tally: &Tally,
    comes_to: Option<Reading>,
    words: &str,
    over: Option<Duration>,
) -> Outcome {
    let after =
        over.map(|timeout| format!(", until its time-out of {}", duration(timeout))).unwrap_or_default();
    let (kind, message) = match comes_to {
        Some(Reading::Fail) => {
            let of = match tally.measured() {
                1 => String::new(),
                measured => format!(" ({} of {measured} measurements failed)", tally.failed()),
            };
            (ErrorKind::GateFailed, format!("the gate failed: {words}{of}"))
        }
        Some(_) => (ErrorKind::GateInconclusive, format!("the gate is inconclusive{after}: {words}")),
        None => {
            let (measured, count) = (tally.measured(), gate.count);
            let message =
                format!("the gate is inconclusive{after}: {measured} of {count} measurements, {words}");
            (ErrorKind::GateInconclusive, message)
        }
    };
    Outcome::Failed { error: StepError::new(kind, message) }
}
