//! A run in a file: taken out of one machine's journal, to be continued on another one.
//!
//! A [`Bundle`] has what the journal has of a run (header and facts, text for text, with their hash chain), who carried
//! it out, and which entries of `disabled.json` are the run's own. It has no output of steps and no values of secrets.
//! [`Bundle::read`] believes nothing of a file: what is cut, altered, of another kind or of a newer version is refused,
//! and [`verify`] replays every fact by the rules of the engine.
//!
//! This room must not know how workers are reached, nor whether a run may be continued: that is [`crate::run`]'s.

mod export;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod integrity;
mod verify;

pub use export::export;
pub use format::{About, Bundle, Controller, LIMIT, SCHEMA};
pub use verify::{Check, Checked, Finding, NOT_KNOWN_OFFLINE, Verdict, verify, verify_facts};
