//! `maand import`: `workspace/workers.json` as an inventory has it. The difference is shown, the operator is asked, and the
//! file is written whole or not at all. No other command runs or reads an inventory: what counts is the file.

mod document;
mod propose;
mod sources;
mod text;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ask::Consent;
use super::{CliError, Context, Exit};
use crate::bucket::Bucket;

#[cfg(test)]
pub(super) use document::ImportDocument;
use propose::propose;

/// `maand import ...`
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// From Ansible: groups become labels, variables of hosts tags
    Ansible(AnsibleArgs),
    /// From an ssh config: each host that it names becomes a worker
    SshConfig(SshConfigArgs),
    /// From a command of your own, `inventory_command` in maand.conf, that prints a workers.json
    Command(CommandArgs),
}

/// What all of them have.
#[derive(Debug, Args)]
struct Manner {
    /// Write nothing; exit with 1 if workers.json would change
    #[arg(long)]
    check: bool,
    /// Also remove workers, labels and tags that the inventory does not have [default: they stay, and are named]
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Arguments of `maand import ansible`.
#[derive(Debug, Args)]
pub struct AnsibleArgs {
    /// The output of `ansible-inventory --list`; `-` reads standard input
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: String,
    /// Only these groups become labels; `*` and `?` stand for any text and any character [default: all]
    #[arg(long, visible_alias = "labels", value_delimiter = ',', value_name = "GROUP,..")]
    #[arg(add = crate::cli::complete::labels())]
    groups: Vec<String>,
    /// Only these variables become tags, also when they look like secrets [default: all plain values that do not]
    #[arg(long, value_delimiter = ',', value_name = "VAR,..")]
    #[arg(add = crate::cli::complete::tag_keys())]
    tags: Vec<String>,
    #[command(flatten)]
    manner: Manner,
}

/// Arguments of `maand import ssh-config`.
#[derive(Debug, Args)]
pub struct SshConfigArgs {
    /// The ssh config [default: ~/.ssh/config, which is also read when a worker is connected to]
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Only hosts with these names; `*` and `?` stand for any text and any character [default: all]
    #[arg(long, value_delimiter = ',', value_name = "HOST,..")]
    #[arg(add = crate::cli::complete::host_names())]
    hosts: Vec<String>,
    #[command(flatten)]
    manner: Manner,
}

/// Arguments of `maand import command`.
#[derive(Debug, Args)]
pub struct CommandArgs {
    #[command(flatten)]
    manner: Manner,
}

/// Runs the command.
pub(super) fn run(command: &ImportCommand, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let (found, manner) = match command {
        ImportCommand::Ansible(args) => (sources::ansible(args)?, &args.manner),
        ImportCommand::SshConfig(args) => (sources::ssh_config(args, &bucket, context)?, &args.manner),
        ImportCommand::Command(args) => (sources::command(&bucket, context)?, &args.manner),
    };
    propose(&bucket, &found, manner, context)
}
