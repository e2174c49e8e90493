//! What the plan and operators were promised besides limits: what a failure leads to, when a run stops,
//! halts and ends, and what an intent says. It must not look into the engine.

mod ends;
mod giving_up;
mod steps;
mod turns;

use std::collections::{BTreeMap, BTreeSet};

use super::super::invariant::Invariant;
use super::{Checker, Place, uses_catalog};
use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{
    AttemptId, Check, ErrorKind, Fact, HaltReason, Intent, Millis, Outcome, Resolution, RunEnd,
};
use crate::graph::{Lane, StepIx, TargetIx};
use crate::plan::{CommandStep, OnFailure, OnStepFailure, Retries, StepKind};
use crate::sim::world::{Entry, World};

/// Orphaned answers that are looked at again without an attempt.
const FREE_LOOKS: u32 = 2;

/// So long a run looks on when sick peers hold everybody back.
const PATIENCE: Millis = 60_000;

/// Who could start by what is really well has started after so long: that is some looks.
const SOON: Millis = 120_000;

/// So many draws of one delay, of a second and more, are never all the same.
const ENOUGH_DRAWS: usize = 4;

/// How a step's last attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Known(ErrorKind),
    Orphaned,
}

#[derive(Default)]
struct Told {
    /// Attempts that were spent, and lost answers that were not counted.
    spent: BTreeMap<StepIx, (u32, u32)>,
    last: BTreeMap<StepIx, Last>,
    /// Steps that may have changed something.
    was_issued: BTreeSet<StepIx>,
    failed: BTreeSet<StepIx>,
    /// When each reboot was issued last.
    reboots: BTreeMap<StepIx, Millis>,
    /// Waits that saw the old boot, and the reboots that an operator's retry enters again.
    enter: BTreeMap<StepIx, StepIx>,
    /// Steps whose B0 is known.
    read: BTreeSet<StepIx>,
    undo_issued: Vec<(StepIx, Intent)>,
    undo_done: Vec<(StepIx, Intent)>,
    undo_failures: u32,
    admitted_at: Millis,
}

/// The books of this module.
#[derive(Default)]
pub(super) struct Promises {
    lanes: BTreeMap<Lane, Told>,
    pub(super) interrupted: bool,
    pub(super) aborted: Option<bool>,
    pub(super) halted: bool,
    /// More have failed than may: continuing changes nothing as long as that is so.
    too_many: bool,
    halted_lane: Option<(Lane, StepIx)>,
    wave_open: bool,
    /// `before` is done and no wave has begun, in a plan that prepares workers.
    pub(super) preparing_open: bool,
    /// A step was not done and nobody is to blame: the next fact is a pause.
    pause_due: bool,
    /// Attempts that an operator has decided about.
    decided: BTreeSet<AttemptId>,
    durations: Vec<Millis>,
    /// Operations that wait for a worker that is away, at the last rest.
    pending: BTreeSet<(Lane, StepIx)>,
    /// The time before the last one at which something was stored.
    times: (Millis, Millis),
    /// Drawn delays by the whole delay: whose try, and what was drawn.
    draws: BTreeMap<Millis, BTreeMap<(Lane, StepIx, u32), Millis>>,
    /// Since when a worker could start.
    startable_since: Option<Millis>,
    /// Workers on which something has succeeded.
    answered: BTreeSet<TargetIx>,
    /// Did not answer in preflight, and has not come to its end since: down, for all that is known.
    unreachable: BTreeSet<TargetIx>,
    /// When something last happened that may let a worker start.
    moved_at: Millis,
    /// Nothing goes wrong in this run: why it must not halt or fail.
    calm: bool,
}

fn repeatable(command: &CommandStep) -> bool {
    command.idempotent || command.unless.is_some()
}

fn in_doubt(kind: &StepKind) -> bool {
    match kind {
        StepKind::Run(command) | StepKind::Local(command) => !repeatable(command),
        StepKind::Http(step) => !step.idempotent,
        _ => false,
    }
}

/// Final by the design, of what the world makes.
fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::CrashLoop | ErrorKind::UnexpectedBoot | ErrorKind::NotApproved | ErrorKind::Unverified
    )
}

fn whole_delay(retries: &Retries, spent: u32) -> Millis {
    let mut delay = retries.delay.as_secs_f64();
    for _ in 1..spent {
        delay *= retries.backoff;
    }
    (delay.min(retries.max_delay.as_secs_f64()) * 1000.0) as Millis
}

impl Checker {
    pub(in crate::sim) fn is_calm(&mut self) {
        let plan = &self.graph.plan;
        let steps = || plan.before.iter().chain(&plan.steps).chain(&plan.after);
        let enables = plan.steps.iter().any(|step| matches!(step.kind, StepKind::Enable));
        let spoils = steps().any(|step| match &step.kind {
            StepKind::Job { action, .. } => *action == crate::plan::JobAction::Stop,
            StepKind::Disable { .. } => !enables,
            StepKind::Approve { .. } => step.timeout.is_some(),
            // Where the deploy behind an enable is skipped, its jobs stay stopped.
            StepKind::Deploy { .. } => !step.when.tags.is_empty(),
            _ => false,
        });
        self.kept.calm = !spoils && !self.graph.waits_for_times();
    }

    /// An operator decides about an attempt.
    pub(in crate::sim) fn decides(&mut self, attempt: AttemptId) {
        self.kept.decided.insert(attempt);
    }

    fn told(&mut self, lane: Lane) -> &mut Told {
        self.kept.lanes.entry(lane).or_default()
    }

    /// It did not answer in preflight, and nothing has succeeded on it since: it may be back, and nobody knows.
    pub(super) fn is_away(&self, target: TargetIx) -> bool {
        self.kept.unreachable.contains(&target) && !self.kept.answered.contains(&target)
    }

    /// An operator takes a worker up again.
    fn retried(&mut self, target: TargetIx) {
        let lane = Lane::Worker(target);
        let broke_at = self.book(lane).broke_at;
        for step in std::mem::take(&mut self.told(lane).failed) {
            self.told(lane).spent.remove(&step);
            let stayed = self.told(lane).last.get(&step) == Some(&Last::Known(ErrorKind::NotRebooted));
            if stayed && broke_at == Some(step) {
                let itself = matches!(self.kind(lane, step), StepKind::Reboot { .. });
                let awaited = self.awaited(lane, step).map(|(reboot, _)| reboot);
                if let Some(reboot) = if itself { Some(step) } else { awaited } {
                    self.book(lane).generations.entry(reboot).or_default().1 = true;
                    self.told(lane).enter.insert(step, reboot);
                }
            }
        }
    }

    fn failed_now(&self) -> u32 {
        self.lanes.values().filter(|book| book.failed).count() as u32
    }

    fn queued_open(&self) -> Option<TargetIx> {
        let open = self.wave?;
        self.graph.target_indices().find(|target| {
            self.graph.target(*target).wave <= open
                && self.lanes.get(&Lane::Worker(*target)).is_some_and(|book| book.place == Place::Queued)
        })
    }

    /// The reboot that a wait is for: the last before it that was issued.
    fn awaited(&mut self, lane: Lane, wait: StepIx) -> Option<(StepIx, Millis)> {
        self.told(lane).reboots.range(..wait).next_back().map(|(step, at)| (*step, *at))
    }

    /// Before the other books take the fact.
    pub(super) fn promises(&mut self, at: Millis, fact: &Fact, world: &World) {
        if self.kept.times.1 != at {
            self.kept.times = (self.kept.times.1, at);
        }
        if std::mem::take(&mut self.kept.pause_due) && !matches!(fact, Fact::Paused { .. }) {
            self.breaks(
                Invariant::LegalTransitions,
                format!("a step was not done, and {fact:?} follows instead of a pause"),
            );
        }
        if self.kept.calm
            && matches!(
                fact,
                Fact::Halted { .. }
                    | Fact::StepFailed { .. }
                    | Fact::StepIgnored { .. }
                    | Fact::WorkerFailed { .. }
                    | Fact::RunFinished { end: RunEnd::Failed | RunEnd::Aborted }
            )
        {
            self.breaks(Invariant::BoundedWaits, format!("nothing went wrong, and {fact:?}"));
        }
        if matches!(
            fact,
            Fact::WaveStarted { .. }
                | Fact::WorkerSucceeded { .. }
                | Fact::WorkerFailed { .. }
                | Fact::WorkerReverted { .. }
                | Fact::RevertStuck { .. }
                | Fact::Resumed { .. }
        ) {
            self.kept.moved_at = at;
        }
        match fact {
            Fact::Preflight { checks } => {
                let gone = |(_, check): &(u32, &Check)| matches!(check, Check::Unreachable { .. });
                self.kept.unreachable = (0..).zip(checks).filter(gone).map(|(at, _)| TargetIx(at)).collect();
            }
            Fact::Issued { lane, step, intent, .. } => self.may_issue(at, *lane, *step, intent),
            Fact::Finished { attempt, outcome } => self.heard_of(*attempt, outcome),
            Fact::GateClosed { lane, step, opens, expires } => {
                self.may_begin(*lane, *step, false);
                let plan_step = &self.graph.steps(*lane)[step.index()];
                let after = |duration: std::time::Duration| at + duration.as_millis() as Millis;
                let wanted = match plan_step.kind {
                    StepKind::Pause { duration } => (Some(after(duration)), None),
                    _ => (None, plan_step.timeout.map(after)),
                };
                if wanted != (*opens, *expires) {
                    self.breaks(
                        Invariant::BoundedWaits,
                        format!("gate {step} of {lane:?}: {:?}, not {wanted:?}", (opens, expires)),
                    );
                }
            }
            Fact::Approved { lane, step, .. } => {
                let waits = self.book(*lane).gates.get(step) == Some(&None);
                if !waits || self.book(*lane).satisfied[step.index()] {
                    self.breaks(
                        Invariant::PlanOrder,
                        format!("step {step} of {lane:?} is approved and does not wait for it"),
                    );
                }
            }
            Fact::RetryScheduled { lane, step, due, reissue } => {
                self.tried_later(at, *lane, *step, *due, *reissue)
            }
            Fact::StepFailed { lane, step, error } | Fact::StepIgnored { lane, step, error } => {
                let ignored = matches!(fact, Fact::StepIgnored { .. });
                self.given_up(*lane, *step, error.kind, ignored);
            }
            Fact::WorkerFailed { target, error, .. } => {
                let reverts = self.graph.plan.rollout.on_failure == OnFailure::Revert;
                if self.book(Lane::Worker(*target)).broke_at.is_none() {
                    self.breaks(
                        Invariant::BoundedWaits,
                        format!("{target:?} fails, and no step of it has: {error:?}"),
                    );
                }
                if reverts && error.kind != ErrorKind::Unverified {
                    self.breaks(
                        Invariant::LegalTransitions,
                        format!("{target:?} fails, and the plan says to revert"),
                    );
                }
            }
            Fact::RevertStarted { target } => {
                let broke = self.book(Lane::Worker(*target)).broke_at.is_some();
                let by_plan = self.graph.plan.rollout.on_failure == OnFailure::Revert && broke;
                if !self.kept.aborted.unwrap_or(by_plan) {
                    self.breaks(
                        Invariant::LegalTransitions,
                        format!("{target:?} is reverted, and nobody asked for that"),
                    );
                }
            }
            Fact::WorkerCancelled { target } if self.kept.aborted != Some(false) => {
                self.breaks(
                    Invariant::LegalTransitions,
                    format!("{target:?} is cancelled after {:?}", self.kept.aborted),
                );
            }
            Fact::RevertStuck { target, error } => self.stuck(*target, error.kind),
            Fact::WorkerReverted { target } => {
                if self.kept.answered.contains(target) {
                    self.kept.unreachable.remove(target);
                }
                self.all_undone(*target, world);
            }
            Fact::InDoubt { attempt } => {
                if let Some((lane, step, _)) = self.issued.get(attempt).cloned()
                    && !in_doubt(self.kind(lane, step))
                {
                    self.breaks(
                        Invariant::UnknownIsNotSuccess,
                        format!("an operator is asked about step {step} of {lane:?}"),
                    );
                }
            }
            Fact::InDoubtResolved { attempt, how } => {
                let Some((lane, step, intent)) = self.issued.get(attempt).cloned() else { return };
                if matches!(intent, Intent::PowerCycle { .. }) {
                    self.waits_anew(lane, step);
                }
                let was_issued = self.told(lane).was_issued.contains(&step);
                let by_operator = self.kept.decided.contains(attempt);
                let fits = match how {
                    Resolution::Repeat => !was_issued || !in_doubt(self.kind(lane, step)),
                    _ => by_operator,
                };
                if !fits {
                    self.breaks(
                        Invariant::UnknownIsNotSuccess,
                        format!("no operator has resolved step {step} of {lane:?} like this: {how:?}"),
                    );
                }
            }
            Fact::BeforeDone | Fact::WaveStarted { .. } => {
                if !self.book(Lane::Before).satisfied.iter().all(|s| *s) {
                    self.breaks(Invariant::PlanOrder, format!("{fact:?} before all of `before`"));
                }
                self.kept.wave_open = matches!(fact, Fact::WaveStarted { .. });
                self.kept.preparing_open = *fact == Fact::BeforeDone && self.graph.plan.prepares() > 0;
                if self.kept.wave_open && (self.paused || self.kept.interrupted) {
                    self.breaks(Invariant::PauseAdmitsNobody, format!("{fact:?} while the run is held"));
                }
            }
            Fact::WaveFinished { .. } => self.kept.wave_open = false,
            Fact::WorkerAdmitted { target } => self.in_turn(at, *target),
            Fact::WorkerSucceeded { target } => {
                self.kept.unreachable.remove(target);
                let admitted = self.told(Lane::Worker(*target)).admitted_at;
                if !self.book(Lane::Worker(*target)).retried {
                    self.kept.durations.push(at - admitted);
                }
            }
            Fact::Interrupted { .. } => self.kept.interrupted = true,
            Fact::Resumed { .. } => {
                self.kept.interrupted = false;
                if !self.kept.too_many || self.failed_now() <= self.graph.numbers().max_failures.value {
                    (self.kept.halted, self.kept.too_many) = (false, false);
                }
                // Whoever went on first after a resume may go away first.
                self.kept.pending.clear();
                if let Some((lane, step)) = self.kept.halted_lane.take() {
                    self.told(lane).spent.remove(&step);
                    self.told(lane).failed.remove(&step);
                }
            }
            Fact::Retried { target, .. } => self.retried(*target),
            Fact::Reopened { targets, .. } => {
                self.kept.interrupted = true;
                (self.kept.halted, self.kept.too_many, self.kept.wave_open) = (false, false, false);
                self.kept.preparing_open = false;
                self.kept.halted_lane = None;
                for lane in [Lane::Before, Lane::After] {
                    let was_issued = std::mem::take(&mut self.told(lane).was_issued);
                    *self.told(lane) = Told { was_issued, ..Told::default() };
                }
                targets.iter().for_each(|target| self.retried(*target));
            }
            Fact::Aborted { revert, .. } => {
                if self.kept.aborted.is_some() {
                    self.breaks(Invariant::LegalTransitions, "the run is aborted twice");
                }
                self.kept.aborted.get_or_insert(*revert);
            }
            Fact::Halted { reason } => self.halts(at, reason, world),
            Fact::RunFinished { end } => self.ends(*end, world),
            _ => {}
        }
    }
}
