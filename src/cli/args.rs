//! The command line as clap sees it: every command, flag and help text.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::run::Engine;

/// Plan, apply and resume rolling operations over a fleet of Linux workers by plain SSH
#[derive(Debug, Parser)]
#[command(name = "maand", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What `--help` calls the flags of every command.
const GLOBAL: &str = "Global options";

/// Flags of every command; each has a variable in `environment.rs`.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// The bucket's folder [default: the nearest parent with maand.conf] [env: MAAND_BUCKET]
    #[arg(short = 'C', long, global = true, help_heading = GLOBAL, value_name = "DIR")]
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub bucket: Option<PathBuf>,
    /// The engine that builds and deploys [default: external where data/maand.db exists, else builtin]
    /// [env: MAAND_ENGINE]
    #[arg(long, global = true, help_heading = GLOBAL, value_enum)]
    pub engine: Option<Engine>,
    /// The upstream program, for the external engine [default: the first maand on PATH that is not this one]
    /// [env: MAAND_BIN]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    #[arg(value_hint = clap::ValueHint::ExecutablePath)]
    pub maand_bin: Option<PathBuf>,
    /// Format of standard output; with json errors are JSON too [default: text] [env: MAAND_OUTPUT]
    #[arg(long, global = true, help_heading = GLOBAL, value_enum)]
    pub output: Option<OutputFormat>,
    /// When to use colours [default: auto] [env: MAAND_COLOR]
    #[arg(long, global = true, help_heading = GLOBAL, value_enum)]
    pub color: Option<ColorChoice>,
    /// Also write diagnostics and failed workers as annotations for a CI system, to standard error
    /// [default: none] [env: MAAND_ANNOTATIONS]
    #[arg(long, global = true, help_heading = GLOBAL, value_enum)]
    pub annotations: Option<Annotations>,
    /// Also say on standard error which bucket and engine are used, how long it took, what is healthy, and what
    /// failed steps printed [env: MAAND_VERBOSE]
    #[arg(short, long, global = true, help_heading = GLOBAL, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print nothing when all went well, except what was asked for [env: MAAND_QUIET]
    #[arg(short, long, global = true, help_heading = GLOBAL, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Ring the terminal's bell when a run ends [env: MAAND_BELL]
    #[arg(long, global = true, help_heading = GLOBAL)]
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
    /// For programs: each document names its schema
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

/// For which CI system annotations are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Annotations {
    /// Write none
    #[default]
    None,
    /// Workflow commands of GitHub Actions: ::error file=...
    Github,
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
    /// Look at all workers and at this machine: all that is in the way, with what to type; changes nothing
    Doctor(super::doctor::DoctorArgs),
    /// Show what this bucket is
    Info,
    /// Show workers, jobs, allocations and deployments
    #[command(subcommand)]
    Cat(super::cat::CatCommand),
    /// Bring workspace/workers.json up to date with an inventory: shows the difference, and asks
    #[command(subcommand)]
    Import(super::import::ImportCommand),
    /// Run a shell command on workers, a few at a time
    #[command(name = "run_command", alias = "run-command")]
    RunCommand(super::run_command::RunCommandArgs),
    /// Plan, apply and resume rolling operations
    #[command(subcommand)]
    Plan(super::plan::PlanCommand),
    /// Who is told of what happens in runs: try the targets, send what was not delivered
    #[command(subcommand)]
    Notify(super::notify::NotifyCommand),
    /// Where the runs of this bucket are kept: look whether all is well there, copy them elsewhere
    #[command(subcommand)]
    Ledger(super::ledger::LedgerCommand),
    /// Show the runs of this bucket as web pages, live, for reading only
    Serve(super::serve::ServeArgs),
    /// Start a throwaway fleet on this machine
    #[command(subcommand)]
    Sandbox(super::sandbox::SandboxCommand),
    /// Print the completion script of a shell
    Completions(super::completions::CompletionsArgs),
    /// Write the manual pages into a folder
    Man(super::man::ManArgs),
    /// About this program itself
    #[command(name = "self", subcommand)]
    Own(super::own::OwnCommand),
    /// The process that a sandbox's processes live under; started by a sandbox only
    #[command(name = crate::sandbox::GUARD_COMMAND, hide = true)]
    Guard,
}
