//! Which engine builds and deploys for a bucket, and why.

use std::sync::Arc;
use std::time::Duration;

use super::args::Engine;
use super::world::World;
use super::{CliError, Context, Exit};
use crate::catalog::{Builtin, Catalog, CatalogError, MAKE_TIMEOUT};
use crate::plan::Problem;

/// The engine of a bucket: as `--engine` says, else the one that its files belong to.
pub(super) fn of(world: &World, context: &Context) -> Result<Arc<dyn Catalog>, CliError> {
    with_make_timeout(world, context, None)
}

/// As [`of`], where one run of make may take this long.
pub(super) fn with_make_timeout(
    world: &World,
    context: &Context,
    timeout: Option<Duration>,
) -> Result<Arc<dyn Catalog>, CliError> {
    let upstream = world.bucket.is_upstream();
    match context.engine {
        Some(Engine::External) => Err(no_external("--engine external was asked for")),
        None if upstream => Err(no_external("this bucket has upstream's database (data/maand.db)")),
        Some(Engine::Builtin) | None => {
            let builtin = Builtin::new(Arc::clone(&world.bucket), Arc::clone(&world.remote));
            Ok(Arc::new(builtin.with_make_timeout(timeout.unwrap_or(MAKE_TIMEOUT))))
        }
    }
}

fn no_external(why: &str) -> CliError {
    Problem::error(
        "maand::engine::external",
        format!("{why}, and this version can not drive the upstream program yet"),
    )
    .help("use a bucket of its own, made with `maand init`")
    .into()
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
