//! Asking the operator: whether to continue, and for a passphrase. Only on a terminal.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::CliError;
use super::environment::Environment;
use crate::plan::{on_screen, visible_line};
use crate::report;

/// `--yes` of every command that touches workers.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Consent {
    /// Do not ask; required where there is no terminal [env: MAAND_YES]
    #[arg(short, long)]
    yes: bool,
}

impl Consent {
    /// As [`Self::ask`], where there is a terminal to ask on; elsewhere the command itself is the consent.
    pub(super) fn ask_on_terminal(self, question: &str) -> Result<bool, CliError> {
        let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        Ok(self.is_given()? || !is_terminal || answer_to(question))
    }

    fn is_given(self) -> Result<bool, CliError> {
        Ok(self.yes || Environment::of_process().switch("MAAND_YES")?)
    }

    /// Asks `question`, in which the operator consents to `what`, a verb; `Ok(false)`: the answer was no.
    pub(super) fn ask(self, question: &str, what: &str) -> Result<bool, CliError> {
        if self.is_given()? {
            return Ok(true);
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(CliError::usage(
                format!("not a terminal: pass --yes to {what}"),
                "MAAND_YES=1 in the environment means the same",
            ));
        }
        Ok(answer_to(question))
    }
}

fn answer_to(question: &str) -> bool {
    report::drain();
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{} [y/N] ", on_screen(question)).and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer).unwrap_or(0);
    if read == 0 {
        let _ = writeln!(stderr);
    }
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Asks for the passphrase of a key without showing it; `None` where there is no terminal.
pub(super) fn passphrase(key: &Path) -> Option<String> {
    let stdin = io::stdin();
    if !(stdin.is_terminal() && io::stderr().is_terminal()) {
        return None;
    }
    let before = tcgetattr(&stdin).ok()?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    report::drain();
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "Passphrase of {}: ", visible_line(&key.display().to_string()))
        .and_then(|()| stderr.flush());
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).ok()?;
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    let _ = tcsetattr(&stdin, OptionalActions::Flush, &before);
    let _ = writeln!(stderr);
    read.ok()?;
    Some(answer.trim_end_matches(['\n', '\r']).to_owned())
}
