//! The facts about one worker, one after the other, and what they come to.

use std::collections::{HashMap, HashSet};

use super::{AttemptInRun, OperatorAct, StepEnd, StepInRun, WorkerInRun};
use crate::engine::{
    AttemptId, Check, Evidence, Fact, Intent, Millis, Outcome, PublicRunState, PublicWorkerState, Resolution,
    Stamped, Timer,
};
use crate::graph::{Lane, StepIx, TargetIx};
use crate::journal::RunOutline;
use crate::plan::Step;
use crate::report::{ErrorView, describe_outcome, error_of, purpose};

/// Bytes of one text. What steps have written is in the logs.
const LONGEST_TEXT: usize = 4096;

/// One worker, fact by fact.
pub(super) struct Fold<'r> {
    target: TargetIx,
    steps: &'r [Step],
    outline: &'r RunOutline,
    worker: WorkerInRun,
    /// Where a step stands in the list, by itself or undone.
    places: HashMap<(StepIx, bool), usize>,
    /// Where attempts without an end are in it.
    open: HashMap<AttemptId, (usize, usize)>,
    /// Every attempt, for what is said of it later.
    attempts: HashMap<AttemptId, usize>,
    /// Attempts that wait for another boot than the one before.
    await_new_boot: HashSet<AttemptId>,
}

impl<'r> Fold<'r> {
    pub(super) fn new(target: TargetIx, host: &str, steps: &'r [Step], outline: &'r RunOutline) -> Self {
        let worker = WorkerInRun {
            host: host.to_owned(),
            state: PublicWorkerState::Queued,
            started_at: None,
            finished_at: None,
            boot_id_before: None,
            boot_id_after: None,
            error: None,
            steps: Vec::new(),
            acts: Vec::new(),
        };
        let (places, open, attempts, await_new_boot) = Default::default();
        Self { target, steps, outline, worker, places, open, attempts, await_new_boot }
    }

    pub(super) fn take(&mut self, stamped: &Stamped) {
        let at = stamped.at;
        let own = |lane: &Lane| *lane == Lane::Worker(self.target);
        match &stamped.fact {
            Fact::Preflight { checks } => self.preflight(at, checks),
            Fact::Resumed { by, .. } if self.worker.finished_at.is_none() => self.act(at, "resumed", by),
            Fact::PrepareStarted { target } if *target == self.target => {
                self.worker.state = PublicWorkerState::Running;
            }
            Fact::WorkerPrepared { target } if *target == self.target => {
                self.worker.state = PublicWorkerState::Queued;
            }
            Fact::WorkerAdmitted { target } if *target == self.target => {
                self.worker.started_at.get_or_insert(at);
                self.worker.state = PublicWorkerState::Running;
            }
            Fact::Issued { attempt, lane, step, intent } if own(lane) => {
                self.issued(at, *attempt, *step, intent);
            }
            Fact::Finished { attempt, outcome } => self.finished(at, *attempt, outcome),
            Fact::RetryScheduled { lane, .. } if own(lane) => {
                self.worker.state = PublicWorkerState::Retrying;
            }
            Fact::GateClosed { lane, step, .. } if own(lane) => {
                let place = self.place(at, *step, false);
                self.worker.steps[place].end = StepEnd::Waiting;
                self.worker.state = PublicWorkerState::Waiting;
            }
            Fact::Due { timer: Timer::Gate { lane, step } } if own(lane) => self.gate_opened(at, *step),
            Fact::Approved { lane, step, by } if own(lane) => {
                self.gate_opened(at, *step);
                self.act(at, "approved", by);
            }
            Fact::StepIgnored { lane, step, .. } if own(lane) => self.step_ended(at, *step, StepEnd::Ignored),
            Fact::StepFailed { lane, step, error } if own(lane) => {
                self.step_ended(at, *step, StepEnd::Failed);
                self.worker.error = Some(bounded(error.into()));
            }
            Fact::InDoubt { attempt } => self.doubted(*attempt, StepEnd::InDoubt),
            Fact::InDoubtResolved { attempt, how } => self.resolved(at, *attempt, *how),
            fact => self.of_worker(at, fact),
        }
    }

    /// Facts that change how the worker stands as a whole.
    fn of_worker(&mut self, at: Millis, fact: &Fact) {
        use PublicWorkerState as State;
        let own = |target: &TargetIx| *target == self.target;
        match fact {
            Fact::WorkerSucceeded { target } if own(target) => {
                self.worker.error = None;
                self.ended(at, State::Succeeded);
            }
            Fact::WorkerFailed { target, error, .. } if own(target) => {
                self.worker.error = Some(bounded(error.into()));
                self.ended(at, State::Failed);
            }
            Fact::RevertStarted { target } if own(target) => {
                self.worker.state = State::Reverting;
                self.worker.finished_at = None;
            }
            Fact::WorkerReverted { target } if own(target) => self.ended(at, State::Reverted),
            Fact::RevertStuck { target, error } if own(target) => {
                self.worker.error = Some(bounded(error.into()));
                self.ended(at, State::Failed);
            }
            Fact::WorkerCancelled { target } if own(target) => self.ended(at, State::Cancelled),
            Fact::Retried { target, by } if own(target) => self.again(at, "retried", by),
            Fact::Reopened { targets, by, .. } if targets.iter().any(own) => self.again(at, "reopened", by),
            Fact::Skipped { target, by } if own(target) => {
                self.act(at, "skipped", by);
                self.ended(at, State::Skipped);
            }
            _ => {}
        }
    }

    fn preflight(&mut self, at: Millis, checks: &[Check]) {
        match checks.get(self.target.0 as usize) {
            Some(Check::Ready { boot_id, .. }) => self.worker.boot_id_before = Some(cut(boot_id)),
            Some(Check::Unreachable { error }) => {
                self.worker.error = Some(bounded(error.into()));
                self.ended(at, PublicWorkerState::Failed);
            }
            Some(Check::LeftAlone { reason }) => {
                let (kind, message) = ("left_alone".to_owned(), cut(reason));
                self.worker.error = Some(ErrorView { kind, message, output: None });
                self.ended(at, PublicWorkerState::LeftAlone);
            }
            None => {}
        }
    }

    /// Where the step is in the list; it is added where it is not.
    fn place(&mut self, at: Millis, step: StepIx, undo: bool) -> usize {
        if let Some(place) = self.places.get(&(step, undo)) {
            return *place;
        }
        let kind = self.outline.kinds.of(Lane::Worker(self.target), step).map(str::to_owned);
        let planned = self.steps.get(step.index());
        let number = || format!("step {}", u64::from(step.0) + 1);
        self.worker.steps.push(StepInRun {
            id: planned.map_or_else(number, |step| step.id.clone()),
            kind: planned.map(|step| step.kind.keyword().to_owned()).or(kind).unwrap_or_default(),
            undo,
            end: StepEnd::Open,
            started_at: at,
            finished_at: None,
            attempts: Vec::new(),
        });
        let place = self.worker.steps.len() - 1;
        self.places.insert((step, undo), place);
        place
    }

    fn issued(&mut self, at: Millis, id: AttemptId, step: StepIx, intent: &Intent) {
        let place = self.place(at, step, intent.is_undo());
        let of = &mut self.worker.steps[place];
        (of.end, of.finished_at) = (StepEnd::Open, None);
        let purpose = purpose(intent);
        let (finished_at, result, error, boot_id) = (None, None, None, None);
        of.attempts.push(AttemptInRun { id, purpose, started_at: at, finished_at, result, error, boot_id });
        self.open.insert(id, (place, of.attempts.len() - 1));
        self.attempts.insert(id, place);
        if matches!(intent, Intent::AwaitBoot { not: Some(_), .. }) {
            self.await_new_boot.insert(id);
        }
        if !intent.is_undo() {
            self.worker.state = PublicWorkerState::Running;
        }
    }

    fn finished(&mut self, at: Millis, id: AttemptId, outcome: &Outcome) {
        let Some((place, number)) = self.open.remove(&id) else { return };
        let step = &mut self.worker.steps[place];
        let attempt = &mut step.attempts[number];
        let (_, result) = describe_outcome(outcome);
        attempt.finished_at = Some(at);
        attempt.result = Some(cut(&result));
        attempt.error = error_of(outcome).map(bounded);
        attempt.boot_id = outcome.boot_seen().map(cut);
        let read_boot_id = attempt.purpose == "read_boot_id";
        step.finished_at = Some(at);
        step.end = match outcome {
            Outcome::Ok { .. } if read_boot_id => StepEnd::Open,
            Outcome::Ok { evidence: Evidence::NotNeeded { .. } } => StepEnd::NotNeeded,
            Outcome::Ok { .. } => StepEnd::Done,
            Outcome::NotDone { .. } => StepEnd::Open,
            Outcome::Failed { .. }
            | Outcome::Unexpected { .. }
            | Outcome::Unknown { .. }
            | Outcome::TimedOut { .. } => StepEnd::Failed,
        };
        match outcome {
            Outcome::Ok { evidence: Evidence::BootId { boot_id, .. } } if read_boot_id => {
                self.worker.boot_id_before = Some(cut(boot_id));
            }
            Outcome::Ok { evidence: Evidence::Rebooted { boot_id } } => {
                self.worker.boot_id_after = Some(cut(boot_id));
            }
            // Without a reboot step before it, it is no new boot.
            Outcome::Ok { evidence: Evidence::Back { boot_id, .. } }
            | Outcome::Unexpected { boot_id, .. }
                if self.await_new_boot.contains(&id) =>
            {
                self.worker.boot_id_after = Some(cut(boot_id));
            }
            _ => {}
        }
    }

    fn gate_opened(&mut self, at: Millis, step: StepIx) {
        self.step_ended(at, step, StepEnd::Done);
        self.worker.state = PublicWorkerState::Running;
    }

    fn step_ended(&mut self, at: Millis, step: StepIx, end: StepEnd) {
        let place = self.place(at, step, false);
        let step = &mut self.worker.steps[place];
        step.end = end;
        step.finished_at.get_or_insert(at);
    }

    fn doubted(&mut self, attempt: AttemptId, end: StepEnd) {
        if let Some(place) = self.attempts.get(&attempt) {
            self.worker.steps[*place].end = end;
            self.worker.state = PublicWorkerState::InDoubt;
        }
    }

    fn resolved(&mut self, at: Millis, attempt: AttemptId, how: Resolution) {
        let (end, what) = match how {
            Resolution::Done => (StepEnd::Done, "taken for done"),
            Resolution::Skip => (StepEnd::Skipped, "continued without"),
            Resolution::Rerun => (StepEnd::Open, "run again"),
            // By itself: it does no harm.
            Resolution::Repeat => (StepEnd::Open, ""),
        };
        let Some(place) = self.attempts.get(&attempt) else { return };
        let step = &mut self.worker.steps[*place];
        (step.end, step.finished_at) = (end, Some(at));
        self.worker.state = PublicWorkerState::Running;
        if !what.is_empty() {
            self.worker.acts.push(OperatorAct { at, what, by: None });
        }
    }

    fn again(&mut self, at: Millis, what: &'static str, by: &str) {
        self.act(at, what, by);
        self.worker.finished_at = None;
        self.worker.state = PublicWorkerState::Queued;
    }

    fn ended(&mut self, at: Millis, state: PublicWorkerState) {
        self.worker.state = state;
        self.worker.finished_at = Some(at);
    }

    fn act(&mut self, at: Millis, what: &'static str, by: &str) {
        self.worker.acts.push(OperatorAct { at, what, by: Some(cut(by)) });
    }

    /// A worker of a run that nobody carries out does not run: whether what was in flight was carried out is not known.
    pub(super) fn end(mut self, run: PublicRunState) -> WorkerInRun {
        use PublicWorkerState as State;
        let runs = matches!(self.worker.state, State::Running | State::Retrying | State::Reverting);
        if runs && run != PublicRunState::Running {
            self.worker.state = if self.open.is_empty() { State::Held } else { State::InDoubt };
        }
        self.worker
    }
}

/// A text, as long as one in a history may be.
fn cut(text: &str) -> String {
    let end = (0..=LONGEST_TEXT.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let end = end.unwrap_or_default();
    if end == text.len() { text.to_owned() } else { format!("{} [...]", &text[..end]) }
}

fn bounded(error: ErrorView) -> ErrorView {
    let last = |output: String| {
        let from = output.len().saturating_sub(LONGEST_TEXT);
        let from = (from..=output.len()).find(|at| output.is_char_boundary(*at)).unwrap_or_default();
        output[from..].to_owned()
    };
    ErrorView { kind: error.kind, message: cut(&error.message), output: error.output.map(last) }
}
