//! `maand build`: the workspace becomes the catalog's wanted state. No worker is contacted.

use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::engine::catalog_error;
use super::operate::{OnSignal, Operation};
use super::{CliError, Context, Exit};

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct BuildDocument {
    /// The workspace was built; a refused one prints no document.
    ok: bool,
    /// Number of allocations that the workspace asks for.
    allocations: usize,
    /// Number of these that are disabled.
    disabled: usize,
    /// Number of allocations that the next deploy removes.
    removed: usize,
}

impl Document for BuildDocument {
    const NAME: &'static str = "build";
}

/// Runs the command.
pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let operation = Operation::open(context, None, true, OnSignal::End)?;
    operation.catalog.build(&operation.call).map_err(catalog_error)?;
    if context.json {
        let allocations = operation.catalog.allocations().map_err(catalog_error)?;
        let count =
            |is: fn(&crate::catalog::CatalogAllocation) -> bool| allocations.iter().filter(|a| is(a)).count();
        document::print(&BuildDocument {
            ok: true,
            allocations: count(|a| !a.removed),
            disabled: count(|a| a.disabled),
            removed: count(|a| a.removed),
        })?;
    }
    Ok(Exit::Done)
}
