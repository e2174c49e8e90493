//! A revert: what is undone, one after the other.

use std::collections::VecDeque;

use crate::engine::{AttemptId, ErrorKind, Intent, Outcome, StepError};
use crate::graph::StepIx;

/// One undo.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Undo {
    pub(in crate::engine) step: StepIx,
    pub(in crate::engine) intent: Intent,
}

/// A revert that is under way.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Revert {
    /// What is still to be done; the first is next.
    todo: VecDeque<Undo>,
    in_flight: Option<AttemptId>,
    /// Tries of the first entry, and how the last one failed.
    tries: u32,
    error: Option<StepError>,
}

impl Revert {
    pub(in crate::engine) fn new(todo: Vec<Undo>) -> Self {
        Self { todo: todo.into(), in_flight: None, tries: 0, error: None }
    }

    pub(in crate::engine) fn next(&self) -> Option<&Undo> {
        self.todo.front()
    }

    pub(in crate::engine) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    pub(in crate::engine) fn tries(&self) -> u32 {
        self.tries
    }

    pub(in crate::engine) fn error(&self) -> Option<&StepError> {
        self.error.as_ref()
    }

    pub(in crate::engine) fn issued(&mut self, attempt: AttemptId) {
        self.in_flight = Some(attempt);
        self.error = None;
    }

    pub(in crate::engine) fn answered(&mut self, outcome: &Outcome) {
        self.in_flight = None;
        let error = match outcome {
            Outcome::Ok { .. } => {
                self.todo.pop_front();
                self.tries = 0;
                return;
            }
            Outcome::Failed { error } => error.clone(),
            Outcome::Unknown { why, .. } | Outcome::NotDone { reason: why } => {
                StepError::new(ErrorKind::Unknown, why.clone())
            }
            Outcome::Unexpected { error, .. } => error.clone(),
            Outcome::TimedOut { doing, .. } => StepError::new(ErrorKind::TimedOut, doing.clone()),
        };
        self.tries += 1;
        self.error = Some(error);
    }

    /// Nobody will answer. A command may have run; everything else is simply done again.
    pub(in crate::engine) fn orphaned(&mut self, intent: &Intent) {
        self.in_flight = None;
        if *intent == Intent::UndoCommand {
            let message = "the controller ended while the undo command ran";
            self.error = Some(StepError::new(ErrorKind::Unknown, message));
        }
    }
}
