//! What a served page asks of a run is done as the commands do it, and said in their words.

use super::super::{CliError, Context, out};
use super::carry_out::site;
use super::control::{describe_recorded, describe_taken};
use crate::engine::Control;
use crate::journal::RunId;
use crate::page::Answer;
use crate::run::{Controlled, Run, RunError};
use crate::runner::now;

/// Pauses, continues, aborts, approves, retries or skips for `by`.
pub(in crate::cli) fn control_from_page(run: &RunId, verb: Control, by: &str, context: &Context) -> Answer {
    let asked = verb.clone();
    let done = site(context).and_then(|site| {
        let done = Run::control_from_outside(&site, Some(run.as_str()), verb, by)?;
        Ok(match done {
            Controlled::Taken(run) => describe_taken(&asked, &run),
            Controlled::Recorded { run, ended } => describe_recorded(&asked, &run, ended),
            // This process carries nothing out.
            Controlled::ToCarryOut(run) => return Err(RunError::NoController(run.id().clone()).into()),
        })
    });
    let (done, problems) = match done {
        Ok(done) => (Some(done), Vec::new()),
        Err(error) => (None, words(&error)),
    };
    if !context.quiet {
        let outcome =
            done.clone().unwrap_or_else(|| problems.iter().map(|(message, _)| message.as_str()).collect());
        let line = outcome.lines().next().unwrap_or_default().to_owned();
        out::note(&format!("{by}: {line}"));
    }
    Answer { at: now(), done, problems }
}

fn words(error: &CliError) -> Vec<(String, Option<String>)> {
    error.problems().into_iter().map(|problem| (problem.message.clone(), problem.help.clone())).collect()
}
