//! The driver: virtual time, a journal in memory, and the very controller of real runs, which may die between
//! a commit and what it hands out. It decides nothing that the controller or the engine decides.

mod calendar;
mod dispatch;
mod ledger;
mod process;
mod reject_illegal_facts;
mod silences;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use calendar::{Calendar, Deadlines};
use silences::Monitoring;
use smallvec::SmallVec;

use super::checker::Checker;
use super::config::SimConfig;
use super::exec::{Arrival, Batched, DeployKind, Flight, InjectedFault, Monitor, Operation};
use super::invariant::Invariant;
use super::rng::{Rng, Stream};
use super::world::{Kernels, World};
use crate::bucket::{JobIx, WorkerIx};
use crate::controller::{Batches, Controller, Input, Output};
use crate::engine::{AttemptId, AttemptMap, Fact, GatePlace, Millis, Options, Outcome, RunState, RunStatus};
use crate::graph::{Lane, RolloutGraph, StepIx, TargetSet};
use crate::plan::Reading;

pub(in crate::sim) use ledger::SimLedger;

/// 2026-03-02T08:00:00Z, a Monday.
const START: Millis = 1_772_438_400_000;
/// More events than this in one run: it does not end.
const MOST_EVENTS: u64 = 50_000;
/// And so many more for each worker and step.
const MOST_EVENTS_OF_A_STEP: u64 = 200;
/// And so many more for each time that a guard was to be measured, for this long.
const MOST_EVENTS_OF_A_MEASUREMENT: u64 = 5;
const MOST_TIME_OF_A_GUARD: Millis = 10 * 24 * 3_600_000;
/// An operator answers a run at rest after so long.
const REACTION: Millis = 60_000;

/// Something that will happen. Small, as the calendar moves them about; what is big is boxed.
#[derive(Debug)]
pub(super) enum Event {
    Start,
    Preflight {
        process: u32,
    },
    Arrives(Rc<Arrival>),
    /// The work of a request, which began in this boot of its worker, comes to its end.
    Works(Rc<Arrival>, Option<u32>),
    Answers(Box<Answer>),
    /// The first attempt with this time-out is due.
    Deadline {
        timeout: Millis,
    },
    /// What the watch of this attempt wishes next is due.
    Watches {
        process: u32,
        attempt: AttemptId,
    },
    /// A look at a worker has ended, which had this boot when it began; `None`: it was away.
    LookEnds {
        process: u32,
        attempt: AttemptId,
        boot: Option<u32>,
    },
    /// A look beside a step begins.
    GuardLooks {
        process: u32,
        attempt: AttemptId,
    },
    /// A look beside a step has ended, after so long: the boot that was logged in to.
    GuardLooked {
        process: u32,
        attempt: AttemptId,
        boot: Option<u32>,
        took: Millis,
    },
    /// A machine boots by itself.
    Resets,
    /// An operation of the catalog has ended.
    OperationEnds(Box<Operation>),
    /// A timer of the controller is due.
    Ticks {
        process: u32,
        at: Millis,
    },
    /// A measurement of a gate comes back.
    Measured {
        process: u32,
        id: u64,
        place: GatePlace,
        gate: u32,
        reading: Reading,
    },
    /// A round of looks begins: of which process, at which jobs, but for these workers.
    Looks(Box<(u32, Vec<JobIx>, TargetSet)>),
    /// A round of looks ends.
    Looked(Box<Round>),
    GoesDown {
        worker: WorkerIx,
        boot: u32,
        step: Option<StepIx>,
    },
    ComesUp {
        worker: WorkerIx,
        boot: u32,
    },
    Interferes,
    /// An operator adds to `disabled.json`.
    OperatorEdits,
    /// An operator who has saved half of `disabled.json` saves the rest.
    SavesRest,
    /// What was sick on a worker is well again.
    Recovers {
        worker: WorkerIx,
    },
    Reacts,
    /// Silences are looked at: an answer has come, or it is time to ask.
    Silences {
        process: u32,
    },
    /// A controller that was stopped continues.
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
    /// Workers that were down by the run when it began.
    skip: TargetSet,
}

/// A controller that was stopped in the middle of its work.
pub(super) struct StalledController {
    process: u32,
    controller: Controller<SimLedger>,
    /// What is durable and was not sent off yet.
    unsent: Vec<Output>,
}

impl std::fmt::Debug for StalledController {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StalledController").field("process", &self.process).finish_non_exhaustive()
    }
}

pub(super) struct Sim {
    pub(super) config: SimConfig,
    pub(super) graph: Arc<RolloutGraph>,
    /// What is stored with the run.
    engine_graph: Arc<RolloutGraph>,
    /// What an operator has made of the plan's file and of `workers.json` since.
    pub(super) on_disk: Option<Arc<RolloutGraph>>,
    options: Options,
    pub(super) world: World,
    pub(super) checker: Checker,
    pub(super) now: Millis,
    calendar: Calendar,
    pub(super) controller: Option<Controller<SimLedger>>,
    /// The controller has nothing more to do, and its process ends.
    leaving: bool,
    /// The process that has heard a signal.
    pub(super) signalled: Option<u32>,
    /// The tick of the controller that is noted.
    wakes_at: Option<Millis>,
    /// What the controller hands out; kept for its memory.
    outputs: Vec<Output>,
    /// Which process is the controller; answers to an older one are lost.
    pub(super) process: u32,
    /// Controllers that were replaced and live.
    pub(super) awake: BTreeSet<u32>,
    pub(super) flights: AttemptMap<Flight>,
    deadlines: BTreeMap<Millis, Deadlines>,
    /// For each worker the attempts that wait for it to go or to come.
    pub(super) waiters: Vec<SmallVec<[AttemptId; 1]>>,
    /// Deploys of this process that wait for the one that is under way.
    pub(super) batches: Batches<DeployKind, Batched>,
    /// End of the newest operation of the catalog, whoever began it.
    pub(super) operation_until: Millis,
    pub(super) ledger: SimLedger,
    pub(super) faults_left: u32,
    pub(super) faults: Rng,
    pub(super) operators: Rng,
    pub(super) durations: Rng,
    pub(super) recoveries: Rng,
    pub(super) machines: Rng,
    pub(super) monitor: Monitor,
    /// What BMCs do with an order.
    pub(super) power: Rng,
    /// Machines may boot by themselves so often in the middle of a step.
    pub(super) resets_left: u32,
    /// The boot of each worker that the run has seen last.
    pub(super) boots_seen: Vec<Option<u32>>,
    pub(super) reactions: u32,
    /// How often the run was taken up again after its end.
    pub(super) reopened: u32,
    reacting: bool,
    monitoring: Option<Box<Monitoring>>,
    pub(super) events: u64,
    /// How long kinds of work take, in milliseconds, where it is known.
    pub(super) measured: BTreeMap<String, Vec<Millis>>,
    /// How long the first in line waited, by the reason.
    pub(super) waits: Option<BTreeMap<&'static str, Millis>>,
    first_in_line: u32,
    /// Nobody answers but for approvals: the run is over when it waits for an operator.
    pub(super) stops_at_rest: bool,
    /// The step that had trouble last, and which.
    pub(super) trouble_of: Option<((Lane, StepIx), InjectedFault)>,
    /// Commands that an operator said to run again.
    pub(super) reran: BTreeSet<(Lane, StepIx)>,
    /// How often `local` commands ran to their end.
    pub(super) ran_here: BTreeMap<(Lane, StepIx), u32>,
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
            controller: None,
            leaving: false,
            signalled: None,
            wakes_at: None,
            outputs: Vec::new(),
            process: 0,
            awake: BTreeSet::new(),
            on_disk: None,
            flights: AttemptMap::default(),
            deadlines: BTreeMap::new(),
            waiters: vec![SmallVec::new(); graph.fleet.workers.len()],
            batches: Batches::default(),
            operation_until: 0,
            ledger: SimLedger::new(
                seed ^ config.salt,
                config.crashes,
                config.crash_at.clone(),
                config.mutation,
            ),
            faults_left: config.faults,
            faults: Rng::new(seed ^ config.salt, Stream::Faults),
            operators: Rng::new(seed ^ config.salt, Stream::Operators),
            recoveries: Rng::new(seed ^ config.salt, Stream::Recoveries),
            durations: Rng::new(seed, Stream::Durations),
            machines: Rng::new(seed ^ config.salt, Stream::Machines),
            monitor: Monitor::new(
                Rng::new(seed ^ config.salt, Stream::Monitor),
                !config.check || config.faults == 0,
            ),
            power: Rng::new(seed ^ config.salt, Stream::Bmcs),
            resets_left: config.resets.div_ceil(2),
            boots_seen: vec![None; graph.fleet.workers.len()],
            reactions: 0,
            reacting: false,
            monitoring: config.silences.then(|| Box::new(Monitoring::new(seed ^ config.salt))),
            reopened: 0,
            events: 0,
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
        let config = &sim.config;
        if config.faults + config.operators + config.trouble + config.resets == 0 {
            sim.checker.is_calm();
        }
        for host in &mut sim.world.hosts {
            host.needless = sim.durations.per_mille(300);
        }
        if sim.config.check {
            sim.draw_logins();
            let mut kernels = Rng::new(seed ^ sim.config.salt, Stream::Kernels);
            for host in &mut sim.world.hosts {
                host.kernels = Kernels::draw(&mut kernels, sim.config.faults > 0);
            }
        }
        if sim.config.holds {
            for host in &mut sim.world.hosts {
                host.holds = sim.machines.coin();
            }
        }
        for _ in 0..sim.config.resets / 2 {
            let after = sim.machines.between(0, 1_200_000);
            sim.push(after, Event::Resets);
        }
        for _ in 0..sim.config.operators {
            let after = sim.operators.between(0, 3_600_000);
            sim.push(after, Event::Interferes);
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
                if !self.is_taken_up_again() {
                    return;
                }
                self.rest();
                continue;
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
                self.checker
                    .breaks(Invariant::BoundedWaits, format!("no end after {} events", self.most_events()));
                return;
            }
            if self.controller.is_some() && self.ledger.burns() {
                self.falls(Vec::new());
            }
            self.happens(event);
            self.rest();
            if self.config.check {
                self.checker.instant(&self.world);
            }
        }
    }

    /// The state of the run in the controller's memory, where there is a controller.
    pub(super) fn state(&self) -> Option<&RunState> {
        self.controller.as_ref().map(Controller::run)
    }

    /// The controller has said that it has nothing more to do.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// The newest controller's epoch, as the journal has it.
    pub(super) fn epoch(&self) -> u64 {
        self.ledger.shared.borrow().epoch
    }

    pub(super) fn points(&self) -> u64 {
        self.ledger.passed()
    }

    /// The facts, when the run is over.
    pub(super) fn into_facts(self) -> Vec<(Millis, Fact)> {
        std::mem::take(&mut self.ledger.shared.borrow_mut().facts)
    }

    /// The run has stopped, and nobody will come.
    fn is_over(&self) -> bool {
        self.stops_at_rest
            && matches!(
                self.state().map(RunState::status),
                Some(RunStatus::Halted(_) | RunStatus::Interrupted | RunStatus::Paused(_))
            )
    }

    fn most_events(&self) -> u64 {
        let steps = self.graph.targets.len() * self.graph.plan.steps.len();
        // A guard is measured all the time, also while a worker waits for an approval or a window for days.
        let intervals =
            self.graph.plan.rollout.gates.guard.iter().map(|gate| gate.interval.as_millis() as u64);
        let measurements = intervals.map(|interval| {
            let time = self.now.saturating_sub(START).clamp(0, MOST_TIME_OF_A_GUARD).unsigned_abs();
            time / interval.max(1) * MOST_EVENTS_OF_A_MEASUREMENT
        });
        MOST_EVENTS + MOST_EVENTS_OF_A_STEP * steps as u64 + measurements.sum::<u64>()
    }

    fn is_finished(&self) -> bool {
        matches!(self.state().map(RunState::status), Some(RunStatus::Finished(_)))
    }

    fn stuck(&mut self) {
        let status = self.state().map(RunState::status);
        self.checker.breaks(
            Invariant::BoundedWaits,
            format!("nothing will happen any more, and the run is {status:?}"),
        );
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Start => self.start(),
            Event::Preflight { process } if process == self.process => self.preflight(),
            Event::Arrives(arrival) => self.arrives(arrival),
            Event::Works(arrival, boot) => self.works(&arrival, boot),
            Event::Answers(answer) if answer.process == self.process => {
                self.answered(answer.attempt, answer.outcome);
            }
            Event::Deadline { timeout } => self.deadline(timeout),
            Event::Watches { process, attempt } if process == self.process => self.watches(attempt),
            Event::LookEnds { process, attempt, boot } if process == self.process => {
                self.look_ends(attempt, boot);
            }
            Event::GuardLooks { process, attempt } if process == self.process => self.guard_looks(attempt),
            Event::GuardLooked { process, attempt, boot, took } if process == self.process => {
                self.guard_looked(attempt, boot, took);
            }
            Event::Resets => self.resets(),
            Event::OperationEnds(operation) => self.operation_ends(*operation),
            Event::Ticks { process, at } if process == self.process => self.ticks(at),
            Event::Measured { process, id, place, gate, reading } if process == self.process => {
                self.checker.measured(self.now, place, gate, reading);
                self.commit_and_dispatch(Input::Measured { id, reading, says: "measured".to_owned() });
            }
            Event::Looks(look) if look.0 == self.process => {
                let (_, jobs, skip) = *look;
                self.looks(jobs, skip);
            }
            Event::Looked(round) if round.process == self.process => self.looked(*round),
            Event::GoesDown { worker, boot, step } => self.goes_down(worker, boot, step),
            Event::ComesUp { worker, boot } => self.comes_up(worker, boot),
            Event::Interferes => self.interferes(),
            Event::OperatorEdits => self.operator_edits(),
            Event::SavesRest => self.world.file.saves_rest(),
            Event::Recovers { worker } => self.world.recovers(worker),
            Event::Silences { process } if process == self.process => self.silences_are_due(),
            Event::Wakes(sleeper) => self.wakes(*sleeper),
            Event::Reacts => {
                self.reacting = false;
                self.reacts();
            }
            _ => {}
        }
    }
}
