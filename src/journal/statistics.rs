//! How long attempts take: the one measure by which estimates, the live view and statistics go.

use std::collections::{BTreeMap, HashMap};

use crate::engine::{AttemptId, Millis};
use crate::graph::{Lane, StepIx};

use super::outline::{AttemptFact, Ended};
use super::run::StepKinds;
use super::{Journal, JournalError};

/// So many of the newest finished runs are looked at for estimates.
const RUNS_FOR_ESTIMATES: u32 = 10;
/// So many durations of a kind are enough for a median.
const SAMPLES: usize = 1000;

/// An attempt at a step that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedAttempt {
    /// Whose step.
    pub lane: Lane,
    /// Which.
    pub step: StepIx,
    /// From its beginning to its end, in milliseconds; never negative, whatever clocks did.
    pub took: Millis,
    /// How it ended.
    pub how: Ended,
}

impl TimedAttempt {
    /// Pairs beginnings and ends. Undoing is left out, and so is what has not ended.
    pub fn all(facts: &[AttemptFact]) -> impl Iterator<Item = Self> + '_ {
        let mut issued: HashMap<AttemptId, (Lane, StepIx, Millis)> = HashMap::new();
        facts.iter().filter_map(move |fact| match *fact {
            AttemptFact::Issued { attempt, lane, step, undoes, at } => {
                if !undoes {
                    issued.insert(attempt, (lane, step, at));
                }
                None
            }
            AttemptFact::Finished { attempt, how, at } => {
                let (lane, step, since) = issued.remove(&attempt)?;
                Some(Self { lane, step, took: at.saturating_sub(since).max(0), how })
            }
        })
    }
}

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
    use crate::graph::TargetIx;

    #[test]
    fn attempts_are_paired_and_undoing_is_left_out() {
        let lane = Lane::Worker(TargetIx(0));
        let issued = |attempt, undoes, at| {
            let (attempt, step) = (AttemptId(attempt), StepIx(2));
            AttemptFact::Issued { attempt, lane, step, undoes, at }
        };
        let finished = |attempt, how, at| AttemptFact::Finished { attempt: AttemptId(attempt), how, at };
        let facts = [
            issued(1, false, 100),
            issued(2, true, 110),
            issued(3, false, 120),
            finished(1, Ended::Failed, 150),
            finished(2, Ended::Done, 160),
            // The clock was set back.
            finished(3, Ended::Done, 50),
            issued(4, false, 200),
            finished(9, Ended::Done, 300),
        ];
        let told: Vec<_> = TimedAttempt::all(&facts).map(|attempt| (attempt.took, attempt.how)).collect();
        assert_eq!(told, [(50, Ended::Failed), (0, Ended::Done)]);
    }

    #[test]
    fn a_spread_is_by_rank() {
        assert_eq!(Spread::of(&[]), Spread::default());
        assert_eq!(Spread::of(&[7]), Spread { count: 1, median: 7, p95: 7, max: 7 });
        let hundred: Vec<Millis> = (1..=100).rev().collect();
        assert_eq!(Spread::of(&hundred), Spread { count: 100, median: 50, p95: 95, max: 100 });
    }
}
