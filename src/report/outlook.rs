//! What is to be expected of a run: how long steps usually take, and what is left of it. The figures come from
//! whoever simulates the plan; here they are compared with what a run does.

use std::collections::BTreeMap;

use crate::engine::{Millis, PublicRunState, PublicWorkerState};
use crate::plan::{Step, StepKind};

use super::view::RunView;

/// A gap between two ends of steps that is longer than this many times what was expected is worth a word.
const OVERDUE_FACTOR: Millis = 2;
/// And longer by this: short steps vary more than long ones.
const OVERDUE_SLACK: Millis = 10_000;
/// The pace of the run itself counts in full when a fourth of it is done.
const PACE_COUNTS_AFTER: f64 = 0.25;

/// A run of the plan in which nothing fails, and how long steps took before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// Milliseconds that kinds of steps (and `boot`) took in earlier runs of the bucket, in the middle; kinds that
    /// were never measured are missing.
    pub usual: BTreeMap<String, Millis>,
    /// When the first, the second and so on of all steps ends, in milliseconds since the start; empty: not known.
    pub ends: Vec<Millis>,
    /// When the run ends, in milliseconds since its start.
    pub total: Millis,
}

/// What takes longer than usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Milliseconds that the run was carried out so far.
    pub so_far: Millis,
    /// Milliseconds after which as much was expected to be done.
    pub expected: Millis,
}

/// What is left of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// About so many milliseconds.
    About(Millis),
    /// Something takes longer than usual, and so long as it does nothing can be said.
    Overdue,
}

impl Outlook {
    /// What is left of the run; `None`: not known.
    pub(super) fn left(&self, at: Millis, view: &RunView) -> Option<Left> {
        if self.ends.is_empty() {
            return None;
        }
        let (done, _) = view.progress();
        let done = usize::try_from(done).ok()?;
        let reached = match done.checked_sub(1) {
            None => 0,
            Some(last) => *self.ends.get(last)?,
        };
        let next = self.ends.get(done).copied().unwrap_or(self.total);
        let pace = self.pace(reached, view);
        let scaled = |span: Millis| (span as f64 * pace) as Millis;
        let gap = scaled(next - reached);
        let since = (at - view.progressed_at()).max(0);
        if is_overdue(since, gap) {
            return Some(Left::Overdue);
        }
        Some(Left::About((scaled(self.total - reached) - since.min(gap)).max(0)))
    }

    /// What takes longer than it did in earlier runs: the step that is waited for, or the run as a whole. `None`: nothing
    /// does, nothing is known, or the run waits for something that takes as long as it takes.
    pub fn overdue(&self, at: Millis, view: &RunView) -> Option<Overdue> {
        let waits = view.state != PublicRunState::Running || view.waits_for.is_some() || view.is_paused();
        if self.usual.is_empty() || self.ends.is_empty() || waits {
            return None;
        }
        let so_far = view.worked() + (at - view.progressed_at()).max(0);
        if is_overdue(so_far, self.total) {
            return Some(Overdue { so_far, expected: self.total });
        }
        // A worker that waits for an operator is no surprise.
        let hangs = view.workers.iter().any(|worker| worker.state == PublicWorkerState::Running);
        let reached = usize::try_from(view.progress().0).ok()?;
        let expected = *self.ends.get(reached)?;
        (hangs && self.left(at, view) == Some(Left::Overdue)).then_some(Overdue { so_far, expected })
    }

    /// How much slower than expected the run has been, the more believed the further it is.
    fn pace(&self, reached: Millis, view: &RunView) -> f64 {
        if reached <= 0 || self.total <= 0 {
            return 1.0;
        }
        let pace = (view.worked() as f64 / reached as f64).clamp(0.1, 10.0);
        let share = (reached as f64 / self.total as f64 / PACE_COUNTS_AFTER).min(1.0);
        1.0 + (pace - 1.0) * share
    }

    /// How long such a step took in earlier runs.
    pub(super) fn usual(&self, step: &Step) -> Option<Millis> {
        match &step.kind {
            StepKind::WaitForSsh { settle, .. } => {
                Some(self.usual.get("boot")? + Millis::try_from(settle.as_millis()).ok()?)
            }
            StepKind::Pause { .. } | StepKind::Approve { .. } => None,
            kind => self.usual.get(kind.keyword()).copied(),
        }
    }
}

/// Whether something that usually takes `usual` and has been under way for `since` is worth a word.
pub(super) fn is_overdue(since: Millis, usual: Millis) -> bool {
    since > usual * OVERDUE_FACTOR + OVERDUE_SLACK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Fact, Stamped};
    use crate::report::testing::rolled;

    /// Two workers of two steps each, of which every one takes ten seconds.
    fn outlook() -> Outlook {
        let usual = BTreeMap::from([("boot".to_owned(), 3_000)]);
        Outlook { usual, ends: vec![10_000, 20_000, 30_000, 40_000], total: 40_000 }
    }

    #[test]
    fn there_is_an_estimate_from_the_first_second_and_it_learns() {
        let (facts, mut view) = rolled(2, |_| None);
        let start = view.started_at.0;
        assert_eq!(outlook().left(start, &view), Some(Left::About(40_000)));
        assert_eq!(outlook().left(start + 4_000, &view), Some(Left::About(36_000)));
        let mut left = Vec::new();
        for stamped in &facts {
            view.fold(stamped).unwrap();
            match outlook().left(stamped.at, &view) {
                Some(Left::About(ms)) => left.push(ms),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(view.progress(), (4, 4));
        assert!(left.is_sorted_by(|a, b| a >= b), "{left:?}");
        assert_eq!(left.last(), Some(&0));
    }

    #[test]
    fn a_step_that_hangs_makes_no_promise() {
        let (_, view) = rolled(2, |_| None);
        let start = view.started_at.0;
        assert_eq!(outlook().left(start + 29_999, &view), Some(Left::About(30_000)));
        assert_eq!(outlook().left(start + 30_001, &view), Some(Left::Overdue));
        let usual = outlook().usual(&view.graph().plan.steps[1]);
        assert_eq!(usual, Some(3_000 + 5_000), "a boot and the settle time of the plan");
        assert_eq!(outlook().usual(&view.graph().plan.steps[0]), None, "never measured");
    }

    #[test]
    fn what_takes_longer_than_usual_is_told_by_what_was_measured() {
        let (facts, mut view) = rolled(2, |_| None);
        let issued = facts.iter().position(|one| matches!(one.fact, Fact::Issued { .. })).unwrap();
        facts[..=issued].iter().for_each(|stamped| view.fold(stamped).unwrap());
        let start = view.progressed_at();
        let mut at = |after: Millis, outlook: &Outlook| {
            view.refresh(start + after);
            outlook.overdue(start + after, &view)
        };
        assert_eq!(at(29_000, &outlook()), None);
        // The first step was expected to be done after ten seconds.
        assert_eq!(at(31_000, &outlook()).map(|overdue| overdue.expected), Some(10_000));
        assert_eq!(
            at(95_000, &outlook()).map(|overdue| overdue.expected),
            Some(40_000),
            "and the run after forty"
        );
        assert_eq!(
            at(95_000, &Outlook { usual: BTreeMap::new(), ..outlook() }),
            None,
            "rules of thumb are no history"
        );
        assert_eq!(at(95_000, &Outlook { ends: Vec::new(), ..outlook() }), None);
        let paused = Fact::Paused { by: "me@here".into(), reason: "lunch".into() };
        view.fold(&Stamped { seq: issued as u64 + 2, at: start, epoch: 1, fact: paused }).unwrap();
        view.refresh(start + 95_000);
        assert_eq!(outlook().overdue(start + 95_000, &view), None, "it waits for an operator");
    }

    #[test]
    fn nothing_is_known_of_a_run_that_was_not_simulated() {
        let (facts, mut view) = rolled(1, |_| None);
        assert_eq!(Outlook::default().left(facts[0].at, &view), None);
        facts.iter().for_each(|stamped| view.fold(stamped).unwrap());
        assert_eq!(Outlook::default().left(facts[0].at, &view), None);
    }
}
