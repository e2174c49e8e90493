//! How long to wait before the next attempt.
//!
//! Exponential with "equal jitter" (half fixed, half drawn), so that workers that failed together do
//! not come back together and none comes back at once. The draw is a pure function of the run's
//! seed and of which attempt it is: a replay draws the same.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::graph::{Lane, StepRef};
use crate::plan::Retries;

use super::Millis;

/// An unknown outcome of a step that may be repeated is looked at again this often before it costs an
/// attempt: the answer was lost, which says nothing about the step.
pub(super) const RECHECKS: u8 = 2;

/// Before a re-look: long enough for a worker that shut down to be gone, short against any step.
pub(super) const RECHECK_DELAY: Duration = Duration::from_secs(2);

/// Milliseconds to wait after the `tries`-th try (from 1) of a step.
pub(super) fn delay_ms(retries: &Retries, seed: u64, at: StepRef, tries: u32) -> Millis {
    let exponent = i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX);
    let base = retries.delay.as_secs_f64() * retries.backoff.powi(exponent);
    let capped = base.min(retries.max_delay.as_secs_f64()).max(0.0);
    let whole = (capped * 1000.0).min(i64::MAX as f64 / 4.0) as i64;
    if whole == 0 {
        return 0;
    }
    let half = whole / 2;
    half + (draw(seed, at, tries) % (whole - half + 1) as u64) as i64
}

fn draw(seed: u64, at: StepRef, tries: u32) -> u64 {
    let lane = match at.lane {
        Lane::Before => u64::MAX,
        Lane::After => u64::MAX - 1,
        Lane::Worker(target) => u64::from(target.0),
    };
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update(lane.to_le_bytes());
    hasher.update(at.step.0.to_le_bytes());
    hasher.update(tries.to_le_bytes());
    let digest = hasher.finalize();
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{StepIx, TargetIx};

    fn first_step(lane: Lane) -> StepRef {
        StepRef { lane, step: StepIx(0) }
    }

    fn retries(delay: u64, backoff: f64, max: u64) -> Retries {
        Retries {
            attempts: 9,
            delay: Duration::from_secs(delay),
            backoff,
            max_delay: Duration::from_secs(max),
        }
    }

    #[test]
    fn delays_grow_within_their_bounds() {
        let retries = retries(4, 2.0, 20);
        for (tries, whole) in [(1, 4000), (2, 8000), (3, 16000), (4, 20000), (90, 20000)] {
            for seed in 0..50 {
                let delay = delay_ms(&retries, seed, first_step(Lane::Worker(TargetIx(3))), tries);
                assert!((whole / 2..=whole).contains(&delay), "{tries}: {delay}");
            }
        }
    }

    #[test]
    fn workers_do_not_come_back_together() {
        let retries = retries(60, 1.0, 60);
        let delays: std::collections::BTreeSet<_> =
            (0..100).map(|w| delay_ms(&retries, 1, first_step(Lane::Worker(TargetIx(w))), 1)).collect();
        assert!(delays.len() > 90);
    }

    #[test]
    fn no_delay_is_no_delay() {
        assert_eq!(delay_ms(&retries(0, 2.0, 9), 1, first_step(Lane::Before), 5), 0);
    }
}
