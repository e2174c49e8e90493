//! Single looks at a worker that is watched, and what its machine makes of them.

use std::rc::Rc;
use std::time::Duration;

use super::super::{Arrival, InjectedFault};
use super::{Machine, REFUSED_AFTER, Turn, Watch, Why, Wish, error, hears, millis, since, unreached};
use crate::boot::{Look, LookError, LookFailure, Next, Probe, RebootHeard};
use crate::bucket::WorkerIx;
use crate::controller::return_outcome;
use crate::engine::{AttemptId, Millis, Outcome};
use crate::sim::drive::{Event, Sim};
use crate::sim::world::{SimHost, boot_id};

/// A login that takes no longer than this is over before anything else happens.
const INSTANT_LOGIN: Millis = 200;

impl Sim {
    pub(super) fn looks_at(
        &mut self,
        attempt: AttemptId,
        worker: WorkerIx,
        bound: Duration,
        injected: InjectedFault,
    ) -> Turn {
        let host = self.world.host(worker);
        if !host.is_up() {
            self.waits(worker, attempt);
            return Turn::UnderWay;
        }
        let failure = match injected {
            _ if host.refuses_at(self.now) => Some(LookFailure::Refused),
            InjectedFault::Refused => Some(LookFailure::Refused),
            InjectedFault::RequestLost | InjectedFault::AnswerLost => Some(LookFailure::Lost),
            _ => None,
        };
        if let Some(failure) = failure {
            return Turn::Looked(self.now + 100, unreached(failure));
        }
        let (boot, mut login) = (host.boot(), host.login);
        // A machine that is busy takes several times as long for one login, now and then.
        if self.config.check && self.durations.per_mille(60) {
            login *= self.durations.between(2, 6);
        }
        if login <= INSTANT_LOGIN {
            return Turn::Looked(self.now + login, Ok(self.probe(worker)));
        }
        let process = self.process;
        let takes = login.min(millis(bound));
        let seen = (login <= millis(bound)).then_some(boot);
        self.push(takes, Event::LookEnds { process, attempt, boot: seen });
        Turn::UnderWay
    }

    /// A look that took its time has ended; `boot`: the login came to its end, if the worker still has it.
    pub(in crate::sim) fn look_ends(&mut self, attempt: AttemptId, boot: Option<u32>) {
        let Some((request, worker, watch)) = self.take_watch(attempt) else { return };
        let host = self.world.host(worker);
        let look = match boot {
            Some(boot) if host.is_up() && host.boot() == boot => Ok(self.probe(worker)),
            Some(_) => unreached(LookFailure::Lost),
            None => unreached(LookFailure::CutShort),
        };
        self.proceeds(attempt, &request, watch, Turn::Looked(self.now, look));
    }

    fn probe(&self, worker: WorkerIx) -> Probe {
        let host = self.world.host(worker);
        let starting = host.boots.last().is_some_and(|boot| self.now < boot.up_at + host.starting);
        let unsettled = (starting && host.boot() > 0).then(|| "systemd is starting".to_owned());
        let command = host.command_state(self.now);
        Probe { unsettled, command, ..Probe::settled(boot_id(worker, host.boot())) }
    }

    /// A look at a worker has ended at `at`; answers with the end of the watch.
    pub(super) fn looked_at(
        &mut self,
        request: &Rc<Arrival>,
        watch: &mut Watch,
        at: Millis,
        look: Look<Why>,
    ) -> Option<Outcome> {
        let began = since(watch.due, watch.began);
        let Machine::Return(machine) = &mut watch.machine else {
            return hears(request, watch, at, RebootHeard::Looked { began, look });
        };
        let seen_well = matches!(&look, Ok(probe) if probe.unsettled.is_none());
        if self.config.check {
            match &look {
                Ok(Probe { boot_id, unsettled: None, .. }) => {
                    if watch.well_since.as_ref().is_none_or(|(boot, _)| boot != boot_id) {
                        watch.well_since = Some((boot_id.clone(), at));
                    }
                }
                Err(LookError { failure: LookFailure::CutShort | LookFailure::NoAnswer, .. }) => {}
                _ => watch.well_since = None,
            }
        }
        let next = machine.next(began, since(at, watch.began), look);
        if self.config.check {
            self.check_return(request, watch, at, seen_well, &next);
        }
        match next {
            Next::LookAgain { pause, bound } => {
                watch.wishes(at, pause, Wish::Look { bound });
                None
            }
            Next::Done(end) => {
                let timeout = request.graph.steps(request.order.lane)[request.order.step.index()].timeout;
                let outcome = return_outcome("the worker", end.map_error(error), timeout.unwrap_or_default());
                Some(self.proven(request, outcome))
            }
        }
    }
}

/// What a look at a worker that is down comes to, and how long it takes.
pub(super) fn away(host: &SimHost, bound: Duration) -> (LookFailure, Millis) {
    match () {
        () if host.holds => (LookFailure::CutShort, millis(bound)),
        () if host.dark => (LookFailure::NoAnswer, millis(bound)),
        () => (LookFailure::Refused, REFUSED_AFTER),
    }
}
