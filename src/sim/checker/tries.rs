//! How often and how soon steps are tried again, how long gates stay closed, and in which order steps
//! are undone. It must not draw delays: only their bounds are known here.

use super::super::invariant::Invariant;
use super::Checker;
use crate::engine::{AttemptId, ErrorKind, Intent, Millis, Outcome};
use crate::graph::{Lane, StepIx};
use crate::plan::StepKind;

impl Checker {
    /// A known failure spends an attempt; a lost answer may be looked at without one.
    pub(super) fn count_failure(&mut self, attempt: AttemptId, outcome: &Outcome) {
        let Some((lane, step, intent)) = self.open.get(&attempt).cloned() else { return };
        // A reboot that was sent before finds the worker away: that is no failure of the step.
        let departed = match (&intent, outcome) {
            (Intent::Reboot { .. }, Outcome::Failed { error }) => error.kind == ErrorKind::Unreachable,
            _ => false,
        };
        let fails = matches!(outcome, Outcome::Failed { .. } | Outcome::TimedOut { .. });
        let is_reset = matches!(intent, Intent::PowerCycle { .. });
        if !intent.is_undo() && !is_reset && fails && !departed {
            *self.book(lane).failures.entry(step).or_default() += 1;
        }
    }

    /// The next attempt comes no sooner than half of the plan's delay: the other half is drawn.
    pub(super) fn scheduled(&mut self, at: Millis, lane: Lane, step: StepIx, due: Millis) {
        let retries = &self.graph.steps(lane)[step.index()].retries;
        let whole = retries.delay.min(retries.max_delay).as_millis() as Millis;
        let failures = self.book(lane).failures.get(&step).copied().unwrap_or(0);
        // A lost answer is looked at soon.
        let least = if failures > 0 { (whole / 2).min(2_000) } else { 0 };
        if due - at < least {
            self.breaks(
                Invariant::BoundedWaits,
                format!("step {step} of {lane:?} is tried again after {} ms of {whole}", due - at),
            );
        }
        self.book(lane).due.insert(step, due);
    }

    /// A step is issued: not too often, not too soon, and undone newest first.
    pub(super) fn tried(&mut self, at: Millis, lane: Lane, step: StepIx, intent: &Intent) {
        if intent.is_undo() {
            let book = self.book(lane);
            let (last, broke_at) = (book.undone.replace(step), book.broke_at);
            let first = last.is_none() || last == broke_at;
            if !first && last.is_some_and(|last| step > last) {
                self.breaks(
                    Invariant::LegalTransitions,
                    format!("step {step} of {lane:?} is undone after {last:?}"),
                );
            }
            return;
        }
        if let Intent::Reboot { generation, .. } = intent {
            let last = self.book(lane).generations.insert(step, (*generation, false));
            if last.is_some_and(|(last, again)| again && *generation <= last) {
                self.breaks(
                    Invariant::BoundedWaits,
                    format!("reboot {step} of {lane:?} is entered again, with its old receipt"),
                );
            }
        }
        let attempts = self.graph.steps(lane)[step.index()].retries.attempts;
        let book = self.book(lane);
        if matches!(intent, Intent::PowerCycle { .. }) {
            // It waits anew behind it, with all its attempts.
            book.failures.remove(&step);
            book.due.remove(&step);
            return;
        }
        let failures = book.failures.get(&step).copied().unwrap_or(0);
        let due = book.due.get(&step).copied();
        if failures >= attempts {
            self.breaks(
                Invariant::BoundedWaits,
                format!("step {step} of {lane:?} is tried after {failures} failures of {attempts}"),
            );
        }
        if due.is_some_and(|due| at < due) {
            self.breaks(
                Invariant::BoundedWaits,
                format!("step {step} of {lane:?} is tried again before it is due"),
            );
        }
    }

    /// A `pause` lasts as long as the plan says.
    pub(super) fn gate_is_long_enough(
        &mut self,
        at: Millis,
        lane: Lane,
        step: StepIx,
        opens: Option<Millis>,
    ) {
        if let StepKind::Pause { duration } = self.kind(lane, step) {
            let whole = duration.as_millis() as Millis;
            if opens.is_none_or(|opens| opens - at < whole) {
                self.breaks(
                    Invariant::BoundedWaits,
                    format!("the pause {step} of {lane:?} ends before {whole} ms"),
                );
            }
        }
    }
}
