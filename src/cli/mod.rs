//! Arguments, confirmation, exit codes: the only place that knows clap.
//!
//! One file per command. A command gets a resolved [`Context`] and returns an [`Exit`] or a
//! [`CliError`]; the kind of an error decides the exit code. Nothing below this room prints, and only this one knows with which commands
//! an operator acts.

mod args;
mod ask;
mod build;
mod cat;
mod checking;
mod completions;
mod context;
mod deploy;
mod document;
mod engine;
mod error;
mod health_check;
mod hint;
mod info;
mod init;
mod interrupt;
mod job;
mod journal_error;
mod man;
#[cfg(test)]
mod named_commands;
mod open_bucket;
mod operate;
mod out;
mod passthrough;
mod plan;
mod run;
mod run_command;
mod sandbox;
mod sandbox_error;
mod table;

pub use args::Cli;
pub use context::Context;
pub use error::{CliError, Exit};
pub use run::main;
