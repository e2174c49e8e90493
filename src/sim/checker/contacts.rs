//! Who is contacted, by which controller, and what is told of secrets.

use super::super::invariant::Invariant;
use super::{Checker, by_catalog};
use crate::bucket::{JobIx, WorkerIx};
use crate::graph::RolloutGraph;
use crate::plan::{EnvValue, HealthScope, StepKind};
use crate::sim::exec::Arrival;

/// What a worker is contacted for.
pub(in crate::sim) enum Contact<'a> {
    /// A step of a worker's.
    Step(&'a Arrival),
    /// A look at jobs.
    Look(&'a [JobIx]),
    /// Before anything is was_issued.
    Preflight,
}

impl Checker {
    /// Only selected workers are contacted, but for what reaches the fleet by its nature: the operations
    /// of a catalog that contacts everybody, health of the whole fleet, and looks at jobs with a budget.
    pub(in crate::sim) fn contact(&mut self, worker: WorkerIx, what: Contact<'_>) {
        if self.graph.targets.iter().any(|target| target.worker == worker) {
            return;
        }
        let fits = match &what {
            Contact::Step(arrival) => {
                let catalog = by_catalog(arrival.kind(), &arrival.order.intent);
                (self.exclusive && catalog)
                    || matches!(arrival.kind(), StepKind::Health { scope: HealthScope::Fleet, .. })
            }
            Contact::Look(jobs) => {
                let budgeted = |job: JobIx| self.graph.numbers().budgets.iter().any(|b| b.job == job);
                let enabled = self.graph.enabled_allocations().iter().filter(|one| one.worker == worker);
                enabled.into_iter().any(|one| jobs.contains(&one.job) && budgeted(one.job))
            }
            Contact::Preflight => false,
        };
        if !fits {
            let why = match what {
                Contact::Step(arrival) => format!("{:?}", arrival.order),
                Contact::Look(jobs) => format!("a look at {jobs:?}"),
                Contact::Preflight => "preflight".to_owned(),
            };
            self.breaks(
                Invariant::OnlySelectedContacted,
                format!("{worker:?} is not selected, and contacted for {why}"),
            );
        }
    }

    /// A controller's work begins on a worker, or (`None`) in the bucket: never one's that was replaced
    /// there.
    pub(in crate::sim) fn carried_out(&mut self, worker: Option<WorkerIx>, epoch: u64) {
        let known = match worker {
            Some(worker) => self.epochs.entry(worker).or_default(),
            None => &mut self.epoch,
        };
        if epoch < *known {
            let what = format!("a controller of epoch {epoch} works on {worker:?}, which knows {known}");
            self.breaks(Invariant::OneController, what);
        } else {
            *known = epoch;
        }
    }
}

/// Whether the plan gives some command a secret.
pub(super) fn has_secrets(graph: &RolloutGraph) -> bool {
    let plan = &graph.plan;
    let mut steps = plan.before.iter().chain(&plan.steps).chain(&plan.after);
    steps.any(|step| step.kind.environment().iter().any(|(_, value)| matches!(value, EnvValue::FromEnv(_))))
}
