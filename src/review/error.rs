//! Why a reviewed plan file is not read, or not written.

use std::io;

use super::SCHEMA;
use crate::plan::Problems;

/// Why something is not taken for a reviewed plan file.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is a document of another kind.
    #[error("it is a document of the kind {0}, not a reviewed plan file")]
    OtherKind(String),
    /// A newer program has written it.
    #[error("its format is {0}, and this version of maand reads {SCHEMA}: a newer maand has written it")]
    Newer(String),
    /// It does not end as it should.
    #[error("its end is missing: it was cut")]
    Cut,
    /// It does not begin as it should, or does not have the hash that it names.
    #[error("its content is not what its hash says: it was altered or cut")]
    Altered,
    /// It is larger than any that this program writes.
    #[error("it has more than {} MiB", super::MAX_BYTES >> 20)]
    TooLarge,
    /// Its hash is right, and what it holds cannot be used.
    #[error("what it holds cannot be used: {0}")]
    Content(String),
    /// The plan in it is wrong, or does not fit the fleet in it.
    #[error("the plan in it cannot be compiled: {0}")]
    Plan(Problems),
    /// What it says would happen is not what would.
    #[error(
        "this version of maand ({}) compiles the plan in it to another rollout than the one that it shows, which is by \
         {program}",
        env!("CARGO_PKG_VERSION")
    )]
    OtherRollout {
        /// The version that is named in it.
        program: String,
    },
}

/// Why a reviewed plan file was not written; what stood there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Unwritable {
    /// What stands there was not written by this program.
    #[error("it is there already, and is no reviewed plan file")]
    Foreign,
    /// What stands there is no plain file.
    #[error("{0}")]
    NotPlain(String),
    /// The file would be one of the workspace, and so make itself stale.
    #[error("it would be a file of the workspace, and so change what was reviewed")]
    InWorkspace,
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}
