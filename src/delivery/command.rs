//! A command that takes a notice on standard input: the sendmail of this machine, or one of the operator's own.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::os::{CommandEnd, LocalCommand};
use crate::plan::{duration, without_error_numbers};

use super::send::{Failure, Machine, UNDER_WAY};

/// Opens the file as standard input, and becomes the command.
const WITH_INPUT: &str = "exec < \"$1\" || exit 75; shift; exec \"$@\"";
/// EX_TEMPFAIL of sysexits(3): try again later.
const TEMPORARY: i32 = 75;
/// So many of the last bytes of output are looked at.
const OUTPUT: usize = 4096;

/// Why a command did not take it.
pub(super) enum Failed {
    /// It could not be started, or this machine had something missing.
    NotRun(String),
    /// It has ended, with these last words.
    Ended(i32, String),
    /// It was killed by somebody else.
    Killed(String),
    /// Its time was up, and it was ended with all below it.
    TimedOut(Duration),
    /// Nobody wanted to wait for it any longer.
    GivenUp,
}

impl Failed {
    /// A mail may be handed in again.
    pub(super) fn of_mail(self, program: &str) -> Failure {
        match self {
            Self::Ended(code, said) if code != TEMPORARY => {
                Failure::Never(format!("{program}: {}", describe_end(code, &said)))
            }
            Self::GivenUp => Failure::later(UNDER_WAY),
            other => Failure::later(format!("{program}: {}", other.describe())),
        }
    }

    /// A command of the operator's own may have done what it is for: it is repeated only where it says so.
    pub(super) fn of_command(self) -> Failure {
        match self {
            Self::GivenUp => Failure::later(UNDER_WAY),
            Self::Ended(TEMPORARY, _) | Self::NotRun(_) | Self::Killed(_) => Failure::later(self.describe()),
            Self::Ended(..) | Self::TimedOut(_) => Failure::Never(self.describe()),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::NotRun(why) => why.clone(),
            Self::Ended(code, said) => describe_end(*code, said),
            Self::Killed(how) => how.clone(),
            Self::TimedOut(after) => format!("it did not end within {}, and was ended", duration(*after)),
            Self::GivenUp => UNDER_WAY.to_owned(),
        }
    }
}

fn describe_end(code: i32, said: &str) -> String {
    match said.lines().last().map(str::trim).filter(|line| !line.is_empty()) {
        Some(last) => format!("exit code {code}: {last}"),
        None => format!("exit code {code}"),
    }
}

/// Runs it, and ends it with all below it when its time is up.
pub(super) fn run(
    arguments: &[&str],
    input: &[u8],
    environment: &[(String, String)],
    timeout: Duration,
    machine: &Machine,
    given_up: &dyn Fn() -> bool,
) -> Result<(), Failed> {
    let file = || {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(input)?;
        Ok(file)
    };
    let not_run = |error: std::io::Error| {
        Failed::NotRun(format!("it was not started: {}", without_error_numbers(&error.to_string())))
    };
    let file = file().map_err(not_run)?;
    let own = ["-c", WITH_INPUT, "maand"].map(Into::into).into_iter();
    let command = LocalCommand {
        guard: machine.guard.as_deref(),
        mark: &machine.mark,
        program: "bash",
        arguments: own.chain([file.path().into()]).chain(arguments.iter().map(Into::into)).collect(),
        folder: &machine.folder,
        environment,
    };
    let mut output = Vec::new();
    let until = Instant::now() + timeout;
    let end = command.run(until, given_up, &mut |_, bytes| {
        output.extend_from_slice(&bytes[bytes.len().saturating_sub(OUTPUT)..]);
        if output.len() > 2 * OUTPUT {
            output.drain(..output.len() - OUTPUT);
        }
    });
    match end.map_err(not_run)? {
        CommandEnd::Exit(0) => Ok(()),
        CommandEnd::Exit(code) => Err(Failed::Ended(code, String::from_utf8_lossy(&output).into_owned())),
        CommandEnd::Signal(signal) => Err(Failed::Killed(format!("it was killed by signal {signal}"))),
        CommandEnd::Cut(_) if given_up() => Err(Failed::GivenUp),
        CommandEnd::Cut(_) => Err(Failed::TimedOut(timeout)),
        CommandEnd::Lost => Err(Failed::Killed("its guard was killed".to_owned())),
    }
}
