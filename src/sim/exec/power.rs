//! BMCs: what they do with an order to reset their worker, whatever they say of it.

use super::Arrival;
use crate::bucket::WorkerIx;
use crate::engine::{ErrorKind, Evidence, Outcome, StepError};
use crate::plan::{OnNoReturn, Step, StepKind};
use crate::sim::drive::{Event, Sim};
use crate::sim::mutation::Mutation;

impl Sim {
    /// The look before the order, and the order.
    pub(super) fn power_cycles(&mut self, arrival: &Arrival, worker: WorkerIx) {
        // The run lock, which a controller that was replaced has not got.
        if self.is_fenced(arrival, None) {
            return;
        }
        let host = self.world.host(worker);
        let answers = host.is_up() && !host.refuses_at(self.now);
        if answers && self.config.mutation != Some(Mutation::ResetUnlooked) {
            let evidence = Evidence::Answers { what: "it lets us in".to_owned() };
            return self.answer(arrival, Outcome::Ok { evidence });
        }
        self.orders_reset(arrival, worker);
        let last_reset = Some("some time ago".to_owned());
        let (bmc, reset) = ("bmc".to_owned(), "ForceRestart".to_owned());
        let said = Outcome::Ok { evidence: Evidence::PowerCycled { bmc, reset, power: None, last_reset } };
        let lost = Outcome::unknown("the BMC has not answered");
        // An estimate is made for those that do as they are told.
        let does = if self.config.check { self.power.below(8) } else { u64::MAX };
        let outcome = match does {
            0 => {
                let error = StepError::new(ErrorKind::Unreachable, "the BMC refuses");
                Outcome::Failed { error }
            }
            // It says yes, and does nothing.
            1 => said,
            // It hangs, and has done nothing.
            2 => {
                if self.config.mutation == Some(Mutation::ResetSentAgain) {
                    self.orders_reset(arrival, worker);
                }
                lost
            }
            // It does it, and its answer is lost.
            3 => {
                self.is_reset(worker);
                if self.config.mutation == Some(Mutation::ResetSentAgain) {
                    self.orders_reset(arrival, worker);
                }
                lost
            }
            // It does it twice.
            4 => {
                self.is_reset(worker);
                self.world.host_mut(worker).loops = true;
                said
            }
            _ => {
                self.is_reset(worker);
                said
            }
        };
        self.answer(arrival, outcome);
    }

    /// Whether a host stays off that goes down now, so that a plan has to have it reset.
    pub(super) fn stays_off(&mut self) -> bool {
        let resets = |step: &Step| {
            matches!(step.kind, StepKind::WaitForSsh { on_no_return: OnNoReturn::PowerCycle, .. })
        };
        self.config.check
            && self.config.faults > 0
            && self.graph.plan.steps.iter().any(resets)
            && self.power.per_mille(200)
    }

    fn orders_reset(&mut self, arrival: &Arrival, worker: WorkerIx) {
        if self.config.check {
            let host = self.world.host(worker);
            let answers = host.is_up() && !host.refuses_at(self.now);
            self.checker.reset_ordered(arrival, answers);
        }
    }

    fn is_reset(&mut self, worker: WorkerIx) {
        self.world.host_mut(worker).dies = false;
        let boot = self.world.host(worker).boot();
        if self.world.host(worker).is_up() {
            self.world.goes_down(self.now, worker, true);
            self.breaks_connections(worker);
        }
        let after = self.takes("boot", 15_000, 90_000);
        self.push(after, Event::ComesUp { worker, boot });
    }
}
