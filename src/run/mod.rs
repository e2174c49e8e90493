//! The life of a run, from a plan and a bucket to the end of it: what is checked and looked at before
//! anything is touched, what an operator agrees to, how a run is created, carried out, stopped,
//! controlled from another process, resumed and read.
//!
//! | step | where |
//! |---|---|
//! | a plan to be carried out | [`RunRequest`] |
//! | what was reviewed of it, to be carried out later | [`review()`] |
//! | everything that is checked; no worker is touched | [`Run::prepare`] |
//! | what an operator agrees to | [`Prepared::summary`], [`Prepared::pending`], [`Consent`] |
//! | the run gets its name | [`Prepared::start`] |
//! | it is carried out until it is at rest | [`Run::carry_out`] |
//! | again, after whatever ended the process before | [`Run::resume`] |
//! | by itself, when its controller on another machine is not heard of | [`Run::stand_by`] |
//! | from another process | [`Run::control`] |
//! | only looked at | [`RunReader`], [`FollowedRun`], [`runs`], [`explain`] |
//! | looked back at, over all runs | [`History`] |
//! | as numbers, over all runs | [`MetricsReader`] |
//! | forgotten | [`Pruning`] |
//!
//! Everything is data: progress goes to a [`crate::report::Reporter`], consent comes in as a value, and an
//! error is a [`RunError`]. This room must not know how anything is shown or asked for: it neither prints
//! nor prompts, and knows no exit codes and no command lines.

mod carry_out;
mod changes;
mod checkout;
mod connector;
mod control;
mod engine_choice;
mod error;
mod explain;
mod files;
mod followed;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod header;
mod history;
mod import;
mod left_behind;
mod list;
mod metrics;
mod notices;
mod obstacle;
mod pending;
mod power;
mod preflight;
mod prepare;
mod prune;
mod reader;
mod ready;
mod reboots_left;
mod release;
mod resume;
mod review;
mod site;
mod standby;
mod statistics;
mod stored;
mod summary;
mod take_up;
mod worker_history;

pub use carry_out::{Left, RunOptions, RunResult};
pub use changes::Change;
pub use checkout::catch_up;
pub use connector::Connector;
pub use control::Controlled;
pub use engine_choice::Engine;
pub use error::{NotReady, RunError};
pub use explain::{Explanation, explain};
pub use files::{read_calendars, read_files};
pub use followed::{FollowedRun, News};
pub use history::{FilterPart, History, RunFilter};
pub use import::{Import, Imported};
pub use left_behind::LeftBehind;
pub use list::{ListedRun, runs};
pub use metrics::{Leaves, MetricsReader};
pub use notices::{Told, resend_notices, targets_of, test_notices};
pub use obstacle::{NotTaken, Obstacle};
pub use pending::{pending_changes, pending_diffs};
pub use preflight::Looked;
pub use prepare::{Consent, Prepared, RunRequest};
pub use prune::{Keep, PRUNING, Prunable, Pruning, Spared};
pub use reader::{RunReader, open_run};
pub use ready::Run;
pub use reboots_left::reboots_left;
pub use release::release;
pub use resume::{Resume, TakeOver};
pub use review::{ReviewPart, review};
pub use site::{Site, this_operator};
pub use standby::{Standby, StandbyNews, TAKEN_OVER_WITHIN};
pub use statistics::{Counted, Statistics, StepStatistics};
pub use stored::compile_stored;
pub use summary::Summary;
pub use worker_history::{
    AttemptInRun, HostsWithLabels, Looked as HistoryLook, OperatorAct, RunOnWorkers, StepEnd, StepInRun,
    WorkerInRun,
};
