//! Whether one worker's own domain and budgets let it start, and the reason if not. Nothing changes here.

use std::collections::BTreeSet;

use super::{Admission, HELD_BY_SHOWN};
use crate::bucket::{JobIx, WorkerIx};
use crate::graph::{TargetIx, WorkerSet};
use crate::policy::Reason;
use crate::policy::limits::Constraint;

/// Whether a worker's own domain and budgets let it start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Fit {
    Yes,
    /// Only an observation can tell.
    Unsure,
    /// Other domains are held.
    Spread,
    /// This budget has no room.
    Budget(u32),
}

/// How much of a job stays when one more worker goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    Enough,
    /// Only an observation can tell.
    Unsure,
    TooFew,
}

impl Admission {
    /// Domain and budgets of one worker, without a [`Reason`]: nothing is allocated. A worker that this run took down
    /// (a retry) takes nothing new. One that was away before and is taken up again may serve by now: it
    /// counts with all that this run has taken down, and not with others that are away, for else two of them
    /// would wait for each other.
    pub(in crate::policy) fn fit(&self, target: TargetIx, now_ms: i64) -> Fit {
        let constraint = self.limits.constraint(target);
        if !constraint.disturbs || self.takes_nothing_new(target) {
            return Fit::Yes;
        }
        if self.down_before_admission.contains(target) {
            return self.fit_of_away(constraint);
        }
        if self.domain_is_closed(constraint.domain) {
            return Fit::Spread;
        }
        let worker = self.workers[target.0 as usize];
        let mut fit = Fit::Yes;
        for budget in &constraint.budgets {
            match self.stays(*budget as usize, worker, now_ms) {
                Stays::Enough => {}
                Stays::Unsure => fit = Fit::Unsure,
                Stays::TooFew => return Fit::Budget(*budget),
            }
        }
        fit
    }

    /// Whether it was admitted before and is still down.
    pub(in crate::policy) fn takes_nothing_new(&self, target: TargetIx) -> bool {
        self.down.contains(target) && !self.down_before_admission.contains(target)
    }

    fn fit_of_away(&self, constraint: &Constraint) -> Fit {
        let ours = |held: &BTreeSet<TargetIx>| {
            held.iter().filter(|target| !self.down_before_admission.contains(**target)).count()
        };
        if let (Some(spread), Some(domain)) = (&self.limits.spread, constraint.domain) {
            let taken = |at: &u32| ours(&self.domains[*at as usize]) > 0;
            if !taken(&domain) && self.held.iter().filter(|at| taken(at)).count() as u64 >= spread.at_most {
                return Fit::Spread;
            }
        }
        let full = |budget: &&u32| {
            let (limit, job) = (&self.limits.budgets[**budget as usize], &self.jobs[**budget as usize]);
            ours(&job.down) as u64 + 1 > u64::from(limit.of.saturating_sub(limit.wants))
        };
        constraint.budgets.iter().find(full).map_or(Fit::Yes, |budget| Fit::Budget(*budget))
    }

    /// Whether nothing but peers that were seen unhealthy keeps it from starting: that may pass by itself.
    pub(in crate::policy) fn waits_for_health(&self, target: TargetIx, now_ms: i64) -> bool {
        let fits_when_well = |budget: &u32| {
            let (limit, job) = (&self.limits.budgets[*budget as usize], &self.jobs[*budget as usize]);
            u64::from(limit.of).saturating_sub(job.down.len() as u64 + 1) >= u64::from(limit.wants)
        };
        matches!(self.fit(target, now_ms), Fit::Budget(_))
            && self.limits.constraint(target).budgets.iter().all(fits_when_well)
    }

    /// The reason for [`Self::fit`].
    pub(in crate::policy) fn own_reason(&self, target: TargetIx, now_ms: i64, fit: Fit) -> Option<Reason> {
        match fit {
            Fit::Yes => None,
            Fit::Spread => self.spread_reason(target),
            Fit::Budget(budget) => Some(self.budget_reason(budget as usize, now_ms)),
            Fit::Unsure => Some(Reason::Observation { jobs: self.unsure(target, now_ms).collect() }),
        }
    }

    /// The jobs that have to be looked at before this worker can go down.
    pub(in crate::policy) fn unsure(
        &self,
        target: TargetIx,
        now_ms: i64,
    ) -> impl Iterator<Item = JobIx> + '_ {
        let worker = self.workers[target.0 as usize];
        let budgets = self.limits.constraint(target).budgets.iter().map(|budget| *budget as usize);
        let unsure = budgets.filter(move |budget| self.stays(*budget, worker, now_ms) == Stays::Unsure);
        unsure.map(|budget| self.limits.budgets[budget].job)
    }

    /// Whether no worker of this domain may go down now.
    fn domain_is_closed(&self, domain: Option<u32>) -> bool {
        let (Some(spread), Some(domain)) = (&self.limits.spread, domain) else { return false };
        !self.held.contains(&domain) && self.held.len() as u64 >= spread.at_most
    }

    fn spread_reason(&self, target: TargetIx) -> Option<Reason> {
        let spread = self.limits.spread.as_ref()?;
        let domain = self.limits.constraint(target).domain?;
        let one = |held: &u32| {
            let holder = self.domains[*held as usize].first()?;
            Some((spread.domains[*held as usize].clone(), *holder))
        };
        Some(Reason::Spread {
            tag: spread.tag.clone(),
            domain: spread.domains[domain as usize].clone(),
            held: self.held.iter().filter_map(one).take(HELD_BY_SHOWN).collect(),
            at_most: spread.at_most,
        })
    }

    /// Whether enough of a job stays when `worker`, which is not down, goes down as well.
    fn stays(&self, budget: usize, worker: WorkerIx, now_ms: i64) -> Stays {
        let limit = &self.limits.budgets[budget];
        let job = &self.jobs[budget];
        // What stays at best: every other that is not down and was not observed unhealthy just now.
        let others = u64::from(limit.of).saturating_sub(job.down.len() as u64 + 1);
        let fresh = job.fresh(now_ms);
        let without = |set: &WorkerSet| (set.len() - usize::from(set.contains(worker))) as u64;
        let unhealthy = if fresh { without(&job.unhealthy) } else { 0 };
        let wants = u64::from(limit.wants);
        if others.saturating_sub(unhealthy) < wants {
            return Stays::TooFew;
        }
        let proven = if fresh { others.saturating_sub(unhealthy + without(&job.unverified)) } else { 0 };
        if proven < wants { Stays::Unsure } else { Stays::Enough }
    }

    fn budget_reason(&self, budget: usize, now_ms: i64) -> Reason {
        let limit = &self.limits.budgets[budget];
        let job = &self.jobs[budget];
        let unhealthy = if job.fresh(now_ms) { job.unhealthy.len() } else { 0 };
        Reason::Budget {
            job: limit.job,
            available: limit.of.saturating_sub((job.down.len() + unhealthy) as u32),
            of: limit.of,
            wants: limit.wants,
            held_by: job.down.iter().copied().take(HELD_BY_SHOWN).collect(),
        }
    }
}
