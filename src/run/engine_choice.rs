//! Which engine builds and deploys for a bucket, and what a plan cannot expect of the upstream program.

use std::collections::{BTreeMap, BTreeSet};

use crate::bucket::{Bucket, Host, JobName};
use crate::catalog::{CatalogError, external};
use crate::graph::RolloutGraph;
use crate::plan::{HealthScope, Problem, Problems, Step, StepKind};
use crate::policy::Limits;

/// The engine that builds and deploys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// This program.
    Builtin,
    /// An installed upstream maand.
    External,
}

impl Engine {
    /// As it is written: `builtin` or `external`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::External => "external",
        }
    }

    /// The one that a bucket's files belong to: upstream's program where there is its database.
    pub fn of(bucket: &Bucket) -> Self {
        if bucket.is_upstream() { Self::External } else { Self::Builtin }
    }
}

/// How many enabled allocations each job has on workers of a plan that drains them, and on others; and for one on
/// such a worker, where it is.
fn drained(graph: &RolloutGraph) -> BTreeMap<&JobName, (usize, usize, Option<&Host>)> {
    let fleet = &graph.fleet;
    let mut jobs = BTreeMap::new();
    if !graph.plan.steps.iter().any(|step| matches!(step.kind, StepKind::Disable { .. })) {
        return BTreeMap::new();
    }
    let targets: BTreeSet<_> = graph.target_indices().map(|target| graph.target(target).worker).collect();
    for allocation in fleet.allocations().into_iter().filter(|allocation| !allocation.disabled) {
        let (here, elsewhere, host): &mut (usize, usize, Option<&Host>) =
            jobs.entry(&fleet.job(allocation.job).name).or_default();
        if targets.contains(&allocation.worker) {
            *here += 1;
            *host = Some(&fleet.worker(allocation.worker).host);
        } else {
            *elsewhere += 1;
        }
    }
    jobs
}

/// Jobs whose only enabled allocation is on a worker that the plan drains, with that worker.
fn only_allocations(graph: &RolloutGraph) -> Option<String> {
    let only = drained(graph).into_iter().filter_map(|(job, seen)| match seen {
        (1, 0, Some(host)) => Some(format!("{job} on {host}")),
        _ => None,
    });
    shortened(only.collect())
}

/// Jobs with probes that the plan drains and that are disabled on another worker when they are enabled again: by an
/// operator, or by the plan itself, where it drains several workers and not all that they do meanwhile is done in turns.
fn started_twice(graph: &RolloutGraph) -> Option<String> {
    let fleet = &graph.fleet;
    let at_once = Limits::resolve(graph).concurrency != Some(1) && does_more_than_reboot(&graph.plan.steps);
    let checked: BTreeSet<&JobName> =
        fleet.jobs.iter().filter(|job| job.health_check.is_some()).map(|job| &job.name).collect();
    let disabled: BTreeSet<&JobName> = fleet
        .allocations()
        .into_iter()
        .filter(|allocation| allocation.disabled)
        .map(|allocation| &fleet.job(allocation.job).name)
        .collect();
    let twice = drained(graph).into_iter().filter(|(job, (here, _, _))| {
        checked.contains(job) && *here > 0 && (disabled.contains(job) || (*here > 1 && at_once))
    });
    shortened(twice.map(|(job, _)| job.to_string()).collect())
}

/// Whether something comes between `disable` and `enable` besides the reboot and what belongs to it: the engine lets
/// workers wait for each other there and nowhere else.
fn does_more_than_reboot(steps: &[Step]) -> bool {
    let before = |at: usize| {
        let (mut todo, mut seen) = (steps[at].needs.clone(), BTreeSet::new());
        while let Some(at) = todo.pop() {
            if seen.insert(at) {
                todo.extend(&steps[at].needs);
            }
        }
        seen
    };
    let drains = |at: &usize| matches!(steps[*at].kind, StepKind::Disable { .. });
    let is_else = |at: &usize| {
        !matches!(
            steps[*at].kind,
            StepKind::Disable { .. }
                | StepKind::Enable
                | StepKind::Deploy { .. }
                | StepKind::Build
                | StepKind::Reboot { .. }
                | StepKind::WaitForSsh { .. }
        )
    };
    let enables = (0..steps.len()).filter(|at| matches!(steps[*at].kind, StepKind::Enable));
    enables.flat_map(before).any(|at| is_else(&at) && before(at).iter().any(drains))
}

/// The first few of them.
fn shortened(words: Vec<String>) -> Option<String> {
    match words.len() {
        0 => None,
        1..=4 => Some(words.join(", ")),
        all => Some(format!("{} and {} more", words[..3].join(", "), all - 3)),
    }
}

/// What a plan on this bucket cannot expect of the upstream program; nothing with the built-in engine.
pub(super) fn differences(graph: &RolloutGraph, bucket: &Bucket, engine: Engine) -> Problems {
    let mut problems = Problems::new();
    if engine == Engine::Builtin || graph.fleet.synthetic {
        return problems;
    }
    problems.extend(bucket.upstream_differences());
    // Before any worker is asked: a run that ends at its first build has already been all over the fleet.
    match external::read_version(&bucket.paths().upstream_db) {
        Ok(_) => {}
        Err(CatalogError::Invalid(refused)) => problems.extend(refused),
        Err(error) => problems.push(
            Problem::error("maand::external::database", error.to_string())
                .help("see whether the upstream program can still read it"),
        ),
    }
    let plan = &graph.plan;
    let all = || plan.before.iter().chain(&plan.steps).chain(&plan.after);
    let ids = |wanted: &dyn Fn(&Step) -> bool| {
        let ids: Vec<&str> = all().filter(|step| wanted(step)).map(|step| step.id.as_str()).collect();
        (!ids.is_empty()).then(|| ids.join(", "))
    };
    let mut warn = |code, steps: Option<String>, message: &str, help: &str| {
        if let Some(steps) = steps {
            problems.push(Problem::warning(code, format!("{steps}: {message}")).help(help));
        }
    };
    warn(
        "maand::external::fleet_wide_deploy",
        ids(&|step| matches!(step.kind, StepKind::Deploy { .. })),
        "the upstream program cannot deploy to one worker only: each of these deploys to the whole bucket, and fails while any worker of it is down",
        "what is pending anywhere in the bucket is deployed as well; workers that reboot and deploys wait for each other",
    );
    warn(
        "maand::external::only_allocation",
        only_allocations(graph),
        "the only enabled allocation of the job: while it is disabled the upstream program drops the job's ports, and a deploy fails in every template that names one",
        "a stop that was seen counts as done, and the run goes on; nobody serves the job until the worker is back",
    );
    warn(
        "maand::external::started_twice",
        started_twice(graph),
        "where one of the workers is enabled again while the job is still disabled on another, it is started over SSH, once more by the deploy, and restarted if a template has changed its files",
        "with `concurrency: 1`, and with nothing disabled before the run, it is started once",
    );
    warn(
        "maand::external::forced_deploy",
        ids(&|step| matches!(step.kind, StepKind::Deploy { force: true, .. })),
        "`force` restarts the jobs on all their workers, not only on the one whose turn it is",
        "leave `force` out, or use a `restart` step",
    );
    warn(
        "maand::external::fleet_wide_health",
        ids(&|step| matches!(step.kind, StepKind::Health { scope: HealthScope::Worker, .. })),
        "the upstream program checks a job on all its workers: one that is unhealthy elsewhere fails these, too",
        "name the `jobs` that matter, or check with a `run` step of your own",
    );
    warn(
        "maand::external::fleet_wide_job",
        ids(&|step| matches!(step.kind, StepKind::Job { .. })),
        "the upstream program looks at every worker before it starts, stops or restarts a job on one: these fail while any worker is down",
        "workers that reboot and these steps wait for each other",
    );
    problems
}
