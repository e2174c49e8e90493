//! SIGINT, SIGTERM and SIGHUP as messages to whoever follows or carries out a run.

use std::ops::ControlFlow;
use std::sync::mpsc::Sender;

use crate::os::signals::{Signal, listen};

/// Sends the signal's name for each one that arrives, for as long as there is a receiver. From then on
/// none of them ends the process by itself.
///
/// # Errors
/// The system refuses to tell us.
pub fn watch<M: Send + 'static>(
    to: Sender<M>,
    message: impl Fn(&'static str) -> M + Send + 'static,
) -> std::io::Result<()> {
    listen(&Signal::ENDING, move |signal| match to.send(message(signal.name())) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    })
}
