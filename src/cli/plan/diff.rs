//! `maand plan diff`: what a plan would do otherwise than another one, or than a run did.

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::hosts::HostPattern;
use super::super::{CliError, Context, Exit, out};
use super::read::parse_set;
use super::show::one_format;
use crate::compare::Diff;
use crate::review;

mod markdown;
mod side;
mod text;

use side::{Side, read_both};

/// Arguments of `maand plan diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A plan file, or a reviewed one (`-` reads standard input), or a run: the beginning or the end of its name, or `last`
    #[arg(value_name = "OLD", add = crate::cli::complete::plans_and_runs())]
    old: String,
    /// As OLD
    #[arg(value_name = "NEW", add = crate::cli::complete::plans_and_runs())]
    new: String,
    /// Text, JSON for programs, or Markdown for a pull request or the summary of a CI job
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Show all of long lists in the text
    #[arg(long)]
    all: bool,
    /// Exit with 1 if they differ
    #[arg(long)]
    exit_code: bool,
    /// Only these of the plans' workers, or a number: a made-up fleet of that size
    #[arg(long, visible_alias = "worker", value_delimiter = ',', value_name = "N|HOST,..")]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
    /// Set a variable of each plan that has it; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
}

/// The form in which a comparison is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Plain text.
    Text,
    /// For programs: see the schema `plan-diff.v1`.
    Json,
    /// For a comment at a pull request, or the summary of a CI job.
    Markdown,
}

/// What is shown.
struct Compared {
    old: Side,
    new: Side,
    diff: Diff,
    /// What could not be compared, and what is wrong besides.
    notes: Vec<String>,
}

/// As JSON. Lists of hosts are whole.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct DiffDocument<'a> {
    /// What is compared.
    old: SideJson<'a>,
    /// With this.
    new: SideJson<'a>,
    /// What could not be compared, and why.
    notes: &'a [String],
    #[serde(flatten)]
    diff: &'a Diff,
}

/// One of the two.
#[derive(Serialize, JsonSchema)]
struct SideJson<'a> {
    /// `plan`, `reviewed plan` or `run`.
    what: &'static str,
    /// The file as it was named, or the run.
    name: &'a str,
    /// The plan's name.
    plan: &'a str,
    /// Workers that it selects; `null`: it could not be compiled for a fleet.
    workers: Option<u32>,
    /// Workers of its fleet.
    fleet: Option<u32>,
    /// The fingerprint of all that decides what a run does, as in `plan show`.
    graph_hash: Option<&'a str>,
}

impl<'a> SideJson<'a> {
    fn of(side: &'a Side) -> Self {
        let on = side.outline.on_fleet.as_ref();
        Self {
            what: side.what,
            name: &side.name,
            plan: &side.outline.plan,
            workers: on.map(|on| on.workers.len() as u32),
            fleet: on.map(|on| on.fleet),
            graph_hash: on.map(|on| on.graph_hash.as_str()),
        }
    }
}

impl Document for DiffDocument<'_> {
    const NAME: &'static str = "plan-diff";
}

/// Runs the command.
pub(super) fn run(args: &DiffArgs, context: &Context) -> Result<Exit, CliError> {
    let format = one_format(args.format, Format::Text, Format::Json, context)?;
    let (old, new, notes) = read_both(args, context)?;
    let both = old.reviewed.as_ref().zip(new.reviewed.as_ref());
    let reviewed = both.map(|(old, new)| review::changes(old, &new.inputs, Ok(&new.rollout)));
    let diff = Diff::between(&old.outline, &new.outline).with_reviewed(reviewed.unwrap_or_default());
    let compared = Compared { old, new, diff, notes };
    match format {
        Format::Text => out::print(&text::render(&compared, args.all))?,
        Format::Markdown => out::print(&markdown::render(&compared))?,
        Format::Json => document::print(&DiffDocument {
            old: SideJson::of(&compared.old),
            new: SideJson::of(&compared.new),
            notes: &compared.notes,
            diff: &compared.diff,
        })?,
    }
    Ok(if args.exit_code && compared.diff.different { Exit::Failed } else { Exit::Done })
}
