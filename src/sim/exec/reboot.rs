//! Reboots: compare and swap on the boot id, departures, returns, and waiting for them.

use super::{Arrival, Flight, InjectedFault};
use crate::bucket::WorkerIx;
use crate::engine::{AttemptId, ErrorKind, Evidence, Intent, Millis, Outcome, StepError};
use crate::plan::StepKind;
use crate::sim::drive::{Event, Sim};
use crate::sim::mutation::Mutation;
use crate::sim::world::{boot_id, boot_number};

impl Sim {
    /// The script on the worker: compare, receipt, reboot.
    pub(super) fn compare_and_reboot(&mut self, arrival: &Arrival, worker: WorkerIx) {
        let order = &arrival.order;
        let Intent::Reboot { boot_id: before, generation } = &order.intent else { return };
        let StepKind::Reboot { unless, .. } = arrival.kind() else { return };
        if unless.is_some() && self.world.host(worker).needless {
            self.answer(arrival, Outcome::Ok { evidence: Evidence::NotNeeded });
            return;
        }
        let boot = self.world.host(worker).boot();
        let fresh = self.config.mutation == Some(Mutation::FreshBootId);
        if boot_id(worker, boot) != *before && !fresh {
            let boot_id = boot_id(worker, boot);
            self.answer(arrival, Outcome::Ok { evidence: Evidence::Rebooted { boot_id } });
            return;
        }
        if fresh || self.world.host_mut(worker).takes_receipt(order.step, *generation) {
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
                        host_accepts(self, arrival);
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
        host_accepts(self, arrival);
    }

    pub(in crate::sim) fn goes_down(&mut self, worker: WorkerIx, boot: u32, step: Option<u32>) {
        if self.world.host(worker).boot() != boot || !self.world.host(worker).is_up() {
            return;
        }
        self.world.goes_down(self.now, worker, step.is_some());
        if let Some(step) = step {
            *self.world.host_mut(worker).run_reboots.of(step) += 1;
        }
        let host = self.world.host_mut(worker);
        if host.dies {
            // For good, unless somebody goes there: after a day.
            host.dies = false;
            self.push(86_400_000, Event::ComesUp { worker, boot });
        } else {
            let after = self.takes("boot", 15_000, 90_000);
            self.push(after, Event::ComesUp { worker, boot });
        }
        self.wake(worker);
    }

    pub(in crate::sim) fn comes_up(&mut self, worker: WorkerIx, boot: u32) {
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

    pub(super) fn wake(&mut self, worker: WorkerIx) {
        let process = self.process;
        for attempt in std::mem::take(&mut self.waiters[worker.0 as usize]) {
            self.push(400, Event::Polls { process, attempt });
        }
    }

    /// A waiting attempt looks at its worker.
    pub(in crate::sim) fn polls(&mut self, attempt: AttemptId) {
        let Some(flight) = self.flights.get(&attempt).cloned() else { return };
        let request = &*flight.request;
        let Some(worker) = request.worker() else { return };
        let next = match &request.order.intent {
            Intent::Reboot { boot_id, .. } => self.look_for_departure(&flight, worker, boot_id),
            Intent::AwaitBoot { not, reboot_step, reboot_issued } => {
                let down_within = reboot_step.map(|step| down_within(&flight, step));
                let give_up = reboot_issued.zip(down_within).map(|(at, within)| at + within);
                self.look_for_return(attempt, &flight, worker, not.as_deref(), give_up)
            }
            _ => return,
        };
        match next {
            Look::Over(outcome) => {
                self.note_done(attempt, &outcome);
                self.tells(20, request, outcome);
            }
            Look::Again(after) => {
                let process = self.process;
                self.push(after.max(1), Event::Polls { process, attempt });
                self.waits(worker, attempt);
            }
            Look::WhenItChanges => self.waits(worker, attempt),
        }
    }

    pub(super) fn waits(&mut self, worker: WorkerIx, attempt: AttemptId) {
        let waiting = &mut self.waiters[worker.0 as usize];
        if !waiting.contains(&attempt) {
            waiting.push(attempt);
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
        let until = flight.sent_at + down_within(flight, flight.request.order.step);
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
        let StepKind::WaitForSsh { settle, .. } = flight.request.kind() else {
            return Look::WhenItChanges;
        };
        let careless = self.config.mutation == Some(Mutation::BootNotVerified);
        let settle = match self.config.mutation {
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

    fn is_back(&self, worker: WorkerIx, boot: u32, careless: bool, not: Option<&str>) -> Outcome {
        let mut id = boot_id(worker, boot);
        if careless && not.is_some_and(|not| boot_number(worker, not) == Some(boot)) {
            id = boot_id(worker, boot + 1);
        }
        Outcome::Ok { evidence: Evidence::Back { boot_id: id } }
    }
}

fn down_within(flight: &Flight, step: u32) -> Millis {
    let request = &flight.request;
    match &request.graph.steps(request.order.lane)[step as usize].kind {
        StepKind::Reboot { down_within, .. } => down_within.as_millis() as Millis,
        _ => 0,
    }
}

enum Look {
    Over(Outcome),
    Again(Millis),
    WhenItChanges,
}

/// The command was accepted: the attempt waits for the departure, unless its answer is lost.
fn host_accepts(sim: &mut Sim, arrival: &Arrival) {
    let attempt = arrival.order.attempt;
    if arrival.injected == InjectedFault::AnswerLost {
        let outcome = Outcome::Unknown { why: "the answer was lost".to_owned() };
        sim.tells(20, arrival, outcome);
    } else if arrival.injected != InjectedFault::Hangs {
        sim.push(20, Event::Polls { process: arrival.process, attempt });
    }
}
