//! Why a BMC was not asked, or has not said anything of use.

use crate::http::NoAnswer;

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
