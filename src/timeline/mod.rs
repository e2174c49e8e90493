//! What happened when: the facts of a run as bars, marks and counts over time, for whoever draws a run.
//!
//! Pure: facts and graph in, data out. It must not know how anything is drawn, nor where facts come from.

mod down;
mod fold;
mod model;
#[cfg(test)]
mod tests;

pub use down::{Down, Series};
pub use fold::{IllegalFact, TimelineFold, timeline};
pub use model::*;
