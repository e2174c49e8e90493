//! `maand plan export`: a run in a file, to be continued on another machine.

use std::path::{Path, PathBuf};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::{CliError, Context, Exit, out};
use crate::bucket::Bucket;
use crate::bundle::{Bundle, Controller, LIMIT, export};
use crate::os::{disk, quote};
use crate::plan::{Problem, counted};
use crate::run::open_run;

/// Arguments of `maand plan export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The run, or the beginning of its name [default: the unfinished one]
    #[arg(value_name = "RUN", add = crate::cli::complete::run_names())]
    run: Option<String>,
    /// The file; one that is there is replaced
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: PathBuf,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct ExportDocument<'a> {
    /// The run.
    run: &'a str,
    /// The file that was written.
    file: String,
    /// Its size.
    bytes: usize,
    /// Number of facts in it.
    facts: u64,
    /// The epoch of the run's newest controller.
    epoch: u64,
    /// SHA-256 of the bundle's content.
    sha256: &'a str,
    /// What is known of the process that carried the run out last.
    controller: &'a Controller,
}

impl Document for ExportDocument<'_> {
    const NAME: &'static str = "plan-export";
}

/// Runs the command.
pub(super) fn run(args: &ExportArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    outside_of_the_workspace(&bucket, &args.out)?;
    let (journal, id) = open_run(&bucket, args.run.as_deref())?;
    let bundle = export(&bucket, &journal, &id)?;
    let text = bundle.to_text().map_err(|error| {
        let message = format!("run {id} cannot be exported: what the journal has is not JSON: {error}");
        Problem::error("maand::bundle::export", message).help("`maand plan verify` looks at the journal")
    })?;
    if text.len() as u64 > LIMIT {
        let message = format!("run {id} needs {} bytes, and a bundle has {LIMIT} at most", text.len());
        return Err(Problem::error("maand::bundle::export", message)
            .help("take a copy of the bucket's data/ folder to the other machine instead")
            .into());
    }
    disk::replace(&args.out, &text, 0o600).map_err(|error| {
        let message = format!("{} cannot be written: {error}", args.out.display());
        Problem::error("maand::bundle::export", message).help("what was there before is still there")
    })?;
    show(&bundle, args, text.len(), context)?;
    Ok(Exit::Done)
}

fn show(bundle: &Bundle, args: &ExportArgs, bytes: usize, context: &Context) -> Result<(), CliError> {
    let about = &bundle.about;
    let file = args.out.display().to_string();
    if context.json {
        return document::print(&ExportDocument {
            run: &about.run,
            file,
            bytes,
            facts: about.facts,
            epoch: about.epoch,
            sha256: &bundle.sha256,
            controller: &about.controller,
        });
    }
    if context.quiet {
        return Ok(());
    }
    out::note(&format!(
        "Run {} is in {file}: {}, without the output of steps.",
        about.run,
        counted(about.facts as usize, "fact")
    ));
    let typed = format!("  maand plan resume --from {}", quote(&file));
    out::note(&match &about.controller {
        Controller::MayLive { holder } if holder.process.state() == crate::os::ProcessState::Alive => {
            format!(
                "It is being carried out here, by process {}: the file is a snapshot, and out of date as soon as workers hear \
             of a newer fact. Stop the run first, and export it then.",
                holder.process.pid
            )
        }
        Controller::MayLive { .. } | Controller::Unknown => format!(
            "Its controller has not left it in an orderly way. In a checkout of this bucket on another machine, when you \
             know that it is dead:\n{typed} --take-over"
        ),
        Controller::Left => format!("In a checkout of this bucket on another machine:\n{typed}"),
    });
    Ok(())
}

/// A file in the workspace would be a change of it, which a resume refuses.
fn outside_of_the_workspace(bucket: &Bucket, file: &Path) -> Result<(), CliError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (folder, workspace) = (folder.canonicalize(), bucket.paths().workspace.canonicalize());
    match (folder, workspace) {
        (Ok(folder), Ok(workspace)) if folder.starts_with(&workspace) => {
            let message =
                format!("{} is in the workspace, which must not change while a run is open", file.display());
            Err(Problem::error("maand::bundle::export", message).help("write it somewhere else").into())
        }
        _ => Ok(()),
    }
}
