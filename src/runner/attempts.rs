//! Attempts at work: a thread each, and a bounded number of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::engine::{AttemptId, AttemptSpec, ErrorKind, Outcome, StepError};
use crate::plan::visible_within;
use crate::ssh::Cancel;

use super::executor::StepExecutor;
use super::output::OutputStore;
use super::run_loop::Message;

/// Attempts that are at work at once. Most of them wait for a worker, which takes a thread some 80 KB; more than
/// this many workers are hardly ever down together, and the next attempt begins as soon as one has ended.
const AT_ONCE: usize = 1024;

/// A step's thread does little itself: it waits. (libssh2 wants some.)
const STACK: usize = 512 * 1024;

/// Of what others have said, an outcome keeps so many bytes of each text.
const TEXT_KEPT: usize = 16 * 1024;

/// Text that a worker, a library or a file may have written, as facts keep it and everything else shows it.
pub(super) fn fit_to_keep(text: &str) -> String {
    visible_within(text, TEXT_KEPT)
}

/// Carries attempts out.
pub(super) struct Attempts {
    executor: Arc<StepExecutor>,
    output: OutputStore,
    done: Sender<Message>,
    at_work: BTreeMap<AttemptId, Cancel>,
    waiting: VecDeque<AttemptSpec>,
}

impl Attempts {
    pub(super) fn new(executor: Arc<StepExecutor>, output: OutputStore, done: Sender<Message>) -> Self {
        Self { executor, output, done, at_work: BTreeMap::new(), waiting: VecDeque::new() }
    }

    /// Begins an attempt, or lets it wait for its turn.
    pub(super) fn begin(&mut self, spec: AttemptSpec) {
        if self.at_work.len() < AT_ONCE {
            self.spawn(spec);
        } else {
            self.waiting.push_back(spec);
        }
    }

    /// An attempt has ended: the next one begins.
    pub(super) fn ended(&mut self, attempt: AttemptId) {
        self.at_work.remove(&attempt);
        while self.at_work.len() < AT_ONCE
            && let Some(next) = self.waiting.pop_front()
        {
            self.spawn(next);
        }
    }

    /// None of those that wait begins: each has ended with nothing done.
    pub(super) fn begin_no_more(&mut self) {
        for spec in self.waiting.drain(..) {
            let reason = "the run was interrupted before the step began".to_owned();
            let _ = self.done.send(Message::Finished(spec.attempt, Outcome::NotDone { reason }));
        }
    }

    /// Tells all that are at work to give up; none of those that wait begins.
    pub(super) fn give_up(&mut self) {
        self.waiting.clear();
        for cancel in self.at_work.values() {
            cancel.cancel();
        }
    }

    /// Whether nothing is at work.
    pub(super) fn are_idle(&self) -> bool {
        self.at_work.is_empty()
    }

    fn spawn(&mut self, spec: AttemptSpec) {
        let attempt = spec.attempt;
        let cancel = Cancel::new();
        self.at_work.insert(attempt, cancel.clone());
        let (executor, done) = (Arc::clone(&self.executor), self.done.clone());
        let output = self.output.begin(attempt);
        let sink = output.sink();
        let spawned = std::thread::Builder::new()
            .name(format!("attempt {}", attempt.0))
            .stack_size(STACK)
            .spawn(move || {
                // A panic in a step is a bug of ours; what the step did is not known.
                let work = std::panic::AssertUnwindSafe(|| executor.execute(&spec, &cancel, &sink));
                let outcome = std::panic::catch_unwind(work).unwrap_or_else(|_| Outcome::Unknown {
                    why: "a bug in maand ended the step (see the message above)".into(),
                });
                output.end();
                let _ = done.send(Message::Finished(attempt, outcome.masked(fit_to_keep)));
            });
        if let Err(error) = spawned {
            let message = format!("this machine has no thread for the step: {error}");
            let error = StepError::new(ErrorKind::Controller, message);
            let _ = self.done.send(Message::Finished(attempt, Outcome::Failed { error }));
        }
    }
}
