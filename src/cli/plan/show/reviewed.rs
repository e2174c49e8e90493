//! `maand plan show` with reviewed plan files: writes them (`--out`), and shows what they hold.

use std::path::Path;
use std::sync::Arc;

use super::super::super::open_bucket::connector;
use super::super::super::{CliError, Context, Exit};
use super::super::apply::refuse_more;
use super::super::read::shown_name;
use super::{Openings, ReviewedFile, ShowArgs, Shown, expect, print};
use crate::bucket::Bucket;
use crate::graph::RolloutGraph;
use crate::plan::{Problem, Problems};
use crate::policy::{self, Forecast};
use crate::review::{self, Reviewed, Unwritable};
use crate::run::{self, ReviewPart, Site};
use crate::runner::now;

/// Writes what was compiled; nothing of it is read again but what the graph does not have.
pub(super) fn write(
    file: &Path,
    bucket: Option<Bucket>,
    graph: &Arc<RolloutGraph>,
    part: ReviewPart,
    context: &Context,
) -> Result<Reviewed, CliError> {
    let Some(bucket) = bucket else {
        return Err(CliError::usage(
            "`--out` keeps what would happen to a bucket's workers, and this fleet is made up",
            "leave the number of workers out",
        ));
    };
    let site = Site { bucket: Arc::new(bucket), connector: connector(context) };
    let (reviewed, bytes) = run::review(&site, graph, part)?;
    review::write(file, &bytes, &site.bucket.paths().workspace).map_err(|why| unwritable(file, &why))?;
    Ok(reviewed)
}

/// Shows what a file holds: not what would happen now, but what was reviewed.
pub(super) fn show(args: &ShowArgs, reviewed: &Reviewed, context: &Context) -> Result<Exit, CliError> {
    refuse_more(&args.set, &args.workers)?;
    if args.out.is_some() {
        return Err(CliError::usage(
            "`--out` keeps what would happen now, and this is what was reviewed then",
            "name the plan, not the reviewed file",
        ));
    }
    if args.diff {
        return Err(CliError::usage(
            "`--diff` shows the files of the workspace as they are now, and this is what was reviewed then",
            "name the plan, not the reviewed file",
        ));
    }
    if args.probe {
        return Err(CliError::usage(
            "`--probe` asks workers how they are now, and this is what was reviewed then",
            "name the plan, not the reviewed file",
        ));
    }
    let graph = reviewed.graph();
    let forecast = Forecast::of(graph);
    let feasibility: Problems = policy::feasibility(graph);
    let expected = expect(graph, &forecast, context);
    let shown = Shown {
        graph,
        feasibility: &feasibility,
        openings: Openings::of(graph, now(), expected.as_ref().map(|expected| expected.millis)),
        expected,
        forecast: &forecast,
        pending: reviewed.document().inputs.pending.as_ref(),
        diffs: None,
        probed: None,
        reviewed: Some(ReviewedFile { file: shown_name(&args.plan).to_owned(), reviewed }),
    };
    print(args, &shown, context)
}

fn unwritable(file: &Path, why: &Unwritable) -> Problem {
    let help = match why {
        Unwritable::Foreign => {
            "choose another name, or remove the file first: only reviewed plan files are replaced"
        }
        Unwritable::NotPlain(_) => "name a plain file, or one that is not there yet",
        Unwritable::InWorkspace => "choose a place outside of the bucket's workspace folder",
        Unwritable::Io(_) => "check the path, its folder and their permissions, and whether the disk is full",
    };
    let message = format!("the reviewed plan file `{}` cannot be written: {why}", file.display());
    Problem::error("maand::review::not_written", message).help(help)
}
