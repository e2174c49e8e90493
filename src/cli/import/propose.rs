//! What an inventory would change, whether the operator wants it, and the file.

use super::super::open_bucket::take_lock;
use super::super::{CliError, Context, Exit, document, out};
use super::Manner;
use super::document::ImportDocument;
use super::sources::Found;
use super::text;
use crate::bucket::{Bucket, EditedWorkers, WorkersError, edited_workers};
use crate::plan::{Problem, counted, without_error_numbers};
use crate::review::WorkersDifference;
use crate::run;
use crate::ssh::Cancel;

/// A new `workers.json`, and what differs.
pub(super) struct Proposal<'f> {
    pub(super) found: &'f Found,
    pub(super) edited: EditedWorkers,
    pub(super) difference: WorkersDifference,
}

impl Proposal<'_> {
    pub(super) fn is_different(&self) -> bool {
        self.edited.before != self.edited.after
    }
}

/// Shows the difference, asks, and writes.
pub(super) fn propose(
    bucket: &Bucket,
    found: &Found,
    manner: &Manner,
    context: &Context,
) -> Result<Exit, CliError> {
    let there = bucket.workers_text()?;
    let edited = edited_workers(there.as_ref(), &found.import.workers, manner.remove)?;
    let difference = WorkersDifference::between(&edited.before, &edited.after);
    let proposal = Proposal { found, edited, difference };
    if !context.quiet && !context.json {
        out::print_wrapped(&text::render(&proposal))?;
    }
    let print = |written: bool| match context.json {
        true => document::print(&ImportDocument::of(&proposal, bucket, written)),
        false => Ok(()),
    };
    if manner.check || !proposal.is_different() {
        print(false)?;
        return Ok(if proposal.is_different() { Exit::Failed } else { Exit::Done });
    }
    if !context.quiet {
        if context.json {
            out::note(text::render(&proposal).trim_end());
        }
        note_unfinished_run(bucket);
    }
    if !manner.consent.ask("Write workspace/workers.json?", "write workspace/workers.json")? {
        out::note("Nothing was written.");
        return Ok(Exit::Declined);
    }
    let lock = take_lock(bucket.paths(), "maand import", &Cancel::default())?;
    bucket.replace_workers(&lock, there.as_ref(), &proposal.edited.text).map_err(not_written)?;
    print(true)?;
    if !context.quiet && !context.json {
        let workers = counted(proposal.edited.after.len(), "worker");
        out::note(&format!("Written: {workers}. `maand doctor` says whether they can be used."));
    }
    Ok(Exit::Done)
}

fn not_written(error: WorkersError) -> CliError {
    let why = without_error_numbers(&error.to_string());
    let help = match error {
        WorkersError::Changed => {
            "what is there now stays; run the same command again, and look at the new difference"
        }
        WorkersError::LockLost => "run the same command again",
        WorkersError::Write(_) => {
            "nothing was changed; look at the permissions of workspace/ and at the room on its disk"
        }
    };
    Problem::error("maand::import::not_written", format!("workspace/workers.json was not written: {why}"))
        .help(help)
        .into()
}

/// A run keeps the fleet that it began with.
fn note_unfinished_run(bucket: &Bucket) {
    let open = run::runs(bucket).unwrap_or_default().into_iter().find(|run| !run.state.is_final());
    if let Some(open) = open {
        out::note(&format!(
            "The run {} has not ended: it continues with the workers that it began with, and `maand plan resume` names what \
             is different.",
            open.run.id
        ));
    }
}
