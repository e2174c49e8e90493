//! The driver: virtual time, the journal, and a controller that commits, then dispatches, and may die
//! in between. It asks the very engine of real runs, and decides nothing that the engine decides.

mod calendar;
mod commit_and_dispatch;
mod process;
mod reject_illegal_facts;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use calendar::{Calendar, Deadlines};
use smallvec::SmallVec;

use super::checker::Checker;
use super::config::SimConfig;
use super::exec::{Arrival, Flight, InjectedFault};
use super::rng::{Rng, Stream};
use super::world::World;
use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{
    AttemptId, AttemptMap, Effect, Fact, Millis, Options, Outcome, RunState, RunStatus, Timer,
};
use crate::graph::{Lane, RolloutGraph};

/// 2026-03-02T08:00:00Z, a Monday.
const START: Millis = 1_772_438_400_000;
/// More events than this in one run: it does not end.
const MOST_EVENTS: u64 = 50_000;
/// And so many more for each worker and step.
const MOST_EVENTS_OF_A_STEP: u64 = 200;
/// A person at rest answers after so long.
const REACTION: Millis = 60_000;

/// Something that will happen. Small, as the calendar moves them about; what is big is boxed.
#[derive(Debug)]
pub(super) enum Event {
    Start,
    Preflight {
        process: u32,
    },
    Arrives(Rc<Arrival>),
    Works(Rc<Arrival>),
    Answers(Box<Answer>),
    /// The first attempt with this time-out is due.
    Deadline {
        timeout: Millis,
    },
    Polls {
        process: u32,
        attempt: AttemptId,
    },
    Fires {
        process: u32,
        timer: Timer,
    },
    Looks {
        process: u32,
        jobs: Box<[JobIx]>,
    },
    /// A round of looks ends.
    Looked(Box<Round>),
    GoesDown {
        worker: WorkerIx,
        boot: u32,
        step: Option<u32>,
    },
    ComesUp {
        worker: WorkerIx,
        boot: u32,
    },
    Person,
    /// Somebody adds to `disabled.json`.
    PersonEdits,
    /// Somebody who has saved half of `disabled.json` saves the rest.
    Mends,
    /// What was sick on a worker is well again.
    Recovers {
        worker: WorkerIx,
    },
    Reacts,
    /// A controller that was stopped goes on.
    Wakes(Box<StalledController>),
}

/// What an attempt's controller hears.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) process: u32,
    pub(super) attempt: AttemptId,
    pub(super) outcome: Outcome,
}

/// A round of looks that is under way.
#[derive(Debug)]
pub(super) struct Round {
    process: u32,
    jobs: Vec<JobIx>,
    /// What was not well when it began.
    first: Vec<(WorkerIx, JobIx)>,
    began: Millis,
}

/// A controller that was stopped in the middle of its work.
#[derive(Debug)]
pub(super) struct StalledController {
    process: u32,
    epoch: u64,
    graph: Arc<RolloutGraph>,
    /// Effects that are durable and were not sent off yet.
    unsent: Vec<Effect>,
}

pub(super) struct Sim {
    pub(super) config: SimConfig,
    pub(super) graph: Arc<RolloutGraph>,
    /// What is stored with the run.
    engine_graph: Arc<RolloutGraph>,
    /// What a person has made of the plan's file and of `workers.json` since.
    pub(super) on_disk: Option<Arc<RolloutGraph>>,
    options: Options,
    pub(super) world: World,
    pub(super) checker: Checker,
    pub(super) now: Millis,
    calendar: Calendar,
    pub(super) rollout: Option<RunState>,
    /// Which process is the controller; answers to an older one are lost.
    pub(super) process: u32,
    /// The newest controller's, as the journal has it.
    pub(super) epoch: u64,
    /// Controllers that were replaced and live.
    pub(super) awake: BTreeSet<u32>,
    pub(super) flights: AttemptMap<Flight>,
    deadlines: BTreeMap<Millis, Deadlines>,
    /// For each worker the attempts that wait for it to go or to come.
    pub(super) waiters: Vec<SmallVec<[AttemptId; 1]>>,
    pub(super) journal: Vec<(Millis, Fact)>,
    pub(super) faults_left: u32,
    pub(super) faults: Rng,
    pub(super) crash_rng: Rng,
    pub(super) people: Rng,
    pub(super) durations: Rng,
    pub(super) recoveries: Rng,
    crashes_left: u32,
    /// Places passed at which a controller can die.
    pub(super) points: u64,
    pub(super) reactions: u32,
    reacting: bool,
    pub(super) events: u64,
    dropped_one: bool,
    /// How long kinds of work take, in milliseconds, where it is known.
    pub(super) measured: BTreeMap<String, Vec<Millis>>,
    /// How long the first in line waited, by the reason.
    pub(super) waits: Option<BTreeMap<&'static str, Millis>>,
    first_in_line: u32,
    /// Nobody answers but for approvals: the run is over when it waits for a person.
    pub(super) stops_at_rest: bool,
    /// The step that had trouble last, and which.
    pub(super) trouble_of: Option<((Lane, u32), InjectedFault)>,
    /// Commands that a person said to run again.
    pub(super) reran: BTreeSet<(Lane, u32)>,
    /// How often `local` commands ran to their end.
    pub(super) ran_here: BTreeMap<(Lane, u32), u32>,
}

impl Sim {
    pub(super) fn new(config: SimConfig, graph: Arc<RolloutGraph>) -> Self {
        let engine_graph = config.mutation.map_or_else(|| Arc::clone(&graph), |m| m.graph(&graph));
        let seed = config.seed;
        let start = START + (seed % 2016) as Millis * 300_000;
        let mut sim = Self {
            options: Options { exclusive_catalog: config.exclusive, ..Options::default() },
            world: World::new(&graph, start),
            checker: Checker::new(&graph, config.exclusive),
            now: start,
            calendar: Calendar::default(),
            rollout: None,
            process: 0,
            epoch: 1,
            awake: BTreeSet::new(),
            on_disk: None,
            flights: AttemptMap::default(),
            deadlines: BTreeMap::new(),
            waiters: vec![SmallVec::new(); graph.fleet.workers.len()],
            journal: Vec::new(),
            faults_left: config.faults,
            faults: Rng::new(seed ^ config.salt, Stream::Faults),
            crash_rng: Rng::new(seed ^ config.salt, Stream::Crashes),
            people: Rng::new(seed ^ config.salt, Stream::People),
            recoveries: Rng::new(seed ^ config.salt, Stream::Recoveries),
            durations: Rng::new(seed, Stream::Durations),
            crashes_left: config.crashes,
            points: 0,
            reactions: 0,
            reacting: false,
            events: 0,
            dropped_one: false,
            measured: BTreeMap::new(),
            waits: None,
            first_in_line: 0,
            stops_at_rest: false,
            trouble_of: None,
            reran: BTreeSet::new(),
            ran_here: BTreeMap::new(),
            config,
            graph,
            engine_graph,
        };
        if sim.config.check {
            sim.world.file.keep_text();
        }
        if sim.config.faults == 0 && sim.config.people == 0 && sim.config.trouble == 0 {
            sim.checker.is_calm();
        }
        for host in &mut sim.world.hosts {
            host.needless = sim.durations.per_mille(300);
        }
        for _ in 0..sim.config.people {
            let after = sim.people.between(0, 3_600_000);
            sim.push(after, Event::Person);
        }
        sim.push(0, Event::Start);
        sim
    }

    pub(super) fn push(&mut self, after: Millis, event: Event) {
        self.calendar.push(self.now + after.max(0), event);
    }

    /// Runs until the run has ended, or something is broken.
    pub(super) fn run(&mut self) {
        while self.checker.broken.is_none() {
            if self.is_finished() || self.is_over() {
                self.after_the_end();
                return;
            }
            let Some((at, event)) = self.calendar.pop() else {
                self.stuck();
                return;
            };
            let at = at.max(self.now);
            self.note_wait(at - self.now);
            self.now = at;
            self.events += 1;
            if self.events > self.most_events() {
                self.checker.breaks(16, format!("no end after {} events", self.most_events()));
                return;
            }
            if self.rollout.is_some() && self.dies() {
                self.falls(Vec::new());
            }
            self.happens(event);
            self.rest();
            if self.config.check {
                self.checker.instant(&self.world);
            }
        }
    }

    /// The run has stopped, and nobody will come.
    fn is_over(&self) -> bool {
        let status = || self.rollout.as_ref().map(RunState::status);
        self.stops_at_rest
            && matches!(status(), Some(RunStatus::Halted(_) | RunStatus::Interrupted | RunStatus::Paused(_)))
    }

    fn most_events(&self) -> u64 {
        let steps = self.graph.targets.len() * self.graph.plan.steps.len();
        MOST_EVENTS + MOST_EVENTS_OF_A_STEP * steps as u64
    }

    fn is_finished(&self) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| matches!(rollout.status(), RunStatus::Finished(_)))
    }

    fn stuck(&mut self) {
        let status = self.rollout.as_ref().map(RunState::status);
        self.checker.breaks(16, format!("nothing will happen any more, and the run is {status:?}"));
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Start => self.start(),
            Event::Preflight { process } if process == self.process => self.preflight(),
            Event::Arrives(arrival) => self.arrives(arrival),
            Event::Works(arrival) => self.works(&arrival),
            Event::Answers(answer) if answer.process == self.process => {
                self.answered(answer.attempt, answer.outcome);
            }
            Event::Deadline { timeout } => self.deadline(timeout),
            Event::Polls { process, attempt } if process == self.process => self.polls(attempt),
            Event::Fires { process, timer } if process == self.process => {
                self.commit_and_dispatch(Fact::Due { timer })
            }
            Event::Looks { process, jobs } if process == self.process => self.looks(jobs.into_vec()),
            Event::Looked(round) if round.process == self.process => self.looked(*round),
            Event::GoesDown { worker, boot, step } => self.goes_down(worker, boot, step),
            Event::ComesUp { worker, boot } => self.comes_up(worker, boot),
            Event::Person => self.person(),
            Event::PersonEdits => self.person_edits(),
            Event::Mends => self.world.file.mended(),
            Event::Recovers { worker } => self.world.recovers(worker),
            Event::Wakes(sleeper) => self.wakes(*sleeper),
            Event::Reacts => {
                self.reacting = false;
                self.reacts();
            }
            _ => {}
        }
    }
}
