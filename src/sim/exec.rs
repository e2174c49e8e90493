//! What stands behind the effects: each intent is carried out in the synthetic world as the design of
//! the engine says that real ones are. It must not look into the engine.

mod deploys;
mod guard;
mod monitor;
mod power;
mod reboot;
mod steps;
mod watch;

use std::rc::Rc;
use std::sync::Arc;

pub(super) use deploys::{Batched, DeployKind, Operation};
use guard::AtWork;
pub(super) use monitor::Monitor;
use watch::Watch;

use super::checker::Contact;
use super::drive::{Answer, Event, Sim};
use super::mutation::Mutation;
use super::plans::SECRET;
use super::world::{boot_id, boot_number};
use crate::bucket::WorkerIx;
use crate::controller::Input;
use crate::engine::{AttemptId, AttemptSpec, ErrorKind, Evidence, Intent, Millis, Outcome, StepError};
use crate::graph::{Lane, RolloutGraph, StepIx};
use crate::plan::{EnvValue, StepKind};

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InjectedFault {
    Fine,
    /// It never arrives, and nobody knows.
    RequestLost,
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is carried out, and hangs: nobody ever answers. (What arrives after its deadline is refused
    /// by the script itself.)
    Hangs,
    Fails,
    /// The answer comes twice.
    Twice,
    /// Nothing is done, and no worker is to blame.
    NotDone,
    /// No connection, although the worker is up.
    Refused,
}

/// A request on its way. It says what its controller believes: its epoch and its plan.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) process: u32,
    pub(super) epoch: u64,
    pub(super) graph: Arc<RolloutGraph>,
    pub(super) order: AttemptSpec,
    pub(super) injected: InjectedFault,
    /// The text of `disabled.json` that a careless edit was made from.
    pub(super) read: Option<Option<String>>,
}

impl Arrival {
    pub(super) fn kind(&self) -> &StepKind {
        &self.graph.steps(self.order.lane)[self.order.step.index()].kind
    }

    /// On which worker; `None`: it is for none.
    pub(super) fn worker(&self) -> Option<WorkerIx> {
        match self.order.lane {
            Lane::Worker(target) => Some(self.graph.target(target).worker),
            Lane::Before | Lane::After => None,
        }
    }

    /// Done by the controller itself, in its bucket.
    fn is_own(&self) -> bool {
        matches!(
            (&self.order.intent, self.kind()),
            (Intent::UndoEnable, _)
                | (Intent::Do { .. }, StepKind::Disable { .. } | StepKind::Enable | StepKind::Build)
        )
    }
}

/// An attempt that a living controller waits for.
#[derive(Debug)]
pub(super) struct Flight {
    request: Rc<Arrival>,
    sent_at: Millis,
    /// Of a reboot or a wait: the very machine of real runs.
    watch: Option<Box<Watch>>,
    /// Of any other step: what is at work on its worker.
    at_work: Option<Box<AtWork>>,
}

impl Sim {
    /// Whether one of the faults that are left happens here.
    pub(super) fn fault(&mut self, per_mille: u32) -> bool {
        let happens = self.faults_left > 0 && self.faults.per_mille(per_mille);
        self.faults_left -= u32::from(happens);
        happens
    }

    fn injected(&mut self, of: (Lane, StepIx)) -> InjectedFault {
        if self.config.trouble > 0 && self.faults.below(100_000) < u64::from(self.config.trouble) {
            return InjectedFault::Fails;
        }
        // Trouble comes in series: a step that had some often has the same again.
        let before = self.trouble_of.filter(|(same, _)| *same == of).map(|(_, injected)| injected);
        if !self.fault(if before.is_some() { 500 } else { 70 }) {
            return InjectedFault::Fine;
        }
        if let Some(injected) = before
            && self.faults.coin()
        {
            return injected;
        }
        let injected = self.drawn_fault();
        self.trouble_of = Some((of, injected));
        injected
    }

    fn drawn_fault(&mut self) -> InjectedFault {
        match self.faults.below(12) {
            0..=1 => InjectedFault::RequestLost,
            2..=3 => InjectedFault::AnswerLost,
            4..=5 => InjectedFault::Hangs,
            6..=7 => InjectedFault::Fails,
            8 => InjectedFault::Twice,
            9..=10 => InjectedFault::Refused,
            _ => InjectedFault::NotDone,
        }
    }

    /// The controller sends it off.
    pub(super) fn execute(
        &mut self,
        order: AttemptSpec,
        process: u32,
        epoch: u64,
        graph: &Arc<RolloutGraph>,
    ) {
        let injected = self.injected((order.lane, order.step));
        let arrival =
            Rc::new(Arrival { process, epoch, graph: Arc::clone(graph), order, injected, read: None });
        if self.config.check {
            self.checker.effect(&arrival);
        }
        if process == self.process {
            let order = &arrival.order;
            let timeout = graph.steps(order.lane)[order.step.index()].timeout;
            let timeout = timeout.map_or(600_000, |timeout| timeout.as_millis() as Millis);
            let attempt = order.attempt;
            let flight =
                Flight { request: Rc::clone(&arrival), sent_at: self.now, watch: None, at_work: None };
            self.flights.insert(attempt, flight);
            self.bound(attempt, timeout);
        }
        let latency = self.durations.between(5, 60);
        self.push(latency, Event::Arrives(arrival));
    }

    /// How long a kind of work takes: as measured, or between the bounds.
    fn takes(&mut self, what: &str, low: Millis, high: Millis) -> Millis {
        match self.measured.get(what) {
            Some(samples) if !samples.is_empty() => {
                let usual = samples[self.durations.index(samples.len())];
                // One value stands for many: give or take a fifth.
                if samples.len() == 1 {
                    self.durations.between(usual - usual / 5, usual + usual / 5)
                } else {
                    usual
                }
            }
            _ => self.durations.between(low, high),
        }
    }

    /// A worker is contacted for something.
    pub(super) fn contacts(&mut self, worker: WorkerIx, what: Contact<'_>) {
        if self.config.check {
            self.checker.contact(worker, what);
        }
    }

    /// The outcome goes to whoever asked, if he is still there.
    pub(super) fn answer(&mut self, arrival: &Arrival, outcome: Outcome) {
        self.note_done(arrival.order.attempt, &outcome);
        if arrival.injected == InjectedFault::Hangs {
            return;
        }
        let outcome = match arrival.injected {
            InjectedFault::AnswerLost => Outcome::unknown("the answer was lost"),
            _ => outcome,
        };
        if arrival.injected == InjectedFault::Twice {
            self.tells(1_500, arrival, outcome.clone());
        }
        self.tells(20, arrival, outcome);
    }

    fn note_done(&mut self, attempt: AttemptId, outcome: &Outcome) {
        if matches!(outcome, Outcome::Ok { .. }) && self.config.check {
            self.world.done.insert(attempt);
        }
    }

    /// The outcome is heard after so long.
    fn tells(&mut self, after: Millis, arrival: &Arrival, outcome: Outcome) {
        let answer = Answer { process: arrival.process, attempt: arrival.order.attempt, outcome };
        self.push(after, Event::Answers(Box::new(answer)));
    }

    pub(super) fn answered(&mut self, attempt: AttemptId, outcome: Outcome) {
        let Some(outcome) = self.looks_first(attempt, outcome) else { return };
        // A second answer finds no flight, and is told to the engine all the same: it has to cope.
        match self.flights.remove(&attempt) {
            Some(flight) => {
                let outcome = self.heard(&flight, outcome);
                self.finishes(attempt, &flight, outcome);
            }
            None => self.commit_and_dispatch(Input::Finished { attempt, outcome }),
        }
    }

    /// The controller hears how an attempt has ended.
    fn finishes(&mut self, attempt: AttemptId, flight: &Flight, outcome: Outcome) {
        if let (Some(worker), Some(id)) = (flight.request.worker(), outcome.boot_seen()) {
            self.boots_seen[worker.0 as usize] = boot_number(worker, id);
        }
        self.commit_and_dispatch(Input::Finished { attempt, outcome });
    }

    pub(super) fn timed_out(&mut self, attempt: AttemptId) {
        self.catches_up(attempt);
        let Some(sent_at) = self.flights.get(&attempt).map(|flight| flight.sent_at) else { return };
        let outcome = Outcome::TimedOut { after: self.now - sent_at, doing: "it".to_owned() };
        let Some(outcome) = self.looks_first(attempt, outcome) else { return };
        let Some(flight) = self.flights.remove(&attempt) else { return };
        let outcome = self.heard(&flight, outcome);
        self.finishes(attempt, &flight, outcome);
    }

    /// A command that was given a secret says it in all that it says; the controller masks that.
    fn heard(&self, flight: &Flight, outcome: Outcome) -> Outcome {
        if !self.config.check || !has_secret(flight.request.kind()) {
            return outcome;
        }
        let said = outcome.masked(|text| format!("{text}, says {SECRET}"));
        if self.config.mutation == Some(Mutation::SecretsTold) {
            return said;
        }
        said.masked(|text| text.replace(SECRET, "****"))
    }

    /// The controller that asked lives, and still waits for it.
    fn is_awaited(&self, arrival: &Arrival) -> bool {
        if arrival.process == self.process {
            self.flights.contains_key(&arrival.order.attempt)
        } else {
            self.awake.contains(&arrival.process)
        }
    }

    /// Whether the bucket or the worker (`None`: the bucket) refuses a controller that was replaced;
    /// else it has heard of this one.
    fn is_fenced(&mut self, arrival: &Arrival, worker: Option<WorkerIx>) -> bool {
        let careless = self.config.mutation == Some(Mutation::EpochIgnored);
        let known = worker.map_or(self.epoch(), |worker| self.world.host(worker).epoch);
        if arrival.epoch < known && !careless {
            let message = "the run was taken over";
            let error = StepError::new(ErrorKind::Controller, message);
            self.answer(arrival, Outcome::Failed { error });
            return true;
        }
        if let Some(worker) = worker {
            self.world.host_mut(worker).epoch = arrival.epoch;
        }
        if self.config.check {
            self.checker.carried_out(worker, arrival.epoch);
        }
        false
    }

    /// A request has come to where it is carried out.
    pub(super) fn arrives(&mut self, mut arrival: Rc<Arrival>) {
        // Watches take many exchanges: the fault meets the first of them.
        let watch = matches!(arrival.order.intent, Intent::Reboot { .. } | Intent::AwaitBoot { .. });
        match arrival.injected {
            InjectedFault::RequestLost | InjectedFault::Refused if watch => {}
            InjectedFault::RequestLost => {
                let why = "the connection was cut".to_owned();
                self.tells(5_000, &arrival, Outcome::unknown(why));
                return;
            }
            InjectedFault::Fails => {
                let error = StepError::new(ErrorKind::Command, "it failed");
                self.answer(&arrival, Outcome::Failed { error });
                return;
            }
            InjectedFault::Refused if arrival.worker().is_some() && !arrival.is_own() => {
                let error = StepError::new(ErrorKind::Unreachable, "no route to host");
                self.answer(&arrival, Outcome::Failed { error });
                return;
            }
            InjectedFault::NotDone => {
                self.answer(&arrival, Outcome::NotDone { reason: "the build failed".to_owned() });
                return;
            }
            _ => {}
        }
        let own = arrival.is_own();
        if own && !self.is_awaited(&arrival) {
            // What the controller does itself dies with it, and is not done once it has given up.
            return;
        }
        let worker = arrival.worker();
        let local = own || arrival.kind().is_here();
        if let Some(worker) = worker.filter(|_| !local) {
            self.contacts(worker, Contact::Step(&arrival));
            let away = !self.world.host(worker).is_up();
            match &arrival.order.intent {
                Intent::AwaitBoot { .. } if arrival.injected == InjectedFault::Hangs => return,
                Intent::AwaitBoot { .. } | Intent::Reboot { .. } => {
                    return self.begins_watch(&arrival, worker);
                }
                Intent::PowerCycle { .. } => return self.power_cycles(&arrival, worker),
                Intent::ReadBootId if away => {
                    let error = StepError::new(ErrorKind::Unreachable, "no route to host");
                    self.answer(&arrival, Outcome::Failed { error });
                    return;
                }
                Intent::ReadBootId => {
                    let host = self.world.host(worker);
                    let boot_id = boot_id(worker, host.boot());
                    let kernel = self.config.check.then(|| host.kernels.answer());
                    let kernel = kernel.as_ref().and_then(|answer| answer.running()).map(str::to_owned);
                    let evidence = Evidence::BootId { boot_id, kernel };
                    self.answer(&arrival, Outcome::Ok { evidence });
                    return;
                }
                _ if !away && self.is_fenced(&arrival, Some(worker)) => return,
                _ => {}
            }
            if let Some(kind) = DeployKind::of(&arrival) {
                return self.joins_operation(kind, arrival);
            }
        }
        match self.config.mutation {
            Some(Mutation::EditsBlindly) if own => {
                Rc::make_mut(&mut arrival).read = Some(self.world.file.text().map(str::to_owned));
            }
            Some(Mutation::WritesInPlace) if own => self.world.file.truncate(),
            _ => {}
        }
        if own && self.config.operators > 0 && self.operators.per_mille(150) {
            // Between our read and our rename.
            self.push(1, Event::OperatorEdits);
        }
        let mut takes = match (&arrival.order.intent, arrival.kind()) {
            _ if own => 2,
            (_, StepKind::Health { .. }) => self.takes("health", 300, 3_000),
            (_, kind) => self.takes(kind.keyword(), 500, 6_000),
        };
        if self.config.resets > 0 && !own && self.machines.per_mille(200) {
            // Looks beside a step meet only those that take a while.
            takes += self.machines.between(20_000, 120_000);
        }
        let after = match worker.filter(|_| !own) {
            Some(worker) => {
                let host = self.world.host_mut(worker);
                let begins = host.busy_until.max(self.now);
                host.busy_until = begins + takes;
                begins + takes - self.now
            }
            None => takes,
        };
        let boot = worker.filter(|_| !local).and_then(|worker| self.begins_work(&arrival, worker, after));
        self.push(after, Event::Works(arrival, boot));
    }

    /// The effect happens, and the answer goes off, unless the worker is in another boot than it began in.
    pub(super) fn works(&mut self, arrival: &Arrival, boot: Option<u32>) {
        let worker = arrival.worker();
        let own = arrival.is_own();
        if own && (!self.is_awaited(arrival) || self.is_fenced(arrival, None)) {
            return;
        }
        let local = own || arrival.kind().is_here();
        if let Some(worker) = worker.filter(|worker| !local && self.has_died(*worker, boot)) {
            return self.dies_with_worker(worker, arrival);
        }
        if worker.filter(|_| !local).is_some_and(|worker| !self.world.host(worker).is_up()) {
            let error = StepError::new(ErrorKind::Unreachable, "no route to host");
            self.answer(arrival, Outcome::Failed { error });
            return;
        }
        let outcome = match worker {
            Some(worker) => self.on_worker(worker, arrival),
            None => self.once(arrival),
        };
        self.answer(arrival, outcome);
    }
}

fn has_secret(kind: &StepKind) -> bool {
    kind.environment().iter().any(|(_, value)| matches!(value, EnvValue::FromEnv(_)))
}
