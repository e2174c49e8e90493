//! Arguments, confirmation, exit codes: the only place that knows clap.
//!
//! One file per command. A command gets a resolved [`Context`] and returns an [`Exit`] or a
//! [`CliError`]; the kind of an error decides the exit code. Nothing below this room prints, and only this one knows with which commands
//! an operator acts.

mod annotations;
mod args;
mod ask;
mod build;
mod cat;
mod checking;
mod complete;
mod completions;
mod context;
mod deploy;
mod doctor;
mod document;
mod engine;
mod environment;
mod error;
mod examples;
mod health_check;
mod help;
mod hint;
mod hosts;
mod import;
mod info;
mod init;
mod interrupt;
mod job;
mod journal_error;
mod ledger;
mod man;
mod markdown;
#[cfg(test)]
mod named_commands;
mod notify;
mod open_bucket;
mod operate;
mod out;
mod own;
mod pager;
mod passthrough;
mod plan;
mod run;
mod run_command;
mod sandbox;
mod sandbox_error;
mod serve;
mod table;
mod verbose;
mod when;

pub use args::Cli;
pub use context::Context;
pub use error::{CliError, Exit};
pub use run::main;
