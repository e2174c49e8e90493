//! Proves what a plan promises by exploring every order in which workers can end and fail, with the very engine and
//! policy of a run as the rule of what follows.
//!
//! A state is a [`RunState`](crate::engine::RunState); a move is the end of one worker, well or not, the end of a look at
//! jobs, or a timer. Between two moves a worker's steps are carried out in one go: without an engine that contacts every
//! worker, steps of different workers have nothing to do with each other. Workers that are alike in jobs, tags, wave and
//! steps are interchangeable once they have started, and states that differ only in which of them it is are one. What is
//! promised is counted in books of their own, made from facts.
//!
//! Pure: states, time and memory are bounded by what the caller says. This room must not know how anything is shown.

mod books;
mod classes;
mod explore;
mod moves;
mod promise;
mod story;
mod world;

pub use explore::{Checked, CutShort, Options, Reached, check};
pub use promise::{Broken, Promise};
pub use story::{Event, Happening};

#[cfg(test)]
mod tests;
