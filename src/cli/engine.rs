//! The engine that builds and deploys for a bucket, as the command line names it, and why it is that one.

use std::sync::Arc;
use std::time::Duration;

use super::open_bucket::{OpenBucket, connector};
use super::{CliError, Context, Exit};
use crate::bucket::Bucket;
use crate::bucket::lock::Guard;
use crate::catalog::external::Program;
use crate::catalog::{Catalog, CatalogError, External};
use crate::plan::Problem;
use crate::run::Engine;

/// The engine of a bucket: as `--engine` says, else the one that its files belong to.
pub(super) fn of(world: &OpenBucket, context: &Context) -> Result<Arc<dyn Catalog>, CliError> {
    with_make_timeout(world, context, None)
}

/// As [`of`], where one run of make may take this long.
pub(super) fn with_make_timeout(
    world: &OpenBucket,
    context: &Context,
    timeout: Option<Duration>,
) -> Result<Arc<dyn Catalog>, CliError> {
    Ok(connector(context).catalog(&world.bucket, &world.fleet, &world.remote, timeout)?)
}

/// As [`of`], for a part of an operation that holds the bucket's lock.
pub(super) fn under(
    world: &OpenBucket,
    context: &Context,
    lock: &Arc<Guard>,
) -> Result<Arc<dyn Catalog>, CliError> {
    match context.engine_for(&world.bucket) {
        Engine::External => Ok(Arc::new(upstream(world, context)?.under(Arc::clone(lock)))),
        Engine::Builtin => of(world, context),
    }
}

/// The external engine of a bucket.
pub(super) fn upstream(world: &OpenBucket, context: &Context) -> Result<External, CliError> {
    Ok(connector(context).upstream(&world.bucket, &world.fleet, &world.remote)?)
}

/// The upstream program.
pub(super) fn program(context: &Context) -> Result<Program, Problem> {
    connector(context).program()
}

/// Why this engine, in words.
pub(super) fn why(bucket: &Bucket, context: &Context) -> &'static str {
    match (context.engine, bucket.is_upstream()) {
        (Some(_), _) => "because of --engine, or MAAND_ENGINE",
        (None, true) => "because the bucket has upstream's database, data/maand.db",
        (None, false) => "because the bucket has no data/maand.db of the upstream program",
    }
}

/// An operation that did not take place, with its exit code.
pub(super) fn catalog_error(error: CatalogError) -> CliError {
    match error {
        CatalogError::Invalid(problems) => problems.into(),
        CatalogError::NotBuilt { upstream } => Problem::error("maand::catalog::not_built", error.to_string())
            .help(if upstream {
                "run `maand init` and `maand build` of the upstream program first"
            } else {
                "run `maand build` first, or `maand deploy --build`"
            })
            .into(),
        CatalogError::UpstreamsBucket { .. } => Problem::error(
            "maand::catalog::upstreams_bucket",
            error.to_string(),
        )
        .help(
            "use --engine external; the built-in engine would start every job a second time under another id",
        )
        .into(),
        CatalogError::BadTarget(_) => Problem::error("maand::catalog::target", error.to_string())
            .help("letters, digits, `.`, `_`, `-` and `/`, not starting with `-`")
            .into(),
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
            Problem::error("maand::catalog", why.to_string())
                .help("the bucket's data folder or this machine is in the way"),
        ),
    }
}
