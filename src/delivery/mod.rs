//! Delivers notices: by HTTP, by the sendmail of this machine, and by commands.
//!
//! A [`Courier`] has a thread for each target, so that one that hangs holds up neither the run nor another one. What was
//! delivered is noted in the journal behind the delivery: a crash in between makes a repetition, never a loss. This room
//! must not know what follows from a notice that is not delivered: nothing of a run does.

mod command;
mod courier;
mod lane;
mod send;
mod telling;

pub use courier::Courier;
pub use send::{Failure, Machine, send, unusable_secrets};
pub use telling::Telling;
