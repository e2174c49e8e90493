//! `maand ledger`: where the runs of a bucket are kept, whether all is well there, and how they get elsewhere.

use std::time::Instant;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::{CliError, Context, Exit, out};
use crate::bucket::Bucket;
use crate::journal::{Copied, Holder, Inspection, JournalError, Location, Mode};
use crate::plan::{Problem, counted};
use crate::runner::now;

/// The commands below `maand ledger`.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Look whether the runs can be kept there: connection, rights, tables, and the hash chain of every run
    Check,
    /// Make the tables in the PostgreSQL that maand.conf names, where there are none
    Migrate(MigrateArgs),
    /// Copy all runs into an empty ledger: `file` is data/plan.db of this bucket
    Copy(CopyArgs),
}

/// Arguments of `maand ledger migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// As this user of the database, who may make tables [default: the one in maand.conf]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Arguments of `maand ledger copy`.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// From where: `file`, or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "LEDGER")]
    from: String,
    /// Into which: `file`, or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "LEDGER")]
    to: String,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct LedgerDocument {
    /// All is well.
    ok: bool,
    /// Where the runs are: the file, or the address without what is secret.
    place: String,
    /// The engine and its version, such as `PostgreSQL 15.14`.
    engine: String,
    /// The version of the tables.
    tables: i64,
    /// How many runs there are.
    runs: usize,
    /// And facts of them.
    facts: usize,
    /// What one question and its answer have taken, in microseconds.
    round_trip_us: u64,
    /// What is not what was written, one line each.
    damage: Vec<String>,
    /// What this user may not do, of what a controller has to.
    missing_rights: Vec<String>,
    /// Who carries a run out now.
    holder: Option<Holder>,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct LedgerCopyDocument {
    /// From where.
    from: String,
    /// Into which.
    to: String,
    /// How many runs were copied.
    runs: usize,
    /// And facts of them.
    facts: usize,
}

impl Document for LedgerDocument {
    const NAME: &'static str = "ledger";
}

impl Document for LedgerCopyDocument {
    const NAME: &'static str = "ledger-copy";
}

/// Carries out one of them.
pub(super) fn run(command: &LedgerCommand, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    match command {
        LedgerCommand::Check => check(&Location::of(&bucket)?, Mode::ReadOnly, context),
        LedgerCommand::Migrate(args) => {
            let location = Location::of(&bucket)?;
            let location = args.user.iter().fold(location, |location, user| location.with_user(user));
            check(&location, Mode::ReadWrite, context)
        }
        LedgerCommand::Copy(args) => copy(&bucket, args, context),
    }
}

fn check(location: &Location, mode: Mode, context: &Context) -> Result<Exit, CliError> {
    let journal = location.open(mode).map_err(|error| match error {
        error @ JournalError::NoTables { .. } => {
            let problem = Problem::error(error.code(), error.to_string());
            CliError::from(problem.help("make them:\n  maand ledger migrate"))
        }
        error => error.into(),
    })?;
    let Inspection { engine, tables, runs, facts, damage, missing_rights } = journal.inspect()?;
    let asked = Instant::now();
    journal.schema_version()?;
    let round_trip = asked.elapsed();
    let ok = damage.is_empty() && missing_rights.is_empty();
    let document = LedgerDocument {
        ok,
        place: journal.place().to_string(),
        engine,
        tables,
        runs,
        facts,
        round_trip_us: u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX),
        damage,
        missing_rights,
        holder: journal.holder()?,
    };
    if context.json {
        document::print(&document)?;
    } else {
        show(&document, context)?;
    }
    Ok(if ok { Exit::Done } else { Exit::Failed })
}

fn show(found: &LedgerDocument, context: &Context) -> Result<(), CliError> {
    if !context.quiet {
        let holder = found.holder.as_ref().map_or_else(|| "nobody".to_owned(), Holder::describe);
        out::print(&format!(
            "place       {}\nengine      {}, an answer takes {:.1} ms\ntables      version {}\nruns        {} with {}\n\
             controller  {holder}\n",
            found.place,
            found.engine,
            found.round_trip_us as f64 / 1000.0,
            found.tables,
            found.runs,
            counted(found.facts, "fact"),
        ))?;
    }
    for damage in &found.damage {
        let problem = Problem::error("maand::ledger::damaged", damage.as_str());
        out::diagnose(
            &problem
                .help("do not continue from it: restore it from a backup, and look at the workers by hand"),
            context.colors,
        );
    }
    if !found.missing_rights.is_empty() {
        let message =
            format!("this user may not carry runs out: it lacks {}", found.missing_rights.join(", "));
        let help =
            "docs/ledger.md has the statements that give the rights; who only reads needs none of them";
        out::diagnose(&Problem::error("maand::ledger::rights", message).help(help), context.colors);
    }
    Ok(())
}

fn copy(bucket: &Bucket, args: &CopyArgs, context: &Context) -> Result<Exit, CliError> {
    let from = Location::named(bucket, &args.from)?;
    let to = Location::named(bucket, &args.to)?;
    if from == to {
        let problem = Problem::error("maand::ledger::same", "the runs are there already");
        return Err(CliError::new(Exit::Usage, problem.help("name another ledger with --to")));
    }
    let record = Holder::this_process(None, now()).doing("maand ledger copy");
    let (source, mut target) = (from.open(Mode::ReadOnly)?, to.open(Mode::ReadWrite)?);
    // Nobody appends here while it is copied, or begins a run there.
    let _locks = Location::lock_both(&from, &to, &record)
        .map_err(|error| super::journal_error::lock_problem(&error))?;
    if let Some(run) = source.unfinished()? {
        let message = format!("run {run} has not finished: it could be continued in both");
        let help = "bring it to its end first:\n  maand plan resume\nor:\n  maand plan abort";
        return Err(CliError::new(
            Exit::Locked,
            Problem::error("maand::run::unfinished", message).help(help),
        ));
    }
    let Copied { runs, facts } = source.copy_into(&mut target, &mut |_| {})?;
    if context.json {
        let (from, to) = (source.place().to_string(), target.place().to_string());
        document::print(&LedgerCopyDocument { from, to, runs, facts })?;
    } else if !context.quiet {
        let next = match to.is_shared() {
            true => format!("write `ledger = \"{}\"` into maand.conf of every checkout", args.to),
            false => "take `ledger` out of maand.conf".to_owned(),
        };
        out::note(&format!(
            "Copied {} with {} to {}, and read them back: every hash chain is the same.\nFrom now on use that one: {next}.",
            counted(runs, "run"),
            counted(facts, "fact"),
            target.place()
        ));
    }
    Ok(Exit::Done)
}
