//! Why a run halts, and how it ends. It must not know how steps are tried.

use std::collections::BTreeSet;

use super::super::super::invariant::Invariant;
use super::*;

impl Checker {
    pub(super) fn halts(&mut self, at: Millis, reason: &HaltReason, world: &World) {
        self.kept.halted = true;
        self.kept.too_many = matches!(reason, HaltReason::TooManyFailures { .. });
        match reason {
            HaltReason::TooManyFailures { failed, allowed } => {
                let (now, most) = (self.failed_now(), self.graph.numbers().max_failures.value);
                if (*failed, *allowed) != (now, most) || now <= most {
                    self.breaks(
                        Invariant::FailureLimit,
                        format!("{reason:?}, and {now} have failed of {most}"),
                    );
                }
            }
            HaltReason::LaneFailed { lane, step, .. } => {
                if !self.told(*lane).failed.contains(step) {
                    self.breaks(Invariant::LegalTransitions, format!("{reason:?}, and it has not failed"));
                }
                self.kept.halted_lane = Some((*lane, *step));
            }
            HaltReason::GateFailed { place, .. } => self.gate_has_failed(*place),
            HaltReason::NobodyAdmissible { .. } => {
                if self.lanes.values().any(|book| matches!(book.place, Place::Active | Place::Preparing)) {
                    self.breaks(Invariant::BoundedWaits, format!("{reason:?}, and a worker is active"));
                }
                let open = self.wave.unwrap_or(0);
                let free = self.graph.target_indices().find(|target| {
                    self.graph.target(*target).wave <= open
                        && self.lanes[&Lane::Worker(*target)].place == Place::Queued
                        && !self.is_held_back(at, *target, world)
                });
                if let Some(free) = free {
                    self.breaks(
                        Invariant::BoundedWaits,
                        format!("{reason:?}, and nothing holds {free:?} back"),
                    );
                }
            }
        }
    }

    /// With nobody active: whether something that time does not fix keeps a worker from starting.
    pub(super) fn is_held_back(&self, at: Millis, target: TargetIx, world: &World) -> bool {
        let rollout = &self.graph.plan.rollout;
        if self.graph.waits_for_times() {
            // A window opens by itself; it holds for ever only where a worker takes longer.
            if self.median().is_some_and(|median| median > self.longest_opening(at)) {
                return true;
            }
            if !self.window_is_open(at) {
                return false;
            }
        }
        let all_down: BTreeSet<TargetIx> = self.down.union(&self.kept.unreachable).copied().collect();
        if !self.goes_down_at_all(target) {
            return false;
        }
        if all_down.contains(&target) {
            return self.is_away(target) && self.held_by_run(target);
        }
        let fleet = &self.graph.fleet;
        if let Some(spread) = &rollout.spread {
            let zone = |t: &TargetIx| fleet.worker(self.graph.target(*t).worker).tags.get(&spread.value.tag);
            let zones: BTreeSet<_> = all_down.iter().map(zone).collect();
            if !zones.contains(&zone(&target)) && zones.len() as u64 >= spread.value.at_most {
                return true;
            }
        }
        // A sick peer may get well by itself: nobody halts at the first look.
        let patient = at - self.kept.moved_at >= PATIENCE;
        self.graph.numbers().budgets.iter().any(|budget| {
            let down = all_down.iter().filter(|t| self.graph.target(**t).jobs.contains(&budget.job));
            let down: BTreeSet<_> = down.map(|t| self.worker(*t)).chain([self.worker(target)]).collect();
            let sick = self.observed.get(&budget.job).map(|(_, sick)| sick).filter(|_| patient);
            // What this run has left disabled stays so.
            let of_budget = |entry: &Entry| entry.job.is_none_or(|job| job == budget.job);
            let left = world.file.marks().iter().filter(of_budget).map(|entry| entry.worker);
            let away: BTreeSet<_> = sick.into_iter().flatten().chain(&down).copied().chain(left).collect();
            let away = away.len();
            self.graph.target(target).jobs.contains(&budget.job)
                && away + budget.wants as usize > budget.of as usize
        })
    }

    pub(super) fn ends(&mut self, end: RunEnd, world: &World) {
        if (end == RunEnd::Aborted) != self.kept.aborted.is_some() {
            self.breaks(
                Invariant::LegalTransitions,
                format!("the run ends as {end:?}, aborted: {:?}", self.kept.aborted),
            );
        }
        if end == RunEnd::Aborted {
            return;
        }
        let (now, most) = (self.failed_now(), self.graph.numbers().max_failures.value);
        if now > most {
            self.breaks(Invariant::FailureLimit, format!("the run ends with {now} failures of {most}"));
        }
        if !self.book(Lane::After).satisfied.iter().all(|s| *s) {
            self.breaks(Invariant::PlanOrder, "the run ends before all of `after`");
        }
        let well = |(lane, book): (&Lane, &crate::sim::checker::Book)| {
            !matches!(lane, Lane::Worker(_)) || book.place == Place::Succeeded || book.left_alone
        };
        let well = self.lanes.iter().all(well) && world.file.marks().is_empty();
        if well != (end == RunEnd::Succeeded) {
            self.breaks(
                Invariant::NothingLeftDisabled,
                format!("the run ends as {end:?}, and all is well: {well}"),
            );
        }
    }

    /// What the run says that it left disabled, at its end: nobody who is as he was.
    pub(in crate::sim) fn left(&mut self, target: TargetIx, world: &World) {
        let worker = self.worker(target);
        let marked = !world.file.marks().of_worker(worker).is_empty();
        if self.book(Lane::Worker(target)).place == Place::Succeeded && !marked {
            self.breaks(
                Invariant::NothingLeftDisabled,
                format!("{target:?} is said to be left disabled, and is not"),
            );
        }
    }
}
