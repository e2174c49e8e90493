//! Pages that commands write into files.

use std::path::Path;

use super::super::CliError;
use crate::os::disk;
use crate::plan::Problem;

/// Writes a page in place of what is there, readable for its owner alone: it has what workers wrote.
///
/// # Errors
/// The folder is not there, or may not be written to.
pub(super) fn write(file: &Path, page: &str) -> Result<(), CliError> {
    disk::replace(file, page, 0o600).map_err(|error| {
        let message = format!("{} cannot be written: {error}", file.display());
        let help = "name a file in a folder that you may write to: --out run.html";
        Problem::error("maand::cli::unwritable", message).help(help).into()
    })
}
