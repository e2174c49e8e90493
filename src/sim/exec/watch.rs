//! Watches of workers that go down and come back: the very machines of real runs decide, and the world answers.
//!
//! While a worker is away every look fails alike, so that looks are computed for when it comes back or the time
//! is up; all others are looks of their own.

use std::rc::Rc;
use std::time::Duration;

use super::super::invariant::Invariant;
use super::{Arrival, InjectedFault};
use crate::boot::{
    CompareError, CompareMode, EXCHANGE, Look, LookError, LookFailure, Next, Probe, RebootDo, RebootHeard,
    RebootMachine, RebootSpec, Return, ReturnSpec, ReturnWatch,
};
use crate::bucket::WorkerIx;
use crate::controller::{reboot_outcome, return_outcome};
use crate::engine::{AttemptId, ErrorKind, Intent, Millis, Outcome, StepError};
use crate::plan::StepKind;
use crate::sim::drive::{Event, Sim};
use crate::sim::world::boot_id;

/// A login that takes no longer than this is over before anything else happens.
const AT_ONCE: Millis = 200;

/// Until a connection is refused.
const REFUSED_AFTER: Millis = 5;

#[derive(Debug)]
enum Machine {
    Reboot(RebootMachine<StepError>),
    Return(ReturnWatch<StepError>),
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
    /// By the simulator's own books: the boot that was seen well, and since when nothing spoke against it.
    well_since: Option<(String, Millis)>,
}

fn millis(duration: Duration) -> Millis {
    duration.as_millis() as Millis
}

fn since(moment: Millis, began: Millis) -> Duration {
    Duration::from_millis((moment - began).max(0) as u64)
}

fn unreached(failure: LookFailure) -> LookError<StepError> {
    LookError { failure, error: StepError::new(ErrorKind::Unreachable, "no route to host") }
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
            well_since: None,
        };
        if let Some(flight) = self.flights.get_mut(&attempt) {
            flight.watch = Some(Box::new(watch));
        }
        self.watches(attempt);
    }

    /// `None`: it is no wait.
    fn return_watch(&self, arrival: &Arrival) -> Option<ReturnWatch<StepError>> {
        let (
            Intent::AwaitBoot { not, reboot_step, reboot_issued },
            StepKind::WaitForSsh { settle, interval },
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
            settle: *settle,
            interval: *interval,
            timeout: steps[arrival.order.step.index()].timeout.unwrap_or(Duration::from_secs(600)),
            seed: arrival.order.attempt.0,
        });
        #[cfg(debug_assertions)]
        let watch = watch.broken(self.config.mutation.and_then(|mutation| mutation.of_the_watch()));
        Some(watch)
    }

    /// What a watch wishes is due.
    pub(in crate::sim) fn watches(&mut self, attempt: AttemptId) {
        let Some(flight) = self.flights.get_mut(&attempt) else { return };
        let request = Rc::clone(&flight.request);
        let (Some(watch), Some(worker)) = (&mut flight.watch, request.worker()) else { return };
        watch.due = self.now;
        let injected =
            if std::mem::take(&mut watch.fault_due) { request.injected } else { InjectedFault::Fine };
        match watch.wish {
            Wish::Compare(mode) => self.compares(attempt, &request, worker, mode, injected),
            Wish::AskUnless => {
                let needless = self.world.host(worker).needless;
                self.hears(attempt, self.now + 50, RebootHeard::Unless(Ok(needless)));
            }
            Wish::Look { bound } => self.looks_at(attempt, worker, bound, injected),
        }
    }

    fn compares(
        &mut self,
        attempt: AttemptId,
        request: &Rc<Arrival>,
        worker: WorkerIx,
        mode: CompareMode,
        injected: InjectedFault,
    ) {
        let lost = || StepError::new(ErrorKind::Unknown, "the answer was lost");
        let host = self.world.host(worker);
        let refused = LookFailure::Refused;
        if injected == InjectedFault::RequestLost {
            let heard = RebootHeard::Compared(Err(CompareError::AnswerLost(lost())));
            return self.hears(attempt, self.now + 5_000, heard);
        }
        if injected == InjectedFault::Refused || !host.is_up() {
            let failure = if host.is_up() || !host.dark { refused } else { LookFailure::NoAnswer };
            let error = unreached(failure).error;
            let heard = RebootHeard::Compared(Err(CompareError::NotReached(failure, error)));
            return self.hears(attempt, self.now + REFUSED_AFTER, heard);
        }
        if self.is_fenced(request, Some(worker)) {
            return;
        }
        let answer = self.compare_and_reboot(request, worker, mode);
        let (after, heard) = match injected {
            InjectedFault::AnswerLost => (20, Err(CompareError::AnswerLost(lost()))),
            InjectedFault::Hangs => (millis(EXCHANGE), Err(CompareError::AnswerLost(lost()))),
            _ => (20, Ok(answer)),
        };
        self.hears(attempt, self.now + after, RebootHeard::Compared(heard));
    }

    fn looks_at(&mut self, attempt: AttemptId, worker: WorkerIx, bound: Duration, injected: InjectedFault) {
        let host = self.world.host(worker);
        if !host.is_up() {
            if let Some(watch) = self.flights.get_mut(&attempt).and_then(|flight| flight.watch.as_mut()) {
                watch.postponed = true;
            }
            return self.waits(worker, attempt);
        }
        let failure = match injected {
            _ if host.refuses_at(self.now) => Some(LookFailure::Refused),
            InjectedFault::Refused => Some(LookFailure::Refused),
            InjectedFault::RequestLost | InjectedFault::AnswerLost => Some(LookFailure::Lost),
            _ => None,
        };
        if let Some(failure) = failure {
            return self.looked_at(attempt, self.now + 100, Err(unreached(failure)));
        }
        let (boot, mut login) = (host.boot(), host.login);
        // A machine that is busy takes several times as long for one login, now and then.
        if self.config.check && self.durations.per_mille(60) {
            login *= self.durations.between(2, 6);
        }
        if login <= AT_ONCE {
            let probe = self.probe(worker);
            return self.looked_at(attempt, self.now + login, Ok(probe));
        }
        let process = self.process;
        let takes = login.min(millis(bound));
        let seen = (login <= millis(bound)).then_some(boot);
        self.push(takes, Event::LookEnds { process, attempt, boot: seen });
    }

    /// A look that took its time has ended; `boot`: the login came to its end, if the worker still has it.
    pub(in crate::sim) fn look_ends(&mut self, attempt: AttemptId, boot: Option<u32>) {
        let Some(worker) = self.flights.get(&attempt).and_then(|flight| flight.request.worker()) else {
            return;
        };
        let host = self.world.host(worker);
        let look = match boot {
            Some(boot) if host.is_up() && host.boot() == boot => Ok(self.probe(worker)),
            Some(_) => Err(unreached(LookFailure::Lost)),
            None => Err(unreached(LookFailure::CutShort)),
        };
        self.looked_at(attempt, self.now, look);
    }

    fn probe(&self, worker: WorkerIx) -> Probe {
        let host = self.world.host(worker);
        let starting = host.boots.last().is_some_and(|boot| self.now < boot.up_at + host.starting);
        let unsettled = (starting && host.boot() > 0).then(|| "systemd is starting".to_owned());
        Probe { boot_id: boot_id(worker, host.boot()), unsettled }
    }

    /// A look at a worker has ended at `at`.
    fn looked_at(&mut self, attempt: AttemptId, at: Millis, look: Look<StepError>) {
        let Some(watch) = self.flights.get_mut(&attempt).and_then(|flight| flight.watch.as_mut()) else {
            return;
        };
        let began = since(watch.due, watch.began);
        let now = since(at, watch.began);
        match &mut watch.machine {
            Machine::Reboot(_) => self.hears(attempt, at, RebootHeard::Looked { began, look }),
            Machine::Return(machine) => {
                let seen_well = matches!(&look, Ok(probe) if probe.unsettled.is_none());
                match &look {
                    Ok(Probe { boot_id, unsettled: None }) => {
                        if watch.well_since.as_ref().is_none_or(|(boot, _)| boot != boot_id) {
                            watch.well_since = Some((boot_id.clone(), at));
                        }
                    }
                    Err(LookError { failure: LookFailure::CutShort | LookFailure::NoAnswer, .. }) => {}
                    _ => watch.well_since = None,
                }
                let next = machine.next(began, now, look);
                self.returned(attempt, at, seen_well, next);
            }
        }
    }

    /// What the watch of a return makes of a look is held against the simulator's own books.
    fn returned(&mut self, attempt: AttemptId, at: Millis, seen_well: bool, next: Next<Return<StepError>>) {
        let Some(flight) = self.flights.get_mut(&attempt) else { return };
        let request = Rc::clone(&flight.request);
        let Some(watch) = &mut flight.watch else { return };
        if let (Intent::AwaitBoot { not, .. }, StepKind::WaitForSsh { settle, .. }) =
            (&request.order.intent, request.kind())
            && self.config.check
        {
            let new = watch.well_since.as_ref().filter(|(boot, _)| Some(boot) != not.as_ref());
            let well_for = new.map(|(_, since)| at - since);
            let is_due = seen_well && well_for.is_some_and(|well| well >= millis(*settle));
            match &next {
                Next::Done(Return::Back { .. }) if !is_due => {
                    let what = format!("{:?} is called back after {well_for:?} ms", request.order.lane);
                    self.checker.breaks(Invariant::VerifiedBoot, what);
                }
                Next::LookAgain { .. } if is_due => {
                    let what = format!(
                        "{:?} has stayed well for {well_for:?} ms, and is not called back",
                        request.order.lane
                    );
                    self.checker.breaks(Invariant::BoundedWaits, what);
                }
                _ => {}
            }
        }
        match next {
            Next::LookAgain { pause, bound } => self.wishes(attempt, at, pause, Wish::Look { bound }),
            Next::Done(end) => {
                let timeout = request.graph.steps(request.order.lane)[request.order.step.index()].timeout;
                let outcome = return_outcome("the worker", end, timeout.unwrap_or_default());
                self.watch_ends(attempt, at, &request, outcome);
            }
        }
    }

    /// The machine of a reboot hears something at `at`.
    fn hears(&mut self, attempt: AttemptId, at: Millis, heard: RebootHeard<StepError>) {
        let Some(flight) = self.flights.get_mut(&attempt) else { return };
        let request = Rc::clone(&flight.request);
        let Some(watch) = &mut flight.watch else { return };
        let Machine::Reboot(machine) = &mut watch.machine else { return };
        match machine.next(since(at, watch.began), heard) {
            RebootDo::Compare { pause, mode } => self.wishes(attempt, at, pause, Wish::Compare(mode)),
            RebootDo::AskUnless => self.wishes(attempt, at, Duration::ZERO, Wish::AskUnless),
            RebootDo::Look { pause, bound } => self.wishes(attempt, at, pause, Wish::Look { bound }),
            RebootDo::Done(end) => {
                let (Intent::Reboot { boot_id, .. }, StepKind::Reboot { command, down_within, .. }) =
                    (&request.order.intent, request.kind())
                else {
                    return;
                };
                let outcome = reboot_outcome("the worker", boot_id, command, *down_within, end);
                self.watch_ends(attempt, at, &request, outcome);
            }
        }
    }

    fn wishes(&mut self, attempt: AttemptId, at: Millis, pause: Duration, wish: Wish) {
        let Some(watch) = self.flights.get_mut(&attempt).and_then(|flight| flight.watch.as_mut()) else {
            return;
        };
        watch.wish = wish;
        watch.due = at + millis(pause).max(1);
        let (process, due) = (self.process, watch.due);
        if due >= self.now {
            self.push(due - self.now, Event::Watches { process, attempt });
        }
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
        let Some(flight) = self.flights.get(&attempt) else { return };
        let Some(worker) = flight.request.worker() else { return };
        let dark = self.world.host(worker).dark;
        let failure = if dark { LookFailure::NoAnswer } else { LookFailure::Refused };
        loop {
            let Some(watch) = self.flights.get_mut(&attempt).and_then(|flight| flight.watch.as_mut()) else {
                return;
            };
            let Wish::Look { bound } = watch.wish else { return };
            if !watch.postponed {
                return;
            }
            if watch.due >= self.now {
                watch.postponed = false;
                let (process, due) = (self.process, watch.due);
                return self.push(due - self.now, Event::Watches { process, attempt });
            }
            let ends = watch.due + if dark { millis(bound) } else { REFUSED_AFTER };
            // A look that was under way when the worker came back ends later, and is not told the future.
            self.looked_at(attempt, ends, Err(unreached(failure)));
        }
    }
}
