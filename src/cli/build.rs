//! `maand build`: the workspace becomes the catalog's wanted state. No worker is contacted.

use serde_json::json;

use super::engine::catalog_error;
use super::operate::Operation;
use super::{CliError, Context, Exit, out};

/// Carries it out.
pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let operation = Operation::open(context, None, true)?;
    operation.catalog.build(&operation.call).map_err(catalog_error)?;
    if context.json {
        let allocations = operation.catalog.allocations().map_err(catalog_error)?;
        let count =
            |is: fn(&crate::catalog::CatalogAllocation) -> bool| allocations.iter().filter(|a| is(a)).count();
        out::print_json(&json!({
            "ok": true,
            "allocations": count(|a| !a.removed),
            "disabled": count(|a| a.disabled),
            "removed": count(|a| a.removed),
        }))?;
    }
    Ok(Exit::Done)
}
