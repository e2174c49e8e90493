//! `wait_for_ssh`: until a worker is back, booted anew where a reboot came before, and has stayed well
//! through the settle time. [`crate::boot::ReturnWatch`] decides; this file looks.
//!
//! Every look is a fresh, fully authenticated connection; a bare TCP connect is no answer.

use std::time::{Duration, Instant};

use crate::boot::{Look, LookError, LookFailure, Next, ReturnSpec, ReturnWatch};
use crate::controller::return_outcome;
use crate::engine::Outcome;

use super::access::Access;
use super::probe::probe;
use super::reboot::with_output;

/// While its port is closed a worker is looked at this often: a refusal is one packet, and being late here is late for
/// all workers behind it.
const CLOSED_PORT_EVERY: Duration = Duration::from_millis(200);

/// A refusal that took longer had more in it than that, such as the login at a jump host.
const CHEAP: Duration = Duration::from_millis(30);

/// Waits until the worker is back, as `spec` says. `output` is called when there was no reboot, and returns what the
/// reboot command printed.
pub(super) fn wait(access: &Access, spec: ReturnSpec, output: &dyn Fn() -> Option<String>) -> Outcome {
    let began = Instant::now();
    let timeout = spec.timeout;
    let mut watch = ReturnWatch::new(spec);
    let (mut due, mut bound) = (began, watch.bound());
    let mut closed = false;
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if !access.pause(if closed { left.min(CLOSED_PORT_EVERY) } else { left }) {
            return Outcome::unknown("given up while waiting for SSH");
        }
        let looked = began.elapsed();
        let look = probe(access, bound);
        if access.cancel.is_cancelled() {
            return Outcome::unknown("given up while waiting for SSH");
        }
        closed = is_refusal(&look) && began.elapsed() - looked < CHEAP;
        if closed && Instant::now() < due {
            continue;
        }
        match watch.next(looked, began.elapsed(), look) {
            Next::LookAgain { pause, bound: next_bound } => {
                (due, bound) = (Instant::now() + pause, next_bound);
            }
            Next::Done(end) => {
                return with_output(return_outcome(access.host.as_str(), end, timeout), output);
            }
        }
    }
}

fn is_refusal<E>(look: &Look<E>) -> bool {
    matches!(look, Err(LookError { failure: LookFailure::Refused, .. }))
}
