//! Why a BMC was not asked, or has not said anything of use.

use crate::http::NoAnswer;
use crate::plan::without_error_numbers;

/// Each text is one line without control characters, and bounded, whatever a BMC has said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PowerError {
    /// This machine has not got what it takes: nothing was sent.
    #[error("{0}")]
    Here(String),
    /// No answer came.
    #[error("{0}")]
    NoAnswer(NoAnswer),
    /// It has answered, and that is of no use.
    #[error("{0}")]
    Answer(String),
}

impl PowerError {
    /// What this machine has not got; the system's words are without their numbers.
    pub(super) fn here(why: impl AsRef<str>) -> Self {
        Self::Here(without_error_numbers(why.as_ref()))
    }
}
