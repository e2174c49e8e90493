//! The invariants of a run, checked after every fact. It keeps its own books, made from facts and from
//! the world, and shares none with the engine: what the engine believes is not looked at.

mod ahead;
mod attempts;
mod book;
mod contacts;
mod gates;
mod limits;
mod numbers;
mod power;
mod promises;
mod tries;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::book::{Book, Place};
use super::invariant::{Invariant, Violation};
use super::plans::SECRET;
use super::world::{Entry, World};
use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{AttemptId, Check, Fact, Intent, Millis, Resolution, RunEnd, Timer};
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};
use crate::plan::{JobAction, StepKind};

pub(super) use contacts::Contact;

/// The books.
pub(super) struct Checker {
    graph: Arc<RolloutGraph>,
    exclusive: bool,
    lanes: BTreeMap<Lane, Book>,
    /// Issued and not finished.
    open: BTreeMap<AttemptId, (Lane, StepIx, Intent)>,
    issued: BTreeMap<AttemptId, (Lane, StepIx, Intent)>,
    /// For each reboot when a forced reset was issued, and the attempts whose order a BMC has had.
    resets: BTreeMap<(Lane, StepIx), Millis>,
    ordered: BTreeSet<AttemptId>,
    down: BTreeSet<TargetIx>,
    /// From the issue of a reboot until the new boot was seen.
    away: BTreeSet<Lane>,
    paused: bool,
    aborted: bool,
    finished: bool,
    /// The newest controller's, and those that each worker has heard of.
    epoch: u64,
    epochs: BTreeMap<WorkerIx, u64>,
    /// The text of `disabled.json` that was looked at last.
    file_version: u64,
    /// Some command of the plan is given a secret.
    secrets: bool,
    wave: Option<u32>,
    wave_ended_at: Option<Millis>,
    last_at: Millis,
    observed: BTreeMap<JobIx, (Millis, BTreeSet<WorkerIx>)>,
    kept: promises::Promises,
    readings: gates::Readings,
    pub(super) broken: Option<Violation>,
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
                let book = Book::new(satisfied);
                (lane, book)
            })
            .collect();
        Self {
            graph: Arc::clone(graph),
            exclusive,
            lanes,
            open: BTreeMap::new(),
            issued: BTreeMap::new(),
            resets: BTreeMap::new(),
            ordered: BTreeSet::new(),
            down: BTreeSet::new(),
            away: BTreeSet::new(),
            paused: false,
            aborted: false,
            finished: false,
            epoch: 0,
            epochs: BTreeMap::new(),
            file_version: 0,
            secrets: contacts::has_secrets(graph),
            wave: None,
            wave_ended_at: None,
            last_at: 0,
            observed: BTreeMap::new(),
            kept: promises::Promises::default(),
            readings: gates::Readings::default(),
            broken: numbers::differ(graph).map(|what| Violation { invariant: Invariant::Limits, what }),
            most_down: 0,
        }
    }

    pub(super) fn breaks(&mut self, invariant: Invariant, what: impl Into<String>) {
        self.broken.get_or_insert_with(|| Violation { invariant, what: what.into() });
    }

    fn book(&mut self, lane: Lane) -> &mut Book {
        // Every lane of the graph has its book; a fact about another one was refused before.
        self.lanes.entry(lane).or_insert_with(|| Book::new(Vec::new()))
    }

    fn worker(&self, target: TargetIx) -> WorkerIx {
        self.graph.target(target).worker
    }

    fn kind(&self, lane: Lane, step: StepIx) -> &StepKind {
        &self.graph.steps(lane)[step.index()].kind
    }

    /// A fact is durable.
    pub(super) fn fact(&mut self, at: Millis, epoch: u64, fact: &Fact, world: &World) {
        if epoch < self.epoch {
            self.breaks(
                Invariant::OneController,
                format!("{fact:?} of epoch {epoch} is stored after one of {}", self.epoch),
            );
        }
        self.epoch = epoch;
        if self.secrets && serde_json::to_string(fact).is_ok_and(|text| text.contains(SECRET)) {
            self.breaks(Invariant::NoSecretStored, format!("a secret is stored: {fact:?}"));
        }
        if self.finished && !matches!(fact, Fact::Finished { .. } | Fact::Reopened { .. }) {
            self.breaks(Invariant::LegalTransitions, format!("{fact:?} after the end"));
        }
        if at < self.last_at {
            self.breaks(
                Invariant::LegalTransitions,
                format!("{fact:?} at {at}, after a fact at {}", self.last_at),
            );
        }
        self.last_at = at;
        self.gates(at, fact);
        self.promises(at, fact, world);
        match fact {
            Fact::Preflight { checks } => self.preflight(checks, world),
            Fact::Observed { jobs, unavailable, took } => {
                self.looked(at - took, jobs, unavailable, world);
            }
            Fact::ObservedChanges { jobs, added, removed, took } => {
                let before = jobs.iter().filter_map(|job| Some((*job, &self.observed.get(job)?.1)));
                let mut list: BTreeSet<(WorkerIx, JobIx)> =
                    before.flat_map(|(job, sick)| sick.iter().map(move |worker| (*worker, job))).collect();
                for one in removed {
                    if !list.remove(one) {
                        self.breaks(Invariant::LegalTransitions, format!("{one:?} was not listed"));
                    }
                }
                for one in added {
                    if !list.insert(*one) {
                        self.breaks(Invariant::LegalTransitions, format!("{one:?} was listed already"));
                    }
                }
                self.looked(at - took, jobs, &list.into_iter().collect::<Vec<_>>(), world);
            }
            Fact::WaveStarted { wave } => self.wave_started(at, *wave),
            Fact::WaveFinished { wave, .. } => {
                self.wave_ended_at = Some(at);
                self.all_ended(*wave);
            }
            Fact::PrepareStarted { target } => self.prepare_started(at, *target),
            Fact::WorkerPrepared { target } => self.prepared(*target),
            Fact::WorkerAdmitted { target } => self.admitted(at, *target),
            Fact::Issued { attempt, lane, step, intent } => {
                self.issued(*attempt, *lane, *step, intent, world);
                self.tried(at, *lane, *step, intent);
            }
            Fact::Finished { attempt, outcome } => {
                self.count_failure(*attempt, outcome);
                self.ended(*attempt, outcome, world);
            }
            Fact::StepFailed { lane, step, .. } => {
                self.book(*lane).broke_at.get_or_insert(*step);
            }
            Fact::RetryScheduled { lane, step, due, reissue } => {
                self.scheduled(at, *lane, *step, *due);
                if let Some(reboot) = reissue {
                    let book = self.book(*lane);
                    book.satisfied[reboot.index()] = false;
                    book.generations.entry(*reboot).or_default().1 = true;
                }
            }
            Fact::GateClosed { lane, step, opens, .. } => {
                self.needs(*lane, *step, "gate");
                self.gate_is_long_enough(at, *lane, *step, *opens);
                self.book(*lane).gates.insert(*step, *opens);
            }
            Fact::Due { timer: Timer::Gate { lane, step } } => {
                let book = self.book(*lane);
                if book.gates.get(step).copied().flatten().is_some_and(|opens| at >= opens) {
                    book.satisfied[step.index()] = true;
                }
            }
            Fact::Approved { lane, step, .. } | Fact::StepIgnored { lane, step, .. } => {
                self.book(*lane).satisfied[step.index()] = true;
            }
            Fact::InDoubtResolved { attempt, how: Resolution::Rerun } => {
                // An operator has decided: it is tried however often it was.
                if let Some((lane, step, _)) = self.issued.get(attempt).cloned() {
                    self.book(lane).failures.remove(&step);
                }
            }
            Fact::InDoubtResolved { attempt, how: Resolution::Done | Resolution::Skip } => {
                if let Some((lane, step, _)) = self.issued.get(attempt).cloned() {
                    self.book(lane).satisfied[step.index()] = true;
                }
            }
            Fact::WorkerSucceeded { target } => {
                if !self.book(Lane::Worker(*target)).satisfied.iter().all(|s| *s) {
                    self.breaks(
                        Invariant::UnknownIsNotSuccess,
                        format!("{target:?} succeeded with steps that have not"),
                    );
                }
                self.moves(*target, &[Place::Active], Place::Succeeded);
                self.down.remove(target);
            }
            Fact::WorkerFailed { target, .. } => {
                self.moves(*target, &[Place::Active, Place::Preparing], Place::Failed);
                self.book(Lane::Worker(*target)).failed = true;
            }
            Fact::RevertStarted { target } => {
                if !matches!(self.book(Lane::Worker(*target)).place, Place::Active | Place::Preparing) {
                    self.breaks(
                        Invariant::LegalTransitions,
                        format!("{target:?} is reverted and not active"),
                    );
                }
                self.book(Lane::Worker(*target)).reverting = true;
                self.away.remove(&Lane::Worker(*target));
            }
            Fact::WorkerReverted { target } => {
                self.moves(*target, &[Place::Active, Place::Preparing], Place::Reverted);
                self.book(Lane::Worker(*target)).failed = true;
                if !self.is_away(*target) {
                    self.down.remove(target);
                }
                self.reverted(*target, world);
            }
            Fact::RevertStuck { target, .. } => {
                self.moves(*target, &[Place::Active, Place::Preparing], Place::Failed);
                self.book(Lane::Worker(*target)).failed = true;
            }
            Fact::Paused { .. } => self.paused = true,
            Fact::Resumed { fresh_process, .. } => {
                self.paused = false;
                for lane in [Lane::Before, Lane::After] {
                    // Continuing after a halt takes a failed step up again.
                    self.book(lane).failures.clear();
                    self.book(lane).due.clear();
                }
                if *fresh_process {
                    self.open.clear();
                }
            }
            Fact::Retried { target, .. } => self.queued_again(*target),
            Fact::Reopened { targets, .. } => {
                self.finished = false;
                self.wave = self.graph.waves.len().checked_sub(2).map(|wave| wave as u32);
                self.wave_ended_at = None;
                for lane in [Lane::Before, Lane::After] {
                    let book = self.book(lane);
                    *book = Book::new(vec![false; book.satisfied.len()]);
                }
                targets.iter().for_each(|target| self.queued_again(*target));
            }
            Fact::Skipped { target, .. } => {
                self.moves(*target, &[Place::Queued, Place::Failed], Place::Skipped);
                self.book(Lane::Worker(*target)).failed = false;
            }
            Fact::Aborted { .. } => self.aborted = true,
            Fact::WorkerCancelled { target } => {
                self.moves(*target, &[Place::Active, Place::Preparing], Place::Cancelled);
            }
            Fact::RunFinished { end } => self.run_ended(*end, world),
            _ => {}
        }
        self.file(world);
        self.world_down(world);
    }

    /// An operator takes a worker up again.
    fn queued_again(&mut self, target: TargetIx) {
        self.moves(target, &[Place::Failed, Place::Skipped], Place::Queued);
        let book = self.book(Lane::Worker(target));
        if book.left_alone || book.reverting {
            self.breaks(Invariant::LegalTransitions, format!("{target:?} is retried, and takes no part"));
        }
        let book = self.book(Lane::Worker(target));
        (book.failed, book.retried) = (false, true);
        book.broke_at = None;
        book.failures.clear();
        book.due.clear();
    }

    fn moves(&mut self, target: TargetIx, from: &[Place], to: Place) {
        let now = self.book(Lane::Worker(target)).place;
        // A retry of a worker is the same as its place in the queue, until it is admitted again.
        if !from.contains(&now) {
            self.breaks(Invariant::LegalTransitions, format!("{target:?} goes from {now:?} to {to:?}"));
        }
        self.book(Lane::Worker(target)).place = to;
    }

    fn preflight(&mut self, checks: &[Check], world: &World) {
        for (at, check) in checks.iter().enumerate() {
            let target = TargetIx(at as u32);
            let worker = self.worker(target);
            match check {
                Check::Ready { .. } if world.file.others().contains(Entry { worker, job: None }) => {
                    self.breaks(
                        Invariant::OperatorsWorkers,
                        format!("{target:?} is disabled by an operator, and taken all the same"),
                    );
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
            self.breaks(Invariant::LegalTransitions, format!("wave {wave} begins within the soak"));
        }
        if let Some(before) = wave.checked_sub(1) {
            self.all_ended(before);
        }
        self.all_prepared(&format!("wave {wave} begins"));
        self.wave = Some(wave);
    }

    fn all_ended(&mut self, wave: u32) {
        let of_wave: Vec<TargetIx> =
            self.graph.target_indices().filter(|t| self.graph.target(*t).wave == wave).collect();
        for target in of_wave {
            let book = self.book(Lane::Worker(target));
            if matches!(book.place, Place::Queued | Place::Preparing | Place::Active) && !book.retried {
                self.breaks(Invariant::LegalTransitions, format!("wave {wave} ends before {target:?}"));
            }
        }
    }

    /// A round says what is the case.
    fn looked(&mut self, began: Millis, jobs: &[JobIx], unavailable: &[(WorkerIx, JobIx)], world: &World) {
        let graph = Arc::clone(&self.graph);
        // Who is down by the run is not looked at, and counts as down.
        let down: BTreeSet<WorkerIx> = graph
            .target_indices()
            .filter(|target| self.book(Lane::Worker(*target)).place == Place::Active)
            .map(|target| graph.target(target).worker)
            .collect();
        let looked_at =
            |one: &&crate::bucket::Allocation| jobs.contains(&one.job) && !down.contains(&one.worker);
        for one in graph.enabled_allocations().iter().filter(looked_at) {
            let well = !unavailable.contains(&(one.worker, one.job));
            if well && !world.is_well(one.worker, one.job) {
                self.breaks(
                    Invariant::UnknownIsNotSuccess,
                    format!("{one:?} is said to be well, and is not"),
                );
            }
        }
        for job in jobs {
            let sick = unavailable.iter().filter(|(_, j)| j == job).map(|(w, _)| *w).collect();
            self.observed.insert(*job, (began, sick));
        }
    }

    /// Something has happened: whoever reads `disabled.json` now finds a whole file.
    pub(super) fn instant(&mut self, world: &World) {
        if world.file.version() != self.file_version {
            self.file_version = world.file.version();
            if let Some(wrong) = world.file.wrong() {
                self.breaks(Invariant::OthersEntries, wrong);
            }
        }
    }

    fn file(&mut self, world: &World) {
        let file = &world.file;
        if let Some(gone) = file.others().without(file.entries()).next() {
            self.breaks(Invariant::OthersEntries, format!("the entry {gone:?} of an operator is gone"));
        }
    }

    fn run_ended(&mut self, end: RunEnd, world: &World) {
        self.finished = true;
        let disabled = world.file.entries().without(world.file.others()).count();
        if disabled > 0 && end == RunEnd::Succeeded {
            self.breaks(
                Invariant::NothingLeftDisabled,
                format!("{disabled} entries of the run are left, and it says that all is well"),
            );
        }
        let places: Vec<_> =
            self.lanes.iter().map(|(lane, book)| (*lane, book.place, book.left_alone)).collect();
        for (lane, place, left_alone) in places {
            let Lane::Worker(_) = lane else { continue };
            if matches!(place, Place::Active | Place::Preparing)
                || (place == Place::Queued && end != RunEnd::Aborted)
            {
                self.breaks(Invariant::LegalTransitions, format!("the run ends and {lane:?} is {place:?}"));
            }
            if end == RunEnd::Succeeded && place != Place::Succeeded && !left_alone {
                self.breaks(
                    Invariant::NothingLeftDisabled,
                    format!("the run says that all is well and {lane:?} is {place:?}"),
                );
            }
        }
    }
}

/// The design's list of what takes a worker down.
pub(super) fn takes_down(kind: &StepKind) -> bool {
    match kind {
        StepKind::Disable { .. } | StepKind::Reboot { .. } => true,
        StepKind::Job { action, .. } => *action != JobAction::Start,
        StepKind::Run(command) => command.disturbs,
        _ => false,
    }
}

/// Steps that are an operation of the catalog on workers.
fn uses_catalog(kind: &StepKind) -> bool {
    matches!(
        kind,
        StepKind::Deploy { .. } | StepKind::Job { .. } | StepKind::Health { .. } | StepKind::SyncCheck { .. }
    )
}

/// Attempts that are an operation of the catalog on workers.
fn by_catalog(kind: &StepKind, intent: &Intent) -> bool {
    match intent {
        Intent::UndoDeploy | Intent::UndoStop => true,
        Intent::Do { .. } => uses_catalog(kind),
        _ => false,
    }
}
