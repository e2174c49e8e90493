//! `maand plan report`: a run as a page that needs nothing but itself.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::{CliError, Context, Exit, out};
use super::carry_out::hints;
use super::page_file;
use crate::bucket::Bucket;
use crate::page::run_page;
use crate::run::FollowedRun;
use crate::runner::now;

/// Arguments of `maand plan report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The run; the beginning or the end of its name will do [default: the newest]
    #[arg(value_name = "RUN", add = crate::cli::complete::run_names())]
    run: Option<String>,
    /// The file to write, in place of what is there; `-` writes to standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: PathBuf,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct ReportDocument<'a> {
    /// The run's name.
    run: &'a str,
    /// The file that was written.
    file: &'a Path,
    /// Its size.
    bytes: usize,
}

impl Document for ReportDocument<'_> {
    const NAME: &'static str = "plan-report";
}

/// Runs the command.
pub(super) fn run(args: &ReportArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let run = FollowedRun::open(&bucket, args.run.as_deref(), hints(context), now())?;
    let page = run_page(&run.page());
    let run = run.reader();
    if args.out.as_os_str() == "-" {
        out::print(&page)?;
        return Ok(Exit::Done);
    }
    page_file::write(&args.out, &page)?;
    if context.json {
        document::print(&ReportDocument { run: run.id.as_str(), file: &args.out, bytes: page.len() })?;
    } else if !context.quiet {
        out::print(&format!(
            "Wrote {} ({} KB): the page of run {}.\n",
            args.out.display(),
            page.len().div_ceil(1000),
            run.id
        ))?;
    }
    Ok(Exit::Done)
}
