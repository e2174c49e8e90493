//! The chart of one worker's life in a run (statig, blocking).
//!
//! The chart says which change may follow which, and nothing else: what each step is doing is kept
//! in [`super::LaneState`]. Entry actions are free of effects, since a chart is rebuilt from facts; an
//! event that no state takes is not dropped in silence but makes the fact illegal.

use statig::Outcome;
use statig::blocking::{IntoStateMachine, IntoStateMachineExt, State, StateMachine};

/// What a worker's steps, taken together, are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Activity {
    /// Steps are issued, or about to be.
    Stepping,
    /// Nothing is in flight, and a retry is due at a time.
    BackingOff,
    /// A lost answer has to be settled.
    Resolving,
    /// A gate is closed.
    Awaiting,
}

/// What can happen to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum WorkerEvent {
    PrepareStarted,
    Prepared,
    Admitted,
    Now(Activity),
    Held,
    RevertStarted,
    Succeeded,
    Failed,
    Reverted,
    Stuck,
    Retried,
    Skipped,
    Cancelled,
}

/// Set when no state took the event.
#[derive(Default)]
pub(in crate::engine) struct Verdict {
    ignored: bool,
}

/// What may follow what; there is no storage besides the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine) struct Machine;

impl IntoStateMachine for Machine {
    type Event<'event> = WorkerEvent;
    type Context<'context> = Verdict;
    type State = WorkerState;
    type Superstate<'sub> = Superstate;

    fn initial() -> WorkerState {
        WorkerState::Queued
    }
}

impl State<Machine> for WorkerState {
    fn call_handler(&mut self, _: &mut Machine, event: &WorkerEvent, _: &mut Verdict) -> Outcome<Self> {
        let next = match (*self, *event) {
            (Self::Queued, WorkerEvent::PrepareStarted | WorkerEvent::Admitted) => Self::Stepping,
            // Its turn with all other steps comes later.
            (Self::Stepping, WorkerEvent::Prepared) => Self::Queued,
            // In preflight: it was not reached, or it is left alone.
            (Self::Queued, WorkerEvent::Failed) => Self::Failed,
            (Self::Queued, WorkerEvent::Skipped) => Self::Skipped,
            (Self::Queued, WorkerEvent::Cancelled) => Self::Cancelled,

            (Self::Stepping, WorkerEvent::Succeeded) => Self::Succeeded,

            (Self::Held, WorkerEvent::Held) => return Outcome::Handled,

            (Self::Reverting, WorkerEvent::Reverted) => Self::Reverted,
            (Self::Reverting, WorkerEvent::Stuck) => Self::Failed,
            (Self::Reverting, WorkerEvent::Now(_) | WorkerEvent::Held) => return Outcome::Handled,

            // Back into the queue: budgets, places and windows are asked again.
            (Self::Failed, WorkerEvent::Retried) => Self::Queued,
            (Self::Failed, WorkerEvent::Skipped) => Self::Skipped,
            (Self::Failed, WorkerEvent::RevertStarted) => Self::Reverting,

            // The operator has thought better of it.
            (Self::Skipped, WorkerEvent::Retried) => Self::Queued,
            _ => return Outcome::Super,
        };
        Outcome::Transition(next)
    }

    fn superstate(&mut self) -> Option<Superstate> {
        Some(match self {
            Self::Stepping | Self::BackingOff | Self::Resolving | Self::Awaiting | Self::Held => {
                Superstate::Active
            }
            _ => Superstate::Known,
        })
    }
}

/// What several states have in common.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) enum Superstate {
    /// Steps are under way, or held between two of them.
    Active,
    /// Around all: whatever comes here was taken by no state.
    Known,
}

impl statig::blocking::Superstate<Machine> for Superstate {
    fn call_handler(
        &mut self,
        _: &mut Machine,
        event: &WorkerEvent,
        verdict: &mut Verdict,
    ) -> Outcome<WorkerState> {
        let next = match (*self, *event) {
            (Self::Active, WorkerEvent::Now(Activity::Stepping)) => WorkerState::Stepping,
            (Self::Active, WorkerEvent::Now(Activity::BackingOff)) => WorkerState::BackingOff,
            (Self::Active, WorkerEvent::Now(Activity::Resolving)) => WorkerState::Resolving,
            (Self::Active, WorkerEvent::Now(Activity::Awaiting)) => WorkerState::Awaiting,
            (Self::Active, WorkerEvent::Held) => WorkerState::Held,
            (Self::Active, WorkerEvent::RevertStarted) => WorkerState::Reverting,
            // Also while held: the step that was in flight at the signal has failed.
            (Self::Active, WorkerEvent::Failed) => WorkerState::Failed,
            (Self::Active, WorkerEvent::Cancelled) => WorkerState::Cancelled,
            (Self::Active, _) => return Outcome::Super,
            (Self::Known, _) => {
                verdict.ignored = true;
                return Outcome::Handled;
            }
        };
        Outcome::Transition(next)
    }

    fn superstate(&mut self) -> Option<Self> {
        match self {
            Self::Active => Some(Self::Known),
            Self::Known => None,
        }
    }
}

/// Where one worker is.
#[derive(Clone, PartialEq)]
pub(in crate::engine) struct WorkerChart(StateMachine<Machine>);

impl std::fmt::Debug for WorkerChart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state().fmt(f)
    }
}

impl WorkerChart {
    /// A worker that waits for its turn.
    pub(in crate::engine) fn new() -> Self {
        let machine = Machine.uninitialized_state_machine();
        Self(machine.init_with_context(&mut Verdict::default()).into())
    }

    /// `false`: the event may not happen in this state, and nothing has changed.
    #[must_use]
    pub(in crate::engine) fn handle(&mut self, event: WorkerEvent) -> bool {
        let mut verdict = Verdict::default();
        self.0.handle_with_context(&event, &mut verdict);
        !verdict.ignored
    }

    /// Where it is.
    pub(in crate::engine) fn state(&self) -> WorkerState {
        *self.0.state()
    }
}

/// The states of a worker. Others are told [`crate::engine::PublicWorkerState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkerState {
    /// Waits for its turn.
    Queued,
    /// Steps are issued, answers awaited.
    Stepping,
    /// A retry is due at a time.
    BackingOff,
    /// A lost answer has to be settled.
    Resolving,
    /// A gate is closed.
    Awaiting,
    /// Held between two steps, after a signal.
    Held,
    /// Steps are being undone.
    Reverting,
    /// All steps have ended well. Final.
    Succeeded,
    /// A step has failed for good; left only by an operator's retry or skip.
    Failed,
    /// It failed and is as it was before. Final.
    Reverted,
    /// It takes no part; left only by an operator's retry.
    Skipped,
    /// The run was aborted. Final.
    Cancelled,
}

impl WorkerState {
    /// Started and not ended.
    pub fn is_active(self) -> bool {
        matches!(
            self,
            Self::Stepping
                | Self::BackingOff
                | Self::Resolving
                | Self::Awaiting
                | Self::Held
                | Self::Reverting
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_take_no_event() {
        for last in [WorkerEvent::Succeeded, WorkerEvent::Cancelled] {
            let mut chart = WorkerChart::new();
            assert!(chart.handle(WorkerEvent::Admitted));
            assert!(chart.handle(last));
            let state = chart.state();
            for event in [
                WorkerEvent::PrepareStarted,
                WorkerEvent::Prepared,
                WorkerEvent::Admitted,
                WorkerEvent::Now(Activity::Stepping),
                WorkerEvent::Held,
                WorkerEvent::RevertStarted,
                WorkerEvent::Succeeded,
                WorkerEvent::Failed,
                WorkerEvent::Reverted,
                WorkerEvent::Retried,
                WorkerEvent::Skipped,
                WorkerEvent::Cancelled,
            ] {
                assert!(!chart.handle(event), "{event:?} after {last:?}");
                assert_eq!(chart.state(), state);
            }
        }
    }

    #[test]
    fn failed_is_left_only_by_an_operator() {
        let failed = || {
            let mut chart = WorkerChart::new();
            assert!(chart.handle(WorkerEvent::Admitted) && chart.handle(WorkerEvent::Failed));
            chart
        };
        assert!(!failed().handle(WorkerEvent::Succeeded));
        assert!(!failed().handle(WorkerEvent::Admitted));
        assert!(failed().handle(WorkerEvent::Retried));
        assert!(failed().handle(WorkerEvent::Skipped));
    }

    #[test]
    fn a_queued_worker_cannot_succeed() {
        let mut chart = WorkerChart::new();
        assert!(!chart.handle(WorkerEvent::Succeeded));
        assert_eq!(chart.state(), WorkerState::Queued);
    }
}
