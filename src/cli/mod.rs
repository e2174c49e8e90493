//! Arguments, confirmation, exit codes: the only place that knows clap.
//!
//! One file per command. A command gets a resolved [`Context`] and returns an [`Exit`] or a
//! [`CliError`]; the kind of an error decides the exit code. Nothing below this room prints.

mod args;
mod context;
mod error;
mod out;
mod plan;
mod run;
mod sandbox;

pub use args::Cli;
pub use context::Context;
pub use error::{CliError, Exit};
pub use run::main;
