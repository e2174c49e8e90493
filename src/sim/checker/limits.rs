//! Limits: who may be admitted, and what may be down. It must not ask admission.

use std::collections::BTreeSet;

use super::super::invariant::Invariant;
use super::{Checker, Place, by_catalog, takes_down};
use crate::bucket::WorkerIx;
use crate::engine::{Intent, Millis};
use crate::graph::{Lane, TargetIx};
use crate::plan::{StepKind, Window};
use crate::sim::world::World;

impl Checker {
    pub(super) fn admitted(&mut self, at: Millis, target: TargetIx) {
        self.moves(target, &[Place::Queued], Place::Active);
        if self.paused || self.aborted {
            self.breaks(
                Invariant::PauseAdmitsNobody,
                format!("{target:?} is admitted while the run is paused"),
            );
        }
        let wave = self.graph.target(target).wave;
        if self.wave.is_none_or(|open| wave > open) {
            self.breaks(
                Invariant::LegalTransitions,
                format!("{target:?} of wave {wave} is admitted in wave {:?}", self.wave),
            );
        }
        let failed = self.lanes.values().filter(|book| book.failed).count() as u32;
        let allowed = self.graph.numbers().max_failures.value;
        if failed > allowed {
            self.breaks(
                Invariant::FailureLimit,
                format!("{target:?} is admitted after {failed} failures of {allowed}"),
            );
        }
        let active = self.lanes.values().filter(|book| book.place == Place::Active).count() as u32;
        if let Some(limit) = &self.graph.numbers().concurrency
            && active > limit.value
        {
            self.breaks(Invariant::Limits, format!("{active} are active of {} with {target:?}", limit.value));
        }
        if !self.window_is_open(at) {
            self.breaks(Invariant::Limits, format!("{target:?} is admitted while the window is closed"));
        }
        if self.goes_down_at_all(target) && !self.down.contains(&target) {
            self.fresh_budgets(at, target);
        }
        if self.goes_down_at_all(target) && self.is_away(target) && self.held_by_run(target) {
            self.breaks(
                Invariant::Limits,
                format!("{target:?} was away, may be back, and goes beside what the run took down"),
            );
        }
    }

    /// Whether what the run itself has taken down leaves no room for this worker, which was away.
    pub(super) fn held_by_run(&self, target: TargetIx) -> bool {
        let is_ours = |other: &TargetIx| {
            let active = self.lanes[&Lane::Worker(*other)].place == Place::Active;
            let down =
                active && self.goes_down_at_all(*other) || self.down.contains(other) && !self.is_away(*other);
            *other != target && down
        };
        let ours: Vec<TargetIx> = self.graph.target_indices().filter(is_ours).collect();
        let zone_full = self.graph.plan.rollout.spread.as_ref().is_some_and(|spread| {
            let tags = |t: TargetIx| self.graph.fleet.worker(self.worker(t)).tags.get(&spread.value.tag);
            let zones: BTreeSet<_> = ours.iter().map(|other| tags(*other)).collect();
            !zones.contains(&tags(target)) && zones.len() as u64 >= spread.value.at_most
        });
        let has = |t: TargetIx, job| self.graph.target(t).jobs.contains(&job);
        zone_full
            || self.graph.numbers().budgets.iter().filter(|budget| has(target, budget.job)).any(|budget| {
                let taken = ours.iter().filter(|other| has(**other, budget.job)).count() as u32;
                taken + 1 + budget.wants > budget.of
            })
    }

    /// With what was seen in the last round, enough of each job stays.
    pub(super) fn fresh_budgets(&mut self, at: Millis, target: TargetIx) {
        let mut broken = Vec::new();
        for budget in &self.graph.numbers().budgets {
            if !self.graph.target(target).jobs.contains(&budget.job) {
                continue;
            }
            let Some((seen, sick)) = self.observed.get(&budget.job) else {
                if budget.wants > 0 {
                    broken.push(format!("{target:?} is admitted, and nobody has looked at {:?}", budget.job));
                }
                continue;
            };
            if at - seen > 30_000 && budget.wants > 0 {
                broken.push(format!("{target:?} is admitted on a look at {:?} that is old", budget.job));
            }
            let mut away: BTreeSet<WorkerIx> = sick.clone();
            let going = self.lanes.iter().filter_map(|(lane, book)| match lane {
                Lane::Worker(other)
                    if book.place == Place::Active && self.goes_down_at_all(*other)
                        || self.down.contains(other) =>
                {
                    Some(*other)
                }
                _ => None,
            });
            for other in going.chain([target]) {
                if self.graph.target(other).jobs.contains(&budget.job) {
                    away.insert(self.worker(other));
                }
            }
            let left = budget.of as usize - away.len().min(budget.of as usize);
            if left < budget.wants as usize {
                broken.push(format!(
                    "{:?} is left with {left} of {} and wants {} when {target:?} goes",
                    budget.job, budget.of, budget.wants
                ));
            }
        }
        for what in broken {
            self.breaks(Invariant::Limits, what);
        }
    }

    pub(super) fn goes_down_at_all(&self, target: TargetIx) -> bool {
        let steps = &self.graph.plan.steps;
        (0..steps.len()).any(|at| self.graph.target(target).applies[at] && takes_down(&steps[at].kind))
    }

    /// An independent reading of windows and a freeze in UTC (the generator makes no others).
    pub(super) fn window_is_open(&self, at: Millis) -> bool {
        let windows = &self.graph.plan.rollout.windows;
        !self.is_frozen(at) && (windows.is_empty() || windows.iter().any(|window| is_in(&window.value, at)))
    }

    /// The same of the freeze alone.
    pub(super) fn is_frozen(&self, at: Millis) -> bool {
        let date = jiff::Timestamp::from_millisecond(at)
            .map(|at| at.to_zoned_datetime(jiff::tz::TimeZone::UTC).date());
        let mut frozen = self.graph.plan.rollout.freeze.iter().flat_map(|freeze| &freeze.value.dates);
        frozen.any(|dates| date.as_ref().is_ok_and(|date| (dates.first..=dates.last).contains(date)))
    }

    /// With an engine that contacts everybody, an operation and a worker that is away exclude each
    /// other.
    pub(super) fn exclusion(&mut self, lane: Lane, kind: &StepKind, intent: &Intent) {
        let is_away = |lane: &Lane| {
            let place = self.lanes.get(lane).map(|book| book.place);
            self.away.contains(lane) && place == Some(Place::Active)
        };
        let away: Vec<Lane> = self.lanes.keys().filter(|lane| is_away(lane)).copied().collect();
        let operating = self.open.values().any(|(l, s, i)| *l != lane && by_catalog(self.kind(*l, *s), i));
        if by_catalog(kind, intent) && away.iter().any(|other| *other != lane) {
            self.breaks(Invariant::Limits, format!("{lane:?} contacts everybody while {away:?} may be away"));
        }
        if matches!(intent, Intent::Reboot { .. }) && operating {
            self.breaks(
                Invariant::Limits,
                format!("{lane:?} goes away under an operation that contacts everybody"),
            );
        }
    }

    pub(super) fn goes_down(&mut self, target: TargetIx) {
        if !self.down.insert(target) {
            return;
        }
        self.most_down = self.most_down.max(self.down.len() as u32);
        let mut broken = Vec::new();
        for budget in &self.graph.numbers().budgets {
            let mine = self.graph.target(target).jobs.contains(&budget.job);
            let down = self.down.iter().filter(|t| self.graph.target(**t).jobs.contains(&budget.job)).count();
            if mine && down > budget.of.saturating_sub(budget.wants) as usize {
                broken.push(format!("{down} of {:?} are down, {target:?} the last", budget.job));
            }
        }
        if let Some(spread) = &self.graph.plan.rollout.spread {
            let zone = |t: &TargetIx| {
                self.graph.fleet.worker(self.graph.target(*t).worker).tags.get(&spread.value.tag)
            };
            let zones: BTreeSet<_> = self.down.iter().map(zone).collect();
            let others: BTreeSet<_> = self.down.iter().filter(|t| **t != target).map(zone).collect();
            if zones.len() > others.len() && zones.len() as u64 > spread.value.at_most {
                broken.push(format!("{zones:?} are disturbed, {target:?} the last"));
            }
        }
        for what in broken {
            self.breaks(Invariant::Limits, what);
        }
    }

    /// What the run has really taken away, whatever anybody believes.
    pub(super) fn world_down(&mut self, world: &World) {
        let mut broken = Vec::new();
        for budget in &self.graph.numbers().budgets {
            let away = world
                .hosts
                .iter()
                .flat_map(|host| &host.allocs)
                .filter(|alloc| alloc.job == budget.job && alloc.by_run)
                .count();
            if away > budget.of.saturating_sub(budget.wants) as usize {
                broken.push(format!("{away} of {:?} do not run because of the run", budget.job));
            }
        }
        for (w, host) in world.hosts.iter().enumerate() {
            if let Some((step, count)) = host.run_reboots.sorted().into_iter().find(|(_, count)| *count > 1) {
                self.breaks(
                    Invariant::OneReboot,
                    format!("worker {w} was rebooted {count} times by step {step}"),
                );
            }
        }
        for what in broken {
            self.breaks(Invariant::Limits, what);
        }
    }
}

/// Of a window in UTC.
fn is_in(window: &Window, at: Millis) -> bool {
    let minute = at.div_euclid(60_000);
    let (day, minute) = (minute.div_euclid(1440), minute.rem_euclid(1440));
    // 1970-01-01 was a Thursday.
    let opens_on = |day: i64| window.days.iter().any(|d| d.weekday as i64 == (day + 3).rem_euclid(7));
    let (open, close) = (i64::from(window.open), i64::from(window.close));
    if open < close {
        opens_on(day) && (open..close).contains(&minute)
    } else {
        opens_on(day) && minute >= open || opens_on(day - 1) && minute < close
    }
}
