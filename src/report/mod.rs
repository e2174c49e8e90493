//! Folds the facts of a run into a view of it, and shows both: plain lines, JSON, or a live terminal.
//!
//! A [`RunView`] is made of facts alone, so that it is the same in the process that carries the run
//! out, after a crash, and in another process that only watches. [`Event`]s are the public vocabulary: the
//! stored facts may change their form, these only grow. This room must not know where facts come from,
//! with which commands an operator acts (it names [`Suggestion`]s), and nothing that it does can influence
//! a run.

mod background;
mod closing;
mod derive;
mod display;
mod event;
mod fold;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod json;
mod keyboard;
mod layout;
mod operator;
mod outlook;
mod phase;
mod picture;
mod plain;
mod progress;
mod region;
mod reporter;
mod row;
mod silence;
mod suggestion;
mod terminal;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod time;
mod view;
mod waits;
mod window;
#[cfg(test)]
mod word_tests;
mod wrap;

pub use crate::engine::{PublicRunState, PublicWorkerState};
pub use background::{BackgroundWriter, drain, drain_within};
pub use closing::{closing, describe_undelivered, next_steps, status_text};
pub use derive::{describe_outcome, event_of, purpose};
pub use event::{EVENT_SCHEMA, Event, EventLine, Scope};
pub use fold::{RunInfo, describe_halt};
pub use json::JsonLines;
pub use operator::{Approval, Decisions, FailedWorker};
pub use outlook::{Outlook, Overdue};
pub use phase::WaitPhase;
pub use picture::Picture;
pub use plain::{Lines, Plain};
pub use reporter::Reporter;
pub use silence::SilenceView;
pub use suggestion::{Hint, Suggestion};
pub use terminal::{Controls, Pause, Terminal};
pub use text::{error_of, short_boot_ids};
pub use time::{Time, describe_elapsed, describe_span};
pub use view::{Counts, ErrorView, RUN_VIEW_SCHEMA, RunView, UndeliveredNotice, WorkerView};
pub use wrap::{word_separator, wrapped};
