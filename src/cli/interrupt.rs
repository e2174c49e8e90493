//! Ctrl-C, SIGTERM and SIGHUP: each asks for more than the one before, and says so; the last ends at once.

use std::ops::ControlFlow;
use std::time::Duration;

use super::operate::say;
use super::{CliError, Exit};
use crate::os::signals::{self, Signal};
use crate::plan::Problem;
use crate::report;
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
pub(super) fn listen(cancel: &Cancel, meaning: &'static str) -> Result<(), CliError> {
    on_signal(vec![Stage { cancel: cancel.clone(), meaning }])
}

/// Each signal carries out the next stage, after saying what it means on standard error. At the one after
/// the last the program ends at once with [`Exit::Resumable`]; what is under way then is unknown.
///
/// # Errors
/// When signals cannot be listened to; then they end the program as they do by default.
pub(super) fn on_signal(stages: Vec<Stage>) -> Result<(), CliError> {
    spawn(stages).map_err(|error| {
        let message = format!("signals cannot be listened to: {error}");
        CliError::new(Exit::Failed, Problem::error("maand::signals", message).help("try again"))
    })
}

fn spawn(stages: Vec<Stage>) -> std::io::Result<()> {
    let mut stages = stages.into_iter().peekable();
    signals::listen(&Signal::ENDING, move |_| {
        let Some(Stage { cancel, meaning }) = stages.next() else {
            say("\nmaand: stopped at once; the outcome of what was in progress is not known");
            report::drain_within(LAST_WORDS);
            std::process::exit(i32::from(Exit::Resumable as u8));
        };
        cancel.cancel();
        let next = if stages.peek().is_some() { "end what runs" } else { "end at once" };
        say(&format!("\nmaand: {meaning} (again: {next})"));
        ControlFlow::Continue(())
    })
}
