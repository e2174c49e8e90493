//! Exit codes, and the one error type of the command line.

use std::fmt;

use miette::Diagnostic;

use crate::plan::{Problem, Problems};

/// How the program ends; the numbers are documented in `docs/scripting.md` and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All done.
    Done = 0,
    /// It ran, and some worker, job or check failed; the report names each.
    Failed = 1,
    /// Wrong command line.
    Usage = 2,
    /// Invalid plan, bucket or configuration: nothing was touched.
    Invalid = 3,
    /// Another operation holds the lock.
    Locked = 4,
    /// Stopped before the end; can be resumed.
    Resumable = 5,
    /// The answer to a question was no: nothing was touched.
    Declined = 6,
    /// A bug in maand.
    Bug = 70,
}

/// An error with its exit code.
#[derive(Debug)]
pub struct CliError {
    /// How the program ends.
    pub exit: Exit,
    said: Said,
}

/// What is shown.
#[derive(Debug)]
pub enum Said {
    /// One thing, by itself.
    One(Problem),
    /// All that is wrong with an input, under their number.
    All(Problems),
}

impl From<Problem> for Said {
    fn from(problem: Problem) -> Self {
        Self::One(problem)
    }
}

impl From<Problems> for Said {
    fn from(problems: Problems) -> Self {
        Self::All(problems)
    }
}

impl CliError {
    /// This is shown, and the program ends with `exit`.
    pub fn new(exit: Exit, said: impl Into<Said>) -> Self {
        Self { exit, said: said.into() }
    }

    /// A wrong command line that clap could not know.
    pub fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Exit::Usage, Problem::error("maand::usage", message).help(help))
    }

    /// As it is shown to an operator.
    pub fn diagnostic(&self) -> &dyn Diagnostic {
        match &self.said {
            Said::One(problem) => problem,
            Said::All(problems) => problems,
        }
    }

    /// Each thing that is wrong.
    pub fn problems(&self) -> Vec<&Problem> {
        match &self.said {
            Said::One(problem) => vec![problem],
            Said::All(problems) => problems.iter().collect(),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.diagnostic(), f)
    }
}

impl From<Problems> for CliError {
    fn from(problems: Problems) -> Self {
        Self::new(Exit::Invalid, problems)
    }
}

impl From<Problem> for CliError {
    fn from(problem: Problem) -> Self {
        Self::new(Exit::Invalid, problem)
    }
}
