//! What happened when: the facts of a run as bars, marks and counts over time, for whoever draws a run.
//!
//! Pure: facts and graph in, data out. It must not know how anything is drawn, nor where facts come from.

mod activity;
mod down;
mod fold;
mod model;
mod quiet;
#[cfg(test)]
mod tests;
mod words;

pub use activity::Activity;
pub use down::{Down, OfWhat, Series};
pub use fold::{IllegalFact, TimelineFold, timeline};
pub use model::*;
pub use quiet::{DAY, ROUND_STEPS};
pub use words::describe_mark;
