//! When workers start: none before its turn, and each as soon as all limits let it. It must not know what
//! workers do.

use std::collections::BTreeSet;

use super::super::super::invariant::Invariant;
use super::*;

impl Checker {
    /// Without limits that let others pass, workers start in their order; and a window has room for what
    /// workers of this run took.
    pub(super) fn in_turn(&mut self, at: Millis, target: TargetIx) {
        if self.kept.interrupted {
            self.breaks(Invariant::PauseAdmitsNobody, format!("{target:?} is admitted after a signal"));
        }
        let rollout = &self.graph.plan.rollout;
        let gated = !rollout.gates.is_empty();
        let bound = gated || !self.graph.numbers().budgets.is_empty() || rollout.spread.is_some();
        let windowed = self.graph.waits_for_times();
        let first = self.queued_open();
        if !bound && first.is_some_and(|first| first < target) {
            self.breaks(Invariant::LegalTransitions, format!("{target:?} is admitted before {first:?}"));
        }
        let idle = !self.lanes.values().any(|book| book.place == Place::Active);
        let median = self.median();
        if windowed && !bound && idle {
            // Dead controllers are replaced within minutes.
            let since = self.kept.times.0.max(self.kept.moved_at);
            let late = (0..).map(|n| since + n * 60_000).take_while(|t| *t < at - 20 * 60_000);
            let roomy =
                |t: &Millis| self.window_left(*t).is_some_and(|left| median.is_none_or(|m| m <= left));
            if let Some(missed) = late.into_iter().find(roomy) {
                self.breaks(
                    Invariant::BoundedWaits,
                    format!("{target:?} starts at {at}, and could have at {missed}: {median:?}"),
                );
            }
        }
        self.told(Lane::Worker(target)).admitted_at = at;
        if windowed
            && let (Some(median), Some(left)) = (median, self.window_left(at))
            && left < median
        {
            self.breaks(Invariant::Limits, format!("{target:?} starts {left} ms before the window closes"));
        }
    }

    /// The lower median of what workers of this run took.
    pub(super) fn median(&self) -> Option<Millis> {
        let mut sorted = self.kept.durations.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }

    /// How long the window stays open, read minute by minute; `None`: it is closed.
    fn window_left(&self, at: Millis) -> Option<Millis> {
        let minutes = (0..8 * 1440).map(|minute| at - at % 60_000 + minute * 60_000);
        match minutes.into_iter().find(|at| !self.window_is_open(*at)) {
            None => Some(Millis::MAX),
            Some(closes) => (closes > at).then_some(closes - at),
        }
    }

    /// The longest time without an end for which workers may be started in the two weeks from `at` on, which are longer
    /// than any freeze; what is left of an opening that has begun does not count as long.
    pub(super) fn longest_opening(&self, at: Millis) -> Millis {
        let minutes = (0..14 * 1440).map(|minute| at - at % 60_000 + minute * 60_000);
        let mut run = 0;
        let mut longest = 0;
        for at in minutes {
            run = if self.window_is_open(at) { run + 60_000 } else { 0 };
            longest = longest.max(run);
        }
        longest
    }

    /// At rest: a worker that could start has started.
    pub(in crate::sim) fn rested(&mut self, now: Millis, world: &World) {
        if self.exclusive {
            let held =
                self.paused || self.kept.interrupted || self.kept.aborted.is_some() || self.away.is_empty();
            self.kept.pending = if held { BTreeSet::new() } else { self.pending(self.last_at) };
        }
        self.prepares_on(now);
        let startable = self.startable(world);
        match (startable, self.kept.startable_since) {
            (None, _) => self.kept.startable_since = None,
            (Some(_), None) => self.kept.startable_since = Some(now),
            (Some(target), Some(since)) if now - since > SOON => {
                self.breaks(
                    Invariant::BoundedWaits,
                    format!("{target:?} could start since {} ms, and does not", now - since),
                );
            }
            _ => {}
        }
        let rollout = &self.graph.plan.rollout;
        let bound = !self.graph.numbers().budgets.is_empty()
            || rollout.spread.is_some()
            || !rollout.gates.guard.is_empty()
            || self.graph.waits_for_times();
        let kept = &self.kept;
        let held = self.paused || self.finished || kept.interrupted || kept.aborted.is_some() || kept.halted;
        if bound || held || !kept.wave_open || self.failed_now() > self.graph.numbers().max_failures.value {
            return;
        }
        let active = self.lanes.values().filter(|book| book.place == Place::Active).count() as u32;
        let full = self.graph.numbers().concurrency.as_ref().is_some_and(|limit| active >= limit.value);
        if let (false, Some(target)) = (full, self.queued_open()) {
            self.breaks(
                Invariant::BoundedWaits,
                format!("{target:?} could start beside {active}, and does not"),
            );
        }
    }

    /// Nobody is there who could start anybody.
    pub(in crate::sim) fn nobody_in_charge(&mut self) {
        self.kept.startable_since = None;
    }

    /// A queued worker that all limits let start, by what is really well.
    pub(super) fn startable(&self, world: &World) -> Option<TargetIx> {
        let (kept, rollout, numbers) = (&self.kept, &self.graph.plan.rollout, self.graph.numbers());
        let held = self.paused || self.finished || kept.interrupted || kept.aborted.is_some() || kept.halted;
        if held
            || !kept.wave_open
            || !rollout.gates.guard.is_empty()
            || self.graph.waits_for_times()
            || self.failed_now() > numbers.max_failures.value
        {
            return None;
        }
        let place = |target: TargetIx| self.lanes[&Lane::Worker(target)].place;
        let active: Vec<TargetIx> =
            self.graph.target_indices().filter(|target| place(*target) == Place::Active).collect();
        if numbers.concurrency.as_ref().is_some_and(|limit| active.len() as u32 >= limit.value) {
            return None;
        }
        let active = active.into_iter().filter(|target| self.goes_down_at_all(*target));
        let down: BTreeSet<TargetIx> =
            active.chain(self.down.iter().copied()).chain(kept.unreachable.iter().copied()).collect();
        let zone = |target: TargetIx| {
            let tag = rollout.spread.as_ref().map(|spread| &spread.value.tag)?;
            self.graph.fleet.worker(self.worker(target)).tags.get(tag)
        };
        let zones: BTreeSet<_> = down.iter().map(|target| zone(*target)).collect();
        let full = rollout.spread.as_ref().is_some_and(|spread| zones.len() as u64 >= spread.value.at_most);
        let open = self.wave?;
        let away = |worker: WorkerIx, job: JobIx, target: TargetIx| {
            worker == self.worker(target)
                || down.iter().any(|down| self.worker(*down) == worker)
                || !world.is_well(worker, job)
        };
        self.graph.target_indices().find(|target| {
            let queued = place(*target) == Place::Queued && self.graph.target(*target).wave <= open;
            let was_away = self.goes_down_at_all(*target) && self.is_away(*target);
            let free = !self.goes_down_at_all(*target) || self.down.contains(target);
            let budgets = || {
                numbers.budgets.iter().filter(|b| self.graph.target(*target).jobs.contains(&b.job)).all(|b| {
                    let of = self.graph.enabled_allocations().iter().filter(|one| one.job == b.job);
                    of.filter(|one| !away(one.worker, one.job, *target)).count() >= b.wants as usize
                })
            };
            let fits = || free || ((!full || zones.contains(&zone(*target))) && budgets());
            queued && if was_away { !self.held_by_run(*target) } else { fits() }
        })
    }
}
