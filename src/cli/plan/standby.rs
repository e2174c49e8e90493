//! `maand plan resume --standby`: waits until the controller of a run is not heard of any more, and continues the run.

use super::super::{CliError, Context, Exit, out};
use super::carry_out::site;
use crate::engine::PublicRunState;
use crate::run::{Resume, Run, Standby, StandbyNews};

/// What came of a standby's wait.
pub(super) enum Waited {
    /// This process is the run's controller.
    TookOver(Box<Run>),
    /// Others have brought the run to its end.
    Ended(Exit),
}

/// Waits, and says what it waits for.
pub(super) fn wait(resume: &Resume, context: &Context) -> Result<Waited, CliError> {
    let is_told = !context.quiet && !context.json;
    let mut tell = |news: StandbyNews| {
        if is_told {
            out::note(&describe(&news));
        }
    };
    // A signal ends the process: it holds nothing yet.
    match Run::stand_by(&site(context)?, resume, &mut tell, &|| false)? {
        Standby::TookOver(run) => Ok(Waited::TookOver(run)),
        Standby::Ended(run, state) => {
            if is_told {
                out::note(&format!("Run {run} has ended without this process: {}.", state.as_str()));
            }
            let is_good = state == PublicRunState::Succeeded;
            Ok(Waited::Ended(if is_good { Exit::Done } else { Exit::Failed }))
        }
        Standby::GivenUp => Ok(Waited::Ended(Exit::Resumable)),
    }
}

fn describe(news: &StandbyNews) -> String {
    match news {
        StandbyNews::StandsBy { run, controller: Some(controller) } => {
            format!("Stands by for run {run}, which has a controller: {controller}.")
        }
        StandbyNews::StandsBy { run, controller: None } => format!(
            "Stands by for run {run}, which nobody carries out: it was stopped. `maand plan resume {run}` continues it."
        ),
        StandbyNews::Away(why) => format!("Waits for the ledger: {why}."),
        StandbyNews::TakesOver(run) => {
            format!("The controller of run {run} is not heard of any more: this process takes the run over.")
        }
    }
}
