//! The chart of one worker's life in a run (statig, blocking).
//!
//! The chart says which change may follow which, and nothing else: what each step is doing is kept
//! in [`super::lane`]. Entry actions are free of effects, since a chart is rebuilt from facts; an
//! event that no state takes is not dropped in silence but makes the fact illegal.

use statig::blocking::{InitializedStateMachine, IntoStateMachineExt};
use statig::prelude::*;

/// What a worker's steps, taken together, are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
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
pub(super) enum Event {
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
pub(super) struct Verdict {
    ignored: bool,
}

/// The chart; it has no storage of its own.
#[derive(Default)]
pub(super) struct WorkerChart;

#[state_machine(
    initial = "State::queued()",
    state(derive(Clone, Debug, PartialEq, Eq)),
    superstate(derive(Debug))
)]
impl WorkerChart {
    #[state(superstate = "known")]
    fn queued(event: &Event) -> Outcome<State> {
        match event {
            Event::Admitted => Transition(State::stepping()),
            // Unreachable in preflight, or left alone.
            Event::Failed => Transition(State::failed()),
            Event::Skipped => Transition(State::skipped()),
            Event::Cancelled => Transition(State::cancelled()),
            _ => Super,
        }
    }

    #[state(superstate = "active")]
    fn stepping(event: &Event) -> Outcome<State> {
        match event {
            Event::Succeeded => Transition(State::succeeded()),
            _ => Super,
        }
    }

    #[state(superstate = "active")]
    fn backing_off(event: &Event) -> Outcome<State> {
        let _ = event;
        Super
    }

    #[state(superstate = "active")]
    fn resolving(event: &Event) -> Outcome<State> {
        let _ = event;
        Super
    }

    #[state(superstate = "active")]
    fn awaiting(event: &Event) -> Outcome<State> {
        let _ = event;
        Super
    }

    #[superstate(superstate = "known")]
    fn active(event: &Event) -> Outcome<State> {
        match event {
            Event::Now(Activity::Stepping) => Transition(State::stepping()),
            Event::Now(Activity::BackingOff) => Transition(State::backing_off()),
            Event::Now(Activity::Resolving) => Transition(State::resolving()),
            Event::Now(Activity::Awaiting) => Transition(State::awaiting()),
            Event::Held => Transition(State::held()),
            Event::RevertStarted => Transition(State::reverting()),
            Event::Failed => Transition(State::failed()),
            Event::Cancelled => Transition(State::cancelled()),
            _ => Super,
        }
    }

    /// Between two steps, after a signal.
    #[state(superstate = "known")]
    fn held(event: &Event) -> Outcome<State> {
        match event {
            Event::Now(Activity::Stepping) => Transition(State::stepping()),
            Event::Now(Activity::BackingOff) => Transition(State::backing_off()),
            Event::Now(Activity::Resolving) => Transition(State::resolving()),
            Event::Now(Activity::Awaiting) => Transition(State::awaiting()),
            Event::RevertStarted => Transition(State::reverting()),
            // The step that was in flight at the signal has failed.
            Event::Failed => Transition(State::failed()),
            Event::Cancelled => Transition(State::cancelled()),
            Event::Held => Handled,
            _ => Super,
        }
    }

    /// Undoing, newest first.
    #[state(superstate = "known")]
    fn reverting(event: &Event) -> Outcome<State> {
        match event {
            Event::Reverted => Transition(State::reverted()),
            Event::Stuck => Transition(State::failed()),
            Event::Now(_) | Event::Held => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "known")]
    fn failed(event: &Event) -> Outcome<State> {
        match event {
            // Back into the queue: budgets, places and windows are asked again.
            Event::Retried => Transition(State::queued()),
            Event::Skipped => Transition(State::skipped()),
            Event::RevertStarted => Transition(State::reverting()),
            _ => Super,
        }
    }

    #[state(superstate = "known")]
    fn succeeded(event: &Event) -> Outcome<State> {
        let _ = event;
        Super
    }

    #[state(superstate = "known")]
    fn reverted(event: &Event) -> Outcome<State> {
        let _ = event;
        Super
    }

    #[state(superstate = "known")]
    fn skipped(event: &Event) -> Outcome<State> {
        let _ = event;
        Super
    }

    #[state(superstate = "known")]
    fn cancelled(event: &Event) -> Outcome<State> {
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

/// A chart that is under way.
pub(super) struct Chart(InitializedStateMachine<WorkerChart>);

impl Chart {
    /// A worker that waits for its turn.
    pub(super) fn new() -> Self {
        Self(WorkerChart.uninitialized_state_machine().init_with_context(&mut Verdict::default()))
    }

    /// `false`: the event may not happen in this state, and nothing has changed.
    #[must_use]
    pub(super) fn handle(&mut self, event: Event) -> bool {
        let mut verdict = Verdict::default();
        self.0.handle_with_context(&event, &mut verdict);
        !verdict.ignored
    }

    /// Where it is.
    pub(super) fn state(&self) -> WorkerState {
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

/// The states of a worker, as others see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
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
    /// A step has failed for good; left only by a person's retry or skip.
    Failed,
    /// It failed and is as it was before. Final.
    Reverted,
    /// It takes no part. Final.
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
        for last in [Event::Succeeded, Event::Cancelled] {
            let mut chart = Chart::new();
            assert!(chart.handle(Event::Admitted));
            assert!(chart.handle(last));
            let state = chart.state();
            for event in [
                Event::Admitted,
                Event::Now(Activity::Stepping),
                Event::Held,
                Event::RevertStarted,
                Event::Succeeded,
                Event::Failed,
                Event::Reverted,
                Event::Retried,
                Event::Skipped,
                Event::Cancelled,
            ] {
                assert!(!chart.handle(event), "{event:?} after {last:?}");
                assert_eq!(chart.state(), state);
            }
        }
    }

    #[test]
    fn failed_is_left_only_by_a_person() {
        let failed = || {
            let mut chart = Chart::new();
            assert!(chart.handle(Event::Admitted) && chart.handle(Event::Failed));
            chart
        };
        assert!(!failed().handle(Event::Succeeded));
        assert!(!failed().handle(Event::Admitted));
        assert!(failed().handle(Event::Retried));
        assert!(failed().handle(Event::Skipped));
    }

    #[test]
    fn a_queued_worker_can_not_succeed() {
        let mut chart = Chart::new();
        assert!(!chart.handle(Event::Succeeded));
        assert_eq!(chart.state(), WorkerState::Queued);
    }
}
