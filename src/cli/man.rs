//! `maand man`: one manual page per command, made from the same definitions as `--help`.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::{Cli, CliError, Context, Exit, out};
use crate::plan::Problem;

/// Arguments of `maand man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder, made if it is missing, such as ~/.local/share/man/man1
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &ManArgs, context: &Context) -> Result<Exit, CliError> {
    std::fs::create_dir_all(&args.dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.dir))
        .map_err(|error| {
            let message = format!("manual pages cannot be written to {}: {error}", args.dir.display());
            Problem::error("maand::cli::man", message).help("name a folder that you may write to")
        })?;
    if !context.quiet {
        out::note(&format!("manual pages are in {}; read one with: man maand", args.dir.display()));
    }
    Ok(Exit::Done)
}
