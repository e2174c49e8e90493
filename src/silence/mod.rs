//! Silences as leases: for which workers there should be one now, until when, and what to ask the monitoring system next.
//!
//! A worker that the run has admitted, and whose steps disturb it, is expected to be down until its steps have ended: so long
//! its silence is extended, a little at a time, and then once more, for the tail. Whatever happens to whoever extends it,
//! it ends by itself. [`Silences`] is told of facts and answers, and says what to ask; the time comes in as an argument.
//!
//! This room must not know how the monitoring system is asked, and nothing of what it decides has an effect on the run.

mod machine;
#[cfg(test)]
mod tests;

pub use machine::{Answer, Ask, Next, Silences, Terms, expected_down};
