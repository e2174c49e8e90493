//! Reviewed plan files: what a plan would do to one fleet at one moment, written down whole, so that exactly that is
//! carried out later or nothing.
//!
//! A file has two halves. [`Inputs`] is everything that a run is compiled from; [`Rollout`] is what comes of it, for
//! whoever reads it. The rollout is never believed: [`Reviewed::read`] compiles the inputs again and refuses a file
//! that says anything else. Whether the file is still true is one comparison of whole values, [`changes`], so that
//! what has no words of its own is named by its path.
//!
//! This room knows the format and the comparison. It must not know where the inputs of today come from, how a run is
//! started, or how anything is shown.

mod catalog;
mod changes;
mod difference;
mod document;
mod error;
mod file;
mod fleet;
mod fleet_rows;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod layout;
mod lines;
mod reviewed;
mod rollout;
mod rollout_changes;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod workspace;

pub use catalog::{CatalogJob, CatalogRow, Content};
pub use changes::changes;
pub use document::{Document, EngineUsed, Inputs, PlanPart};
pub use error::{Unreadable, Unwritable};
pub use file::write;
pub use fleet::WorkersDifference;
pub use format::{MAX_BYTES, SCHEMA, document_kind, is_reviewed};
pub use lines::Lines;
pub use reviewed::Reviewed;
pub use rollout::{BudgetRow, Number, Rollout, SpreadRow, StepRow, StepRows, WaveRow};
pub use workspace::{Workspace, WorkspaceFile, workspace_files};
