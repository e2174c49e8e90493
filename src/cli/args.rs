//! The command line as clap sees it: every command, flag and help text.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::run::Engine;

/// Plan, apply and resume rolling operations over a fleet of Linux workers by plain SSH.
#[derive(Debug, Parser)]
#[command(name = "maand", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 something failed, 2 wrong command line, 3 invalid plan or bucket\n\
            (nothing was touched), 4 locked, 5 stopped and resumable, 70 a bug in maand."
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The bucket's folder [default: the nearest parent with maand.conf]
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub bucket: Option<PathBuf>,
    /// The engine that builds and deploys [default: external where data/maand.db exists, else builtin]
    #[arg(long, global = true, value_enum)]
    pub engine: Option<Engine>,
    /// The upstream program, for the external engine [default: the first maand on PATH that is not this one]
    #[arg(long, global = true, value_name = "FILE", env = "MAAND_BIN")]
    pub maand_bin: Option<PathBuf>,
    /// Format of standard output
    #[arg(long, global = true, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t)]
    pub color: ColorChoice,
    /// Print more; twice: even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Ring the terminal's bell when a run ends
    #[arg(long, global = true, env = "MAAND_BELL", value_parser = clap::builder::FalseyValueParser::new())]
    pub bell: bool,
}

impl ValueEnum for Engine {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Builtin, Self::External]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Builtin => PossibleValue::new("builtin").help("This program"),
            Self::External => PossibleValue::new("external").help("An installed upstream maand"),
        })
    }
}

/// The format of standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For reading; a run is shown live on a terminal
    #[default]
    Text,
    /// The same, a run line by line also on a terminal; with -q one line per worker
    Plain,
    /// For programs
    Json,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[expect(clippy::enum_variant_names, reason = "`run_command` is the name that upstream gave it")]
pub enum Command {
    /// Make a bucket, or complete one: folders, id, key pair
    Init(super::init::InitArgs),
    /// Read and check the workspace; contacts no worker
    Build,
    /// Bring the workers to what was built
    Deploy(super::deploy::DeployArgs),
    /// Run Makefile targets of a job: start, stop, restart, status, or another
    #[command(subcommand)]
    Job(super::job::JobCommand),
    /// Check that the workers answer and the probes of their jobs pass
    #[command(name = "health_check", alias = "health-check")]
    HealthCheck(super::health_check::HealthArgs),
    /// Show what this bucket is
    Info,
    /// Show workers, jobs, allocations and deployments
    #[command(subcommand)]
    Cat(super::cat::CatCommand),
    /// Run a shell command on workers, a few at a time
    #[command(name = "run_command", alias = "run-command")]
    RunCommand(super::run_command::RunCommandArgs),
    /// Plan, apply and resume rolling operations
    #[command(subcommand)]
    Plan(super::plan::PlanCommand),
    /// Start a throwaway fleet on this machine
    #[command(subcommand)]
    Sandbox(super::sandbox::SandboxCommand),
    /// Print the completion script of a shell
    Completions(super::completions::CompletionsArgs),
    /// Write the manual pages into a folder
    Man(super::man::ManArgs),
    /// The process that a sandbox's processes live under; started by a sandbox only
    #[command(name = crate::sandbox::GUARD_COMMAND, hide = true)]
    Guard,
}
