//! What many durations come to: the one estimator that plans, simulations, the live view and statistics use.

use std::collections::BTreeMap;

use crate::engine::Millis;
use crate::graph::{Lane, StepIx};

use super::attempts::{Ended, TimedAttempt};
use super::run::StepKinds;
use super::{Journal, JournalError};

/// So many of the newest finished runs are looked at for estimates.
const RUNS_FOR_ESTIMATES: u32 = 10;
/// So many durations of a kind are enough for a median.
const SAMPLES: usize = 1000;

impl StepKinds {
    /// The kind of a step.
    pub fn of(&self, lane: Lane, step: StepIx) -> Option<&str> {
        let list = match lane {
            Lane::Before => &self.before,
            Lane::Worker(_) => &self.steps,
            Lane::After => &self.after,
        };
        list.get(step.index()).map(String::as_str)
    }
}

/// What many durations come to, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many there are.
    pub count: usize,
    /// In the middle.
    pub median: Millis,
    /// 95 of 100 do not exceed it.
    pub p95: Millis,
    /// The longest.
    pub max: Millis,
}

impl Spread {
    /// Of samples in any order; all 0 of none.
    pub fn of(samples: &[Millis]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let at = |percent: usize| sorted.get(last * percent / 100).copied().unwrap_or(0);
        Self { count: sorted.len(), median: at(50), p95: at(95), max: at(100) }
    }
}

impl Journal {
    /// How long steps took, by [`crate::plan::StepKind::keyword`], in milliseconds, newest run first: attempts that went
    /// well in the newest finished runs. Steps that had nothing to do are left out.
    ///
    /// # Errors
    /// As of [`Journal::attempts`].
    pub fn durations(&self) -> Result<BTreeMap<String, Vec<Millis>>, JournalError> {
        let mut durations: BTreeMap<String, Vec<Millis>> = BTreeMap::new();
        let finished = self.runs()?.into_iter().filter(|run| run.state.is_final());
        for run in finished.take(RUNS_FOR_ESTIMATES as usize) {
            let kinds = self.outline(&run.id)?.kinds;
            let facts = self.attempts(&run.id)?;
            for attempt in TimedAttempt::all(&facts).filter(|attempt| attempt.how == Ended::Done) {
                let Some(kind) = kinds.of(attempt.lane, attempt.step) else { continue };
                let samples = durations.entry(kind.to_owned()).or_default();
                if samples.len() < SAMPLES {
                    samples.push(attempt.took);
                }
            }
        }
        Ok(durations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_by_rank() {
        assert_eq!(Spread::of(&[]), Spread::default());
        assert_eq!(Spread::of(&[7]), Spread { count: 1, median: 7, p95: 7, max: 7 });
        let hundred: Vec<Millis> = (1..=100).rev().collect();
        assert_eq!(Spread::of(&hundred), Spread { count: 100, median: 50, p95: 95, max: 100 });
    }
}
