//! `maand plan schema`: the JSON Schema of plan files.

use super::super::{CliError, Exit, out};
use crate::plan;

/// Prints the schema.
pub(super) fn run() -> Result<Exit, CliError> {
    out::print_json("the schema", &plan::schema())?;
    Ok(Exit::Done)
}
