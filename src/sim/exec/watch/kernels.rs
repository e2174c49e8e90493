//! What a worker says of its kernels: whether it needs a reboot, and whether it came back as expected.

use super::super::Arrival;
use super::{CANNOT_TELL, Why};
use crate::boot::{CompareError, Need};
use crate::bucket::WorkerIx;
use crate::controller::proven_outcome;
use crate::engine::{Evidence, Intent, Outcome};
use crate::plan::{CannotTell, RebootUnless, StepKind};
use crate::sim::drive::Sim;
use crate::sim::mutation::Mutation;

impl Sim {
    /// What `unless` of a reboot says.
    pub(super) fn is_needless(&self, request: &Arrival, worker: WorkerIx) -> Result<bool, CompareError<Why>> {
        let host = self.world.host(worker);
        let StepKind::Reboot { unless: Some(RebootUnless::NotRequired { cannot_tell }), .. } = request.kind()
        else {
            return Ok(host.needless);
        };
        if !self.config.check {
            return Ok(host.needless);
        }
        match (host.kernels.answer().need().need, cannot_tell) {
            (Need::NotRequired, _) => Ok(true),
            (Need::Required, _) | (Need::CannotTell, CannotTell::Reboot) => Ok(false),
            _ if self.config.mutation == Some(Mutation::CannotTellIsNo) => Ok(true),
            (Need::CannotTell, CannotTell::Fail) => Err(CompareError::Failed(CANNOT_TELL)),
        }
    }

    /// A worker that is back is held against what its reboot expects.
    pub(super) fn proven(&self, request: &Arrival, outcome: Outcome) -> Outcome {
        let Intent::AwaitBoot { reboot_step: Some(reboot), kernel, .. } = &request.order.intent else {
            return outcome;
        };
        match (outcome, request.worker()) {
            (Outcome::Ok { evidence: Evidence::Back { boot_id, .. } }, Some(worker)) if self.config.check => {
                let steps = request.graph.steps(request.order.lane);
                let expect = match &steps[reboot.index()].kind {
                    StepKind::Reboot { expect, .. } => expect.as_ref(),
                    _ => None,
                };
                let expect = expect.filter(|_| self.config.mutation != Some(Mutation::ExpectationIgnored));
                let answer = self.world.host(worker).kernels.answer();
                proven_outcome("the worker", boot_id, kernel.clone(), Ok(&answer), expect)
            }
            (outcome, _) => outcome,
        }
    }
}
