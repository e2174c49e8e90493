//! The chart of one worker's life in a run (statig, blocking).
//!
//! The chart says which change may follow which, and nothing else: what each step is doing is kept
//! in [`super::LaneState`]. Entry actions are free of effects, since a chart is rebuilt from facts; an
//! event that no state takes is not dropped in silence but makes the fact illegal.

use statig::blocking::{IntoStateMachineExt, StateMachine};
use statig::prelude::*;

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

/// The states and what may follow them; there is no storage besides.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine) struct Machine;

#[state_machine(
    initial = "State::queued()",
    state(derive(Clone, Debug, PartialEq, Eq)),
    superstate(derive(Debug))
)]
impl Machine {
    #[state(superstate = "known")]
    fn queued(event: &WorkerEvent) -> Outcome<State> {
        match event {
            WorkerEvent::Admitted => Transition(State::stepping()),
            // In preflight: it was not reached, or it is left alone.
            WorkerEvent::Failed => Transition(State::failed()),
            WorkerEvent::Skipped => Transition(State::skipped()),
            WorkerEvent::Cancelled => Transition(State::cancelled()),
            _ => Super,
        }
    }

    #[state(superstate = "active")]
    fn stepping(event: &WorkerEvent) -> Outcome<State> {
        match event {
            WorkerEvent::Succeeded => Transition(State::succeeded()),
            _ => Super,
        }
    }

    #[state(superstate = "active")]
    fn backing_off(event: &WorkerEvent) -> Outcome<State> {
        let _ = event;
        Super
    }

    #[state(superstate = "active")]
    fn resolving(event: &WorkerEvent) -> Outcome<State> {
        let _ = event;
        Super
    }

    #[state(superstate = "active")]
    fn awaiting(event: &WorkerEvent) -> Outcome<State> {
        let _ = event;
        Super
    }

    #[superstate(superstate = "known")]
    fn active(event: &WorkerEvent) -> Outcome<State> {
        match event {
            WorkerEvent::Now(Activity::Stepping) => Transition(State::stepping()),
            WorkerEvent::Now(Activity::BackingOff) => Transition(State::backing_off()),
            WorkerEvent::Now(Activity::Resolving) => Transition(State::resolving()),
            WorkerEvent::Now(Activity::Awaiting) => Transition(State::awaiting()),
            WorkerEvent::Held => Transition(State::held()),
            WorkerEvent::RevertStarted => Transition(State::reverting()),
            WorkerEvent::Failed => Transition(State::failed()),
            WorkerEvent::Cancelled => Transition(State::cancelled()),
            _ => Super,
        }
    }

    /// Between two steps, after a signal.
    #[state(superstate = "known")]
    fn held(event: &WorkerEvent) -> Outcome<State> {
        match event {
            WorkerEvent::Now(Activity::Stepping) => Transition(State::stepping()),
            WorkerEvent::Now(Activity::BackingOff) => Transition(State::backing_off()),
            WorkerEvent::Now(Activity::Resolving) => Transition(State::resolving()),
            WorkerEvent::Now(Activity::Awaiting) => Transition(State::awaiting()),
            WorkerEvent::RevertStarted => Transition(State::reverting()),
            // The step that was in flight at the signal has failed.
            WorkerEvent::Failed => Transition(State::failed()),
            WorkerEvent::Cancelled => Transition(State::cancelled()),
            WorkerEvent::Held => Handled,
            _ => Super,
        }
    }

    /// Undoing, newest first.
    #[state(superstate = "known")]
    fn reverting(event: &WorkerEvent) -> Outcome<State> {
        match event {
            WorkerEvent::Reverted => Transition(State::reverted()),
            WorkerEvent::Stuck => Transition(State::failed()),
            WorkerEvent::Now(_) | WorkerEvent::Held => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "known")]
    fn failed(event: &WorkerEvent) -> Outcome<State> {
        match event {
            // Back into the queue: budgets, places and windows are asked again.
            WorkerEvent::Retried => Transition(State::queued()),
            WorkerEvent::Skipped => Transition(State::skipped()),
            WorkerEvent::RevertStarted => Transition(State::reverting()),
            _ => Super,
        }
    }

    #[state(superstate = "known")]
    fn succeeded(event: &WorkerEvent) -> Outcome<State> {
        let _ = event;
        Super
    }

    #[state(superstate = "known")]
    fn reverted(event: &WorkerEvent) -> Outcome<State> {
        let _ = event;
        Super
    }

    #[state(superstate = "known")]
    fn skipped(event: &WorkerEvent) -> Outcome<State> {
        match event {
            // The operator has thought better of it.
            WorkerEvent::Retried => Transition(State::queued()),
            _ => Super,
        }
    }

    #[state(superstate = "known")]
    fn cancelled(event: &WorkerEvent) -> Outcome<State> {
        let _ = event;
        Super
    }

    /// The catch-all: whatever comes here was taken by no state.
    #[superstate]
    fn known(context: &mut Verdict) -> Outcome<State> {
        context.ignored = true;
        Handled
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
        match self.0.state() {
            State::Queued {} => WorkerState::Queued,
            State::Stepping {} => WorkerState::Stepping,
            State::BackingOff {} => WorkerState::BackingOff,
            State::Resolving {} => WorkerState::Resolving,
            State::Awaiting {} => WorkerState::Awaiting,
            State::Held {} => WorkerState::Held,
            State::Reverting {} => WorkerState::Reverting,
            State::Succeeded {} => WorkerState::Succeeded,
            State::Failed {} => WorkerState::Failed,
            State::Reverted {} => WorkerState::Reverted,
            State::Skipped {} => WorkerState::Skipped,
            State::Cancelled {} => WorkerState::Cancelled,
        }
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
