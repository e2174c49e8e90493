//! `maand plan metrics`: the runs of a bucket as numbers.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::{CliError, Context, Exit, out};
use super::metrics_file::{MODE, check_target, unwritable};
use crate::bucket::Bucket;
use crate::metrics::{openmetrics, prometheus_text};
use crate::os::disk;
use crate::run::{Leaves, MetricsReader};

/// Arguments of `maand plan metrics`.
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Write them to this file, in place of what is there, for node_exporter (whose folder takes FILE.prom)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// As OpenMetrics; else in the text format before it, which node_exporter reads
    #[arg(long)]
    openmetrics: bool,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct MetricsDocument<'a> {
    /// The file that was written.
    file: &'a Path,
    /// Its size.
    bytes: usize,
}

impl Document for MetricsDocument<'_> {
    const NAME: &'static str = "plan-metrics";
}

/// Runs the command.
pub(super) fn run(args: &MetricsArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let now = MetricsReader::new(&bucket).read(Leaves::No)?;
    let text = if args.openmetrics { openmetrics(now) } else { prometheus_text(now) };
    let Some(file) = args.out.as_deref().filter(|file| file.as_os_str() != "-") else {
        out::print(&text)?;
        return Ok(Exit::Done);
    };
    check_target(file)?;
    disk::replace(file, &text, MODE).map_err(|error| unwritable(file, &error))?;
    if context.json {
        document::print(&MetricsDocument { file, bytes: text.len() })?;
    } else if !context.quiet {
        out::print(&format!("Wrote {}.\n", file.display()))?;
    }
    Ok(Exit::Done)
}
