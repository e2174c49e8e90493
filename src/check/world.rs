//! One state of a run: the engine's, what it has asked for, and the books.

use std::sync::Arc;

use super::books::Books;
use super::promise::Promises;
use crate::bucket::JobIx;
use crate::engine::{
    ApplyError, AttemptSpec, Check, Effect, ErrorKind, Evidence, Fact, GatePlace, GateStanding, Intent,
    LaneWait, Millis, Options, Outcome, RunPhase, RunState, RunStatus, StepError, Timer,
};
use crate::graph::{Lane, RolloutGraph, StepIx, StepRef, TargetIx, TargetSet};
use crate::plan::StepKind;

/// Longer than a look at jobs counts.
const A_WHILE_MS: Millis = 31_000;
/// Of a lane, or of the run, in one go: more is a loop of the engine's.
const MOST_FACTS: u32 = 10_000;

/// How a worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// The step that fails; `None`: all end well.
    pub(super) fails_at: Option<StepIx>,
    /// What undoes its steps fails, too.
    pub(super) is_stuck: bool,
    /// It comes soon after what was before, so that a look at jobs still counts.
    pub(super) soon: bool,
}

/// A look at jobs that is under way.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) jobs: Vec<JobIx>,
    /// Workers that were under way during the look.
    pub(super) disturbed: TargetSet,
}

/// A state.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) run: RunState,
    pub(super) books: Books,
    now: Millis,
    open: Vec<AttemptSpec>,
    timers: Vec<(Millis, Timer)>,
    pub(super) look: Option<Look>,
}

/// The engine does what no run may: a bug, which is told as such.
#[derive(Clone, Debug)]
pub(super) struct Bug(pub(super) String);

/// Who is told of each fact that is new, and of the books behind it.
pub(super) struct Witness<'p, 'w> {
    /// What facts are noted with.
    pub(super) promised: &'p RolloutGraph,
    pub(super) told: &'w mut dyn FnMut(&Fact, &Books),
}

impl World {
    /// Preflight is over, and the first workers have started. Workers of `away` did not answer.
    pub(super) fn begin(
        graph: &Arc<RolloutGraph>,
        promises: &Promises<'_>,
        away: &[TargetIx],
        told: &mut Witness<'_, '_>,
    ) -> Result<Self, Bug> {
        let mut world = Self {
            run: RunState::new(Arc::clone(graph), Options { exclusive_catalog: false, time_scale: 1 }),
            books: promises.books(),
            now: 0,
            open: Vec::new(),
            timers: Vec::new(),
            look: None,
        };
        let workers = graph.targets.len() as u32;
        world.tell(Fact::RunStarted { workers, graph_hash: String::new(), seed: 0 }, told)?;
        let check = |target: TargetIx| {
            if graph.target(target).already_disabled {
                Check::LeftAlone { reason: String::new() }
            } else if away.contains(&target) {
                Check::Unreachable { error: StepError::new(ErrorKind::Unreachable, "it does not answer") }
            } else {
                Check::Ready { boot_id: "boot-0".to_owned(), state_dir: String::new() }
            }
        };
        world.tell(Fact::Preflight { checks: graph.target_indices().map(check).collect() }, told)?;
        world.settle(told)?;
        Ok(world)
    }

    fn tell(&mut self, fact: Fact, told: &mut Witness<'_, '_>) -> Result<(), Bug> {
        let decision = self.run.apply(self.now, fact).map_err(|error| {
            Bug(match error {
                ApplyError::Refused(why) | ApplyError::Broken(why) => why.to_string(),
            })
        })?;
        for fact in &decision.facts {
            self.books.note(told.promised, fact);
            (told.told)(fact, &self.books);
        }
        for effect in decision.effects {
            match effect {
                Effect::Execute(spec) => {
                    if let (Lane::Worker(target), Some(look)) = (spec.lane, &mut self.look) {
                        look.disturbed.insert(target);
                    }
                    self.open.push(spec);
                }
                Effect::Wake { at, timer } => self.timers.push((at, timer)),
                Effect::Observe { jobs } => {
                    self.look = Some(Look { jobs, disturbed: self.run.active().clone() });
                }
            }
        }
        // Gates hold a rollout back and let nothing more go down: they pass.
        let standing = GateStanding::Passed;
        let waits = |place: &GatePlace| {
            let asked = *place == GatePlace::Guard && self.run.guard_is_asked();
            asked || self.run.gate_standing(*place) != Some(standing)
        };
        match self.run.wants_measured(self.now).into_iter().find(waits) {
            Some(place) => self.tell(Fact::GateMeasured { place, standing, says: String::new() }, told),
            None => Ok(()),
        }
    }

    /// A worker goes to its end; `false`: it cannot, as something keeps it from its next step.
    pub(super) fn end(
        &mut self,
        target: TargetIx,
        ending: Ending,
        told: &mut Witness<'_, '_>,
    ) -> Result<bool, Bug> {
        let lane = Lane::Worker(target);
        let mut waited = ending.soon;
        let prepares = self.run.is_preparing(target);
        for _ in 0..MOST_FACTS {
            // One that was prepared may have started at once.
            if !self.run.active().contains(target) || prepares && !self.run.is_preparing(target) {
                self.settle(told)?;
                return Ok(true);
            }
            let fails = |spec: &AttemptSpec| {
                let undo = spec.intent.is_undo();
                undo && ending.is_stuck
                    || !undo && ending.fails_at == Some(spec.step) && spec.intent != Intent::ReadBootId
            };
            // What is in flight beside a step that fails ends first.
            let mine = |spec: &&AttemptSpec| spec.lane == lane;
            let last = self.open.iter().filter(mine).max_by_key(|spec| (!fails(spec), spec.attempt));
            if let Some(spec) = last.cloned() {
                let fails = fails(&spec);
                let (done, of) = self.run.steps_done(lane);
                if !waited && (fails || done + 1 == of && spec.intent != Intent::ReadBootId) {
                    self.now += A_WHILE_MS;
                    waited = true;
                }
                self.finish(&spec, fails, told)?;
            } else if !self.open_gate(lane, told)? {
                return Ok(false);
            }
        }
        Err(Bug(format!("the steps of {} do not end", self.run.graph().host(target))))
    }

    fn finish(&mut self, spec: &AttemptSpec, fails: bool, told: &mut Witness<'_, '_>) -> Result<(), Bug> {
        self.open.retain(|open| open.attempt != spec.attempt);
        let outcome = if fails {
            // One of those that no other attempt can help.
            Outcome::Failed { error: StepError::new(ErrorKind::Fenced, "it fails") }
        } else {
            Outcome::Ok { evidence: self.evidence(spec) }
        };
        self.tell(Fact::Finished { attempt: spec.attempt, outcome }, told)
    }

    fn evidence(&self, spec: &AttemptSpec) -> Evidence {
        let boot_id = format!("boot-{}", spec.attempt.0);
        match &spec.intent {
            Intent::ReadBootId => Evidence::BootId { boot_id, kernel: None },
            Intent::Reboot { .. } => Evidence::Departed,
            Intent::AwaitBoot { .. } => Evidence::Back { boot_id, kernel: None },
            Intent::Do { .. } => {
                match self.run.graph().step(StepRef { lane: spec.lane, step: spec.step }).kind {
                    StepKind::Disable { .. } => Evidence::Disabled { own: vec![None], others: Vec::new() },
                    _ => Evidence::note(String::new()),
                }
            }
            // None of its failures leaves a worker away.
            Intent::PowerCycle { .. } => Evidence::Answers { what: String::new() },
            Intent::UndoEnable | Intent::UndoDeploy | Intent::UndoStop | Intent::UndoCommand => {
                Evidence::note(String::new())
            }
        }
    }

    /// Opens what a lane waits for: an operator approves, time passes; `false`: it waits for nothing.
    fn open_gate(&mut self, lane: Lane, told: &mut Witness<'_, '_>) -> Result<bool, Bug> {
        let (step, due) = match self.run.lane_wait(lane) {
            None | Some(LaneWait::Decision { .. }) => return Ok(false),
            Some(LaneWait::Gate { step, opens: None, .. }) => {
                self.tell(Fact::Approved { lane, step, by: String::new() }, told)?;
                return Ok(true);
            }
            Some(LaneWait::Gate { step, opens: Some(due), .. }) => (Timer::Gate { lane, step }, due),
            Some(LaneWait::Retry { step, due }) => (Timer::Retry { lane, step }, due),
        };
        self.now = self.now.max(due);
        self.timers.retain(|(_, timer)| *timer != step);
        self.tell(Fact::Due { timer: step }, told)?;
        Ok(true)
    }

    /// The steps of the run itself and the soak between waves.
    fn settle(&mut self, told: &mut Witness<'_, '_>) -> Result<(), Bug> {
        for _ in 0..MOST_FACTS {
            let own = |spec: &&AttemptSpec| !matches!(spec.lane, Lane::Worker(_));
            if let Some(spec) = self.open.iter().find(own).cloned() {
                self.finish(&spec, false, told)?;
                continue;
            }
            if let Some(due) = self.run.soaks_until() {
                let soak = |timer: &Timer| matches!(timer, Timer::Soak { .. });
                let Some(at) = self.timers.iter().position(|(_, timer)| soak(timer)) else { return Ok(()) };
                let (_, timer) = self.timers.swap_remove(at);
                self.now = self.now.max(due);
                self.tell(Fact::Due { timer }, told)?;
                continue;
            }
            let of_phase = match self.run.phase() {
                RunPhase::Before => Lane::Before,
                RunPhase::After => Lane::After,
                _ => return Ok(()),
            };
            if !self.open_gate(of_phase, told)? {
                return Ok(());
            }
        }
        Err(Bug("the steps of the run itself do not end".to_owned()))
    }

    /// The look at jobs ends: all is well, but of workers that came back meanwhile nothing is known. `false`: there is none.
    pub(super) fn look_ends(&mut self, told: &mut Witness<'_, '_>) -> Result<bool, Bug> {
        let Some(Look { jobs, disturbed }) = self.look.take() else { return Ok(false) };
        let graph = Arc::clone(self.run.graph());
        let mut unavailable = Vec::new();
        for target in disturbed.iter().filter(|target| !self.run.active().contains(*target)) {
            let target = graph.target(target);
            let asked = target.jobs.iter().filter(|job| jobs.contains(job));
            unavailable.extend(asked.map(|job| (target.worker, *job)));
        }
        self.tell(self.run.observation(jobs, unavailable, 0), told)?;
        self.settle(told)?;
        Ok(true)
    }

    /// Admission is asked again, as it wanted to be; `false`: it did not.
    pub(super) fn asks_again(&mut self, told: &mut Witness<'_, '_>) -> Result<bool, Bug> {
        let is_it = |(_, timer): &(Millis, Timer)| *timer == Timer::Admission;
        let Some(at) = self.timers.iter().position(is_it) else { return Ok(false) };
        let (due, timer) = self.timers.swap_remove(at);
        self.now = self.now.max(due);
        self.tell(Fact::Due { timer }, told)?;
        self.settle(told)?;
        Ok(true)
    }

    pub(super) fn wants_to_ask(&self) -> bool {
        self.timers.iter().any(|(_, timer)| *timer == Timer::Admission)
    }

    pub(super) fn now(&self) -> Millis {
        self.now
    }

    /// The run is over, or has stopped and waits for an operator.
    pub(super) fn status(&self) -> RunStatus {
        self.run.status()
    }
}
