//! Deploys, which one operation serves together: the very queue of real runs decides who is served by which.

use std::rc::Rc;

use super::{Arrival, Event, Sim};
use crate::controller::Batch;
use crate::engine::{Intent, Millis, Outcome};
use crate::plan::StepKind;
use crate::sim::mutation::Mutation;

/// What makes two deploys the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sim) struct DeployKind {
    jobs: Option<Vec<String>>,
    force: bool,
}

impl DeployKind {
    /// Of a request for one worker; `None`: it is no deploy.
    pub(super) fn of(arrival: &Arrival) -> Option<Self> {
        match (&arrival.order.intent, arrival.kind()) {
            (Intent::UndoDeploy, _) => Some(Self { jobs: None, force: false }),
            (Intent::Do { .. }, StepKind::Deploy { jobs, force }) => {
                let jobs = jobs.as_ref().map(|jobs| jobs.iter().map(|job| job.value.clone()).collect());
                Some(Self { jobs, force: *force })
            }
            _ => None,
        }
    }
}

/// A request that waits for its operation.
pub(in crate::sim) type Batched = Rc<Arrival>;

/// An operation that is under way.
#[derive(Debug)]
pub(in crate::sim) struct Operation {
    process: u32,
    /// Each with the boot of its worker that it began in.
    served: Vec<(Rc<Arrival>, Option<u32>)>,
}

impl Sim {
    pub(super) fn joins_operation(&mut self, kind: DeployKind, arrival: Rc<Arrival>) {
        if arrival.process != self.process {
            // A controller that was replaced has a queue of its own.
            return self.begins_operation(vec![arrival]);
        }
        let ticket = self.batches.join(kind, arrival);
        if let Some(batch) = self.batches.lead(ticket) {
            self.leads(batch);
        }
    }

    fn leads(&mut self, batch: Batch<DeployKind, Batched>) {
        self.begins_operation(batch.served.into_iter().map(|(_, arrival)| arrival).collect());
    }

    /// One operation at a time, whoever began it: there is one catalog. Its scripts hold the workers' locks.
    fn begins_operation(&mut self, served: Vec<Rc<Arrival>>) {
        let takes = self.takes("deploy", 3_000, 9_000);
        let workers: Vec<_> = served.iter().filter_map(|arrival| arrival.worker()).collect();
        let busy = |until: Millis, worker: &_| until.max(self.world.host(*worker).busy_until);
        let begins = workers.iter().fold(self.now.max(self.operation_until), busy);
        let ends = begins + takes;
        self.operation_until = ends;
        for worker in workers {
            self.world.host_mut(worker).busy_until = ends;
        }
        let process = served.first().map_or(self.process, |arrival| arrival.process);
        let begins = |arrival: Rc<Arrival>| {
            let boot =
                arrival.worker().and_then(|worker| self.begins_work(&arrival, worker, ends - self.now));
            (arrival, boot)
        };
        let served = served.into_iter().map(begins).collect();
        self.push(ends - self.now, Event::OperationEnds(Box::new(Operation { process, served })));
    }

    pub(in crate::sim) fn operation_ends(&mut self, operation: Operation) {
        for (arrival, boot) in &operation.served {
            self.works(arrival, *boot);
        }
        if operation.process != self.process {
            return;
        }
        if self.config.mutation == Some(Mutation::DeployAnswersForOthers) {
            let others: Vec<_> = self.batches.waiting().map(|(ticket, _)| ticket).collect();
            for ticket in others {
                if let Some(arrival) = self.batches.withdraw(ticket) {
                    let text = "deployed".to_owned();
                    self.tells(20, &arrival, Outcome::noted(text));
                }
            }
        }
        if let Some(ticket) = self.batches.ended()
            && let Some(batch) = self.batches.lead(ticket)
        {
            self.leads(batch);
        }
    }
}
