//! What the command line says when a rehearsal comes to no verdict: code, hint and exit code.

use super::super::super::{CliError, Exit};
use crate::plan::Problem;
use crate::rehearsal::RehearsalError;

impl From<RehearsalError> for CliError {
    fn from(error: RehearsalError) -> Self {
        let message = error.to_string();
        let problem = |code, help| Problem::error(code, message.as_str()).help(help);
        match error {
            RehearsalError::Input(problems) => problems.into(),
            RehearsalError::Sandbox(problem) => problem.into(),
            RehearsalError::Run(error) => error.into(),
            RehearsalError::TooManyWorkers(_) => CliError::usage(
                message,
                "rehearse with some of them: `--workers 50`; `maand plan simulate` takes any number",
            ),
            RehearsalError::ScriptOutside(_) => problem(
                "maand::rehearse::script",
                "a rehearsal copies scripts to its own bucket: name it by a path without `..` or a leading `/`",
            )
            .into(),
            RehearsalError::Deploy(_) => problem(
                "maand::sandbox::deploy",
                "is the machine out of memory, processes or disk space? fewer workers need less",
            )
            .into(),
            RehearsalError::Interrupted => {
                Self::new(Exit::Resumable, problem("maand::interrupted", "nothing of it is left"))
            }
            RehearsalError::Folder { .. } => problem(
                "maand::rehearse::folder",
                "is the disk full? TMPDIR names another folder for temporary files",
            )
            .into(),
            RehearsalError::Child { .. } => {
                problem("maand::rehearse::child", "is the machine out of memory or processes?").into()
            }
            RehearsalError::Watcher(_) => {
                problem("maand::rehearse::thread", "is the machine out of memory or processes?").into()
            }
            RehearsalError::NoRun => problem(
                "maand::rehearse::no_run",
                "the message above says why; `maand plan validate` checks the plan alone",
            )
            .into(),
        }
    }
}
