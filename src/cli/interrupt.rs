//! Ctrl-C, SIGTERM and SIGHUP: each asks for more than the one before, and says so; the last ends at once.

use std::io::Write;
use std::ops::ControlFlow;
use std::time::Duration;

use super::operate::say;
use super::out::Manner;
use super::{CliError, Exit, document};
use crate::os::signals::{self, Signal};
use crate::plan::Problem;
use crate::report::{self, BackgroundWriter};
use crate::ssh::Cancel;

/// A terminal that takes nothing does not keep a process that is to end at once.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// What one signal asks for.
pub(super) struct Stage {
    /// Cancelled by it.
    pub(super) cancel: Cancel,
    /// What that means, as the operator is told.
    pub(super) meaning: &'static str,
}

/// As [`on_signal`] with one stage.
pub(super) fn listen(cancel: &Cancel, meaning: &'static str, manner: Manner) -> Result<(), CliError> {
    on_signal(vec![Stage { cancel: cancel.clone(), meaning }], manner)
}

/// Each signal carries out the next stage, after saying what it means on standard error. At the one after
/// the last the program ends at once with [`Exit::Resumable`]; what is under way then is unknown.
///
/// # Errors
/// When signals cannot be listened to; then they end the program as they do by default.
pub(super) fn on_signal(stages: Vec<Stage>, manner: Manner) -> Result<(), CliError> {
    spawn(stages, manner).map_err(|error| {
        let message = format!("signals cannot be listened to: {error}");
        CliError::new(Exit::Failed, Problem::error("maand::signals", message).help("try again"))
    })
}

fn spawn(stages: Vec<Stage>, manner: Manner) -> std::io::Result<()> {
    let mut stages = stages.into_iter().peekable();
    signals::listen(&Signal::ENDING, move |_| {
        let Some(Stage { cancel, meaning }) = stages.next() else {
            let message = "stopped at once; the outcome of what was in progress is not known";
            let problem = Problem::error("maand::interrupted", message).help("look at the workers by hand");
            match document::error_line(&CliError::new(Exit::Resumable, problem)) {
                Ok(line) if manner.json => drop(write!(BackgroundWriter::json_stdout(), "{line}")),
                _ => say(&format!("\nmaand: {message}")),
            }
            report::drain_within(LAST_WORDS);
            std::process::exit(i32::from(Exit::Resumable as u8));
        };
        cancel.cancel();
        let next = if stages.peek().is_some() { "end what runs" } else { "end at once" };
        say(&format!("\nmaand: {meaning} (again: {next})"));
        ControlFlow::Continue(())
    })
}
