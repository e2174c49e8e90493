//! Watches of workers that go down and come back: the very machines of real runs decide, and the world answers.
//!
//! While a worker is away every look fails alike, so that looks are made up for when it comes back or the time
//! is up; all others are looks of their own.

mod books;
mod kernels;
mod looks;

use std::rc::Rc;
use std::time::Duration;

use super::{Arrival, InjectedFault};
use crate::boot::{
    AUTH_REFUSED_FOR, Answer, CompareError, CompareMode, EXCHANGE, Look, LookError, LookFailure, RebootDo,
    RebootHeard, RebootMachine, RebootSpec, ReturnSpec, ReturnWatch,
};
use crate::bucket::WorkerIx;
use crate::controller::reboot_outcome;
use crate::engine::{AttemptId, ErrorKind, Intent, Millis, Outcome, StepError};
use crate::plan::StepKind;
use crate::sim::drive::{Event, Sim};
use looks::away;

/// Until a connection is refused.
const REFUSED_AFTER: Millis = 5;

#[derive(Debug)]
enum Machine {
    Reboot(RebootMachine<Why>),
    Return(ReturnWatch<Why>),
}

/// Why nothing was seen: looks that fail are many, and their words are few.
type Why = &'static str;

const NO_ROUTE: Why = "no route to host";
const LOST: Why = "the answer was lost";

/// Nothing was sent.
const CANNOT_TELL: Why = "whether it needs a reboot cannot be told";

fn error(why: Why) -> StepError {
    let kind = if why == CANNOT_TELL { ErrorKind::CannotTell } else { ErrorKind::Unreachable };
    StepError::new(kind, why)
}

/// What the machine wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Compare(CompareMode),
    AskUnless,
    Look { bound: Duration },
}

/// One machine at work.
#[derive(Debug)]
pub(super) struct Watch {
    machine: Machine,
    began: Millis,
    wish: Wish,
    /// When the wish is due, or the look that is under way began.
    due: Millis,
    /// It waits for its worker to come back.
    postponed: bool,
    /// The fault of the attempt has not met an exchange yet.
    fault_due: bool,
    /// When the worker was heard to have started the reboot command.
    told_at: Option<Millis>,
    /// By the simulator's own books: the boot that was seen well, and since when nothing spoke against it.
    well_since: Option<(String, Millis)>,
}

fn millis(duration: Duration) -> Millis {
    duration.as_millis() as Millis
}

fn since(moment: Millis, began: Millis) -> Duration {
    Duration::from_millis((moment - began).max(0) as u64)
}

fn unreached(failure: LookFailure) -> Look<Why> {
    Err(LookError { failure, error: NO_ROUTE })
}

/// What became of a wish.
enum Turn {
    /// A look has ended.
    Looked(Millis, Look<Why>),
    /// The machine of a reboot hears something.
    Heard(Millis, RebootHeard<Why>),
    /// It is under way, or waits for the worker to come back.
    UnderWay,
    /// The attempt has its answer already.
    Answered,
}

impl Sim {
    /// How long logins take and boots last differs from host to host.
    pub(in crate::sim) fn draw_logins(&mut self) {
        for at in 0..self.world.hosts.len() {
            let login = match self.durations.below(10) {
                0 => self.durations.between(2_600, 7_000),
                1 => self.durations.between(500, 2_500),
                _ => self.durations.between(20, 120),
            };
            let starting =
                if self.durations.per_mille(300) { self.durations.between(1_000, 20_000) } else { 0 };
            let host = &mut self.world.hosts[at];
            (host.login, host.starting) = (login, starting);
        }
    }

    /// A request has come to a worker that is to be watched.
    pub(super) fn begins_watch(&mut self, arrival: &Rc<Arrival>, worker: WorkerIx) {
        let attempt = arrival.order.attempt;
        let asked = arrival.process == self.process && self.flights.contains_key(&attempt);
        let (machine, wish) = match (&arrival.order.intent, arrival.kind()) {
            (Intent::Reboot { boot_id, .. }, StepKind::Reboot { unless, down_within, .. }) => {
                let spec = RebootSpec {
                    before: boot_id.clone(),
                    ask_unless: unless.is_some(),
                    down_within: *down_within,
                };
                let (machine, _) = RebootMachine::start(spec);
                let mode = if unless.is_some() { CompareMode::Look } else { CompareMode::Reboot };
                (Machine::Reboot(machine), Wish::Compare(mode))
            }
            (Intent::AwaitBoot { .. }, StepKind::WaitForSsh { .. }) => {
                let Some(watch) = self.return_watch(arrival) else { return };
                let bound = watch.bound();
                (Machine::Return(watch), Wish::Look { bound })
            }
            _ => return,
        };
        if !asked {
            // Nobody follows it any more; what was sent is carried out all the same.
            if let Wish::Compare(mode) = wish
                && self.world.host(worker).is_up()
                && !self.is_fenced(arrival, Some(worker))
            {
                self.compare_and_reboot(arrival, worker, mode);
            }
            return;
        }
        let watch = Watch {
            machine,
            began: self.now,
            wish,
            due: self.now,
            postponed: false,
            fault_due: true,
            told_at: None,
            well_since: None,
        };
        if let Some(flight) = self.flights.get_mut(&attempt) {
            flight.watch = Some(Box::new(watch));
        }
        self.watches(attempt);
    }

    /// `None`: it is no wait.
    fn return_watch(&self, arrival: &Arrival) -> Option<ReturnWatch<Why>> {
        let (
            Intent::AwaitBoot { not, reboot_step, reboot_issued, .. },
            StepKind::WaitForSsh { settle, interval, .. },
        ) = (&arrival.order.intent, arrival.kind())
        else {
            return None;
        };
        let steps = arrival.graph.steps(arrival.order.lane);
        let down_within = reboot_step.map(|step| match &steps[step.index()].kind {
            StepKind::Reboot { down_within, .. } => *down_within,
            _ => Duration::ZERO,
        });
        let watch = ReturnWatch::new(ReturnSpec {
            not: not.clone(),
            down_within: down_within.unwrap_or_default(),
            ordered_before: reboot_issued.map(|at| since(self.now, at)).unwrap_or_default(),
            grace_after_absence: Duration::ZERO,
            away_at_first: false,
            auth_refused_for: AUTH_REFUSED_FOR,
            settle: *settle,
            interval: *interval,
            timeout: steps[arrival.order.step.index()].timeout.unwrap_or(Duration::from_secs(600)),
            seed: arrival.order.attempt.0,
        });
        #[cfg(debug_assertions)]
        let watch = watch.broken(self.config.mutation.and_then(|mutation| mutation.of_the_watch()));
        Some(watch)
    }

    /// The watch is taken out of its flight while it is looked after.
    fn take_watch(&mut self, attempt: AttemptId) -> Option<(Rc<Arrival>, WorkerIx, Box<Watch>)> {
        let flight = self.flights.get_mut(&attempt)?;
        let worker = flight.request.worker()?;
        Some((Rc::clone(&flight.request), worker, flight.watch.take()?))
    }

    /// What a watch wishes is due.
    pub(in crate::sim) fn watches(&mut self, attempt: AttemptId) {
        let Some((request, worker, mut watch)) = self.take_watch(attempt) else { return };
        watch.due = self.now;
        let injected =
            if std::mem::take(&mut watch.fault_due) { request.injected } else { InjectedFault::Fine };
        let turn = match watch.wish {
            Wish::Compare(mode) => self.compares(&request, worker, mode, injected),
            Wish::AskUnless => {
                Turn::Heard(self.now + 50, RebootHeard::Unless(self.is_needless(&request, worker)))
            }
            Wish::Look { bound } => {
                watch.postponed = !self.world.host(worker).is_up();
                self.looks_at(attempt, worker, bound, injected)
            }
        };
        self.proceeds(attempt, &request, watch, turn);
    }

    /// The machine is told what became of its wish, and the watch continues or ends.
    fn proceeds(&mut self, attempt: AttemptId, request: &Rc<Arrival>, mut watch: Box<Watch>, turn: Turn) {
        if let Turn::Heard(at, RebootHeard::Compared(Ok(Answer::Pending))) = &turn {
            watch.told_at = Some(*at);
        }
        let (at, end) = match turn {
            Turn::Looked(at, look) => (at, self.looked_at(request, &mut watch, at, look)),
            Turn::Heard(at, heard) => (at, hears(request, &mut watch, at, heard)),
            Turn::UnderWay => return self.put_back(attempt, watch),
            Turn::Answered => return,
        };
        match end {
            Some(outcome) => {
                if self.config.check {
                    self.check_departure(request, &watch, at, &outcome);
                }
                self.watch_ends(attempt, at, request, outcome);
            }
            None => {
                let (process, due) = (self.process, watch.due);
                self.put_back(attempt, watch);
                self.push(due - self.now, Event::Watches { process, attempt });
            }
        }
    }

    fn put_back(&mut self, attempt: AttemptId, watch: Box<Watch>) {
        if let Some(flight) = self.flights.get_mut(&attempt) {
            flight.watch = Some(watch);
        }
    }

    fn compares(
        &mut self,
        request: &Rc<Arrival>,
        worker: WorkerIx,
        mode: CompareMode,
        injected: InjectedFault,
    ) -> Turn {
        let host = self.world.host(worker);
        if injected == InjectedFault::RequestLost {
            let heard = RebootHeard::Compared(Err(CompareError::AnswerLost(LOST)));
            return Turn::Heard(self.now + 5_000, heard);
        }
        if injected == InjectedFault::Refused || !host.is_up() {
            let (failure, takes) =
                if host.is_up() { (LookFailure::Refused, REFUSED_AFTER) } else { away(host, EXCHANGE) };
            let heard = RebootHeard::Compared(Err(CompareError::NotReached(failure, NO_ROUTE)));
            return Turn::Heard(self.now + takes, heard);
        }
        if self.is_fenced(request, Some(worker)) {
            return Turn::Answered;
        }
        let answer = self.compare_and_reboot(request, worker, mode);
        let (after, heard) = match injected {
            InjectedFault::AnswerLost => (20, Err(CompareError::AnswerLost(LOST))),
            InjectedFault::Hangs => (millis(EXCHANGE), Err(CompareError::AnswerLost(LOST))),
            _ => (20, Ok(answer)),
        };
        Turn::Heard(self.now + after, RebootHeard::Compared(heard))
    }

    fn watch_ends(&mut self, attempt: AttemptId, at: Millis, request: &Rc<Arrival>, outcome: Outcome) {
        if let Some(flight) = self.flights.get_mut(&attempt) {
            flight.watch = None;
        }
        self.note_done(attempt, &outcome);
        if request.injected == InjectedFault::Twice {
            self.tells(1_500, request, outcome.clone());
        }
        self.tells((at - self.now).max(0) + 20, request, outcome);
    }

    pub(super) fn waits(&mut self, worker: WorkerIx, attempt: AttemptId) {
        let waiting = &mut self.waiters[worker.0 as usize];
        if !waiting.contains(&attempt) {
            waiting.push(attempt);
        }
    }

    /// A worker is back: whoever waited for it catches up on the looks that it missed.
    pub(super) fn wake(&mut self, worker: WorkerIx) {
        for attempt in std::mem::take(&mut self.waiters[worker.0 as usize]) {
            self.catches_up(attempt);
        }
    }

    /// All looks up to now that found nobody.
    pub(super) fn catches_up(&mut self, attempt: AttemptId) {
        let Some((request, worker, mut watch)) = self.take_watch(attempt) else { return };
        if !watch.postponed {
            return self.put_back(attempt, watch);
        }
        while let Wish::Look { bound } = watch.wish
            && watch.due < self.now
        {
            // A look that was under way when the worker came back ends later, and is not told the future.
            let (failure, takes) = away(self.world.host(worker), bound);
            let ends = watch.due + takes;
            if let Some(outcome) = self.looked_at(&request, &mut watch, ends, unreached(failure)) {
                return self.watch_ends(attempt, ends, &request, outcome);
            }
        }
        watch.postponed = false;
        let (process, due) = (self.process, watch.due);
        self.put_back(attempt, watch);
        self.push(due - self.now, Event::Watches { process, attempt });
    }
}

impl Watch {
    fn wishes(&mut self, at: Millis, pause: Duration, wish: Wish) {
        self.wish = wish;
        self.due = at + millis(pause).max(1);
    }
}

/// The machine of a reboot hears something at `at`; answers with the end of the watch.
fn hears(request: &Arrival, watch: &mut Watch, at: Millis, heard: RebootHeard<Why>) -> Option<Outcome> {
    let now = since(at, watch.began);
    let Machine::Reboot(machine) = &mut watch.machine else { return None };
    match machine.next(now, heard) {
        RebootDo::Compare { pause, mode } => watch.wishes(at, pause, Wish::Compare(mode)),
        RebootDo::AskUnless => watch.wishes(at, Duration::ZERO, Wish::AskUnless),
        RebootDo::Look { pause, bound } => watch.wishes(at, pause, Wish::Look { bound }),
        RebootDo::Done(end) => {
            if let (Intent::Reboot { boot_id, .. }, StepKind::Reboot { command, down_within, .. }) =
                (&request.order.intent, request.kind())
            {
                let end = end.map_error(error);
                return Some(reboot_outcome("the worker", boot_id, command, *down_within, end));
            }
        }
    }
    None
}
