//! Workers that are prepared ahead: who may be, how many at a time, and that nobody is touched before all are.

use super::super::invariant::Invariant;
use super::{Checker, Place, takes_down};
use crate::engine::{Intent, Millis};
use crate::graph::{Lane, StepIx, TargetIx};

impl Checker {
    pub(super) fn prepare_started(&mut self, at: Millis, target: TargetIx) {
        let first = self.graph.target_indices().find(|other| self.wants_preparing(*other));
        if first != Some(target) {
            self.breaks(Invariant::LegalTransitions, format!("{target:?} is prepared before {first:?}"));
        }
        self.moves(target, &[Place::Queued], Place::Preparing);
        if self.paused || self.aborted || self.kept.interrupted {
            self.breaks(
                Invariant::PauseAdmitsNobody,
                format!("{target:?} is prepared while the run is held"),
            );
        }
        let failed = self.lanes.values().filter(|book| book.failed).count() as u32;
        if failed > self.graph.numbers().max_failures.value {
            self.breaks(Invariant::FailureLimit, format!("{target:?} is prepared after {failed} failures"));
        }
        let preparing = self.preparing();
        let most = self.graph.numbers().prepare.as_ref().map_or(0, |limit| limit.value);
        if preparing > most {
            self.breaks(Invariant::Limits, format!("{preparing} are prepared of {most} with {target:?}"));
        }
        if !self.may_prepare_at(at) {
            self.breaks(Invariant::Limits, format!("{target:?} is prepared while the window is closed"));
        }
    }

    pub(super) fn prepared(&mut self, target: TargetIx) {
        if !self.is_prepared(target) {
            let what = format!("{target:?} is prepared with steps of `prepare` that have not ended");
            self.breaks(Invariant::UnknownIsNotSuccess, what);
        }
        self.moves(target, &[Place::Preparing], Place::Queued);
    }

    /// A step of a worker is issued: none that is not its turn, and none that takes it down before all are prepared.
    pub(super) fn issued_ahead(&mut self, target: TargetIx, step: StepIx, intent: &Intent) {
        let lane = Lane::Worker(target);
        if intent.is_undo() || *intent == Intent::ReadBootId {
            return;
        }
        if self.book(lane).place == Place::Preparing && step.index() >= self.graph.plan.prepares() {
            let what = format!("step {step} of {target:?} begins, which is only being prepared");
            self.breaks(Invariant::PreparedFirst, what);
        }
        if takes_down(self.kind(lane, step)) {
            self.all_prepared(&format!("step {step} of {target:?} takes it down"));
        }
    }

    /// Everybody is prepared or has failed to be; one that an operator has taken up again is prepared in its turn.
    pub(super) fn all_prepared(&mut self, what: &str) {
        let is_not = |target: &TargetIx| {
            let book = &self.lanes[&Lane::Worker(*target)];
            self.wants_preparing(*target) && !book.retried || book.place == Place::Preparing
        };
        if let Some(other) = self.graph.target_indices().find(is_not) {
            self.breaks(Invariant::PreparedFirst, format!("{what}, and {other:?} is not prepared"));
        }
    }

    /// At the end of an input, while workers are prepared: another one could be, and is not.
    pub(super) fn prepares_on(&mut self, now: Millis) {
        let numbers = self.graph.numbers();
        let Some(limit) = numbers.prepare.as_ref().map(|limit| limit.value) else { return };
        let kept = &self.kept;
        let held = self.paused || self.finished || kept.interrupted || kept.aborted.is_some() || kept.halted;
        if held || !kept.preparing_open || self.graph.waits_for_times() {
            return;
        }
        let under_way = self.preparing();
        let next = self.graph.target_indices().find(|target| self.wants_preparing(*target));
        if self.lanes.values().filter(|book| book.failed).count() as u32 > numbers.max_failures.value {
            return;
        }
        match next {
            Some(next) if under_way < limit => {
                let what = format!("{next:?} could be prepared beside {under_way} at {now}, and is not");
                self.breaks(Invariant::BoundedWaits, what);
            }
            None if under_way == 0 && self.graph.plan.rollout.gates.before_wave.is_empty() => {
                self.breaks(Invariant::BoundedWaits, "all are prepared, and no wave begins");
            }
            _ => {}
        }
    }

    fn wants_preparing(&self, target: TargetIx) -> bool {
        self.lanes[&Lane::Worker(target)].place == Place::Queued && !self.is_prepared(target)
    }

    fn is_prepared(&self, target: TargetIx) -> bool {
        let ahead = self.graph.plan.prepares();
        self.lanes[&Lane::Worker(target)].satisfied[..ahead].iter().all(|satisfied| *satisfied)
    }

    fn preparing(&self) -> u32 {
        self.lanes.values().filter(|book| book.place == Place::Preparing).count() as u32
    }

    fn may_prepare_at(&self, at: Millis) -> bool {
        let outside = self.graph.plan.prepare.as_ref().is_some_and(|prepare| prepare.outside_window);
        if outside { !self.is_frozen(at) } else { self.window_is_open(at) }
    }
}
