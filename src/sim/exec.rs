//! What stands behind the effects: each intent is carried out in the made-up world as the design of
//! the engine says that real ones are. It must not look into the engine.

use super::drive::{Event, Sim};
use super::mutation::Mutation;
use super::world::{Entry, World, boot_id, boot_number};
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
    /// It is carried out long after anybody waits for it.
    Late,
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
        let fate = if !self.fault(70) {
            Fate::Fine
        } else {
            match self.faults.below(9) {
                0..=1 => Fate::RequestLost,
                2..=3 => Fate::AnswerLost,
                4 => Fate::Late,
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
        let latency = if fate == Fate::Late {
            timeout + self.faults.between(1, 900_000)
        } else {
            self.durations.between(5, 60)
        };
        self.push(latency, Event::Arrives(Box::new(Arrival { process, order, fate })));
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
        // What the controller does itself dies with it.
        let own = matches!(
            (&order.intent, &kind),
            (Intent::UndoEnable, _)
                | (Intent::Do { .. }, StepKind::Disable { .. } | StepKind::Enable | StepKind::Build)
        );
        if own && process != self.process {
            return;
        }
        let worker = self.worker_of(order.lane);
        let away = worker.is_some_and(|worker| !self.world.host(worker).is_up());
        match &order.intent {
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
                let takes = self.durations.between(3_000, 9_000);
                self.world.join_operation(self.now, takes) - self.now
            }
            (_, StepKind::Health { .. }) => self.durations.between(300, 3_000),
            _ => self.durations.between(500, 6_000),
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

    /// The script on the worker: compare, receipt, reboot.
    fn compare_and_reboot(&mut self, arrival: &Arrival, kind: &StepKind) {
        let order = &arrival.order;
        let (Intent::Reboot { boot_id: before, generation }, Some(worker)) =
            (&order.intent, self.worker_of(order.lane))
        else {
            return;
        };
        let StepKind::Reboot { unless, .. } = kind else { return };
        if unless.is_some() && self.world.host(worker).needless {
            self.answer(arrival, Outcome::Ok { evidence: Evidence::NotNeeded });
            return;
        }
        let boot = self.world.host(worker).boot();
        let fresh = self.knobs.mutation == Some(Mutation::FreshBootId);
        if boot_id(worker, boot) != *before && !fresh {
            let boot_id = boot_id(worker, boot);
            self.answer(arrival, Outcome::Ok { evidence: Evidence::Rebooted { boot_id } });
            return;
        }
        if fresh || self.world.host_mut(worker).receipts.insert((order.step, *generation)) {
            let step = Some(order.step);
            if self.fault(150) {
                let host = self.world.host_mut(worker);
                match self.faults.below(4) {
                    0 => host.deaf += 1,
                    1 => host.dies = true,
                    2 => host.loops = true,
                    _ => {
                        let after = self.faults.between(60_000, 400_000);
                        self.push(after, Event::GoesDown { worker, boot, step });
                        host_accepts(self, arrival, worker);
                        return;
                    }
                }
            }
            let host = self.world.host_mut(worker);
            if host.deaf > 0 {
                host.deaf -= 1;
            } else {
                self.push(1_000, Event::GoesDown { worker, boot, step });
            }
        }
        host_accepts(self, arrival, worker);
    }

    pub(super) fn goes_down(&mut self, worker: WorkerIx, boot: usize, step: Option<u32>) {
        if self.world.host(worker).boot() != boot || !self.world.host(worker).is_up() {
            return;
        }
        self.world.goes_down(self.now, worker, step.is_some());
        if let Some(step) = step {
            *self.world.host_mut(worker).run_reboots.entry(step).or_default() += 1;
        }
        let host = self.world.host_mut(worker);
        if host.dies {
            // For good, unless somebody goes there: after a day.
            host.dies = false;
            self.push(86_400_000, Event::ComesUp { worker, boot });
        } else {
            let after = self.durations.between(15_000, 90_000);
            self.push(after, Event::ComesUp { worker, boot });
        }
        self.wake(worker);
    }

    pub(super) fn comes_up(&mut self, worker: WorkerIx, boot: usize) {
        let host = self.world.host(worker);
        if host.boot() != boot || host.is_up() {
            return;
        }
        self.world.comes_up(self.now, worker);
        let host = self.world.host_mut(worker);
        if host.loops {
            host.loops = false;
            let boot = host.boot();
            self.push(4_000, Event::GoesDown { worker, boot, step: None });
        }
        self.wake(worker);
    }

    fn wake(&mut self, worker: WorkerIx) {
        let process = self.process;
        for attempt in self.waiters.remove(&worker).unwrap_or_default() {
            self.push(400, Event::Polls { process, attempt });
        }
    }

    /// A waiting attempt looks at its worker.
    pub(super) fn polls(&mut self, attempt: AttemptId) {
        let Some(flight) = self.flights.get(&attempt).cloned() else { return };
        let Some(worker) = self.worker_of(flight.order.lane) else { return };
        let arrival = Arrival { process: self.process, order: flight.order.clone(), fate: Fate::Fine };
        let next = match &flight.order.intent {
            Intent::Reboot { boot_id, .. } => self.look_for_departure(&flight, worker, boot_id),
            Intent::AwaitBoot { not, reboot_step, reboot_issued } => {
                let down_within = reboot_step.map(|step| self.down_within(flight.order.lane, step));
                let give_up = reboot_issued.zip(down_within).map(|(at, within)| at + within);
                self.look_for_return(attempt, &flight, worker, not.as_deref(), give_up)
            }
            _ => return,
        };
        match next {
            Look::Over(outcome) => self.answer(&arrival, outcome),
            Look::Again(after) => {
                let process = self.process;
                self.push(after.max(1), Event::Polls { process, attempt });
                self.waits(worker, attempt);
            }
            Look::WhenItChanges => self.waits(worker, attempt),
        }
    }

    fn waits(&mut self, worker: WorkerIx, attempt: AttemptId) {
        let waiting = self.waiters.entry(worker).or_default();
        if !waiting.contains(&attempt) {
            waiting.push(attempt);
        }
    }

    fn down_within(&self, lane: Lane, step: u32) -> Millis {
        match &self.graph.steps(lane)[step as usize].kind {
            StepKind::Reboot { down_within, .. } => down_within.as_millis() as Millis,
            _ => 0,
        }
    }

    fn look_for_departure(&self, flight: &Flight, worker: WorkerIx, before: &str) -> Look {
        let host = self.world.host(worker);
        if !host.is_up() {
            return Look::Over(Outcome::Ok { evidence: Evidence::Departed });
        }
        let now = boot_id(worker, host.boot());
        if now != before {
            return Look::Over(Outcome::Ok { evidence: Evidence::Rebooted { boot_id: now } });
        }
        let until = flight.sent_at + self.down_within(flight.order.lane, flight.order.step);
        if self.now >= until {
            let error = StepError::new(ErrorKind::NotRebooted, "it accepted, and did not go");
            return Look::Over(Outcome::Failed { error });
        }
        Look::Again(until - self.now)
    }

    fn look_for_return(
        &mut self,
        attempt: AttemptId,
        flight: &Flight,
        worker: WorkerIx,
        not: Option<&str>,
        give_up: Option<Millis>,
    ) -> Look {
        let host = self.world.host(worker);
        if !host.is_up() {
            return Look::WhenItChanges;
        }
        let boot = host.boot();
        let StepKind::WaitForSsh { settle, .. } =
            &self.graph.steps(flight.order.lane)[flight.order.step as usize].kind
        else {
            return Look::WhenItChanges;
        };
        let careless = self.knobs.mutation == Some(Mutation::BootNotVerified);
        let settle = match self.knobs.mutation {
            Some(Mutation::SettleIgnored | Mutation::BootNotVerified) => 0,
            _ => settle.as_millis() as Millis,
        };
        if not == Some(boot_id(worker, boot).as_str()) && !careless {
            return match give_up {
                Some(until) if self.now >= until => {
                    let error = StepError::new(ErrorKind::NotRebooted, "it has the old boot id");
                    Look::Over(Outcome::Failed { error })
                }
                Some(until) => Look::Again(until - self.now),
                None => Look::WhenItChanges,
            };
        }
        match flight.seen {
            Some((seen, _)) if seen != boot => {
                let error = StepError::new(ErrorKind::CrashLoop, "its boot id changed again");
                Look::Over(Outcome::Failed { error })
            }
            Some((_, since)) if self.now - since >= settle => {
                Look::Over(self.is_back(worker, boot, careless, not))
            }
            Some((_, since)) => Look::Again(since + settle - self.now),
            None => {
                let now = self.now;
                if let Some(flight) = self.flights.get_mut(&attempt) {
                    flight.seen = Some((boot, now));
                }
                if settle == 0 {
                    Look::Over(self.is_back(worker, boot, careless, not))
                } else {
                    Look::Again(settle)
                }
            }
        }
    }

    fn is_back(&self, worker: WorkerIx, boot: usize, careless: bool, not: Option<&str>) -> Outcome {
        let mut id = boot_id(worker, boot);
        if careless && not.is_some_and(|not| boot_number(worker, not) == Some(boot)) {
            id = boot_id(worker, boot + 1);
        }
        Outcome::Ok { evidence: Evidence::Back { boot_id: id } }
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
        if own && arrival.process != self.process {
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

enum Look {
    Over(Outcome),
    Again(Millis),
    WhenItChanges,
}

/// The command was accepted: the attempt waits for the departure, unless its answer is lost.
fn host_accepts(sim: &mut Sim, arrival: &Arrival, worker: WorkerIx) {
    let attempt = arrival.order.attempt;
    sim.world.host_mut(worker).contacted = true;
    if arrival.fate == Fate::AnswerLost {
        let outcome = Outcome::Unknown { why: "the answer was lost".to_owned() };
        sim.push(20, Event::Answers { process: arrival.process, attempt, outcome });
    } else {
        sim.push(20, Event::Polls { process: arrival.process, attempt });
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
