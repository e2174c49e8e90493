//! Steps whose worker goes down in their middle: what they had begun dies with the boot, and the very guard of real
//! runs notices it, by the cut of the connection or, where the path keeps that up, by its looks beside the step.

use std::rc::Rc;
use std::time::Duration;

use super::{Arrival, Flight};
use crate::boot::{
    LOST_LOOK_WITHIN, LookError, LookFailure, LostAnswer, Next, PATIENT_LOOK, Probe, StepGuard,
};
use crate::bucket::WorkerIx;
use crate::controller::booted_by_itself;
use crate::engine::{AttemptId, Intent, Millis, Outcome};
use crate::plan::StepKind;
use crate::sim::drive::{Event, Sim};
use crate::sim::invariant::Invariant;
use crate::sim::mutation::Mutation;
use crate::sim::world::{boot_id, boot_number};

/// So long after its worker is back a step that died with it has ended: two looks beside it, slow ones, and a port that
/// was closed for the first of them.
const NOTICED_WITHIN: Millis = 120_000;

/// A look after a lost answer meets a worker that has been up for so long.
const FOUND_WITHIN: Millis = 40_000;

/// What is at work on a worker for an attempt.
#[derive(Debug)]
pub(super) struct AtWork {
    /// The boot in which it began.
    boot: u32,
    began: Millis,
    /// One operation for many: it is not cut for one of them.
    is_shared: bool,
    /// `None`: the run has not seen a boot of this worker, or does not look beside steps of this kind.
    guard: Option<StepGuard>,
    looks: bool,
    /// Its answer was lost.
    lost: Option<Lost>,
}

#[derive(Debug)]
struct Lost {
    outcome: Outcome,
    since: Millis,
    search: LostAnswer,
}

fn duration(millis: Millis) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

fn is_lost(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. } | Outcome::TimedOut { .. })
}

impl Sim {
    /// A request begins its work on a worker, which takes so long if nothing happens; answers with the boot it is in.
    pub(super) fn begins_work(
        &mut self,
        arrival: &Rc<Arrival>,
        worker: WorkerIx,
        takes: Millis,
    ) -> Option<u32> {
        let host = self.world.host(worker);
        if !host.is_up() {
            return None;
        }
        let boot = host.boot();
        if self.resets_left > 0 && self.machines.per_mille(60) {
            // A panic in the middle of it.
            self.resets_left -= 1;
            let after = self.machines.between(0, takes);
            self.push(after, Event::GoesDown { worker, boot, step: None });
        }
        if !self.config.check || arrival.process != self.process {
            return Some(boot);
        }
        let attempt = arrival.order.attempt;
        let is_shared = matches!(arrival.kind(), StepKind::Deploy { .. });
        let guard = self.guard_of(arrival, worker);
        let first = guard.as_ref().filter(|_| !is_shared).map(|guard| guard.due(Duration::ZERO));
        let looks = first.is_some_and(|due| due < duration(takes));
        if looks && let Some(due) = first {
            self.push(due.as_millis() as Millis, Event::GuardLooks { process: arrival.process, attempt });
        }
        if let Some(flight) = self.flights.get_mut(&attempt) {
            let began = self.now;
            flight.at_work = Some(Box::new(AtWork { boot, began, is_shared, guard, looks, lost: None }));
        }
        Some(boot)
    }

    fn guard_of(&self, arrival: &Arrival, worker: WorkerIx) -> Option<StepGuard> {
        let is_looked_at = matches!(
            arrival.kind(),
            StepKind::Deploy { .. }
                | StepKind::Job { .. }
                | StepKind::Run(_)
                | StepKind::Health { .. }
                | StepKind::SyncCheck { .. }
        );
        let boot = self.boots_seen[worker.0 as usize].filter(|_| is_looked_at)?;
        Some(StepGuard::new(boot_id(worker, boot), 1))
    }

    /// What a look beside a step shows.
    fn seen_beside(&self, worker: WorkerIx, boot: u32) -> Probe {
        let up_at = self.world.host(worker).boots.last().map_or(0, |boot| boot.up_at);
        let is_trusted = self.config.mutation == Some(Mutation::OldBootsTrusted);
        let up_for = (!is_trusted).then(|| duration(self.now - up_at));
        Probe { up_for, ..Probe::settled(boot_id(worker, boot)) }
    }

    /// Whether what began in `boot` is not running any more.
    pub(super) fn has_died(&self, worker: WorkerIx, boot: Option<u32>) -> bool {
        let host = self.world.host(worker);
        boot.is_some_and(|boot| !host.is_up() || host.boot() != boot)
    }

    /// What is left of a step that died with its worker: a command may have done all that it does.
    pub(super) fn dies_with_worker(&mut self, worker: WorkerIx, arrival: &Arrival) {
        if let (Intent::Do { .. }, StepKind::Run(command)) = (&arrival.order.intent, arrival.kind())
            && !command.idempotent
            && command.unless.is_none()
        {
            *self.world.host_mut(worker).ran.of(arrival.order.step) += 1;
        }
    }

    /// A worker has gone down: connections to what was at work there break, unless the path keeps them up.
    pub(super) fn breaks_connections(&mut self, worker: WorkerIx) {
        if !self.config.check {
            return;
        }
        let (boot, holds) = (self.world.host(worker).boot(), self.world.host(worker).holds);
        let died = |flight: &Flight| {
            let here = flight.request.worker() == Some(worker);
            here && flight.at_work.as_ref().is_some_and(|work| work.boot == boot && work.lost.is_none())
        };
        let mut cut: Vec<AttemptId> =
            self.flights.iter().filter(|(_, flight)| died(flight)).map(|(attempt, _)| *attempt).collect();
        cut.sort_unstable();
        for attempt in cut {
            if !holds {
                self.loses(attempt, Outcome::unknown("the connection was cut"));
            } else if let Some(work) =
                self.flights.get_mut(&attempt).and_then(|flight| flight.at_work.as_mut())
                && !work.looks
                && !work.is_shared
                && let Some(guard) = &work.guard
            {
                work.looks = true;
                let due = work.began + guard.due(Duration::ZERO).as_millis() as Millis;
                let process = self.process;
                self.push(due - self.now, Event::GuardLooks { process, attempt });
            }
        }
    }

    /// An outcome of an attempt with work on a worker is that its answer was lost: the worker is looked at first.
    /// Answers with what is to be told at once.
    pub(super) fn looks_first(&mut self, attempt: AttemptId, outcome: Outcome) -> Option<Outcome> {
        let work = self.flights.get(&attempt).and_then(|flight| flight.at_work.as_ref());
        match work {
            // What comes now comes too late.
            Some(work) if work.lost.is_some() => None,
            Some(_) if is_lost(&outcome) => {
                self.loses(attempt, outcome);
                None
            }
            _ => Some(outcome),
        }
    }

    fn loses(&mut self, attempt: AttemptId, outcome: Outcome) {
        let (now, process) = (self.now, self.process);
        let unnoticed = self.config.mutation == Some(Mutation::ResetsUnnoticed);
        let work = self.flights.get_mut(&attempt).and_then(|flight| flight.at_work.as_mut());
        let Some(work) = work else { return };
        match work.guard.clone().filter(|_| !unnoticed) {
            Some(guard) => {
                let search = guard.lost(duration(now - work.began), LOST_LOOK_WITHIN);
                work.lost = Some(Lost { outcome, since: now, search });
                self.push(0, Event::GuardLooks { process, attempt });
            }
            None => self.concludes(attempt, outcome),
        }
    }

    /// A look beside a step begins.
    pub(in crate::sim) fn guard_looks(&mut self, attempt: AttemptId) {
        let Some(flight) = self.flights.get(&attempt) else { return };
        let Some(worker) = flight.request.worker().filter(|_| flight.at_work.is_some()) else { return };
        let host = self.world.host(worker);
        let bound = PATIENT_LOOK.as_millis() as Millis;
        let (takes, boot) = match () {
            () if !host.is_up() && (host.dark || host.holds) => (bound, None),
            () if !host.is_up() || host.refuses_at(self.now) => (5, None),
            () => (host.login.min(bound), (host.login <= bound).then(|| host.boot())),
        };
        let process = self.process;
        self.push(takes, Event::GuardLooked { process, attempt, boot, took: takes });
    }

    /// A look beside a step has ended; `boot`: the login came to its end, if the worker still has it.
    pub(in crate::sim) fn guard_looked(&mut self, attempt: AttemptId, boot: Option<u32>, took: Millis) {
        let (now, process) = (self.now, self.process);
        let Some(worker) = self.flights.get(&attempt).and_then(|flight| flight.request.worker()) else {
            return;
        };
        let host = self.world.host(worker);
        let look = match boot.filter(|boot| host.is_up() && host.boot() == *boot) {
            Some(boot) => Ok(self.seen_beside(worker, boot)),
            None if host.is_up() && boot.is_some() => {
                Err(LookError { failure: LookFailure::Lost, error: () })
            }
            None => {
                let is_silent = host.login > PATIENT_LOOK.as_millis() as Millis;
                let failure = match () {
                    () if is_silent || !host.is_up() && host.holds => LookFailure::CutShort,
                    () if !host.is_up() && host.dark => LookFailure::NoAnswer,
                    () => LookFailure::Refused,
                };
                Err(LookError { failure, error: () })
            }
        };
        let work = self.flights.get_mut(&attempt).and_then(|flight| flight.at_work.as_mut());
        let Some(work) = work else { return };
        if let Some(lost) = &work.lost {
            let since = now - lost.since;
            match lost.search.next(duration(since - took), duration(since), look) {
                Next::Done(seen) => {
                    let outcome = lost.outcome.clone();
                    self.concludes(attempt, seen.map_or(outcome, |id| booted_by_itself("the worker", id)));
                }
                Next::LookAgain { pause, .. } => {
                    self.push(pause.as_millis() as Millis, Event::GuardLooks { process, attempt });
                }
            }
            return;
        }
        let Some(guard) = &mut work.guard else { return };
        let since = now - work.began;
        let seen = guard.saw(duration(since - took), duration(since), look);
        match seen.filter(|_| self.config.mutation != Some(Mutation::ResetsUnnoticed)) {
            Some(id) => self.concludes(attempt, booted_by_itself("the worker", id)),
            None => {
                let due = work.began + guard.due(Duration::ZERO).as_millis() as Millis;
                self.push(due - now, Event::GuardLooks { process, attempt });
            }
        }
    }

    fn concludes(&mut self, attempt: AttemptId, outcome: Outcome) {
        let Some(flight) = self.flights.remove(&attempt) else { return };
        self.check_guard(&flight, &outcome);
        let outcome = self.heard(&flight, outcome);
        self.finishes(attempt, &flight, outcome);
    }

    /// What the guard has made of a step is held against what became of its worker.
    fn check_guard(&mut self, flight: &Flight, outcome: &Outcome) {
        let (Some(worker), Some(work)) = (flight.request.worker(), &flight.at_work) else { return };
        let host = self.world.host(worker);
        let of = format!("step {} of {:?}", flight.request.order.step, flight.request.order.lane);
        // It may go down again before anybody has looked: the longest time that it was there counts.
        let later = host.boots.iter().skip(work.boot as usize + 1);
        let back = later.map(|boot| boot.down_at.unwrap_or(self.now).min(self.now) - boot.up_at).max();
        let up_for =
            host.boots.last().filter(|boot| boot.down_at.is_none()).map(|boot| self.now - boot.up_at);
        let found = up_for.is_some_and(|up| up > FOUND_WITHIN);
        let named = match outcome {
            Outcome::Unknown { boot_id: Some(id), .. } => boot_number(worker, id),
            _ => None,
        };
        let what = match (named, back) {
            (Some(named), _) if named <= work.boot => {
                format!("{of} began in boot {}, and is said to have ended by boot {named}", work.boot)
            }
            (None, Some(_)) if found && work.guard.is_some() && !host.refuses_at(self.now) => {
                format!("{of} died with boot {} of its worker, and nobody says so: {outcome:?}", work.boot)
            }
            (_, Some(back)) if work.guard.is_some() && !work.is_shared && back > NOTICED_WITHIN => {
                format!(
                    "{of} died with boot {} of its worker, noticed {back} ms after it was back",
                    work.boot
                )
            }
            _ => return,
        };
        self.checker.breaks(Invariant::UnplannedBoots, what);
    }
}
