//! The attempts of a run with their times, by which steps are measured everywhere.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

use crate::engine::{AttemptId, Millis};
use crate::graph::{Lane, StepIx, TargetIx};

use super::outline::{Beginning, beginning, number};
use super::run::RunId;
use super::{Journal, JournalError};

/// How an attempt has ended, as far as statistics tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Well, and something was done.
    Done,
    /// Well, as nothing had to be done.
    NotNeeded,
    /// It failed, timed out, or its answer was lost.
    Failed,
    /// Nothing was done, and no worker is to blame.
    NotDone,
}

/// What an attempt is for, as far as statistics tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// The step.
    Step,
    /// A part of the attempt that follows, unless it fails: the boot id that a reboot step begins with, or the order to a
    /// BMC behind which a worker is waited for again.
    Part,
    /// The undoing of the step.
    Undo,
}

impl Aim {
    /// By the purpose of an intent, as it is stored.
    fn of(purpose: &str) -> Self {
        match purpose {
            "read_boot_id" | "power_cycle" => Self::Part,
            undo if undo.starts_with("undo_") => Self::Undo,
            _ => Self::Step,
        }
    }
}

/// An attempt at a step, or at the undoing of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptFact {
    /// It begins.
    Issued {
        /// Its number.
        attempt: AttemptId,
        /// Whose step.
        lane: Lane,
        /// Which.
        step: StepIx,
        /// What for.
        aim: Aim,
        /// When.
        at: Millis,
    },
    /// It has ended.
    Finished {
        /// Its number.
        attempt: AttemptId,
        /// How.
        how: Ended,
        /// When.
        at: Millis,
    },
}

/// The fields of facts about attempts, with the names that they are stored with.
#[derive(Deserialize)]
pub(super) struct Stored<'t> {
    attempt: u64,
    lane: Option<Lane>,
    step: Option<StepIx>,
    #[serde(borrow)]
    intent: Option<StoredIntent<'t>>,
    #[serde(borrow)]
    outcome: Option<StoredOutcome<'t>>,
}

#[derive(Deserialize)]
struct StoredIntent<'t> {
    #[serde(borrow)]
    purpose: Cow<'t, str>,
}

#[derive(Deserialize)]
struct StoredOutcome<'t> {
    #[serde(borrow)]
    outcome: Cow<'t, str>,
    #[serde(borrow)]
    evidence: Option<StoredEvidence<'t>>,
}

#[derive(Deserialize)]
struct StoredEvidence<'t> {
    #[serde(borrow)]
    seen: Cow<'t, str>,
}

impl Stored<'_> {
    pub(super) fn fact(self, at: Millis) -> Option<AttemptFact> {
        let attempt = AttemptId(self.attempt);
        if let Some(outcome) = self.outcome {
            let not_needed = outcome.evidence.is_some_and(|evidence| evidence.seen == "not_needed");
            let how = match outcome.outcome.as_ref() {
                "ok" if not_needed => Ended::NotNeeded,
                "ok" => Ended::Done,
                "not_done" => Ended::NotDone,
                _ => Ended::Failed,
            };
            return Some(AttemptFact::Finished { attempt, how, at });
        }
        let aim = Aim::of(&self.intent?.purpose);
        Some(AttemptFact::Issued { attempt, lane: self.lane?, step: self.step?, aim, at })
    }
}

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

/// As [`Stored::fact`] of what is written most: attempts of workers, and those that went well. `None`: it has to be read.
pub(super) fn quick(text: &str, at: Millis) -> Option<AttemptFact> {
    match beginning(text) {
        Beginning::Issued { attempt, worker: Some(worker), rest } => {
            let (step, rest) = number(rest.strip_prefix(r#","step":"#)?)?;
            let purpose = rest.strip_prefix(r#","intent":{"purpose":""#)?;
            let (purpose, _) = purpose.split_once('"')?;
            Some(AttemptFact::Issued {
                attempt: AttemptId(attempt),
                lane: Lane::Worker(TargetIx(worker)),
                step: StepIx(u32::try_from(step).ok()?),
                aim: Aim::of(purpose),
                at,
            })
        }
        Beginning::Finished { attempt, rest } => {
            let seen = rest.strip_prefix(r#""outcome":{"outcome":"ok","evidence":{"seen":""#)?;
            let how = if seen.starts_with("not_needed\"") { Ended::NotNeeded } else { Ended::Done };
            Some(AttemptFact::Finished { attempt: AttemptId(attempt), how, at })
        }
        _ => None,
    }
}

impl TimedAttempt {
    /// Pairs beginnings and ends. Undoing is left out, and so is what has not ended, and a boot id that was read.
    pub fn all(facts: &[AttemptFact]) -> impl Iterator<Item = Self> + '_ {
        let mut issued: HashMap<AttemptId, (Lane, StepIx, Aim, Millis)> = HashMap::new();
        facts.iter().filter_map(move |fact| match *fact {
            AttemptFact::Issued { attempt, lane, step, aim, at } => {
                if aim != Aim::Undo {
                    issued.insert(attempt, (lane, step, aim, at));
                }
                None
            }
            AttemptFact::Finished { attempt, how, at } => {
                let (lane, step, aim, since) = issued.remove(&attempt)?;
                let counts = aim == Aim::Step || how == Ended::Failed;
                counts.then_some(Self { lane, step, took: at.saturating_sub(since).max(0), how })
            }
        })
    }
}

impl Journal {
    /// When the attempts of a run began and ended, oldest first.
    ///
    /// # Errors
    /// As of [`Journal::facts_about`].
    pub fn attempts(&self, id: &RunId) -> Result<Vec<AttemptFact>, JournalError> {
        let mut attempts = Vec::new();
        self.each_row(id, |row, seq, text| {
            if !matches!(beginning(text), Beginning::Issued { .. } | Beginning::Finished { .. }) {
                return Ok(());
            }
            let at = row.get(1).map_err(|error| self.unreadable(id, seq, &error))?;
            if let Some(fact) = quick(text, at) {
                attempts.push(fact);
                return Ok(());
            }
            let stored: Stored<'_> = serde_json::from_str(text)
                .map_err(|source| JournalError::NewerFact { run: id.clone(), seq, source })?;
            attempts.extend(stored.fact(at));
            Ok(())
        })?;
        Ok(attempts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finished, issued, stored};
    use super::*;
    use crate::engine::{ErrorKind, Evidence, Intent, Outcome, StepError};

    #[test]
    fn times_are_told_without_reading_the_whole_fact() {
        let error = || StepError::new(ErrorKind::Command, "no");
        let how = |outcome| {
            let text = stored(&finished(1, outcome));
            let fact = serde_json::from_str::<Stored<'_>>(&text).unwrap().fact(5);
            assert!(quick(&text, 5).is_none_or(|quick| Some(quick) == fact), "{text}");
            match fact {
                Some(AttemptFact::Finished { how, at: 5, .. }) => how,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(how(Outcome::noted("a \"quoted\" text")), Ended::Done);
        assert_eq!(
            how(Outcome::Ok { evidence: Evidence::NotNeeded { why: Some("x".into()) } }),
            Ended::NotNeeded
        );
        assert_eq!(how(Outcome::Failed { error: error() }), Ended::Failed);
        assert_eq!(how(Outcome::unknown("cut")), Ended::Failed);
        assert_eq!(how(Outcome::TimedOut { after: 1, doing: "x".into() }), Ended::Failed);
        assert_eq!(how(Outcome::NotDone { reason: "x".into() }), Ended::NotDone);
        for (intent, expected) in [
            (Intent::UndoDeploy, Aim::Undo),
            (Intent::ReadBootId, Aim::Part),
            (Intent::PowerCycle { boot_id: "b".into() }, Aim::Part),
            (Intent::Do { repeat: true }, Aim::Step),
        ] {
            let text = stored(&issued(4, Lane::Before, intent.clone()));
            let fact = serde_json::from_str::<Stored<'_>>(&text).unwrap().fact(6);
            assert_eq!(quick(&text, 6), None, "not a worker's");
            let theirs = stored(&issued(4, Lane::Worker(TargetIx(7)), intent));
            assert_eq!(quick(&theirs, 6), serde_json::from_str::<Stored<'_>>(&theirs).unwrap().fact(6));
            assert!(quick(&theirs, 6).is_some());
            let (attempt, step) = (AttemptId(4), StepIx(1));
            let issued = AttemptFact::Issued { attempt, lane: Lane::Before, step, aim: expected, at: 6 };
            assert_eq!(fact, Some(issued));
        }
    }

    #[test]
    fn attempts_are_paired_and_undoing_is_left_out() {
        let lane = Lane::Worker(TargetIx(0));
        let issued = |attempt, aim, at| {
            let (attempt, step) = (AttemptId(attempt), StepIx(2));
            AttemptFact::Issued { attempt, lane, step, aim, at }
        };
        let finished = |attempt, how, at| AttemptFact::Finished { attempt: AttemptId(attempt), how, at };
        let facts = [
            issued(1, Aim::Step, 100),
            issued(2, Aim::Undo, 110),
            issued(3, Aim::Step, 120),
            finished(1, Ended::Failed, 150),
            finished(2, Ended::Done, 160),
            // The clock was set back.
            finished(3, Ended::Done, 50),
            issued(4, Aim::Step, 200),
            issued(5, Aim::Part, 210),
            issued(6, Aim::Part, 210),
            finished(5, Ended::Done, 220),
            finished(6, Ended::Failed, 230),
            finished(9, Ended::Done, 300),
        ];
        let told: Vec<_> = TimedAttempt::all(&facts).map(|attempt| (attempt.took, attempt.how)).collect();
        assert_eq!(told, [(50, Ended::Failed), (0, Ended::Done), (20, Ended::Failed)]);
    }
}
