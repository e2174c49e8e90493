//! `wait_for_ssh`: until a worker is back, booted anew where a reboot came before, and has stayed well
//! through the settle time.
//!
//! Every look is a fresh, fully authenticated connection; a bare TCP connect is no answer. There is no
//! back-off: a worker that is back is to be noticed within two seconds.

use std::time::{Duration, Instant};

use crate::engine::{AttemptId, ErrorKind, Evidence, Outcome, StepError};

use super::access::{Access, connect_error, unknown_words};
use super::probe::{self, Probe, ProbeError};

/// Keys may be mounted late in a boot: an authentication that is refused for less than this is not yet
/// an answer.
const AUTH_REFUSED_FOR: Duration = Duration::from_secs(60);

/// What a wait is told.
pub(super) struct WaitOrder<'a> {
    /// Another boot id than this has to be seen.
    pub(super) not: Option<&'a str>,
    /// Seeing it for longer than this since the reboot was issued means that there was no reboot.
    pub(super) down_within: Duration,
    /// When the reboot was issued.
    pub(super) reboot_issued: Option<Instant>,
    pub(super) settle: Duration,
    pub(super) interval: Duration,
    pub(super) timeout: Option<Duration>,
    /// Draws the jitter.
    pub(super) attempt: AttemptId,
}

/// Waits. What the reboot command printed is asked for with `output` when there was no reboot.
pub(super) fn wait(access: &Access, order: &WaitOrder<'_>, output: &dyn Fn() -> Option<String>) -> Outcome {
    let started = Instant::now();
    let mut state = Waiting::default();
    loop {
        if access.cancel.is_cancelled() {
            return Outcome::Unknown { why: "given up while waiting for SSH".into() };
        }
        let look_until = Instant::now() + probe::patience(state.failures);
        match probe::look(access, look_until) {
            Ok(seen) => {
                if let Some(done) = state.saw(access, order, seen, output) {
                    return done;
                }
            }
            Err(ProbeError::Connect(error)) if error.is_final() => {
                return Outcome::Failed { error: connect_error(&error) };
            }
            Err(ProbeError::Connect(error)) => {
                if let Some(failed) = state.no_connection(connect_error(&error)) {
                    return failed;
                }
            }
            Err(ProbeError::Lost(why)) => {
                let error = StepError::new(ErrorKind::Unreachable, unknown_words(&why));
                state.not_well(error);
            }
            Err(ProbeError::Error(error)) if error.kind == ErrorKind::SudoWantsPassword => {
                return Outcome::Failed { error };
            }
            Err(ProbeError::Error(error)) => state.not_well(error),
        }
        if let Some(timeout) = order.timeout
            && started.elapsed() >= timeout
        {
            return Outcome::Failed { error: state.timed_out(access, timeout) };
        }
        std::thread::sleep(pause(order, state.looks));
        state.looks += 1;
    }
}

/// The interval, jittered by a fifth either way, so that many waits do not look in step.
fn pause(order: &WaitOrder<'_>, looks: u32) -> Duration {
    let draw = (order.attempt.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(looks))
        .wrapping_mul(0xD6E8_FEB8_6659_FD93)
        >> 40;
    order.interval.mul_f64(0.8 + 0.4 * (draw as f64 / (1u64 << 24) as f64))
}

#[derive(Default)]
struct Waiting {
    looks: u32,
    failures: u32,
    /// The boot that is settling, and since when it has been well.
    settling: Option<(String, Option<Instant>)>,
    auth_refused_since: Option<Instant>,
    last: Option<StepError>,
}

impl Waiting {
    fn saw(
        &mut self,
        access: &Access,
        order: &WaitOrder<'_>,
        seen: Probe,
        output: &dyn Fn() -> Option<String>,
    ) -> Option<Outcome> {
        self.failures = 0;
        self.auth_refused_since = None;
        if order.not == Some(seen.boot_id.as_str()) {
            let since = order.reboot_issued.map(|issued| issued.elapsed()).unwrap_or_default();
            let error = StepError {
                kind: ErrorKind::NotRebooted,
                message: format!(
                    "{} still has the boot id {} {} s after the reboot command: it did not reboot",
                    access.host,
                    seen.boot_id,
                    since.as_secs()
                ),
                output: None,
            };
            if since > order.down_within {
                return Some(Outcome::Failed { error: StepError { output: output(), ..error } });
            }
            self.last = Some(error);
            return None;
        }
        if let Some((boot_id, _)) = &self.settling
            && *boot_id != seen.boot_id
        {
            let message = format!(
                "{} booted again while settling ({boot_id}, then {}): a crash loop",
                access.host, seen.boot_id
            );
            return Some(Outcome::Failed { error: StepError::new(ErrorKind::CrashLoop, message) });
        }
        if let Some(why) = seen.unsettled {
            self.settling = Some((seen.boot_id, None));
            self.last = Some(StepError::new(ErrorKind::NotSettled, format!("{}: {why}", access.host)));
            return None;
        }
        let now = Instant::now();
        let since = match self.settling.take() {
            Some((_, Some(since))) => since,
            _ => now,
        };
        if now.duration_since(since) >= order.settle {
            return Some(Outcome::Ok { evidence: Evidence::Back { boot_id: seen.boot_id } });
        }
        self.settling = Some((seen.boot_id, Some(since)));
        None
    }

    fn no_connection(&mut self, error: StepError) -> Option<Outcome> {
        self.failures += 1;
        if error.kind == ErrorKind::AuthRefused {
            let since = *self.auth_refused_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= AUTH_REFUSED_FOR {
                return Some(Outcome::Failed { error });
            }
        } else {
            self.auth_refused_since = None;
        }
        self.not_well(error);
        None
    }

    /// It was not well: settling begins anew, with the same boot.
    fn not_well(&mut self, error: StepError) {
        if let Some((_, since)) = &mut self.settling {
            *since = None;
        }
        self.last = Some(error);
    }

    fn timed_out(self, access: &Access, timeout: Duration) -> StepError {
        match self.last {
            Some(last) => {
                StepError { message: format!("not back within {timeout:?}; last: {}", last.message), ..last }
            }
            None => StepError::new(
                ErrorKind::TimedOut,
                format!("{} did not stay well for the settle time within {timeout:?}", access.host),
            ),
        }
    }
}
