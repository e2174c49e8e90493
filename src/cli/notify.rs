//! `maand notify`: whether the targets of notices can be told, and what was not delivered once more.

use std::path::Path;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::open_bucket::connector;
use super::plan::read_plan;
use super::table::Table;
use super::{CliError, Context, Exit, out};
use crate::bucket::Bucket;
use crate::plan::{self, Problem, counted, visible_line};
use crate::run::{Site, Told, resend_notices, targets_of, test_notices};

/// The commands below `maand notify`.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a marked test message to each target of the bucket, and of a plan, and show what is answered
    Test(TestArgs),
    /// Send what was not delivered of a run, once each; a resume does so by itself
    Resend(ResendArgs),
}

/// Arguments of `maand notify test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// A plan whose `notify` counts, too [default: only the targets of the bucket]
    #[arg(value_name = "PLAN", add = crate::cli::complete::plan_files())]
    plan: Option<String>,
    /// Only this target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Set a variable of the plan; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::plan::parse_set, requires = "plan")]
    set: Vec<(String, String)>,
}

/// Arguments of `maand notify resend`.
#[derive(Debug, Args)]
pub struct ResendArgs {
    /// The run; the beginning or the end of its name will do [default: the newest]
    #[arg(value_name = "RUN", add = crate::cli::complete::run_names())]
    run: Option<String>,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct NotifyDocument {
    /// All were delivered.
    ok: bool,
    /// What became of each; empty: there was nothing to send.
    notices: Vec<ToldJson>,
}

/// What became of one notice to one target.
#[derive(Serialize, JsonSchema)]
struct ToldJson {
    /// The target's name.
    target: String,
    /// `webhook`, `slack`, `teams`, `ntfy`, `mail` or `command`.
    service: &'static str,
    /// The id that was sent with it.
    notice: String,
    /// It was taken.
    delivered: bool,
    /// What was answered, or why it was not delivered.
    answer: String,
}

impl Document for NotifyDocument {
    const NAME: &'static str = "notify";
}

/// Commands end when this process does.
const GUARD: &str = "/proc/self/exe";

/// Carries out one of them.
pub(super) fn run(command: &NotifyCommand, context: &Context) -> Result<Exit, CliError> {
    match command {
        NotifyCommand::Test(args) => test(args, context),
        NotifyCommand::Resend(args) => {
            let site = Site::find(context.bucket.as_deref(), connector(context))?;
            let told = resend_notices(&site, args.run.as_deref(), Some(Path::new(GUARD)))?;
            if told.is_empty() && !context.json && !context.quiet {
                out::note(
                    "There is nothing to send: nobody is to be told, or all notices of this run were delivered.",
                );
                return Ok(Exit::Done);
            }
            show(told, context)
        }
    }
}

fn test(args: &TestArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let plan = match &args.plan {
        Some(path) => Some(plan::parse(&read_plan(path)?, &args.set)?),
        None => None,
    };
    let targets = targets_of(&bucket, plan.as_ref())?;
    let refused = |message: String, help: &str| {
        Err(CliError::new(Exit::Invalid, Problem::error("maand::notify::nobody", message).help(help)))
    };
    if !bucket.settings().executes_local() {
        let help = "start it with --execute, or name another bucket with -C";
        return refused("this fleet is a sandbox: it tells nobody of anything".to_owned(), help);
    }
    if targets.is_empty() {
        let help = "write `notify` into the plan and name that, or let `notify` in maand.conf name a file with targets: \
                    docs/notices.md shows how";
        return refused("there is nobody to be told".to_owned(), help);
    }
    if let Some(name) = args.target.as_ref().filter(|name| !targets.contains_key(*name)) {
        let known: Vec<&str> = targets.keys().map(String::as_str).collect();
        let help = format!("known here: {}", known.join(", "));
        return refused(format!("there is no target `{}`", visible_line(name)), &help);
    }
    let told = test_notices(&bucket, plan.as_ref(), args.target.as_deref(), Some(Path::new(GUARD)))?;
    show(told, context)
}

fn show(told: Vec<Told>, context: &Context) -> Result<Exit, CliError> {
    let failed = told.iter().filter(|told| told.answer.is_err()).count();
    let of = told.len();
    if context.json {
        let notices = told.into_iter().map(|told| ToldJson {
            target: told.target,
            service: told.service,
            notice: told.notice,
            delivered: told.answer.is_ok(),
            answer: told.answer.unwrap_or_else(|why| why),
        });
        document::print(&NotifyDocument { ok: failed == 0, notices: notices.collect() })?;
    } else if failed > 0 || !context.quiet {
        let mut table = Table::new(&["TARGET", "SERVICE", "OUTCOME", "ANSWER", "NOTICE"]);
        for told in told {
            let outcome = if told.answer.is_ok() { "delivered" } else { "FAILED" };
            let answer = visible_line(&told.answer.unwrap_or_else(|why| why));
            table.row(vec![told.target, told.service.to_owned(), outcome.to_owned(), answer, told.notice]);
        }
        out::print(&table.render())?;
        if failed > 0 {
            out::note(&format!("{failed} of {} not delivered.", counted(of, "notice")));
        }
    }
    Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
}
