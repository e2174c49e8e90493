//! The invariants of a run, checked after every fact. It keeps its own books, made from facts and from
//! the world, and shares none with the engine: what the engine believes is not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::world::{Entry, World, boot_number};
use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{
    AttemptId, Check, ErrorKind, Evidence, Fact, Intent, Millis, Order, Outcome, Resolution, RunEnd, Timer,
};
use crate::graph::{Lane, RolloutGraph, TargetIx};
use crate::plan::{JobAction, StepKind};

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number among the twenty.
    pub invariant: u8,
    /// What was seen.
    pub what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Queued,
    Active,
    Succeeded,
    Failed,
    Reverted,
    Skipped,
    Cancelled,
}

/// What is known of one lane.
struct Book {
    place: Place,
    /// For each step: it has ended well, was skipped or ignored.
    satisfied: Vec<bool>,
    reverting: bool,
    /// In the failure ledger.
    failed: bool,
    /// Taken up again by a person.
    retried: bool,
    left_alone: bool,
    /// For each reboot step the boot id that it was issued with, and whether it was found needless.
    reboots: BTreeMap<u32, (String, bool)>,
    gates: BTreeMap<u32, Option<Millis>>,
}

/// The books.
pub(super) struct Checker {
    graph: Arc<RolloutGraph>,
    exclusive: bool,
    lanes: BTreeMap<Lane, Book>,
    /// Issued and not finished.
    open: BTreeMap<AttemptId, (Lane, u32, Intent)>,
    issued: BTreeMap<AttemptId, (Lane, u32, Intent)>,
    down: BTreeSet<TargetIx>,
    /// From the issue of a reboot until the new boot was seen.
    away: BTreeSet<Lane>,
    paused: bool,
    aborted: bool,
    finished: bool,
    wave: Option<u32>,
    wave_ended_at: Option<Millis>,
    last_at: Millis,
    observed: BTreeMap<JobIx, (Millis, BTreeSet<WorkerIx>)>,
    pub(super) broken: Option<Broken>,
    /// The most that were down at once: per job, per domain.
    pub(super) most_down: u32,
}

impl Checker {
    pub(super) fn new(graph: &Arc<RolloutGraph>, exclusive: bool) -> Self {
        let lanes = [Lane::Before, Lane::After]
            .into_iter()
            .chain(graph.target_indices().map(Lane::Worker))
            .map(|lane| {
                let satisfied = (0..graph.steps(lane).len()).map(|step| !graph.applies(lane, step)).collect();
                let book = Book {
                    place: Place::Queued,
                    satisfied,
                    reverting: false,
                    failed: false,
                    retried: false,
                    left_alone: false,
                    reboots: BTreeMap::new(),
                    gates: BTreeMap::new(),
                };
                (lane, book)
            })
            .collect();
        Self {
            graph: Arc::clone(graph),
            exclusive,
            lanes,
            open: BTreeMap::new(),
            issued: BTreeMap::new(),
            down: BTreeSet::new(),
            away: BTreeSet::new(),
            paused: false,
            aborted: false,
            finished: false,
            wave: None,
            wave_ended_at: None,
            last_at: 0,
            observed: BTreeMap::new(),
            broken: None,
            most_down: 0,
        }
    }

    pub(super) fn breaks(&mut self, invariant: u8, what: impl Into<String>) {
        self.broken.get_or_insert_with(|| Broken { invariant, what: what.into() });
    }

    fn book(&mut self, lane: Lane) -> &mut Book {
        // Every lane of the graph has its book; a fact about another one was refused before.
        self.lanes.entry(lane).or_insert_with(|| Book {
            place: Place::Queued,
            satisfied: Vec::new(),
            reverting: false,
            failed: false,
            retried: false,
            left_alone: false,
            reboots: BTreeMap::new(),
            gates: BTreeMap::new(),
        })
    }

    fn worker(&self, target: TargetIx) -> WorkerIx {
        self.graph.target(target).worker
    }

    fn kind(&self, lane: Lane, step: u32) -> &StepKind {
        &self.graph.steps(lane)[step as usize].kind
    }

    /// A fact is durable.
    pub(super) fn fact(&mut self, at: Millis, fact: &Fact, world: &World) {
        if self.finished && !matches!(fact, Fact::Finished { .. }) {
            self.breaks(14, format!("{fact:?} after the end"));
        }
        if at < self.last_at {
            self.breaks(14, format!("{fact:?} at {at}, after a fact at {}", self.last_at));
        }
        self.last_at = at;
        match fact {
            Fact::Preflight { checks } => self.preflight(checks, world),
            Fact::Observed { jobs, unavailable } => self.looked(at, jobs, unavailable, world),
            Fact::WaveStarted { wave } => self.wave_started(at, *wave),
            Fact::WaveFinished { wave, .. } => {
                self.wave_ended_at = Some(at);
                self.all_ended(*wave);
            }
            Fact::WorkerAdmitted { target } => self.admitted(at, *target),
            Fact::Issued { attempt, lane, step, intent } => {
                self.issued(*attempt, *lane, *step, intent, world);
            }
            Fact::Finished { attempt, outcome } => self.ended(*attempt, outcome, world),
            Fact::RetryScheduled { lane, rearm: Some(reboot), .. } => {
                self.book(*lane).satisfied[*reboot as usize] = false;
            }
            Fact::GateClosed { lane, step, opens, .. } => {
                self.needs(*lane, *step, "gate");
                self.book(*lane).gates.insert(*step, *opens);
            }
            Fact::Due { timer: Timer::Gate { lane, step } } => {
                let book = self.book(*lane);
                if book.gates.get(step).copied().flatten().is_some_and(|opens| at >= opens) {
                    book.satisfied[*step as usize] = true;
                }
            }
            Fact::Approved { lane, step, .. } | Fact::StepIgnored { lane, step, .. } => {
                self.book(*lane).satisfied[*step as usize] = true;
            }
            Fact::InDoubtResolved { attempt, how: Resolution::Done | Resolution::Skip } => {
                if let Some((lane, step, _)) = self.issued.get(attempt).cloned() {
                    self.book(lane).satisfied[step as usize] = true;
                }
            }
            Fact::WorkerSucceeded { target } => {
                if !self.book(Lane::Worker(*target)).satisfied.iter().all(|s| *s) {
                    self.breaks(15, format!("{target:?} succeeded with steps that have not"));
                }
                self.moves(*target, &[Place::Active], Place::Succeeded);
                self.down.remove(target);
            }
            Fact::WorkerFailed { target, .. } => {
                self.moves(*target, &[Place::Active], Place::Failed);
                self.book(Lane::Worker(*target)).failed = true;
            }
            Fact::RevertStarted { target } => {
                if self.book(Lane::Worker(*target)).place != Place::Active {
                    self.breaks(14, format!("{target:?} is reverted and not active"));
                }
                self.book(Lane::Worker(*target)).reverting = true;
            }
            Fact::WorkerReverted { target } => {
                self.moves(*target, &[Place::Active], Place::Reverted);
                self.book(Lane::Worker(*target)).failed = true;
                self.down.remove(target);
                self.reverted(*target, world);
            }
            Fact::RevertStuck { target, .. } => {
                self.moves(*target, &[Place::Active], Place::Failed);
                self.book(Lane::Worker(*target)).failed = true;
            }
            Fact::Paused { .. } => self.paused = true,
            Fact::Resumed { fresh_process, .. } => {
                self.paused = false;
                if *fresh_process {
                    self.open.clear();
                }
            }
            Fact::Retried { target, .. } => {
                self.moves(*target, &[Place::Failed], Place::Queued);
                let book = self.book(Lane::Worker(*target));
                (book.failed, book.retried) = (false, true);
            }
            Fact::Skipped { target, .. } => {
                self.moves(*target, &[Place::Queued, Place::Failed], Place::Skipped);
                self.book(Lane::Worker(*target)).failed = false;
            }
            Fact::Aborted { .. } => self.aborted = true,
            Fact::WorkerCancelled { target } => self.moves(*target, &[Place::Active], Place::Cancelled),
            Fact::RunFinished { end } => self.run_ended(*end, world),
            _ => {}
        }
        self.file(world);
        self.world_down(world);
    }

    fn moves(&mut self, target: TargetIx, from: &[Place], to: Place) {
        let now = self.book(Lane::Worker(target)).place;
        // A retry of a worker is the same as its place in the queue, until it is admitted again.
        if !from.contains(&now) {
            self.breaks(14, format!("{target:?} goes from {now:?} to {to:?}"));
        }
        self.book(Lane::Worker(target)).place = to;
    }

    fn preflight(&mut self, checks: &[Check], world: &World) {
        for (at, check) in checks.iter().enumerate() {
            let target = TargetIx(at as u32);
            let worker = self.worker(target);
            match check {
                Check::Ready { .. } if world.people.contains(&Entry { worker, job: None }) => {
                    self.breaks(8, format!("{target:?} is disabled by a person, and taken all the same"));
                }
                Check::Ready { .. } => {}
                Check::Unreachable { .. } => {
                    self.moves(target, &[Place::Queued], Place::Failed);
                    self.book(Lane::Worker(target)).failed = true;
                    // One that no step would disturb counts by what is observed of it.
                    if self.goes_down_at_all(target) {
                        self.down.insert(target);
                    }
                }
                Check::LeftAlone { .. } => {
                    self.moves(target, &[Place::Queued], Place::Skipped);
                    self.book(Lane::Worker(target)).left_alone = true;
                }
            }
        }
    }

    fn wave_started(&mut self, at: Millis, wave: u32) {
        let soak = self.graph.plan.rollout.soak.as_millis() as Millis;
        if self.wave_ended_at.is_some_and(|ended| at < ended + soak) {
            self.breaks(14, format!("wave {wave} begins within the soak"));
        }
        if let Some(before) = wave.checked_sub(1) {
            self.all_ended(before);
        }
        self.wave = Some(wave);
    }

    fn all_ended(&mut self, wave: u32) {
        let of_wave: Vec<TargetIx> =
            self.graph.target_indices().filter(|t| self.graph.target(*t).wave == wave).collect();
        for target in of_wave {
            let book = self.book(Lane::Worker(target));
            if matches!(book.place, Place::Queued | Place::Active) && !book.retried {
                self.breaks(14, format!("wave {wave} ends before {target:?}"));
            }
        }
    }

    fn admitted(&mut self, at: Millis, target: TargetIx) {
        self.moves(target, &[Place::Queued], Place::Active);
        if self.paused || self.aborted {
            self.breaks(20, format!("{target:?} is admitted while the run is paused"));
        }
        let wave = self.graph.target(target).wave;
        if self.wave.is_none_or(|open| wave > open) {
            self.breaks(14, format!("{target:?} of wave {wave} is admitted in wave {:?}", self.wave));
        }
        let failed = self.lanes.values().filter(|book| book.failed).count() as u32;
        let allowed = self.graph.numbers().max_failures.value;
        if failed > allowed {
            self.breaks(13, format!("{target:?} is admitted after {failed} failures of {allowed}"));
        }
        let active = self.lanes.values().filter(|book| book.place == Place::Active).count() as u32;
        if let Some(limit) = &self.graph.numbers().concurrency
            && active > limit.value
        {
            self.breaks(1, format!("{active} are active of {} with {target:?}", limit.value));
        }
        if !self.window_is_open(at) {
            self.breaks(1, format!("{target:?} is admitted while the window is closed"));
        }
        if self.goes_down_at_all(target) && !self.down.contains(&target) {
            self.fresh_budgets(at, target);
        }
    }

    /// With what was seen in the last round, enough of each job stays.
    fn fresh_budgets(&mut self, at: Millis, target: TargetIx) {
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
            self.breaks(1, what);
        }
    }

    fn goes_down_at_all(&self, target: TargetIx) -> bool {
        let steps = &self.graph.plan.steps;
        (0..steps.len()).any(|at| self.graph.target(target).applies[at] && takes_down(&steps[at].kind))
    }

    /// An independent reading of a window in UTC (the generator makes no others).
    fn window_is_open(&self, at: Millis) -> bool {
        let Some(window) = &self.graph.plan.rollout.window else { return true };
        let window = &window.value;
        let minute = at.div_euclid(60_000);
        let (day, minute) = (minute.div_euclid(1440), minute.rem_euclid(1440));
        // 1970-01-01 was a Thursday.
        let opens_on = |day: i64| window.days.iter().any(|d| *d as i64 == (day + 3).rem_euclid(7));
        let (open, close) = (i64::from(window.open), i64::from(window.close));
        if open < close {
            opens_on(day) && (open..close).contains(&minute)
        } else {
            opens_on(day) && minute >= open || opens_on(day - 1) && minute < close
        }
    }

    /// What comes before a step has ended well; where a step is skipped, what came before that, too.
    fn needs(&mut self, lane: Lane, step: u32, what: &str) {
        let mut todo = vec![step as usize];
        let mut seen = BTreeSet::new();
        while let Some(at) = todo.pop() {
            for need in self.graph.steps(lane)[at].needs.clone() {
                if !self.book(lane).satisfied[need] {
                    self.breaks(4, format!("{what} {step} of {lane:?} before {need}"));
                }
                if !self.graph.applies(lane, need) && seen.insert(need) {
                    todo.push(need);
                }
            }
        }
    }

    fn issued(&mut self, attempt: AttemptId, lane: Lane, step: u32, intent: &Intent, world: &World) {
        self.open.insert(attempt, (lane, step, intent.clone()));
        self.issued.insert(attempt, (lane, step, intent.clone()));
        let kind = self.kind(lane, step).clone();
        let (place, reverting, left_alone, satisfied) = {
            let book = self.book(lane);
            (book.place, book.reverting, book.left_alone, book.satisfied[step as usize])
        };
        if left_alone {
            self.breaks(8, format!("{lane:?} is a person's, and is touched"));
        }
        if intent.is_undo() != reverting {
            self.breaks(14, format!("{intent:?} for {lane:?}, reverting: {reverting}"));
        }
        if !intent.is_undo() {
            self.needs(lane, step, "step");
            // A person's retry may enter a reboot again that nobody has seen.
            let again = self.book(lane).retried && self.book(lane).reboots.contains_key(&step);
            if again {
                self.book(lane).satisfied[step as usize] = false;
            }
            if satisfied && !again {
                self.breaks(14, format!("step {step} of {lane:?} is issued and was done or skipped"));
            }
            if self.aborted {
                self.breaks(14, format!("step {step} of {lane:?} is issued after an abort"));
            }
        }
        if let Lane::Worker(target) = lane {
            if place != Place::Active {
                self.breaks(14, format!("step {step} is issued and {lane:?} is {place:?}"));
            }
            let enables =
                matches!((&kind, intent), (StepKind::Enable, Intent::Do { .. }) | (_, Intent::UndoEnable));
            if enables {
                self.verified(target, world);
            }
            if takes_down(&kind) && !intent.is_undo() && *intent != Intent::ReadBootId {
                self.goes_down(target);
            }
        }
        if let Intent::Reboot { boot_id, .. } = intent {
            let known = self.book(lane).reboots.entry(step).or_insert_with(|| (boot_id.clone(), false));
            if known.0 != *boot_id {
                self.breaks(2, format!("reboot {step} of {lane:?} is compared with another boot id"));
            }
        }
        if self.exclusive {
            self.exclusion(lane, &kind, intent);
        }
        if matches!(intent, Intent::Reboot { .. }) {
            self.away.insert(lane);
        }
    }

    /// With an engine that contacts everybody, an operation and a worker that is away exclude each
    /// other.
    fn exclusion(&mut self, lane: Lane, kind: &StepKind, intent: &Intent) {
        let contacts = |kind: &StepKind, intent: &Intent| match intent {
            Intent::UndoDeploy | Intent::UndoStop => true,
            Intent::Do { .. } => matches!(
                kind,
                StepKind::Deploy { .. }
                    | StepKind::Job { .. }
                    | StepKind::Health { .. }
                    | StepKind::SyncCheck { .. }
            ),
            _ => false,
        };
        let is_away = |lane: &Lane| {
            let place = self.lanes.get(lane).map(|book| book.place);
            self.away.contains(lane) && place == Some(Place::Active)
        };
        let away: Vec<Lane> = self.lanes.keys().filter(|lane| is_away(lane)).copied().collect();
        let operating = self.open.values().any(|(l, s, i)| *l != lane && contacts(self.kind(*l, *s), i));
        if contacts(kind, intent) && away.iter().any(|other| *other != lane) {
            self.breaks(1, format!("{lane:?} contacts everybody while {away:?} may be away"));
        }
        if matches!(intent, Intent::Reboot { .. }) && operating {
            self.breaks(1, format!("{lane:?} goes away under an operation that contacts everybody"));
        }
    }

    /// Nothing enables a worker before the new boot of each reboot is there.
    fn verified(&mut self, target: TargetIx, world: &World) {
        let worker = self.worker(target);
        let now = world.host(worker).boot();
        let reboots = self.book(Lane::Worker(target)).reboots.clone();
        for (step, (b0, needless)) in reboots {
            if !needless && boot_number(worker, &b0).is_none_or(|before| now <= before) {
                self.breaks(5, format!("{target:?} is enabled and reboot {step} has not happened"));
            }
        }
    }

    fn goes_down(&mut self, target: TargetIx) {
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
            self.breaks(1, what);
        }
    }

    fn ended(&mut self, attempt: AttemptId, outcome: &Outcome, world: &World) {
        let Some((lane, step, intent)) = self.open.remove(&attempt) else { return };
        if let (Intent::Reboot { .. }, Outcome::Failed { error }) = (&intent, outcome) {
            // Sent before, and away now: the wait may look for it.
            let sent = self
                .issued
                .values()
                .filter(|(l, s, i)| *l == lane && *s == step && matches!(i, Intent::Reboot { .. }));
            if sent.count() > 1 && error.kind == ErrorKind::Unreachable {
                self.book(lane).satisfied[step as usize] = true;
            }
        }
        let Outcome::Ok { evidence } = outcome else { return };
        if !world.done.contains(&attempt) {
            self.breaks(15, format!("{intent:?} of step {step}, {lane:?}, is said to be done and is not"));
        }
        if let (Evidence::Back { boot_id }, Lane::Worker(target)) = (evidence, lane) {
            self.settled(target, step, boot_id, world);
        }
        if let Evidence::Rebooted { boot_id } = evidence
            && let (Lane::Worker(target), Intent::Reboot { boot_id: before, .. }) = (lane, &intent)
        {
            let worker = self.worker(target);
            if boot_number(worker, boot_id).is_none_or(|new| Some(new) <= boot_number(worker, before)) {
                self.breaks(5, format!("{boot_id} of {target:?} is no new boot"));
            }
        }
        let seen = matches!(
            (&intent, evidence),
            (_, Evidence::Back { .. } | Evidence::Rebooted { .. })
                | (Intent::Reboot { .. }, Evidence::NotNeeded)
        );
        if seen {
            self.away.remove(&lane);
        }
        if *evidence == Evidence::NotNeeded
            && let Some(reboot) = self.book(lane).reboots.get_mut(&step)
        {
            reboot.1 = true;
        }
        if intent != Intent::ReadBootId && !intent.is_undo() {
            self.book(lane).satisfied[step as usize] = true;
        }
    }

    /// The worker was up with that boot id for as long as it had to settle.
    fn settled(&mut self, target: TargetIx, step: u32, boot_id: &str, world: &World) {
        let StepKind::WaitForSsh { settle, .. } = self.kind(Lane::Worker(target), step) else { return };
        let settle = settle.as_millis() as Millis;
        let worker = self.worker(target);
        let boot = boot_number(worker, boot_id).and_then(|boot| world.host(worker).boots.get(boot));
        let until = boot.map(|boot| boot.down_at.unwrap_or(self.last_at) - boot.up_at);
        if until.is_none_or(|up| up < settle) {
            self.breaks(5, format!("{target:?} is called back after {until:?} ms of {settle}"));
        }
    }

    fn reverted(&mut self, target: TargetIx, world: &World) {
        let worker = self.worker(target);
        if world.file.iter().any(|entry| entry.worker == worker && !world.people.contains(entry)) {
            self.breaks(6, format!("{target:?} is reverted and still disabled"));
        }
    }

    /// An effect is about to be carried out.
    pub(super) fn effect(&mut self, order: &Order) {
        let stored = self.issued.get(&order.attempt);
        if stored != Some(&(order.lane, order.step, order.intent.clone())) {
            self.breaks(3, format!("{order:?} is not what was stored"));
        }
    }

    /// A round says what is the case.
    fn looked(&mut self, at: Millis, jobs: &[JobIx], unavailable: &[(WorkerIx, JobIx)], world: &World) {
        let graph = Arc::clone(&self.graph);
        for one in graph.enabled_allocations().iter().filter(|one| jobs.contains(&one.job)) {
            let well = !unavailable.contains(&(one.worker, one.job));
            if well && !world.is_well(one.worker, one.job) {
                self.breaks(15, format!("{one:?} is said to be well, and is not"));
            }
        }
        for job in jobs {
            let sick = unavailable.iter().filter(|(_, j)| j == job).map(|(w, _)| *w).collect();
            self.observed.insert(*job, (at, sick));
        }
    }

    fn file(&mut self, world: &World) {
        if let Some(gone) = world.people.iter().find(|entry| !world.file.contains(entry)) {
            self.breaks(7, format!("the entry {gone:?} of a person is gone"));
        }
    }

    /// What the run has really taken away, whatever anybody believes.
    fn world_down(&mut self, world: &World) {
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
            if let Some((step, count)) = host.run_reboots.iter().find(|(_, count)| **count > 1) {
                self.breaks(2, format!("worker {w} was rebooted {count} times by step {step}"));
            }
        }
        for what in broken {
            self.breaks(1, what);
        }
    }

    fn run_ended(&mut self, end: RunEnd, world: &World) {
        self.finished = true;
        let disabled = world.file.difference(&world.people).count();
        if disabled > 0 && end == RunEnd::Succeeded {
            self.breaks(6, format!("{disabled} entries of the run are left, and it says that all is well"));
        }
        let places: Vec<_> =
            self.lanes.iter().map(|(lane, book)| (*lane, book.place, book.left_alone)).collect();
        for (lane, place, left_alone) in places {
            let Lane::Worker(_) = lane else { continue };
            if place == Place::Active || (place == Place::Queued && end != RunEnd::Aborted) {
                self.breaks(14, format!("the run ends and {lane:?} is {place:?}"));
            }
            if end == RunEnd::Succeeded && place != Place::Succeeded && !left_alone {
                self.breaks(6, format!("the run says that all is well and {lane:?} is {place:?}"));
            }
        }
    }
}

/// The design's list of what takes a worker down.
fn takes_down(kind: &StepKind) -> bool {
    match kind {
        StepKind::Disable { .. } | StepKind::Reboot { .. } => true,
        StepKind::Job { action, .. } => *action != JobAction::Start,
        StepKind::Run(command) => command.disturbs,
        _ => false,
    }
}
