//! What a served page asks of a run is done as the commands do it, and said in their words.

use super::super::open_bucket::connector;
use super::super::{CliError, Context, out};
use super::control::{describe_recorded, describe_taken};
use super::reboots_left;
use crate::engine::Control;
use crate::journal::RunId;
use crate::page::Answer;
use crate::plan::Problem;
use crate::run::{Connector, Controlled, Run, RunError, Site};
use crate::runner::now;

/// Pauses, continues, aborts, approves, retries or skips for `by`.
pub(in crate::cli) fn control_from_page(run: &RunId, verb: Control, by: &str, context: &Context) -> Answer {
    let (done, problems) = match control(run, verb, by, context) {
        Ok((done, warnings)) => (Some(done), warnings),
        Err(error) => (None, error.problems().into_iter().cloned().collect()),
    };
    if !context.quiet {
        let refused = || problems.first().map_or_else(String::new, |problem| format!("refused: {problem}"));
        let line =
            done.as_ref().map_or_else(refused, |done| done.lines().next().unwrap_or_default().to_owned());
        out::note(&format!("{by}, run {run}: {line}"));
    }
    let said = |problem: Problem| (problem.message, problem.help);
    Answer { at: now(), done, problems: problems.into_iter().map(said).collect() }
}

fn control(
    run: &RunId,
    verb: Control,
    by: &str,
    context: &Context,
) -> Result<(String, Vec<Problem>), CliError> {
    // Nobody sits at the terminal who could be asked for a passphrase.
    let connector = Connector { ask_passphrase: None, show: None, say: None, ..connector(context) };
    let site = Site::find(context.bucket.as_deref(), connector)?;
    let asked = verb.clone();
    let done = match Run::control_from_outside(&site, Some(run.as_str()), verb, by)? {
        Controlled::Taken(run) => describe_taken(&asked, &run),
        Controlled::Recorded { run, ended } => describe_recorded(&asked, &run, ended),
        // It does not happen: this process carries nothing out.
        Controlled::ToCarryOut(run) => return Err(RunError::NoController(run.id().clone()).into()),
    };
    let warnings = match &asked {
        Control::Abort { .. } => reboots_left::problems(&site, run, None),
        Control::Skip { hosts } => reboots_left::problems(&site, run, Some(hosts)),
        _ => Vec::new(),
    };
    Ok((done, warnings))
}
