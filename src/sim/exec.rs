//! What stands behind the effects: each intent is carried out in the made-up world as the design of
//! the engine says that real ones are. It must not look into the engine.

mod reboot;

use super::drive::{Event, Sim};
use super::mutation::Mutation;
use super::world::{Entry, World, boot_id};
use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{AttemptId, ErrorKind, Evidence, Intent, Millis, Order, Outcome, StepError};
use crate::graph::Lane;
use crate::plan::{HealthScope, JobAction, Located, StepKind};

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
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
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) process: u32,
    pub(super) order: Order,
    pub(super) fate: Fate,
}

/// An attempt that a living controller waits for.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) order: Order,
    pub(super) sent_at: Millis,
    /// The boot that was seen first while waiting, and since when.
    seen: Option<(usize, Millis)>,
}

impl Sim {
    /// Whether one of the faults that are left happens here.
    pub(super) fn fault(&mut self, per_mille: u32) -> bool {
        let happens = self.faults_left > 0 && self.faults.per_mille(per_mille);
        self.faults_left -= u32::from(happens);
        happens
    }

    pub(super) fn execute(&mut self, order: Order) {
        if self.knobs.check {
            self.checker.effect(&order);
        }
        let fate = if self.knobs.trouble > 0 && self.faults.below(100_000) < u64::from(self.knobs.trouble) {
            Fate::Fails
        } else if !self.fault(70) {
            Fate::Fine
        } else {
            match self.faults.below(9) {
                0..=1 => Fate::RequestLost,
                2..=3 => Fate::AnswerLost,
                4 => Fate::Hangs,
                5..=6 => Fate::Fails,
                7 => Fate::Twice,
                _ => Fate::NotDone,
            }
        };
        let timeout = self.graph.steps(order.lane)[order.step as usize].timeout;
        let timeout = timeout.map_or(600_000, |timeout| timeout.as_millis() as Millis);
        let (process, attempt) = (self.process, order.attempt);
        self.push(timeout, Event::TimesOut { process, attempt });
        let flight = Flight { order: order.clone(), sent_at: self.now, seen: None };
        self.flights.insert(attempt, flight);
        let latency = self.durations.between(5, 60);
        self.push(latency, Event::Arrives(Box::new(Arrival { process, order, fate })));
    }

    /// How long a kind of work takes: as measured, give or take a fifth, or between the bounds.
    fn takes(&mut self, what: &str, low: Millis, high: Millis) -> Millis {
        match self.measured.get(what) {
            Some(usual) => self.durations.between(usual - usual / 5, usual + usual / 5),
            None => self.durations.between(low, high),
        }
    }

    fn worker_of(&self, lane: Lane) -> Option<WorkerIx> {
        match lane {
            Lane::Worker(target) => Some(self.graph.target(target).worker),
            Lane::Before | Lane::After => None,
        }
    }

    /// The outcome goes to whoever asked, if he is still there.
    pub(super) fn answer(&mut self, arrival: &Arrival, outcome: Outcome) {
        let attempt = arrival.order.attempt;
        let process = arrival.process;
        if matches!(outcome, Outcome::Ok { .. }) {
            self.world.done.insert(attempt);
        }
        if arrival.fate == Fate::Hangs {
            return;
        }
        let outcome = match arrival.fate {
            Fate::AnswerLost => Outcome::Unknown { why: "the answer was lost".to_owned() },
            _ => outcome,
        };
        if arrival.fate == Fate::Twice {
            let outcome = outcome.clone();
            self.push(1_500, Event::Answers { process, attempt, outcome });
        }
        self.push(20, Event::Answers { process, attempt, outcome });
    }

    pub(super) fn answered(&mut self, attempt: AttemptId, outcome: Outcome) {
        // A second answer finds no flight, and is told to the engine all the same: it has to cope.
        self.flights.remove(&attempt);
        self.feed(crate::engine::Fact::Finished { attempt, outcome });
    }

    /// A request has come to where it is carried out.
    pub(super) fn arrives(&mut self, arrival: Arrival) {
        let Arrival { process, ref order, fate } = arrival;
        let kind = self.graph.steps(order.lane)[order.step as usize].kind.clone();
        match fate {
            Fate::RequestLost => {
                let why = "the connection was cut".to_owned();
                let attempt = order.attempt;
                self.push(5_000, Event::Answers { process, attempt, outcome: Outcome::Unknown { why } });
                return;
            }
            Fate::Fails => {
                let error = StepError::new(ErrorKind::Command, "it failed");
                self.answer(&arrival, Outcome::Failed { error });
                return;
            }
            Fate::NotDone => {
                self.answer(&arrival, Outcome::NotDone { reason: "the build failed".to_owned() });
                return;
            }
            _ => {}
        }
        let own = matches!(
            (&order.intent, &kind),
            (Intent::UndoEnable, _)
                | (Intent::Do { .. }, StepKind::Disable { .. } | StepKind::Enable | StepKind::Build)
        );
        if own && (process != self.process || !self.flights.contains_key(&order.attempt)) {
            // What the controller does itself dies with it, and is not done once it has given up.
            return;
        }
        let worker = self.worker_of(order.lane);
        let away = worker.is_some_and(|worker| !self.world.host(worker).is_up());
        match &order.intent {
            Intent::AwaitBoot { .. } if fate == Fate::Hangs => return,
            Intent::AwaitBoot { .. } => {
                let attempt = order.attempt;
                self.push(0, Event::Polls { process, attempt });
                return;
            }
            Intent::ReadBootId | Intent::Reboot { .. } if away => {
                let error = StepError::new(ErrorKind::Unreachable, "no route to host");
                self.answer(&arrival, Outcome::Failed { error });
                return;
            }
            Intent::ReadBootId => {
                let Some(worker) = worker else { return };
                let boot_id = boot_id(worker, self.world.host(worker).boot());
                self.answer(&arrival, Outcome::Ok { evidence: Evidence::BootId { boot_id } });
                return;
            }
            Intent::Reboot { .. } => {
                self.compare_and_reboot(&arrival, &kind);
                return;
            }
            _ => {}
        }
        let takes = match (&order.intent, &kind) {
            _ if own => 2,
            (Intent::UndoDeploy, _) | (Intent::Do { .. }, StepKind::Deploy { .. }) => {
                let takes = self.takes("deploy", 3_000, 9_000);
                self.world.join_operation(self.now, takes) - self.now
            }
            (_, StepKind::Health { .. }) => self.takes("health", 300, 3_000),
            (_, kind) => self.takes(kind.keyword(), 500, 6_000),
        };
        let after = match worker.filter(|_| !own) {
            Some(worker) => {
                let host = self.world.host_mut(worker);
                let begins = host.busy_until.max(self.now);
                host.busy_until = begins + takes;
                begins + takes - self.now
            }
            None => takes,
        };
        self.push(after, Event::Works(Box::new(arrival)));
    }

    /// The effect happens, and the answer goes off.
    pub(super) fn works(&mut self, arrival: Arrival) {
        let order = arrival.order.clone();
        let kind = self.graph.steps(order.lane)[order.step as usize].kind.clone();
        let worker = self.worker_of(order.lane);
        let own = matches!(
            (&order.intent, &kind),
            (Intent::UndoEnable, _)
                | (Intent::Do { .. }, StepKind::Disable { .. } | StepKind::Enable | StepKind::Build)
        );
        let alone = own || matches!(kind, StepKind::Local(_));
        if own && (arrival.process != self.process || !self.flights.contains_key(&order.attempt)) {
            return;
        }
        if let Some(worker) = worker.filter(|_| !alone) {
            self.world.host_mut(worker).contacted = true;
            if !self.world.host(worker).is_up() {
                let error = StepError::new(ErrorKind::Unreachable, "no route to host");
                self.answer(&arrival, Outcome::Failed { error });
                return;
            }
        }
        let outcome = match worker {
            Some(worker) => self.on_worker(worker, &order, &kind),
            None => self.once(&kind),
        };
        self.answer(&arrival, outcome);
    }

    fn on_worker(&mut self, worker: WorkerIx, order: &Order, kind: &StepKind) -> Outcome {
        let careless = self.knobs.mutation == Some(Mutation::EnableRemovesOthers);
        match (&order.intent, kind) {
            (Intent::UndoEnable, _) | (_, StepKind::Enable) => {
                enable(&mut self.world, worker, careless);
                said("enabled")
            }
            (Intent::UndoDeploy, _) => self.deploy(worker, None),
            (Intent::UndoStop, StepKind::Job { jobs, .. }) => {
                self.job(worker, JobAction::Start, jobs.as_deref())
            }
            (Intent::UndoCommand, _) => said("undone"),
            (_, StepKind::Disable { jobs }) => {
                let jobs = jobs.as_deref().map(|jobs| self.ixs(jobs));
                disable(&mut self.world, worker, jobs)
            }
            (_, StepKind::Deploy { jobs, .. }) => self.deploy(worker, jobs.as_deref()),
            (_, StepKind::Job { action, jobs }) => self.job(worker, *action, jobs.as_deref()),
            (_, StepKind::SyncCheck { .. }) => self.deploy(worker, None),
            (_, StepKind::Health { jobs, scope: HealthScope::Worker, .. }) => {
                let jobs = jobs.as_deref().map(|jobs| self.ixs(jobs));
                let host = self.world.host(worker);
                let sick = host.allocs.iter().any(|alloc| {
                    jobs.as_ref().is_none_or(|jobs| jobs.contains(&alloc.job))
                        && !self.world.covers(worker, alloc.job)
                        && (alloc.sick || !alloc.running)
                });
                health(sick)
            }
            (_, StepKind::Run(command)) => {
                let ran = self.world.host_mut(worker).ran.entry(order.step).or_default();
                if command.unless.is_some() && *ran > 0 {
                    return Outcome::Ok { evidence: Evidence::NotNeeded };
                }
                *ran += 1;
                if *ran > 1 && !command.idempotent && !self.reran {
                    self.checker.breaks(15, format!("step {} ran twice on {worker:?}", order.step));
                }
                said("ran")
            }
            _ => said("done"),
        }
    }

    fn once(&mut self, kind: &StepKind) -> Outcome {
        match kind {
            StepKind::Health { .. } => {
                let sick = self.graph.enabled_allocations().iter().any(|one| {
                    !self.world.covers(one.worker, one.job) && !self.world.is_well(one.worker, one.job)
                });
                health(sick)
            }
            _ => said("done"),
        }
    }

    fn ixs(&self, names: &[Located<String>]) -> Vec<JobIx> {
        let jobs = &self.graph.fleet.jobs;
        let named = |job: usize| names.iter().any(|name| name.value == jobs[job].name.as_str());
        (0..jobs.len()).filter(|job| named(*job)).map(|job| JobIx(job as u32)).collect()
    }

    fn deploy(&mut self, worker: WorkerIx, jobs: Option<&[Located<String>]>) -> Outcome {
        // Entries of the run that have vanished are put back first.
        let marks = self.world.marks.clone();
        self.world.file.extend(marks);
        let jobs = jobs.map(|jobs| self.ixs(jobs));
        self.world.deploy(worker, jobs.as_deref());
        said("deployed")
    }

    fn job(&mut self, worker: WorkerIx, action: JobAction, jobs: Option<&[Located<String>]>) -> Outcome {
        let jobs = jobs.map(|jobs| self.ixs(jobs));
        for at in 0..self.world.host(worker).allocs.len() {
            let job = self.world.host(worker).allocs[at].job;
            let wanted = jobs.as_ref().is_none_or(|jobs| jobs.contains(&job));
            if wanted && !self.world.covers(worker, job) {
                self.world.set_running(worker, at, action != JobAction::Stop);
            }
        }
        said("job")
    }
}

fn said(text: &str) -> Outcome {
    Outcome::Ok { evidence: Evidence::Said { text: text.to_owned() } }
}

fn health(sick: bool) -> Outcome {
    if sick {
        Outcome::Failed { error: StepError::new(ErrorKind::Unhealthy, "a probe fails") }
    } else {
        said("well")
    }
}

fn disable(world: &mut World, worker: WorkerIx, jobs: Option<Vec<JobIx>>) -> Outcome {
    let wanted = jobs.map_or_else(|| vec![None], |jobs| jobs.into_iter().map(Some).collect());
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for job in wanted {
        let entry = Entry { worker, job };
        let name = job.map(|job| world.graph.fleet.job(job).name.as_str().to_owned());
        if world.file.contains(&entry) && !world.marks.contains(&entry) {
            others.push(name);
        } else {
            world.file.insert(entry);
            world.marks.insert(entry);
            own.push(name);
        }
    }
    Outcome::Ok { evidence: Evidence::Disabled { own, others } }
}

fn enable(world: &mut World, worker: WorkerIx, careless: bool) {
    let marks = world.marks.clone();
    world.file.retain(|entry| entry.worker != worker || (!careless && !marks.contains(entry)));
    world.marks.retain(|entry| entry.worker != worker);
}
