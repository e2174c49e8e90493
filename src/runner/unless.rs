//! `unless`: a command of the user's own that says whether another one is needed, or cannot tell. What cannot be told
//! is never taken for "needed".

use crate::bucket::Host;
use crate::engine::{ErrorKind, Evidence, Outcome, StepError};
use crate::os::CommandEnd;
use crate::ssh::{Connection, Script};

use super::access::{Access, ScriptError};
use super::command::{Ended, Live, Sink, run_script};
use super::mask::Secrets;

/// Whether the command that it stands before is not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needless(pub(super) bool);

/// Why it has not answered.
pub(super) enum NoAnswer {
    /// It was not reached, was not run, or its answer was lost.
    Script(ScriptError),
    /// It has said that it cannot tell.
    CannotTell(StepError),
}

impl NoAnswer {
    pub(super) fn into_error(self, host: &Host) -> StepError {
        match self {
            Self::Script(error) => error.into_error(host, "`unless`"),
            Self::CannotTell(error) => error,
        }
    }
}

/// The exit codes of shells (POSIX, 2.8.2): 126 and 127 say that something could not be executed, and above 128 that
/// a signal has ended it. All others are the command's own: 0 is yes, and any other one no.
fn answer(code: i32) -> Result<Needless, &'static str> {
    match code {
        0 => Ok(Needless(true)),
        126 => Err("something in it cannot be executed"),
        127 => Err("something in it was not found"),
        129..=192 => Err("a signal has ended it"),
        _ => Ok(Needless(false)),
    }
}

/// Asks a worker. What it prints, and what it says, goes to `sink`.
pub(super) fn on_worker(
    access: &Access,
    connection: &mut dyn Connection,
    script: &Script,
    secrets: &Secrets,
    sink: Sink<'_>,
) -> Result<Needless, NoAnswer> {
    let mut live = Live::new(secrets, sink);
    let ended = run_script(access, connection, script, &mut live);
    let output = live.end();
    match ended {
        Ok(code) => by_code(code, output, sink).map_err(NoAnswer::CannotTell),
        Err(error) => Err(NoAnswer::Script(error)),
    }
}

/// What one on this machine has said; `Err` is the end of the step.
pub(super) fn on_this_machine(ended: &Ended, sink: Sink<'_>) -> Result<(), Outcome> {
    let output = ended.output.clone();
    let answer = match &ended.how {
        CommandEnd::Exit(code) => by_code(*code, output, sink),
        CommandEnd::Signal(signal) => {
            Err(cannot_tell(&format!("it was ended by signal {signal}"), output, sink))
        }
        CommandEnd::Cut(_) => Err(cannot_tell("it has not ended in time", output, sink)),
        CommandEnd::Lost => Err(cannot_tell("something has killed it", output, sink)),
    };
    match answer {
        Ok(Needless(false)) => Ok(()),
        Ok(Needless(true)) => Err(Outcome::Ok { evidence: Evidence::NotNeeded { why: None } }),
        Err(error) => Err(Outcome::Failed { error }),
    }
}

fn by_code(code: i32, output: Option<String>, sink: Sink<'_>) -> Result<Needless, StepError> {
    let needless = answer(code)
        .map_err(|why| cannot_tell(&format!("it ended with exit code {code} ({why})"), output, sink))?;
    let so = if needless.0 { "nothing to do" } else { "it is needed" };
    sink(format!("`unless` ended with exit code {code}: {so}\n").as_bytes());
    Ok(needless)
}

fn cannot_tell(why: &str, output: Option<String>, sink: Sink<'_>) -> StepError {
    let message = format!("`unless` cannot tell whether there is something to do: {why}");
    sink(format!("{message}\n").as_bytes());
    StepError { kind: ErrorKind::Command, message, output }
}
