//! `wait_for_ssh`: until a worker is back, booted anew where a reboot came before, and has stayed well
//! through the settle time. [`crate::boot::ReturnWatch`] decides; this file looks.
//!
//! Every look is a fresh, fully authenticated connection; a bare TCP connect is no answer.

use std::time::{Duration, Instant};

use crate::boot::{Next, Return, ReturnPhase, ReturnSpec, ReturnWatch};
use crate::controller::return_outcome;
use crate::engine::{Millis, Outcome, StepError};
use crate::report::WaitPhase;

use super::access::Access;
use super::attempts::fit_to_keep;
use super::clock::now;
use super::probe::probe;
use super::reboot::with_output;

/// Waits until the worker is back, as `spec` says. `tell` is told how far it has come, whenever that changes. `output` is
/// called when there was no reboot, and returns what the reboot command printed. `say` is told of boots that came in
/// between. `late` adds to the error of one that is not back in time.
pub(super) fn wait(
    access: &Access,
    spec: ReturnSpec,
    tell: &dyn Fn(WaitPhase),
    output: &dyn Fn() -> Option<String>,
    say: &dyn Fn(&str),
    late: &dyn Fn(&mut StepError),
) -> Outcome {
    let (began, began_at) = (Instant::now(), now());
    let mut told = None;
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
                let phase = watch.phase();
                if phase != told {
                    if let Some(phase) = &phase {
                        tell(shown(phase, began_at));
                    }
                    told = phase;
                }
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
                let is_late = matches!(end, Return::TimedOut { .. });
                let mut outcome = with_output(return_outcome(access.host.as_str(), end, timeout), output);
                if is_late && let Outcome::Failed { error } = &mut outcome {
                    late(error);
                }
                return outcome;
            }
        }
    }
}

/// A phase as others are told it; `began_at`: when the watch began.
fn shown(phase: &ReturnPhase, began_at: Millis) -> WaitPhase {
    let at = |since: &Duration| began_at + Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX / 2);
    match phase {
        ReturnPhase::GoingDown => WaitPhase::GoingDown,
        ReturnPhase::Down => WaitPhase::Down,
        ReturnPhase::Refuses => WaitPhase::Answers { why: "lets nobody in yet".to_owned() },
        ReturnPhase::Unsettled { why } => WaitPhase::Answers { why: fit_to_keep(why) },
        ReturnPhase::Settling { since, until } => WaitPhase::Settling { since: at(since), until: at(until) },
    }
}
