//! `maand completions`: what a shell reads once, so that it asks this program what can stand in a command line.

use clap::Args;
use clap_complete::Shell;
use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::{CliError, Context, Exit, complete, out};

/// Arguments of `maand completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell that will read it
    #[arg(value_enum)]
    shell: Shell,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct CompletionsDocument {
    /// The shell that reads it.
    shell: String,
    /// What it reads.
    script: String,
}

impl Document for CompletionsDocument {
    const NAME: &'static str = "completions";
}

/// Runs the command.
pub(super) fn run(args: &CompletionsArgs, context: &Context) -> Result<Exit, CliError> {
    let shell = args.shell.to_string();
    // By its path: another program of this name may stand before it on PATH.
    let program = std::env::current_exe().ok().and_then(|path| path.to_str().map(str::to_owned));
    let script = complete::registration(&shell, program.as_deref().unwrap_or("maand"));
    let script = String::from_utf8_lossy(&script.unwrap_or_default()).into_owned();
    if context.json {
        document::print(&CompletionsDocument { shell, script })?;
    } else {
        out::print(&script)?;
    }
    Ok(Exit::Done)
}
