//! Attempts at work: a thread each, and a bounded number of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::engine::{AttemptId, AttemptSpec, ErrorKind, Outcome};
use crate::os::limits;
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

/// Descriptors of this process that are not for attempts: the journal, its lock, the terminal, a round of
/// observation, files that are open for a moment.
const RESERVED: u64 = 128;

/// Descriptors that one attempt may need at once: sockets to a worker and to jump hosts before it, or the pipes of a
/// command, and a file for a moment.
const PER_ATTEMPT: u64 = 8;

/// Threads and processes that one attempt may need at once: its own thread and one that looks beside it, and the guard
/// of a command, its shell and what that starts.
const TASKS_PER_ATTEMPT: u64 = 6;

/// So many attempts at once as there are descriptors and processes for. Beyond that they wait, and whoever runs out
/// all the same waits as well: neither says anything about a worker. Were all of them begun, each could have its
/// thread, and none the processes that it needs to end.
fn at_once() -> usize {
    let for_files =
        limits::open_files().map_or(u64::MAX, |soft| (soft.saturating_sub(RESERVED) / PER_ATTEMPT).max(4));
    let for_tasks = limits::processes_left().map_or(u64::MAX, |left| left / TASKS_PER_ATTEMPT);
    usize::try_from(for_files.min(for_tasks)).unwrap_or(AT_ONCE).clamp(1, AT_ONCE)
}

/// An attempt on its thread.
struct AtWork {
    cancel: Cancel,
    /// What it does changes nothing and can be done again: whoever stops the run need not wait for it.
    only_looks: bool,
    /// It was told to give up because the run stops.
    is_given_up: bool,
}

/// Carries attempts out.
pub(super) struct Attempts {
    executor: Arc<StepExecutor>,
    output: OutputStore,
    done: Sender<Message>,
    at_work: BTreeMap<AttemptId, AtWork>,
    waiting: VecDeque<(AttemptSpec, u32)>,
    at_most: usize,
}

impl Attempts {
    pub(super) fn new(executor: Arc<StepExecutor>, output: OutputStore, done: Sender<Message>) -> Self {
        Self {
            executor,
            output,
            done,
            at_work: BTreeMap::new(),
            waiting: VecDeque::new(),
            at_most: at_once(),
        }
    }

    /// Begins an attempt, the `number`th of its step, or lets it wait for its turn.
    pub(super) fn begin(&mut self, spec: AttemptSpec, number: u32) {
        self.waiting.push_back((spec, number));
        self.begin_waiting();
    }

    /// An attempt has ended: the next one begins. Answers with what has come of it: of one that was given up because the run
    /// stops, and that only looks, nothing.
    pub(super) fn ended(&mut self, attempt: AttemptId, outcome: Outcome) -> Outcome {
        let was = self.at_work.remove(&attempt);
        self.begin_waiting();
        match &outcome {
            Outcome::Ok { .. } => outcome,
            Outcome::Failed { error }
                if matches!(error.kind, ErrorKind::Fenced | ErrorKind::JournalBehind) =>
            {
                outcome
            }
            _ if was.is_some_and(|was| was.is_given_up) => {
                let reason =
                    "the run was stopped while the step only looked and waited: it begins anew".to_owned();
                Outcome::NotDone { reason }
            }
            _ => outcome,
        }
    }

    /// Begins those for which there is room. A machine that has no thread for one has no fault of a worker: it is
    /// asked again, in a while or when another attempt has ended.
    pub(super) fn begin_waiting(&mut self) {
        while self.at_work.len() < self.at_most
            && let Some((next, number)) = self.waiting.pop_front()
        {
            if self.spawn(next.clone(), number).is_err() {
                self.waiting.push_front((next, number));
                break;
            }
        }
    }

    /// The run stops: none of those that wait begins, and each has ended with nothing done. Those at work are finished, but for
    /// those that only look, of which a gate may wait for as long as its time-out: they are given up.
    pub(super) fn finish_those_at_work(&mut self) {
        for at_work in self.at_work.values_mut().filter(|at_work| at_work.only_looks) {
            at_work.cancel.cancel();
            at_work.is_given_up = true;
        }
        for (spec, _) in self.waiting.drain(..) {
            let reason = "the run was interrupted before the step began".to_owned();
            let _ = self.done.send(Message::Finished(spec.attempt, Outcome::NotDone { reason }));
        }
    }

    /// Tells all that are at work to give up; none of those that wait begins.
    pub(super) fn give_up(&mut self) {
        self.waiting.clear();
        for at_work in self.at_work.values() {
            at_work.cancel.cancel();
        }
    }

    /// Whether nothing is at work.
    pub(super) fn are_idle(&self) -> bool {
        self.at_work.is_empty()
    }

    fn spawn(&mut self, spec: AttemptSpec, number: u32) -> std::io::Result<()> {
        let attempt = spec.attempt;
        let only_looks = self.executor.only_looks(&spec);
        let cancel = Cancel::new();
        let of_thread = cancel.clone();
        let (executor, done) = (Arc::clone(&self.executor), self.done.clone());
        let output = self.output.begin(attempt);
        let sink = output.sink();
        std::thread::Builder::new().name(format!("attempt {}", attempt.0)).stack_size(STACK).spawn(
            move || {
                // A panic in a step is a bug of ours; what the step did is not known.
                let work =
                    std::panic::AssertUnwindSafe(|| executor.execute(&spec, number, &of_thread, &sink));
                let outcome = std::panic::catch_unwind(work).unwrap_or_else(|_| {
                    Outcome::unknown("a bug in maand ended the step (see the message above)")
                });
                // Before its outcome is told.
                drop(output);
                let _ = done.send(Message::Finished(attempt, outcome.masked(fit_to_keep)));
            },
        )?;
        self.at_work.insert(attempt, AtWork { cancel, only_looks, is_given_up: false });
        Ok(())
    }
}
