//! `maand plan ...`: one file per command.

mod apply;
mod carry_out;
mod check;
mod control;
mod diff;
mod expect;
mod explain;
mod export;
mod history;
mod left_behind;
mod list;
mod logs;
mod metrics;
mod metrics_file;
mod new;
mod page_control;
mod page_file;
mod plan_on_fleet;
mod prune;
mod read;
mod reboots_left;
mod rehearse;
mod release;
mod report;
mod reporters;
mod resume;
mod run_error;
mod runs_args;
mod schema;
mod show;
mod simulate;
mod standby;
mod stats;
mod status;
mod validate;
mod verify;

#[cfg(test)]
pub(super) use {
    check::CheckDocument, control::RequestDocument, diff::DiffDocument, explain::ExplainDocument,
    export::ExportDocument, history::HistoryDocument, list::ListDocument, logs::AttemptDocument,
    metrics::MetricsDocument, new::NewDocument, prune::PruneDocument, release::ReleaseDocument,
    report::ReportDocument, simulate::SimulateDocument, stats::StatsDocument, status::TimelineDocument,
    validate::ValidateDocument, verify::VerifyDocument,
};

use clap::Subcommand;

pub(super) use page_control::control_from_page;
pub(super) use read::{parse_set, read_plan, shown_name};

use super::{CliError, Context, Exit};

/// The commands below `maand plan`.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Write a commented plan file to start from
    New(new::NewArgs),
    /// Check plan files; no worker is contacted
    Validate(validate::ValidateArgs),
    /// Show what a plan would do; no worker is contacted
    Show(show::ShowArgs),
    /// Compare what two plans, reviewed plans or runs would do; no worker is contacted
    Diff(diff::DiffArgs),
    /// Simulate a plan under virtual time: how long it takes, and what happens when steps fail
    Simulate(simulate::SimulateArgs),
    /// Try every order in which workers can end and fail: is what the plan promises kept?
    Check(check::CheckArgs),
    /// Try a plan over real SSH on a throwaway fleet, with injected faults if you like
    Rehearse(rehearse::RehearseArgs),
    /// Carry out a plan
    Apply(apply::ApplyArgs),
    /// Show where a run stands
    Status(status::StatusArgs),
    /// Write a page about a run: one HTML file that needs nothing else
    Report(report::ReportArgs),
    /// Explain what workers wait for
    Explain(explain::ExplainArgs),
    /// Show what the steps of a run wrote
    Logs(logs::LogsArgs),
    /// Open the gates that wait for an approval
    Approve(control::ApproveArgs),
    /// Start no more workers; active ones finish
    Pause(control::PauseArgs),
    /// Continue a run that was stopped, whatever stopped it
    Resume(resume::ResumeArgs),
    /// Put a run into a file, to continue it on another machine
    Export(export::ExportArgs),
    /// Check a file of `export`, or a run: its hash chain, and that all came about by the rules
    Verify(verify::VerifyArgs),
    /// Let a failed worker continue at its failed step
    Retry(control::WorkerArgs),
    /// Give up a failed worker: it stays as it is and no longer counts as failed
    Skip(control::WorkerArgs),
    /// End a run for good
    Abort(control::AbortArgs),
    /// Clear the claims on workers of a run that is lost
    Release(release::ReleaseArgs),
    /// List the runs of this bucket, newest first
    List(list::ListArgs),
    /// Show what happened on workers: every step of every run
    History(history::HistoryArgs),
    /// Show how long steps take, and how often they fail
    Stats(stats::StatsArgs),
    /// Print the runs of this bucket as numbers for a Prometheus
    Metrics(metrics::MetricsArgs),
    /// Forget old runs, and give the room back
    Prune(prune::PruneArgs),
    /// Print the JSON Schema of plan files, for editors
    Schema,
}

/// Carries out one of them.
pub(super) fn run(command: PlanCommand, context: &Context) -> Result<Exit, CliError> {
    rehearse::obey_rehearsal();
    match command {
        PlanCommand::Apply(args) => apply::run(&args, context),
        PlanCommand::Resume(args) => resume::run(&args, context),
        PlanCommand::Pause(args) => control::pause(args, context),
        PlanCommand::Abort(args) => control::abort(&args, context),
        PlanCommand::Approve(args) => control::approve(args, context),
        PlanCommand::Rehearse(args) => rehearse::run(&args, context),
        PlanCommand::Retry(args) => control::retry(args, context),
        PlanCommand::Skip(args) => control::skip(args, context),
        PlanCommand::Explain(args) => explain::run(&args, context),
        PlanCommand::Report(args) => report::run(&args, context),
        PlanCommand::Release(args) => release::run(&args, context),
        PlanCommand::Export(args) => export::run(&args, context),
        PlanCommand::Verify(args) => verify::run(&args, context),
        PlanCommand::List(args) => list::run(&args, context),
        PlanCommand::Logs(args) => logs::run(&args, context),
        PlanCommand::Metrics(args) => metrics::run(&args, context),
        PlanCommand::New(args) => new::run(&args, context),
        PlanCommand::Diff(args) => diff::run(&args, context),
        PlanCommand::Check(args) => check::run(&args, context),
        PlanCommand::History(args) => history::run(&args, context),
        PlanCommand::Prune(args) => prune::run(&args, context),
        PlanCommand::Show(args) => show::run(&args, context),
        PlanCommand::Simulate(args) => simulate::run(&args, context),
        PlanCommand::Stats(args) => stats::run(&args, context),
        PlanCommand::Status(args) => status::run(&args, context),
        PlanCommand::Validate(args) => validate::run(&args, context),
        PlanCommand::Schema => schema::run(),
    }
}
