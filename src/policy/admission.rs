//! The moving half of admission: who is active, who is down, what was observed, and what follows for the next
//! worker.

mod fit;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use fit::Fit;

use super::limits::Limits;
use super::window::{self, Schedule};
use super::{Reason, Verdict};
use crate::bucket::{JobIx, WorkerIx};
use crate::graph::{RolloutGraph, TargetIx, TargetSet, WorkerSet};

/// How long an observation counts. Long enough for a round of probes over a big fleet to be used by
/// more than one admission, short enough that a peer which fell over is noticed before the next
/// worker goes down.
pub const OBSERVATION_FRESH_MS: i64 = 30_000;

/// Maximum number of holders of a job or a domain that a reason names: more are not read, and the cost
/// of a verdict must not grow with the number of workers that are down.
const HELD_BY_SHOWN: usize = 16;

/// What the run as a whole is like at the moment of a question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The wave that is open, counted from 0.
    pub current_wave: u32,
    /// An operator paused the run.
    pub paused: bool,
    /// Entries in the failure ledger.
    pub failures: u32,
    /// The median time of a worker in this run, in milliseconds; `None`: no worker has finished yet.
    pub median_worker_ms: Option<i64>,
}

/// Who may start now. Every call costs the number of budgeted jobs on the worker (times a logarithm),
/// whatever the size of the fleet.
///
/// A worker with a disturbing step is *down* from its admission, which is earlier and so stricter than
/// the first disturbing step: between the two no other worker can be admitted on the strength of a worker
/// that is about to go. A failed, skipped or unreachable worker stays down.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    limits: Limits,
    active: TargetSet,
    down: TargetSet,
    /// Those of `down` that were never admitted: they were not asked whether they may be down, and they may have come back.
    down_before_admission: TargetSet,
    /// For each budget.
    jobs: Vec<Availability>,
    /// For each domain the workers that hold it.
    domains: Vec<BTreeSet<TargetIx>>,
    /// The domains that are held.
    held: BTreeSet<u32>,
    /// For each target its worker.
    workers: Vec<WorkerIx>,
    /// For each worker of the fleet its target, or `NOT_SELECTED`.
    target_of: Vec<u32>,
    /// For each job its budget, or `NOT_SELECTED`.
    budget_of: Vec<u32>,
}

/// Which jobs on which workers.
type Allocations = Vec<(WorkerIx, JobIx)>;

const NOT_SELECTED: u32 = u32::MAX;

/// What is known of the allocations of one budgeted job. A worker is in at most one of `down`, `unhealthy` and
/// `unverified`.
#[derive(Clone, Debug, Default, PartialEq)]
struct Availability {
    /// On workers that are down.
    down: BTreeSet<TargetIx>,
    /// All that the last round listed, whatever has become of them since: the next is written as what differs.
    listed: WorkerSet,
    /// Those of them that are not down by the run.
    unhealthy: WorkerSet,
    /// Back up since the last round, and not observed yet.
    unverified: WorkerSet,
    /// The time of the last round.
    observed_at: Option<i64>,
}

impl Availability {
    fn fresh(&self, now_ms: i64) -> bool {
        // Also not from the future: after a step of the clock nothing is known about its age.
        self.observed_at.is_some_and(|at| now_ms.abs_diff(at) <= OBSERVATION_FRESH_MS.unsigned_abs())
    }
}

impl Admission {
    /// No worker is active or down, and nothing has been observed.
    pub fn new(graph: &RolloutGraph) -> Self {
        let limits = Limits::resolve(graph);
        let workers: Vec<_> = graph.targets.iter().map(|target| target.worker).collect();
        let mut target_of = vec![NOT_SELECTED; graph.fleet.workers.len()];
        for (worker, target) in workers.iter().zip(0..) {
            target_of[worker.0 as usize] = target;
        }
        let mut budget_of = vec![NOT_SELECTED; graph.fleet.jobs.len()];
        for (budget, at) in limits.budgets.iter().zip(0..) {
            budget_of[budget.job.0 as usize] = at;
        }
        Self {
            active: TargetSet::default(),
            down: TargetSet::default(),
            down_before_admission: TargetSet::default(),
            jobs: vec![Availability::default(); limits.budgets.len()],
            domains: vec![BTreeSet::new(); limits.spread.as_ref().map_or(0, |spread| spread.domains.len())],
            held: BTreeSet::new(),
            limits,
            workers,
            target_of,
            budget_of,
        }
    }

    /// What the plan allows.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// From now on as without a window: for a forecast, which counts working time only.
    pub(super) fn ignore_window(&mut self) {
        self.limits.window = None;
        self.limits.window_unknown = false;
        if let Some(prepare) = &mut self.limits.prepare {
            (prepare.window, prepare.window_unknown) = (None, false);
        }
    }

    /// Whether this worker may start now (`now_ms`: milliseconds since 1970, UTC).
    ///
    /// What applies to all workers comes first (failures, pause), then the wave, the window, the places, and
    /// at last the worker's own domain and budgets. A wait for a budget is reported before a wait for an
    /// observation when no observation could help.
    pub fn verdict(&self, target: TargetIx, now_ms: i64, conditions: &Conditions) -> Verdict {
        if let Some(verdict) = self.stopped(conditions) {
            return verdict;
        }
        let wave = self.limits.constraint(target).wave;
        if wave > conditions.current_wave {
            return Verdict::Wait(Reason::Wave { wave, current: conditions.current_wave });
        }
        self.closed(now_ms, conditions).unwrap_or_else(|| self.own(target, now_ms))
    }

    /// Failures and pause.
    pub(super) fn stopped(&self, conditions: &Conditions) -> Option<Verdict> {
        let (failed, allowed) = (conditions.failures, self.limits.max_failures);
        if failed > allowed {
            return Some(Verdict::Refuse(Reason::Failures { failed, allowed }));
        }
        conditions.paused.then_some(Verdict::Wait(Reason::Paused))
    }

    /// Window and places.
    pub(super) fn closed(&self, now_ms: i64, conditions: &Conditions) -> Option<Verdict> {
        let Limits { window, window_unknown, .. } = &self.limits;
        if let Some(verdict) = Self::outside(window.as_ref(), *window_unknown, now_ms, conditions) {
            return Some(verdict);
        }
        let active = self.active.len() as u32;
        let allowed = self.limits.concurrency.filter(|allowed| active >= *allowed)?;
        Some(Verdict::Wait(Reason::Concurrency { active, allowed }))
    }

    /// The time is none of the schedule's.
    pub(super) fn outside(
        schedule: Option<&Schedule>,
        unknown: bool,
        now_ms: i64,
        conditions: &Conditions,
    ) -> Option<Verdict> {
        if unknown {
            return Some(Verdict::Refuse(Reason::Window { opens_at: None }));
        }
        let schedule = schedule?;
        let Some(left_ms) = window::left(schedule, now_ms) else {
            let opens_at = window::next_opening(schedule, now_ms);
            let reason = match schedule.frozen_for(now_ms) {
                None => Reason::Window { opens_at },
                Some(freeze) => Reason::Frozen { freeze: freeze.to_owned(), opens_at },
            };
            return Some(if opens_at.is_some() { Verdict::Wait(reason) } else { Verdict::Refuse(reason) });
        };
        let median_ms = conditions.median_worker_ms.filter(|median| *median > left_ms)?;
        let opens_at = window::next_opening(schedule, now_ms);
        let reason = Reason::WindowTooShort { left_ms, median_ms, opens_at };
        // Windows that are all shorter than a worker takes would hold the run for ever.
        let fits_next = window::opens_for(schedule, now_ms, median_ms);
        Some(if fits_next { Verdict::Wait(reason) } else { Verdict::Refuse(reason) })
    }

    /// Domain and budgets of one worker.
    fn own(&self, target: TargetIx, now_ms: i64) -> Verdict {
        match self.own_reason(target, now_ms, self.fit(target, now_ms)) {
            None => Verdict::Admit,
            Some(reason) => Verdict::Wait(reason),
        }
    }

    /// The worker starts, or starts again after it failed: it takes a place, and is down when one of
    /// its steps disturbs it.
    pub fn admitted(&mut self, target: TargetIx) {
        self.active.insert(target);
        self.down_before_admission.remove(target);
        if self.limits.disturbs(target) {
            self.goes_down(target);
        }
    }

    /// The worker failed: its place is free; what it holds stays held while it is still down.
    pub fn failed(&mut self, target: TargetIx, still_down: bool) {
        self.active.remove(target);
        if still_down {
            self.goes_down(target);
        } else {
            self.comes_back(target);
        }
    }

    /// The worker is done: place, domain and budgets are free. Its jobs count as available again once
    /// a round has seen them.
    pub fn succeeded(&mut self, target: TargetIx) {
        self.failed(target, false);
    }

    /// The worker does not answer and has not since the run began: it is down, whether the limits allow it or
    /// not.
    pub fn unreachable(&mut self, target: TargetIx) {
        self.failed(target, true);
        self.down_before_admission.insert(target);
    }

    /// One round of observation over all enabled allocations of `jobs`, begun at `at_ms`
    /// (milliseconds since 1970, UTC): all are well but those in `unavailable`. Jobs without a budget
    /// are ignored, and so is a round that is older than the last one. Of a worker that came back while
    /// the round was under way it says nothing reliable: list its allocations as unavailable.
    pub fn observed(&mut self, jobs: &[JobIx], unavailable: &[(WorkerIx, JobIx)], at_ms: i64) {
        for job in jobs {
            if let Some(budget) = self.budget_ix(*job) {
                self.jobs[budget].listed.clear();
            }
        }
        self.observed_changes(jobs, unavailable, &[], at_ms);
    }

    /// The same, told as what the list has more and less than that of the last round of each job: `removed` is taken
    /// out of it first.
    pub fn observed_changes(
        &mut self,
        jobs: &[JobIx],
        added: &[(WorkerIx, JobIx)],
        removed: &[(WorkerIx, JobIx)],
        at_ms: i64,
    ) {
        let asked: BTreeSet<usize> = jobs.iter().filter_map(|job| self.budget_ix(*job)).collect();
        let listed = |(worker, job): &(WorkerIx, JobIx)| {
            let budget = self.budget_ix(*job).filter(|budget| asked.contains(budget))?;
            self.has_allocation(budget, *worker).then_some((budget, *worker))
        };
        let added: Vec<_> = added.iter().filter_map(listed).collect();
        let removed: Vec<_> = removed.iter().filter_map(listed).collect();
        for (budget, worker) in removed {
            self.jobs[budget].listed.remove(worker);
        }
        for (budget, worker) in added {
            self.jobs[budget].listed.insert(worker);
        }
        for budget in asked {
            if self.jobs[budget].observed_at.is_some_and(|last| at_ms < last) {
                continue;
            }
            let mut unhealthy = WorkerSet::default();
            // Most are down, and that is told by a bit.
            for worker in self.jobs[budget].listed.iter().filter(|worker| !self.holds(budget, *worker)) {
                unhealthy.insert(worker);
            }
            let known = &mut self.jobs[budget];
            known.observed_at = Some(at_ms);
            known.unhealthy = unhealthy;
            known.unverified.clear();
        }
    }

    /// What the list of a round has more and less than that of the last round of each job, ascending. Of jobs without
    /// a budget, and of allocations that there are not, nothing is told.
    pub fn changes(&self, jobs: &[JobIx], unavailable: &[(WorkerIx, JobIx)]) -> (Allocations, Allocations) {
        let mut lists: BTreeMap<usize, WorkerSet> =
            jobs.iter().filter_map(|job| Some((self.budget_ix(*job)?, WorkerSet::default()))).collect();
        for (worker, job) in unavailable {
            let Some(budget) = self.budget_ix(*job) else { continue };
            if self.has_allocation(budget, *worker)
                && let Some(list) = lists.get_mut(&budget)
            {
                list.insert(*worker);
            }
        }
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for (budget, list) in &lists {
            let (job, before) = (self.limits.budgets[*budget].job, &self.jobs[*budget].listed);
            added.extend(list.iter().filter(|worker| !before.contains(*worker)).map(|worker| (worker, job)));
            removed
                .extend(before.iter().filter(|worker| !list.contains(*worker)).map(|worker| (worker, job)));
        }
        added.sort_unstable();
        removed.sort_unstable();
        (added, removed)
    }

    fn has_allocation(&self, budget: usize, worker: WorkerIx) -> bool {
        self.limits.holders[budget].binary_search(&worker).is_ok()
    }

    fn budget_ix(&self, job: JobIx) -> Option<usize> {
        let budget = *self.budget_of.get(job.0 as usize)?;
        (budget != NOT_SELECTED).then_some(budget as usize)
    }

    /// Whether this worker's allocation counts as down already.
    fn holds(&self, budget: usize, worker: WorkerIx) -> bool {
        let target = self.target_of.get(worker.0 as usize).copied().unwrap_or(NOT_SELECTED);
        target != NOT_SELECTED && self.is_down(TargetIx(target)) && {
            // Budgets are held by all of a worker's allocations that have one.
            self.limits.constraint(TargetIx(target)).budgets.contains(&(budget as u32))
        }
    }

    fn goes_down(&mut self, target: TargetIx) {
        if !self.down.insert(target) {
            return;
        }
        let worker = self.workers[target.0 as usize];
        let constraint = &self.limits.constraints[target.0 as usize];
        for budget in &constraint.budgets {
            let job = &mut self.jobs[*budget as usize];
            job.unhealthy.remove(worker);
            job.unverified.remove(worker);
            job.down.insert(target);
        }
        if let Some(domain) = constraint.domain {
            self.domains[domain as usize].insert(target);
            self.held.insert(domain);
        }
    }

    fn comes_back(&mut self, target: TargetIx) {
        if !self.down.remove(target) {
            return;
        }
        self.down_before_admission.remove(target);
        let worker = self.workers[target.0 as usize];
        let constraint = &self.limits.constraints[target.0 as usize];
        for budget in &constraint.budgets {
            let job = &mut self.jobs[*budget as usize];
            job.down.remove(&target);
            job.unverified.insert(worker);
        }
        if let Some(domain) = constraint.domain {
            let holders = &mut self.domains[domain as usize];
            holders.remove(&target);
            if holders.is_empty() {
                self.held.remove(&domain);
            }
        }
    }

    /// How many hold a place.
    pub fn active(&self) -> u32 {
        self.active.len() as u32
    }

    /// Whether this worker is down.
    pub fn is_down(&self, target: TargetIx) -> bool {
        self.down.contains(target)
    }

    /// The workers that are down now, ascending.
    pub fn down_now(&self) -> &TargetSet {
        &self.down
    }

    /// The values of the spread tag that are held now, in order.
    pub fn domains_held(&self) -> impl Iterator<Item = &str> + '_ {
        let names = self.limits.spread.as_ref().map_or(&[][..], |spread| &spread.domains);
        self.held.iter().filter_map(|domain| names.get(*domain as usize)).map(String::as_str)
    }

    /// The numbers of a job that has a budget, as known at `now_ms`.
    pub fn job_now(&self, job: JobIx, now_ms: i64) -> Option<JobNow> {
        let budget = self.budget_ix(job)?;
        let (limit, known) = (&self.limits.budgets[budget], &self.jobs[budget]);
        Some(JobNow {
            of: limit.of,
            wants: limit.wants,
            down: known.down.len() as u32,
            unhealthy: known.unhealthy.len() as u32,
            unverified: known.unverified.len() as u32,
            fresh: known.fresh(now_ms),
        })
    }

    /// Targets of which an allocation was seen unhealthy. A queued one among them has a verdict of its own, which
    /// workers with the same constraint need not share: its own allocation counts as missing already. Targets that
    /// came back and were not looked at since count as well, but are not returned: one of them that is queued was
    /// put back, and is asked about alone.
    pub(super) fn unhealthy_targets(&self) -> impl Iterator<Item = TargetIx> + '_ {
        let workers = self.jobs.iter().flat_map(|job| job.unhealthy.iter());
        workers.filter_map(|worker| {
            let target = self.target_of[worker.0 as usize];
            (target != NOT_SELECTED).then_some(TargetIx(target))
        })
    }
}

/// The numbers of a job that has a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobNow {
    /// Enabled allocations in the bucket.
    pub of: u32,
    /// Minimum number that stays available.
    pub wants: u32,
    /// On workers that are down in this run.
    pub down: u32,
    /// On other workers, not well in the last round.
    pub unhealthy: u32,
    /// On workers that came back since the last round.
    pub unverified: u32,
    /// The last round still counts.
    pub fresh: bool,
}
