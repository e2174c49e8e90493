//! The driver: virtual time, the journal, and a controller that commits, then dispatches, and may die
//! in between. It asks the very engine of real runs, and decides nothing that the engine decides.

mod process;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::checker::Checker;
use super::exec::{Arrival, Flight};
use super::knobs::Knobs;
use super::mutation::Mutation;
use super::random::{Dice, Stream};
use super::world::World;
use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{
    AttemptId, Effect, Evidence, Fact, Life, Millis, Options, Outcome, Rollout, Standing, Timer,
};
use crate::graph::{RolloutGraph, TargetIx};
use crate::policy::{Reason, Verdict};

/// 2026-03-02T08:00:00Z, a Monday.
const START: Millis = 1_772_438_400_000;
/// More events than this in one run: it does not end.
const MOST_EVENTS: u64 = 50_000;
/// And so many more for each worker and step.
const MOST_EVENTS_OF_A_STEP: u64 = 200;
/// A person at rest answers after so long.
const REACTION: Millis = 60_000;

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Event {
    Start,
    Preflight { process: u32 },
    Arrives(Box<Arrival>),
    Works(Box<Arrival>),
    Answers { process: u32, attempt: AttemptId, outcome: Outcome },
    TimesOut { process: u32, attempt: AttemptId },
    Polls { process: u32, attempt: AttemptId },
    Fires { process: u32, timer: Timer },
    Looks { process: u32, jobs: Vec<JobIx> },
    GoesDown { worker: WorkerIx, boot: usize, step: Option<u32> },
    ComesUp { worker: WorkerIx, boot: usize },
    Person,
    Reacts,
}

struct Scheduled {
    at: Millis,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

pub(super) struct Sim {
    pub(super) knobs: Knobs,
    pub(super) graph: Arc<RolloutGraph>,
    engine_graph: Arc<RolloutGraph>,
    options: Options,
    pub(super) world: World,
    pub(super) checker: Checker,
    pub(super) now: Millis,
    queue: BinaryHeap<Reverse<Scheduled>>,
    numbered: u64,
    pub(super) rollout: Option<Rollout>,
    /// Which process is the controller; answers to an older one are lost.
    pub(super) process: u32,
    pub(super) flights: BTreeMap<AttemptId, Flight>,
    pub(super) waiters: BTreeMap<WorkerIx, Vec<AttemptId>>,
    pub(super) journal: Vec<(Millis, Fact)>,
    pub(super) faults_left: u32,
    pub(super) faults: Dice,
    pub(super) crash_dice: Dice,
    pub(super) people: Dice,
    pub(super) durations: Dice,
    crashes_left: u32,
    /// Places passed at which a controller can die.
    pub(super) points: u64,
    pub(super) reactions: u32,
    reacting: bool,
    pub(super) events: u64,
    dropped_one: bool,
    /// How long kinds of work take, in milliseconds, where it is known.
    pub(super) measured: BTreeMap<String, Millis>,
    /// How long the first in line waited, by the reason.
    pub(super) waits: Option<BTreeMap<&'static str, Millis>>,
    first_in_line: u32,
    /// Nobody answers but for approvals: the run is over when it waits for a person.
    pub(super) stops_at_rest: bool,
    /// A person said to run a command again.
    pub(super) reran: bool,
}

impl Sim {
    pub(super) fn new(knobs: Knobs, graph: Arc<RolloutGraph>) -> Self {
        let engine_graph = knobs.mutation.map_or_else(|| Arc::clone(&graph), |m| m.graph(&graph));
        let seed = knobs.seed;
        let start = START + (seed % 2016) as Millis * 300_000;
        let mut sim = Self {
            options: Options { exclusive_catalog: knobs.exclusive, ..Options::default() },
            world: World::new(&graph, start),
            checker: Checker::new(&graph, knobs.exclusive),
            now: start,
            queue: BinaryHeap::new(),
            numbered: 0,
            rollout: None,
            process: 0,
            flights: BTreeMap::new(),
            waiters: BTreeMap::new(),
            journal: Vec::new(),
            faults_left: knobs.faults,
            faults: Dice::new(seed ^ knobs.salt, Stream::Faults),
            crash_dice: Dice::new(seed ^ knobs.salt, Stream::Crashes),
            people: Dice::new(seed ^ knobs.salt, Stream::People),
            durations: Dice::new(seed, Stream::Durations),
            crashes_left: knobs.crashes,
            points: 0,
            reactions: 0,
            reacting: false,
            events: 0,
            dropped_one: false,
            measured: BTreeMap::new(),
            waits: None,
            first_in_line: 0,
            stops_at_rest: false,
            reran: false,
            knobs,
            graph,
            engine_graph,
        };
        for host in &mut sim.world.hosts {
            host.needless = sim.durations.per_mille(300);
        }
        for _ in 0..sim.knobs.people {
            let after = sim.people.between(0, 3_600_000);
            sim.push(after, Event::Person);
        }
        sim.push(0, Event::Start);
        sim
    }

    pub(super) fn push(&mut self, after: Millis, event: Event) {
        self.numbered += 1;
        let at = self.now + after.max(0);
        self.queue.push(Reverse(Scheduled { at, number: self.numbered, event }));
    }

    /// Runs until the run has ended, or something is broken.
    pub(super) fn run(&mut self) {
        while self.checker.broken.is_none() {
            if self.is_finished() || self.is_over() {
                self.after_the_end();
                return;
            }
            let Some(Reverse(next)) = self.queue.pop() else {
                self.stuck();
                return;
            };
            let at = next.at.max(self.now);
            self.note_wait(at - self.now);
            self.now = at;
            self.events += 1;
            if self.events > self.most_events() {
                self.checker.breaks(16, format!("no end after {} events", self.most_events()));
                return;
            }
            if self.rollout.is_some() && self.dies() {
                self.crash();
            }
            self.happens(next.event);
            self.rest();
        }
    }

    /// The run has stopped, and nobody will come.
    fn is_over(&self) -> bool {
        let standing = || self.rollout.as_ref().map(Rollout::standing);
        self.stops_at_rest
            && matches!(standing(), Some(Standing::Halted(_) | Standing::Interrupted | Standing::Paused(_)))
    }

    fn most_events(&self) -> u64 {
        let steps = self.graph.targets.len() * self.graph.plan.steps.len();
        MOST_EVENTS + MOST_EVENTS_OF_A_STEP * steps as u64
    }

    fn is_finished(&self) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| matches!(rollout.standing(), Standing::Finished(_)))
    }

    /// What the first in line waits for until the next event.
    fn note_wait(&mut self, passes: Millis) {
        let (Some(waits), Some(rollout)) = (&mut self.waits, &self.rollout) else { return };
        let count = self.graph.targets.len() as u32;
        while self.first_in_line < count && rollout.life(TargetIx(self.first_in_line)) != Life::Queued {
            self.first_in_line += 1;
        }
        if passes == 0 || self.first_in_line == count {
            return;
        }
        let why = match rollout.verdict(TargetIx(self.first_in_line), self.now) {
            Some(Verdict::Wait(reason) | Verdict::Refuse(reason)) => match reason {
                Reason::Wave { .. } => "wave",
                Reason::Concurrency { .. } => "concurrency",
                Reason::Spread { .. } => "spread",
                Reason::Budget { .. } => "budget",
                Reason::Observation { .. } => "observation",
                Reason::Window { .. } | Reason::WindowTooShort { .. } => "window",
                Reason::Failures { .. } => "failures",
                Reason::Paused => "paused",
            },
            Some(Verdict::Admit) | None => "turn",
        };
        *waits.entry(why).or_default() += passes;
    }

    fn stuck(&mut self) {
        let standing = self.rollout.as_ref().map(Rollout::standing);
        self.checker.breaks(16, format!("nothing will happen any more, and the run is {standing:?}"));
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Start => self.start(),
            Event::Preflight { process } if process == self.process => self.preflight(),
            Event::Arrives(arrival) => self.arrives(*arrival),
            Event::Works(arrival) => self.works(*arrival),
            Event::Answers { process, attempt, outcome } if process == self.process => {
                self.answered(attempt, outcome);
            }
            Event::TimesOut { process, attempt } if process == self.process => {
                if let Some(flight) = self.flights.remove(&attempt) {
                    let after = self.now - flight.sent_at;
                    let outcome = Outcome::TimedOut { after, doing: "it".to_owned() };
                    self.feed(Fact::Finished { attempt, outcome });
                }
            }
            Event::Polls { process, attempt } if process == self.process => self.polls(attempt),
            Event::Fires { process, timer } if process == self.process => self.feed(Fact::Due { timer }),
            Event::Looks { process, jobs } if process == self.process => self.looks(jobs),
            Event::GoesDown { worker, boot, step } => self.goes_down(worker, boot, step),
            Event::ComesUp { worker, boot } => self.comes_up(worker, boot),
            Event::Person => self.person(),
            Event::Reacts => {
                self.reacting = false;
                self.reacts();
            }
            _ => {}
        }
    }

    /// Whether the controller dies here.
    fn dies(&mut self) -> bool {
        self.points += 1;
        if self.knobs.crash_at.contains(&self.points) {
            return true;
        }
        let dies = self.crashes_left > 0 && self.crash_dice.per_mille(25);
        self.crashes_left -= u32::from(dies);
        dies
    }

    pub(super) fn crash(&mut self) {
        self.process += 1;
        if self.knobs.mutation != Some(Mutation::MemoryTrusted) {
            self.rollout = None;
        }
        self.flights.clear();
        self.waiters.clear();
        let after =
            if self.knobs.crash_at.is_empty() { self.crash_dice.between(100, 600_000) } else { 5_000 };
        self.push(after, Event::Start);
    }

    /// Takes a new fact: commit, then dispatch.
    pub(super) fn feed(&mut self, fact: Fact) {
        if let Err(why) = self.try_feed(fact) {
            self.checker.breaks(14, format!("the engine refuses a fact of the driver: {why}"));
        }
    }

    pub(super) fn try_feed(&mut self, fact: Fact) -> Result<(), String> {
        let fact = self.distort(fact);
        let Some(rollout) = &mut self.rollout else { return Ok(()) };
        if self.knobs.mutation == Some(Mutation::PauseIgnored) && matches!(fact, Fact::Paused { .. }) {
            self.commit(vec![fact]);
            return Ok(());
        }
        if self.knobs.mutation == Some(Mutation::FailureSwallowed)
            && matches!(&fact, Fact::Finished { outcome: Outcome::Failed { .. }, .. })
        {
            return Ok(());
        }
        let all = rollout.apply(self.now, fact).map_err(|illegal| illegal.to_string())?;
        if self.dies() {
            self.crash();
            return Ok(());
        }
        let early = self.knobs.mutation == Some(Mutation::EffectsFirst);
        if !early {
            self.commit(all.facts.clone());
            if self.dies() {
                self.check_replay();
                self.crash();
                return Ok(());
            }
        }
        for effect in all.effects {
            self.dispatch(effect);
            if self.dies() {
                self.crash();
                return Ok(());
            }
        }
        if early {
            self.commit(all.facts);
        }
        Ok(())
    }

    fn distort(&mut self, fact: Fact) -> Fact {
        match (self.knobs.mutation, fact) {
            (Some(Mutation::UnknownIsOk), Fact::Finished { attempt, outcome: Outcome::Unknown { .. } }) => {
                let evidence = self.invented_evidence(attempt);
                Fact::Finished { attempt, outcome: Outcome::Ok { evidence } }
            }
            (Some(Mutation::ObservationsInvented), Fact::Observed { jobs, took, .. }) => {
                Fact::Observed { jobs, unavailable: Vec::new(), took }
            }
            (_, fact) => fact,
        }
    }

    fn invented_evidence(&self, attempt: AttemptId) -> Evidence {
        use crate::engine::Intent;
        let issued = self.journal.iter().rev().find_map(|(_, fact)| match fact {
            Fact::Issued { attempt: a, lane, step, intent } if *a == attempt => Some((*lane, *step, intent)),
            _ => None,
        });
        let boot_id = "invented".to_owned();
        match issued {
            Some((_, _, Intent::ReadBootId)) => Evidence::BootId { boot_id },
            Some((_, _, Intent::Reboot { .. })) => Evidence::Departed,
            Some((_, _, Intent::AwaitBoot { .. })) => Evidence::Back { boot_id },
            Some((lane, step, Intent::Do { .. }))
                if matches!(
                    self.graph.steps(lane)[step as usize].kind,
                    crate::plan::StepKind::Disable { .. }
                ) =>
            {
                Evidence::Disabled { own: vec![None], others: Vec::new() }
            }
            _ => Evidence::Said { text: "done".to_owned() },
        }
    }

    fn commit(&mut self, facts: Vec<Fact>) {
        let lossy = self.knobs.mutation == Some(Mutation::FactLost);
        for fact in facts {
            if lossy && !self.dropped_one && matches!(fact, Fact::Finished { .. }) && self.journal.len() > 6 {
                self.dropped_one = true;
                continue;
            }
            let at = self.now;
            if self.knobs.check {
                self.checker.fact(at, &fact, &self.world);
            }
            self.journal.push((at, fact));
        }
    }

    fn dispatch(&mut self, effect: Effect) {
        match effect {
            Effect::Execute(order) => self.execute(order),
            Effect::Wake { at, timer } => {
                let lost = self.knobs.mutation == Some(Mutation::TimersLost) && self.process > 0;
                if !lost {
                    let process = self.process;
                    self.push(at - self.now, Event::Fires { process, timer });
                }
            }
            Effect::Observe { jobs } => {
                let (process, after) = (self.process, self.durations.between(200, 2_000));
                self.push(after, Event::Looks { process, jobs });
            }
        }
    }

    fn looks(&mut self, jobs: Vec<JobIx>) {
        let mut unavailable = Vec::new();
        for one in self.graph.enabled_allocations() {
            if jobs.contains(&one.job) && !self.world.is_well(one.worker, one.job) {
                unavailable.push((one.worker, one.job));
            }
        }
        self.feed(Fact::Observed { jobs, unavailable, took: 0 });
    }
}
