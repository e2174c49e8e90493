//! What an operator is shown before anything is touched.

use std::collections::BTreeMap;

use crate::engine::Check;
use crate::graph::RolloutGraph;
use crate::plan::{HealthScope, Plan, Problem, Problems, StepKind};
use crate::policy::Limits;

use super::LeftBehind;

/// What a plan will do on a bucket, in figures.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The plan's name.
    pub plan: String,
    /// The plan file, as it was named.
    pub file: String,
    /// The selected workers, in the order in which they are started.
    pub workers: Vec<String>,
    /// How many waves there are.
    pub waves: usize,
    /// Maximum number of active workers; `None`: as many as fit.
    pub concurrency: Option<u32>,
    /// The ids of the steps that prepare all workers before the first one is touched, in the plan's order.
    pub prepare: Vec<String>,
    /// Maximum number of workers that are prepared at a time; `None`: the plan prepares nobody.
    pub prepared_at_once: Option<u32>,
    /// The ids of the steps that each worker goes through, in the plan's order.
    pub steps: Vec<String>,
    /// Maximum number of failed workers: one more halts the run.
    pub max_failures: u32,
    /// Why workers are left alone, each a sentence that names its worker.
    pub left_alone: Vec<String>,
    /// What earlier runs have disabled of them, and left so.
    pub left_behind: Vec<LeftBehind>,
    /// Workers that cannot take part and count as failed from the start, and why.
    pub unreachable: Vec<(String, String)>,
    /// A deploy contacts every worker of the bucket, as the upstream program does it.
    pub contacts_every_worker: bool,
    /// The ids of steps that look at workers which are not selected, too.
    pub of_the_whole_fleet: Vec<String>,
    /// Warnings about the plan and the bucket.
    pub warnings: Problems,
}

impl Summary {
    pub(super) fn new(
        graph: &RolloutGraph,
        limits: &Limits,
        checks: &[Check],
        left_behind: Vec<LeftBehind>,
        contacts_every_worker: bool,
    ) -> Self {
        let mut warnings = graph.warnings.clone();
        warnings.extend(shared_boot_ids(graph, checks));
        let mut left_alone = Vec::new();
        let mut unreachable = Vec::new();
        for (target, check) in graph.target_indices().zip(checks) {
            match check {
                Check::Ready { .. } => {}
                Check::LeftAlone { .. } if left_behind.iter().any(|left| left.host == graph.host(target)) => {
                }
                Check::LeftAlone { reason } => left_alone.push(reason.clone()),
                Check::Unreachable { error } => {
                    unreachable.push((graph.host(target).to_owned(), error.message.clone()));
                }
            }
        }
        Self {
            plan: graph.plan.name.clone(),
            file: graph.plan.source.name().to_owned(),
            workers: graph.target_indices().map(|target| graph.host(target).to_owned()).collect(),
            waves: graph.waves.len(),
            concurrency: limits.concurrency,
            prepare: graph.plan.prepare_steps().iter().map(|step| step.id.clone()).collect(),
            prepared_at_once: limits.prepare.as_ref().map(|prepare| prepare.concurrency),
            steps: graph.plan.main_steps().iter().map(|step| step.id.clone()).collect(),
            max_failures: limits.max_failures,
            left_alone,
            left_behind,
            unreachable,
            contacts_every_worker,
            of_the_whole_fleet: of_the_whole_fleet(&graph.plan),
            warnings,
        }
    }
}

fn of_the_whole_fleet(plan: &Plan) -> Vec<String> {
    let steps = plan.before.iter().chain(&plan.steps).chain(&plan.after);
    let of_fleet =
        steps.filter(|step| matches!(step.kind, StepKind::Health { scope: HealthScope::Fleet, .. }));
    of_fleet.map(|step| step.id.clone()).collect()
}

/// Of plans that reboot nothing: the check of a worker refuses it for others.
fn shared_boot_ids(graph: &RolloutGraph, checks: &[Check]) -> Problems {
    let mut sharing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (target, check) in graph.target_indices().zip(checks) {
        if let Check::Ready { boot_id, .. } = check {
            sharing.entry(boot_id).or_default().push(graph.host(target));
        }
    }
    let mut problems = Problems::new();
    for (boot_id, hosts) in sharing.iter().filter(|(_, hosts)| hosts.len() > 1) {
        let message = format!("{} have the same boot id ({boot_id})", hosts.join(", "));
        problems.push(Problem::warning("maand::run::same_host", message).help(
            "containers on one host are fine in a plan that reboots nothing; where these are two names for one \
             machine, leave one of them out of workers.json",
        ));
    }
    problems
}
