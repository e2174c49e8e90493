//! Random fleets, limits and histories: what must hold whatever happens, against a model that knows
//! nothing of how admission counts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::bucket::{JobIx, WorkerIx};
use crate::graph::testing::{budget, compiled, fleet, located, plan, reboot, spread, step, worker};
use crate::graph::{RolloutGraph, TargetIx};
use crate::plan::{Amount, BudgetBound, Concurrency, StepKind, WaveSize};

const JOBS: [&str; 3] = ["alpha", "beta", "gamma"];
const ZONES: [&str; 3] = ["zone=a", "zone=b", "zone=c"];

/// One worker: which jobs, which zone, whether a step takes it down.
type Shape = (u8, usize, bool);

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    prop::collection::vec((0_u8..8, 0_usize..3, prop::bool::weighted(0.85)), 1..14)
}

fn bounds() -> impl Strategy<Value = BudgetBound> {
    let amount = prop_oneof![(0_u64..5).prop_map(Amount::Count), (0_u8..=100).prop_map(Amount::Percent)];
    (any::<bool>(), amount).prop_map(|(min, amount)| {
        if min { BudgetBound::MinAvailable(amount) } else { BudgetBound::MaxUnavailable(amount) }
    })
}

pub(super) fn graphs() -> impl Strategy<Value = RolloutGraph> {
    let places = prop_oneof![
        Just(Concurrency::Auto),
        (1_u64..5).prop_map(|places| Concurrency::AtMost(Amount::Count(places))),
        (1_u8..=100).prop_map(|percent| Concurrency::AtMost(Amount::Percent(percent))),
    ];
    let budgets = prop::collection::vec(prop::option::of(bounds()), 4);
    let waves = prop::collection::vec(1_u64..6, 0..3);
    (shapes(), places, budgets, prop::option::of(1_u64..3), waves).prop_map(
        |(shapes, places, budgets, zones, waves)| {
            let one = |(at, (jobs, zone, disturbed)): (usize, &Shape)| {
                let mut labels: Vec<&str> =
                    (0..3).filter(|job| jobs >> job & 1 == 1).map(|job| JOBS[job]).collect();
                if *disturbed {
                    labels.push("disturbed");
                }
                worker(&format!("w{at}"), &labels, &[ZONES[*zone]])
            };
            let mut all: Vec<_> = shapes.iter().enumerate().map(one).collect();
            // Not selected, and hosting everything: its allocations count all the same.
            all.push(worker("outside", &["alpha", "beta", "gamma", "disturbed", "outside"], &["zone=a"]));
            let mut plan = plan();
            plan.targets.exclude = Some(Box::new(crate::plan::Targets {
                labels: vec![located("outside".to_owned())],
                ..crate::plan::Targets::default()
            }));
            plan.steps[0].when.labels = vec![located("disturbed".to_owned())];
            plan.rollout.concurrency = located(places);
            plan.rollout.waves =
                waves.into_iter().map(|size| located(WaveSize::Of(Amount::Count(size)))).collect();
            plan.rollout.spread = zones.and_then(|at_most| spread("zone", at_most));
            let names = ["*", "alpha", "beta", "gamma"];
            plan.rollout.budgets =
                names.iter().zip(budgets).filter_map(|(name, bound)| Some(budget(name, bound?))).collect();
            compiled(&plan, &fleet(all, &JOBS))
        },
    )
}

/// What happens next; numbers choose among what is possible.
#[derive(Clone, Debug)]
enum Event {
    Pick,
    Succeed(usize),
    Fail(usize, bool),
    Retry(usize),
    Unreachable(usize),
    Observe(u8, Vec<usize>),
    Pass(i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = prop_oneof![
        6 => Just(Event::Pick),
        3 => (0_usize..20).prop_map(Event::Succeed),
        2 => (0_usize..20, any::<bool>()).prop_map(|(which, down)| Event::Fail(which, down)),
        1 => (0_usize..20).prop_map(Event::Retry),
        1 => (0_usize..20).prop_map(Event::Unreachable),
        4 => (0_u8..8, prop::collection::vec(0_usize..60, 0..3)).prop_map(|(jobs, bad)| Event::Observe(jobs, bad)),
        1 => prop_oneof![Just(1_000_i64), Just(20_000), Just(40_000)].prop_map(Event::Pass),
    ];
    prop::collection::vec(one, 0..80)
}

/// The truth, kept in the plainest way.
struct Model<'a> {
    graph: &'a RolloutGraph,
    active: BTreeSet<TargetIx>,
    failed: BTreeSet<TargetIx>,
    down: BTreeSet<TargetIx>,
    /// When each allocation was last seen well while its worker was up.
    well: BTreeMap<(WorkerIx, JobIx), i64>,
    now: i64,
}

impl Model<'_> {
    fn disturbs(&self, target: TargetIx) -> bool {
        self.graph.target(target).applies[0]
    }

    fn zone(&self, target: TargetIx) -> &str {
        &self.graph.fleet.worker(self.graph.target(target).worker).tags["zone"]
    }

    fn goes_down(&mut self, target: TargetIx) {
        self.down.insert(target);
        let worker = self.graph.target(target).worker;
        self.well.retain(|(on, _), _| *on != worker);
    }

    /// Panics when the worker that was just admitted was one too many.
    fn check_admission(&self, target: TargetIx, was_down: bool) {
        if let Some(places) = &self.graph.numbers().concurrency {
            assert!(self.active.len() <= places.value as usize, "more active than places");
        }
        if !self.disturbs(target) || was_down {
            return;
        }
        if let Some(spread) = &self.graph.plan.rollout.spread {
            let others: BTreeSet<_> =
                self.down.iter().filter(|other| **other != target).map(|other| self.zone(*other)).collect();
            let all: BTreeSet<_> = self.down.iter().map(|other| self.zone(*other)).collect();
            assert!(all == others || all.len() as u64 <= spread.value.at_most, "too many zones: {all:?}");
        }
        for limit in &self.graph.numbers().budgets {
            if !self.graph.target(target).jobs.contains(&limit.job) {
                continue;
            }
            let seen_well =
                |(at, seen): (&(WorkerIx, JobIx), &i64)| at.1 == limit.job && self.now - seen <= 30_000;
            let available = self.well.iter().filter(|(at, seen)| seen_well((at, seen))).count() as u32;
            assert!(available >= limit.wants, "{available} of {} left, {} wanted", limit.of, limit.wants);
        }
    }
}

fn nth(set: &BTreeSet<TargetIx>, which: usize) -> Option<TargetIx> {
    set.iter().nth(which.checked_rem(set.len())?).copied()
}

/// The wave that is open: the first with a worker that has not ended.
fn current_wave(graph: &RolloutGraph, open: impl Fn(TargetIx) -> bool) -> u32 {
    graph
        .target_indices()
        .filter(|target| open(*target))
        .map(|target| graph.target(target).wave)
        .min()
        .unwrap_or(0)
}

/// Picks one by one by the rules of [`Queue`], asking about every queued worker.
#[derive(Default)]
struct Naive {
    queued: BTreeSet<TargetIx>,
    passes: BTreeMap<TargetIx, (u32, u64)>,
    round: u64,
}

impl Naive {
    fn kind(graph: &RolloutGraph, target: TargetIx) -> (u32, bool, String, Vec<JobIx>) {
        let of = graph.target(target);
        let disturbed = of.applies[0];
        let budgeted = |job: &JobIx| graph.numbers().budgets.iter().any(|budget| budget.job == *job);
        let jobs = if disturbed { of.jobs.iter().copied().filter(budgeted).collect() } else { Vec::new() };
        let zone = graph.fleet.worker(of.worker).tags["zone"].clone();
        let spread = disturbed && graph.plan.rollout.spread.is_some();
        (of.wave, disturbed, if spread { zone } else { String::new() }, jobs)
    }

    /// The work of its domain, of its longest job, of all its jobs: queued workers over what may be down.
    fn load(&self, graph: &RolloutGraph, target: TargetIx) -> (f64, f64, f64) {
        let mine = Self::kind(graph, target);
        let of_job = |budget: &crate::graph::JobBudget| {
            let alike = |other: &&TargetIx| {
                let kind = Self::kind(graph, **other);
                kind.0 == mine.0 && kind.2 == mine.2 && kind.3.contains(&budget.job)
            };
            let queued = self.queued.iter().filter(alike).count() as f64;
            queued / f64::from(budget.of.saturating_sub(budget.wants).max(1))
        };
        let budgets = &graph.numbers().budgets;
        let own: Vec<f64> = budgets.iter().filter(|b| mine.3.contains(&b.job)).map(of_job).collect();
        let domain = if mine.2.is_empty() { 0.0 } else { budgets.iter().map(of_job).fold(0.0, f64::max) };
        (domain, own.iter().copied().fold(0.0, f64::max), own.iter().sum())
    }

    fn pick(
        &mut self,
        graph: &RolloutGraph,
        admission: &Admission,
        now: i64,
        conditions: &Conditions,
    ) -> Option<TargetIx> {
        let mut firsts = BTreeMap::new();
        for target in &self.queued {
            firsts.entry(Self::kind(graph, *target)).or_insert(*target);
        }
        self.passes.retain(|target, _| firsts.values().any(|first| first == target));
        let starved = |target: &TargetIx| self.passes.get(target).is_some_and(|p| p.0 >= PASSED_OVER_LIMIT);
        let mut order: Vec<TargetIx> = self.queued.iter().copied().collect();
        let auto = graph.numbers().concurrency.is_none();
        order.sort_by(|a, b| {
            let load = |target| self.load(graph, target);
            let by_load = load(*b).partial_cmp(&load(*a)).unwrap();
            starved(b).cmp(&starved(a)).then(if auto { by_load } else { std::cmp::Ordering::Equal })
        });
        let mut reserved: Option<Vec<JobIx>> = None;
        let mut passed = Vec::new();
        for target in order {
            let kind = Self::kind(graph, target);
            let takes = kind.1 && !admission.takes_nothing_new(target);
            let jobs = reserved.clone().unwrap_or_default();
            let held_back = takes && kind.3.iter().any(|job| jobs.contains(job));
            let is_first = firsts[&kind] == target;
            match admission.verdict(target, now, conditions) {
                Verdict::Wait(Reason::Wave { .. }) => continue,
                Verdict::Admit if !held_back => {
                    for other in passed {
                        let (count, round) = self.passes.entry(other).or_insert((0, u64::MAX));
                        if *round != self.round {
                            (*count, *round) = (*count + 1, self.round);
                        }
                    }
                    self.queued.remove(&target);
                    return Some(target);
                }
                Verdict::Wait(Reason::Observation { .. }) if !held_back => return None,
                verdict => {
                    let by_domain = matches!(verdict, Verdict::Wait(Reason::Spread { .. }));
                    if is_first && starved(&target) && !by_domain && jobs.is_empty() {
                        reserved = Some(kind.3.clone());
                    }
                }
            }
            if is_first {
                passed.push(target);
            }
        }
        self.round += 1;
        None
    }
}

/// Runs a history; every admission is checked against the model and the naive queue.
fn run(graph: &RolloutGraph, events: &[Event]) {
    let mut admission = Admission::new(graph);
    let mut queue = Queue::new(graph, &admission);
    let mut naive = Naive { queued: graph.target_indices().collect(), ..Naive::default() };
    let mut model = Model {
        graph,
        active: BTreeSet::new(),
        failed: BTreeSet::new(),
        down: BTreeSet::new(),
        well: BTreeMap::new(),
        now: 1_000_000,
    };
    let allocations: Vec<_> = graph.enabled_allocations().iter().map(|one| (one.worker, one.job)).collect();
    for event in events {
        let wave = current_wave(graph, |target| queue.contains(target) || model.active.contains(&target));
        let conditions = Conditions { current_wave: wave, ..Conditions::default() };
        match event {
            Event::Pick => {
                let expected = naive.pick(graph, &admission, model.now, &conditions);
                let picked = match queue.pick(&admission, model.now, &conditions) {
                    Pick::Admit(target) => Some(target),
                    Pick::Wait { target, reason } => {
                        assert!(queue.contains(target), "{reason:?}");
                        None
                    }
                    Pick::Refuse { reason, .. } => panic!("nothing refuses here: {reason:?}"),
                    Pick::Empty => {
                        assert!(queue.is_empty());
                        None
                    }
                };
                assert_eq!(picked, expected, "the queue differs from asking about every worker");
                if let Some(target) = picked {
                    assert_eq!(admission.verdict(target, model.now, &conditions), Verdict::Admit);
                    let was_down = model.down.contains(&target);
                    admission.admitted(target);
                    model.active.insert(target);
                    model.failed.remove(&target);
                    if model.disturbs(target) {
                        model.goes_down(target);
                    }
                    model.check_admission(target, was_down);
                }
            }
            Event::Succeed(which) => {
                if let Some(target) = nth(&model.active, *which) {
                    admission.succeeded(target);
                    model.active.remove(&target);
                    model.down.remove(&target);
                }
            }
            Event::Fail(which, down) => {
                if let Some(target) = nth(&model.active, *which) {
                    admission.failed(target, *down);
                    model.active.remove(&target);
                    model.failed.insert(target);
                    if *down {
                        model.goes_down(target)
                    } else {
                        let _ = model.down.remove(&target);
                    }
                }
            }
            Event::Retry(which) => {
                if let Some(target) = nth(&model.failed, *which) {
                    queue.push(target);
                    naive.queued.insert(target);
                    model.failed.remove(&target);
                }
            }
            Event::Unreachable(which) => {
                if let Some(target) = nth(&naive.queued, *which) {
                    assert!(queue.remove(target));
                    naive.queued.remove(&target);
                    admission.unreachable(target);
                    model.failed.insert(target);
                    model.goes_down(target);
                }
            }
            Event::Observe(jobs, bad) => {
                let seen: Vec<_> = (0..3).filter(|job| jobs >> job & 1 == 1).map(JobIx).collect();
                let bad: Vec<_> = bad.iter().filter_map(|at| allocations.get(*at).copied()).collect();
                // Told as a list, and told as what differs from the last one: that makes no difference.
                let mut by_changes = admission.clone();
                let (added, removed) = admission.changes(&seen, &bad);
                by_changes.observed_changes(&seen, &added, &removed, model.now);
                admission.observed(&seen, &bad, model.now);
                assert_eq!(by_changes, admission);
                assert_eq!(admission.changes(&seen, &bad), (Vec::new(), Vec::new()), "it is known now");
                for at in allocations.iter().filter(|at| seen.contains(&at.1)) {
                    let is_down = model.down.iter().any(|target| graph.target(*target).worker == at.0);
                    if bad.contains(at) || is_down {
                        model.well.remove(at);
                    } else {
                        model.well.insert(*at, model.now);
                    }
                }
            }
            Event::Pass(ms) => model.now += ms,
        }
        assert_eq!(admission.active() as usize, model.active.len());
        assert_eq!(admission.down_now().iter().collect::<BTreeSet<_>>(), model.down);
        assert_eq!(queue.len(), naive.queued.len());
    }
}

/// Virtual rounds until all are done, with the least number that any order would need.
fn rounds(graph: &RolloutGraph) -> (u32, u32) {
    let forecast = Forecast::of(graph);
    assert_eq!(forecast.stuck, None);
    let limits = Limits::resolve(graph);
    let disturbed: Vec<_> = graph.target_indices().filter(|target| limits.disturbs(*target)).collect();
    let mut least = 1;
    if let Some(places) = limits.concurrency {
        least = least.max((graph.targets.len() as u32).div_ceil(places));
    }
    for limit in &limits.budgets {
        let hosts =
            disturbed.iter().filter(|target| graph.target(**target).jobs.contains(&limit.job)).count() as u32;
        if hosts > 0 {
            least = least.max(hosts.div_ceil(limit.of - limit.wants));
        }
    }
    if let Some(spread) = &limits.spread {
        let zones: BTreeSet<_> =
            disturbed.iter().filter_map(|target| limits.constraint(*target).domain).collect();
        least = least.max((zones.len() as u64).div_ceil(spread.at_most) as u32);
    }
    (forecast.rounds, least)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn never_more_down_than_allowed_and_the_queue_asks_as_if_it_asked_all(
        graph in graphs(),
        events in events(),
    ) {
        run(&graph, &events);
    }

    #[test]
    fn one_more_worker_down_never_opens_a_door(graph in graphs(), downs in prop::collection::vec(0_u32..14, 1..6)) {
        let mut admission = Admission::new(&graph);
        let all: Vec<_> = (0..3).map(JobIx).collect();
        admission.observed(&all, &[], 0);
        let conditions = Conditions { current_wave: u32::MAX, ..Conditions::default() };
        let count = graph.targets.len() as u32;
        for down in downs {
            let before: Vec<_> = graph.target_indices().map(|t| admission.verdict(t, 0, &conditions)).collect();
            let other = TargetIx(down % count);
            admission.unreachable(other);
            for target in graph.target_indices().filter(|target| !admission.is_down(*target)) {
                let held = admission.domains_held().count();
                let after = admission.verdict(target, 0, &conditions);
                let was = &before[target.0 as usize];
                // A zone that is held by another already costs nothing more: that door may open.
                let zone_opened = matches!(was, Verdict::Wait(Reason::Spread { .. })) && held > 0;
                prop_assert!(*was == Verdict::Admit || after != Verdict::Admit || zone_opened);
            }
        }
    }

    #[test]
    fn with_places_and_one_job_per_worker_no_round_is_wasted(
        jobs in prop::collection::vec(0_usize..3, 1..60),
        places in prop::option::of(1_u64..9),
        may in 1_u64..5,
    ) {
        let workers = jobs.iter().enumerate();
        let workers = workers.map(|(at, job)| worker(&format!("w{at}"), &[JOBS[*job]], &[])).collect();
        let mut plan = plan();
        plan.rollout.budgets = vec![budget("*", BudgetBound::MaxUnavailable(Amount::Count(may)))];
        plan.rollout.concurrency =
            located(places.map_or(Concurrency::Auto, |places| Concurrency::AtMost(Amount::Count(places))));
        let (rounds, least) = rounds(&compiled(&plan, &fleet(workers, &JOBS)));
        // Taking workers in order is list scheduling: never more than twice the best (Graham 1966).
        prop_assert!(rounds <= 2 * least, "{rounds} rounds, {least} at least");
        if places.is_none() {
            prop_assert_eq!(rounds, least);
        }
    }

    #[test]
    fn a_retry_of_a_down_worker_is_never_blocked_by_what_it_holds_itself(graph in graphs(), which in 0_u32..14) {
        let mut admission = Admission::new(&graph);
        let conditions = Conditions { current_wave: u32::MAX, ..Conditions::default() };
        let target = TargetIx(which % graph.targets.len() as u32);
        admission.admitted(target);
        admission.failed(target, true);
        prop_assert_eq!(admission.verdict(target, 0, &conditions), Verdict::Admit);
        admission.admitted(target);
        admission.succeeded(target);
        prop_assert_eq!(admission.active(), 0);
        prop_assert!(!admission.is_down(target));
    }
}

#[test]
fn a_worker_with_many_jobs_is_not_starved_by_its_simpler_peers() {
    // w0 hosts both jobs; the others one each. Others come and go so that w0 never fits by chance.
    let mut workers = vec![
        worker("w0", &["alpha"], &[]),
        worker("w1", &["beta"], &[]),
        worker("w2", &["alpha", "beta"], &[]),
    ];
    workers.extend((3..80).map(|at| worker(&format!("w{at}"), &[JOBS[at % 2]], &[])));
    let mut plan = plan();
    plan.steps = vec![step("reboot", reboot(), &[]), step("enable", StepKind::Enable, &[0])];
    plan.rollout.concurrency = located(Concurrency::Auto);
    plan.rollout.budgets = vec![budget("*", BudgetBound::MaxUnavailable(Amount::Count(1)))];
    let graph = compiled(&plan, &fleet(workers, &JOBS[..2]));
    let mut admission = Admission::new(&graph);
    let mut queue = Queue::new(&graph, &admission);
    let conditions = Conditions::default();
    let mut active = std::collections::VecDeque::new();
    let mut order = Vec::new();
    while order.len() < graph.targets.len() {
        admission.observed(&[JobIx(0), JobIx(1)], &[], 0);
        while let Pick::Admit(target) = queue.pick(&admission, 0, &conditions) {
            admission.admitted(target);
            active.push_back(target);
            order.push(target);
        }
        // One at a time: the two jobs are never free together unless one worker waits for that.
        let done = active.pop_front().expect("a worker is active, or the queue would be stuck");
        admission.succeeded(done);
    }
    let place = order.iter().position(|target| *target == TargetIx(2)).unwrap();
    assert!(place <= 2 + PASSED_OVER_LIMIT as usize + 1, "w2 was taken at place {place}");
}

#[test]
fn a_peer_is_asked_about_though_one_that_was_put_back_waits_in_front_of_it() {
    let workers =
        vec![worker("w0", &[], &["zone=c"]), worker("w1", &[], &["zone=c"]), worker("w2", &[], &["zone=b"])];
    let mut plan = plan();
    plan.steps = vec![step("reboot", reboot(), &[])];
    plan.rollout.spread = spread("zone", 1);
    plan.rollout.concurrency = located(Concurrency::Auto);
    let graph = compiled(&plan, &fleet(workers, &[]));
    let mut admission = Admission::new(&graph);
    let mut queue = Queue::new(&graph, &admission);
    assert!(queue.remove(TargetIx(2)));
    admission.admitted(TargetIx(2));
    // w0 holds its zone without being asked, and may not start while w2 is down; w1 takes no further zone.
    assert!(queue.remove(TargetIx(0)));
    admission.unreachable(TargetIx(0));
    queue.push(TargetIx(0));
    assert_eq!(queue.pick(&admission, 0, &Conditions::default()), Pick::Admit(TargetIx(1)));
}
