//! `wait_for_ssh`: until a worker is back, booted anew where a reboot came before, and has stayed well
//! through the settle time. [`crate::boot::ReturnWatch`] decides; this file looks.
//!
//! Every look is a fresh, fully authenticated connection; a bare TCP connect is no answer.

use std::time::{Duration, Instant};

use crate::boot::{Next, Return, ReturnSpec, ReturnWatch};
use crate::controller::return_outcome;
use crate::engine::Outcome;

use super::access::Access;
use super::probe::probe;
use super::reboot::with_output;

/// Waits until the worker is back, as `spec` says. `output` is called when there was no reboot, and returns what the
/// reboot command printed. `say` is told of boots that came in between.
pub(super) fn wait(
    access: &Access,
    spec: ReturnSpec,
    output: &dyn Fn() -> Option<String>,
    say: &dyn Fn(&str),
) -> Outcome {
    let began = Instant::now();
    let timeout = spec.timeout;
    let mut watch = ReturnWatch::new(spec);
    let (mut pause, mut bound) = (Duration::ZERO, watch.bound());
    loop {
        if !access.pause(pause) {
            return Outcome::unknown("given up while waiting for SSH");
        }
        let looked = began.elapsed();
        let look = probe(access, bound);
        if access.cancel.is_cancelled() {
            return Outcome::unknown("given up while waiting for SSH");
        }
        match watch.next(looked, began.elapsed(), look) {
            Next::LookAgain { pause: next_pause, bound: next_bound } => {
                (pause, bound) = (next_pause, next_bound);
            }
            Next::Done(end) => {
                if let Return::Back { boot_id, earlier } = &end
                    && !earlier.is_empty()
                {
                    let boots = earlier.len() + 1;
                    say(&format!(
                        "it booted {boots} times ({}, then {boot_id}) and settled",
                        earlier.join(", ")
                    ));
                }
                return with_output(return_outcome(access.host.as_str(), end, timeout), output);
            }
        }
    }
}
