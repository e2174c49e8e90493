//! Which worker of a long queue to start next. The cost depends on the number of different constraints in the
//! queue, not on its length.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::admission::Fit;
use super::limits::Constraint;
use super::{Admission, Conditions, Reason, Verdict};
use crate::bucket::JobIx;
use crate::graph::{RolloutGraph, TargetIx, TargetSet};
use crate::plan::Order;

/// A worker that was passed over in this many rounds goes first: no worker that shares one of its jobs
/// passes it any more. (A round ends when no more can be picked.) Without it a worker with many
/// jobs waits until all its simpler peers are done. Only the first such worker holds jobs free, and
/// none a failure domain: measured on random fleets, several at once, or a domain that is drained for
/// one worker and filled again, made rollouts up to three times as long.
pub const PASSED_OVER_LIMIT: u32 = 10;

/// The next worker, or why there is none.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Pick {
    /// This one may start now. It has left the queue; tell [`Admission::admitted`] before asking
    /// again, or [`Queue::push`] it back.
    Admit(TargetIx),
    /// No worker may start now; this is the first one that waits, and why. With
    /// [`Reason::Observation`] the jobs are all that any worker at the front waits for.
    Wait {
        /// The first of the queue that could be next.
        target: TargetIx,
        /// Why it has to wait.
        reason: Reason,
    },
    /// No worker will start any more, as things stand.
    Refuse {
        /// The first of the queue.
        target: TargetIx,
        /// Why it will not start.
        reason: Reason,
    },
    /// The queue is empty.
    Empty,
}

/// Workers that wait to be admitted, in the order of the graph.
///
/// Workers with the same constraints (wave, failure domain, budgeted jobs) are alike: when the first
/// of them has to wait, so have all. So only the first of each kind is asked about, with a few
/// exceptions: those that were put back (they may be down already) and those whose own allocation was
/// seen unhealthy.
///
/// With `concurrency: auto` and no explicit order, the workers whose jobs will take longest come first
/// (list scheduling by the critical path): the job of which most workers are queued for each that may
/// be down, and before that the failure domain with the most such work. Else the order of the graph
/// holds, and it decides between workers that are alike.
///
/// The order is kept except that a worker which waits for its own failure domain or budget may be
/// passed by later ones, whatever `concurrency` says: a place that no worker may use is wasted. One
/// that waits for an observation is not passed, so that looking takes no turn away.
#[derive(Clone, Debug)]
pub struct Queue {
    kinds: Vec<Kind>,
    /// For each target its kind.
    kind_of: Vec<u32>,
    /// The kinds of each wave that have a worker queued.
    waves: BTreeMap<u32, BTreeSet<u32>>,
    /// Queued and put back once: asked about one by one.
    returned: BTreeSet<TargetIx>,
    /// All that are queued.
    queued: TargetSet,
    round: u64,
    /// The longest work comes first.
    by_load: bool,
    /// For each group of kinds (wave, failure domain) and each budget how many queued workers need it.
    needed: Vec<u32>,
    /// For each budget how many may be down.
    may: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Kind {
    constraint: Constraint,
    queued: BTreeSet<TargetIx>,
    /// Where its numbers in `needed` begin.
    group: usize,
    /// How often the first of `queued` was passed over, and in which round last.
    passed: u32,
    passed_in: u64,
}

/// One worker that could be next.
struct Candidate {
    target: TargetIx,
    kind: u32,
    fit: Fit,
}

impl Queue {
    /// All targets of the graph are queued.
    pub fn new(graph: &RolloutGraph, admission: &Admission) -> Self {
        let mut queue = Self {
            kinds: Vec::new(),
            kind_of: Vec::with_capacity(graph.targets.len()),
            waves: BTreeMap::new(),
            returned: BTreeSet::new(),
            queued: TargetSet::default(),
            round: 1,
            by_load: admission.limits().concurrency.is_none()
                && !matches!(graph.plan.rollout.order, Order::Explicit(_)),
            needed: Vec::new(),
            may: admission.limits().budgets.iter().map(|b| b.of.saturating_sub(b.wants).max(1)).collect(),
        };
        let mut groups: HashMap<(u32, Option<u32>), usize> = HashMap::new();
        // Domain and budgets make a difference only between workers that wait for them.
        let key = |of: &Constraint| Constraint {
            domain: of.domain.filter(|_| of.disturbs),
            budgets: if of.disturbs { of.budgets.clone() } else { Box::default() },
            ..*of
        };
        let mut known: HashMap<Constraint, u32> = HashMap::new();
        for target in graph.target_indices() {
            let constraint = key(admission.limits().constraint(target));
            let kind = *known.entry(constraint).or_insert_with_key(|constraint| {
                let constraint = constraint.clone();
                let group = *groups.entry((constraint.wave, constraint.domain)).or_insert_with(|| {
                    let group = queue.needed.len();
                    queue.needed.resize(group + queue.may.len(), 0);
                    group
                });
                queue.kinds.push(Kind {
                    constraint,
                    queued: BTreeSet::new(),
                    group,
                    passed: 0,
                    passed_in: 0,
                });
                queue.kinds.len() as u32 - 1
            });
            queue.kind_of.push(kind);
            queue.insert(target);
        }
        queue
    }

    /// How many are queued.
    pub fn len(&self) -> usize {
        self.queued.len()
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.queued.len() == 0
    }

    /// Whether this worker is queued.
    pub fn contains(&self, target: TargetIx) -> bool {
        self.queued.contains(target)
    }

    /// The first queued worker.
    pub fn first(&self) -> Option<TargetIx> {
        // The waves follow each other in the order of the graph.
        let (_, kinds) = self.waves.first_key_value()?;
        kinds.iter().filter_map(|kind| self.kinds[*kind as usize].queued.first()).min().copied()
    }

    /// What it has counted and who is queued does not tell: for each kind of workers with a queued one how often the first
    /// was passed over, up to [`PASSED_OVER_LIMIT`], and whether in this round.
    pub fn passed_over(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        let queued = self.kinds.iter().filter(|kind| !kind.queued.is_empty());
        queued.map(|kind| (kind.passed.min(PASSED_OVER_LIMIT), kind.passed_in == self.round))
    }

    /// Puts a worker back (a retry); it takes its old place in the order.
    pub fn push(&mut self, target: TargetIx) {
        if self.insert(target) {
            self.returned.insert(target);
        }
    }

    /// Takes a worker out (skipped, unreachable, cancelled); `false`: it was not queued.
    pub fn remove(&mut self, target: TargetIx) -> bool {
        if !self.queued.remove(target) {
            return false;
        }
        let number = self.kind_of[target.0 as usize];
        let kind = &mut self.kinds[number as usize];
        let was_first = kind.queued.first() == Some(&target);
        kind.queued.remove(&target);
        if was_first {
            (kind.passed, kind.passed_in) = (0, 0);
        }
        for budget in &kind.constraint.budgets {
            self.needed[kind.group + *budget as usize] -= 1;
        }
        if kind.queued.is_empty() {
            let wave = kind.constraint.wave;
            if let Some(kinds) = self.waves.get_mut(&wave) {
                kinds.remove(&number);
                if kinds.is_empty() {
                    self.waves.remove(&wave);
                }
            }
        }
        self.returned.remove(&target);
        true
    }

    fn insert(&mut self, target: TargetIx) -> bool {
        if !self.queued.insert(target) {
            return false;
        }
        let number = self.kind_of[target.0 as usize];
        let kind = &mut self.kinds[number as usize];
        kind.queued.insert(target);
        if kind.queued.first() == Some(&target) {
            (kind.passed, kind.passed_in) = (0, 0);
        }
        for budget in &kind.constraint.budgets {
            self.needed[kind.group + *budget as usize] += 1;
        }
        self.waves.entry(kind.constraint.wave).or_default().insert(number);
        true
    }

    fn kind(&self, target: TargetIx) -> &Kind {
        &self.kinds[self.kind_of[target.0 as usize] as usize]
    }

    /// Whether nobody may start, whoever it is: nobody is queued, or all are held back.
    pub fn is_held(&self, admission: &Admission, now_ms: i64, conditions: &Conditions) -> bool {
        let open = self.waves.range(..=conditions.current_wave).next().is_some();
        let holds = |verdict: Option<Verdict>| matches!(verdict, Some(Verdict::Wait(_) | Verdict::Refuse(_)));
        !open || holds(admission.stopped(conditions)) || holds(admission.closed(now_ms, conditions))
    }

    /// The next worker that may start, or why none may.
    pub fn pick(&mut self, admission: &Admission, now_ms: i64, conditions: &Conditions) -> Pick {
        let Some(first) = self.first() else { return Pick::Empty };
        let for_all = admission.stopped(conditions).or_else(|| {
            let open = self.waves.range(..=conditions.current_wave).next().is_some();
            if open { admission.closed(now_ms, conditions) } else { None }
        });
        match for_all {
            Some(Verdict::Refuse(reason)) => return Pick::Refuse { target: first, reason },
            Some(Verdict::Wait(reason)) => return self.none(first, reason),
            Some(Verdict::Admit) | None => {}
        }
        let candidates = self.candidates(admission, now_ms, conditions);
        let Some(front) = candidates.first() else {
            let wave = self.kind(first).constraint.wave;
            return self.none(first, Reason::Wave { wave, current: conditions.current_wave });
        };
        let (front, front_fit) = (front.target, front.fit);
        match self.choose(admission, &candidates) {
            Choice::Admit(at) => {
                let chosen = candidates[at].target;
                for passed in &candidates[..at] {
                    self.pass(passed);
                }
                self.remove(chosen);
                Pick::Admit(chosen)
            }
            Choice::Observe(target) => {
                let unsure = candidates.iter().filter(|candidate| candidate.fit == Fit::Unsure);
                let jobs: BTreeSet<JobIx> =
                    unsure.flat_map(|candidate| admission.unsure(candidate.target, now_ms)).collect();
                // Not the end of a round: it continues after the observation.
                Pick::Wait { target, reason: Reason::Observation { jobs: jobs.into_iter().collect() } }
            }
            Choice::None => match admission.own_reason(front, now_ms, front_fit) {
                Some(reason) => self.none(front, reason),
                // No worker is held back by a later one's reservation, so the front one does not fit here.
                None => {
                    self.remove(front);
                    Pick::Admit(front)
                }
            },
        }
    }

    /// Whether a worker of the open waves waits for nothing but peers that are not well: the one in front may
    /// never start as things stand, and the run continues all the same when they have recovered.
    pub fn waits_for_health(&self, admission: &Admission, now_ms: i64, conditions: &Conditions) -> bool {
        // Workers of a kind are alike in all that counts here, but for those that are down already.
        self.firsts(conditions)
            .chain(self.returned.iter().copied())
            .any(|target| admission.waits_for_health(target, now_ms))
    }

    fn none(&mut self, target: TargetIx, reason: Reason) -> Pick {
        self.round += 1;
        Pick::Wait { target, reason }
    }

    /// The first of each kind of the open waves and the exceptions, in order.
    fn candidates(&self, admission: &Admission, now_ms: i64, conditions: &Conditions) -> Vec<Candidate> {
        let mut targets: Vec<TargetIx> = self.firsts(conditions).collect();
        let apart = self.returned.iter().copied().chain(admission.unhealthy_targets());
        targets.extend(apart.filter(|target| {
            self.contains(*target) && self.kind(*target).constraint.wave <= conditions.current_wave
        }));
        targets.sort_unstable();
        targets.dedup();
        let one = |target: TargetIx| {
            let kind = self.kind_of[target.0 as usize];
            Candidate { target, kind, fit: admission.fit(target, now_ms) }
        };
        if !self.by_load {
            let (mut first, mut rest): (Vec<_>, Vec<_>) =
                targets.into_iter().partition(|target| self.is_starved(*target));
            first.append(&mut rest);
            return first.into_iter().map(one).collect();
        }
        let mut longest: HashMap<usize, f64> = HashMap::new();
        let mut ranked: Vec<(bool, Load, TargetIx)> = Vec::with_capacity(targets.len());
        for target in targets {
            let kind = self.kind(target);
            let of_group = *longest.entry(kind.group).or_insert_with(|| self.longest(kind.group));
            // Without failure domains all of a wave compete, and a group is all of it.
            let domain = if kind.constraint.domain.is_some() { of_group } else { 0.0 };
            ranked.push((!self.is_starved(target), self.load(kind, domain), target));
        }
        ranked
            .sort_unstable_by(|a, b| (a.0.cmp(&b.0)).then_with(|| b.1.cmp(&a.1)).then_with(|| a.2.cmp(&b.2)));
        ranked.into_iter().map(|(_, _, target)| one(target)).collect()
    }

    /// Of each kind of the open waves the first, and where that was put back, the first that was not: it
    /// may start where one that is down already may not.
    fn firsts(&self, conditions: &Conditions) -> impl Iterator<Item = TargetIx> + '_ {
        let open = self.waves.range(..=conditions.current_wave).flat_map(|(_, kinds)| kinds);
        open.flat_map(|kind| {
            let queued = &self.kinds[*kind as usize].queued;
            let first = queued.first().copied();
            let fresh = queued.iter().copied().find(|target| !self.returned.contains(target));
            first.into_iter().chain(fresh.filter(|fresh| Some(*fresh) != first))
        })
    }

    fn is_starved(&self, target: TargetIx) -> bool {
        let kind = self.kind(target);
        kind.passed >= PASSED_OVER_LIMIT && kind.queued.first() == Some(&target)
    }

    /// How many workers one after the other a budget will take.
    fn in_a_row(&self, group: usize, budget: usize) -> f64 {
        f64::from(self.needed[group + budget]) / f64::from(self.may[budget])
    }

    /// The same of the budget of a group that takes most.
    fn longest(&self, group: usize) -> f64 {
        (0..self.may.len()).map(|budget| self.in_a_row(group, budget)).fold(0.0, f64::max)
    }

    fn load(&self, kind: &Kind, domain: f64) -> Load {
        let of = kind.constraint.budgets.iter().map(|budget| self.in_a_row(kind.group, *budget as usize));
        of.fold(Load { domain, most: 0.0, all: 0.0 }, |load, one| Load {
            most: load.most.max(one),
            all: load.all + one,
            ..load
        })
    }

    /// The first candidate that fits and takes nothing away from the one that was passed over too often.
    fn choose(&self, admission: &Admission, candidates: &[Candidate]) -> Choice {
        let mut reserved: &[u32] = &[];
        for (at, candidate) in candidates.iter().enumerate() {
            let constraint = &self.kinds[candidate.kind as usize].constraint;
            let takes = constraint.disturbs && !admission.takes_nothing_new(candidate.target);
            let held_back = takes && constraint.budgets.iter().any(|budget| reserved.contains(budget));
            match candidate.fit {
                Fit::Yes if !held_back => return Choice::Admit(at),
                Fit::Unsure if !held_back => return Choice::Observe(candidate.target),
                _ => {}
            }
            if reserved.is_empty() && self.is_starved(candidate.target) && candidate.fit != Fit::Spread {
                reserved = &constraint.budgets;
            }
        }
        Choice::None
    }

    /// Counts a pass, once in a round, for the first of a kind.
    fn pass(&mut self, candidate: &Candidate) {
        let round = self.round;
        let kind = &mut self.kinds[candidate.kind as usize];
        if kind.queued.first() == Some(&candidate.target) && kind.passed_in != round {
            kind.passed += 1;
            kind.passed_in = round;
        }
    }
}

/// How long a worker's jobs will still take, in workers one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Load {
    /// Its failure domain.
    domain: f64,
    /// The job that takes longest.
    most: f64,
    /// All its jobs.
    all: f64,
}

impl Load {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let by = f64::total_cmp;
        by(&self.domain, &other.domain)
            .then_with(|| by(&self.most, &other.most))
            .then_with(|| by(&self.all, &other.all))
    }
}

enum Choice {
    Admit(usize),
    Observe(TargetIx),
    None,
}
