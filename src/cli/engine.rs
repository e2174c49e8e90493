//! Which engine builds and deploys for a bucket, and why.

use std::sync::Arc;
use std::time::Duration;

use super::args::Engine;
use super::open_bucket::OpenBucket;
use super::{CliError, Context, Exit};
use crate::bucket::Bucket;
use crate::catalog::external::{self, Program};
use crate::catalog::{Builtin, Catalog, CatalogError, External, MAKE_TIMEOUT};
use crate::graph::RolloutGraph;
use crate::plan::{HealthScope, Problem, Problems, Step, StepKind};

/// The engine of a bucket: as `--engine` says, else the one that its files belong to.
pub(super) fn of(world: &OpenBucket, context: &Context) -> Result<Arc<dyn Catalog>, CliError> {
    with_make_timeout(world, context, None)
}

/// As [`of`], where one run of make may take this long (with the built-in engine; the upstream program
/// has its own bounds).
pub(super) fn with_make_timeout(
    world: &OpenBucket,
    context: &Context,
    timeout: Option<Duration>,
) -> Result<Arc<dyn Catalog>, CliError> {
    match context.engine_for(&world.bucket) {
        Engine::External => Ok(Arc::new(upstream(world, context)?)),
        Engine::Builtin => {
            let builtin = Builtin::new(Arc::clone(&world.bucket), Arc::clone(&world.remote));
            Ok(Arc::new(builtin.with_make_timeout(timeout.unwrap_or(MAKE_TIMEOUT))))
        }
    }
}

/// The external engine of a bucket.
pub(super) fn upstream(world: &OpenBucket, context: &Context) -> Result<External, CliError> {
    external::refuse_nested()?;
    let workers = world.fleet.workers.iter().map(|worker| worker.host.clone()).collect();
    let (bucket, remote) = (Arc::clone(&world.bucket), Arc::clone(&world.remote));
    Ok(External::new(bucket, remote, program(context)?, workers))
}

/// The upstream program.
pub(super) fn program(context: &Context) -> Result<Program, Problem> {
    Program::find(context.maand_bin.as_deref(), &std::env::var_os("PATH").unwrap_or_default())
}

/// Why this engine, for people.
pub(super) fn why(bucket: &Bucket, context: &Context) -> &'static str {
    match (context.engine, bucket.is_upstream()) {
        (Some(_), _) => "because of --engine",
        (None, true) => "because the bucket has upstream's database, data/maand.db",
        (None, false) => "because the bucket has no data/maand.db of the upstream program",
    }
}

/// What a plan on this bucket can not expect of the upstream program; nothing with the built-in engine.
pub(super) fn differences(graph: &RolloutGraph, bucket: &Bucket, context: &Context) -> Problems {
    let mut problems = Problems::new();
    if context.engine_for(bucket) == Engine::Builtin || graph.fleet.synthetic {
        return problems;
    }
    problems.extend(bucket.upstream_differences());
    // Before any worker is asked: a run that ends at its first build has already been all over the fleet.
    match external::look(&bucket.paths().upstream_db) {
        Ok(_) => {}
        Err(CatalogError::Invalid(refused)) => problems.extend(refused),
        Err(error) => problems.push(
            Problem::error("maand::external::database", error.to_string())
                .help("look at it with the upstream program: `maand cat allocations`"),
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
        "the upstream program can not deploy to one worker only: each of these deploys to the whole bucket, and fails while any worker of it is down",
        "what is pending anywhere in the bucket is deployed as well; workers that reboot and deploys wait for each other",
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
        "the upstream program checks a job on all its workers: one that is not well elsewhere fails these, too",
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

/// An operation that did not take place, with its exit code.
pub(super) fn catalog_error(error: CatalogError) -> CliError {
    match error {
        CatalogError::Invalid(problems) => problems.into(),
        CatalogError::Locked { what, holder } => CliError::new(
            Exit::Locked,
            Problem::error("maand::locked", format!("{what} is held by {holder}"))
                .help("wait until it has ended, or end it; then try again"),
        ),
        CatalogError::Cancelled(why) => {
            CliError::new(Exit::Resumable, Problem::error("maand::interrupted", why).help("nothing was done"))
        }
        CatalogError::Broken(why) => CliError::new(
            Exit::Failed,
            Problem::error("maand::catalog", why)
                .help("the bucket's data folder or this machine is in the way"),
        ),
    }
}
