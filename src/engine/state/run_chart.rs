//! The chart of a whole run (statig, blocking): which phase may follow which.
//!
//! Pauses, signals and aborts are not phases but conditions that hold in any of them; they are kept
//! beside the chart in [`super::Hold`].

use statig::blocking::{IntoStateMachineExt, StateMachine};
use statig::prelude::*;

/// What can happen to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum RunEvent {
    Started,
    PreflightDone,
    BeforeDone,
    WaveStarted,
    WaveFinished,
    RolloutDone,
    Halted,
    /// Continues after a halt, in the phase where it stopped.
    Unhalted(RunPhase),
    /// Taken up again behind the end of its rollout.
    Reopened,
    Finished,
}

#[derive(Default)]
pub(in crate::engine) struct Verdict {
    ignored: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine) struct Machine;

#[state_machine(
    initial = "State::fresh()",
    state(derive(Clone, Debug, PartialEq, Eq)),
    superstate(derive(Debug))
)]
impl Machine {
    #[state(superstate = "known")]
    fn fresh(event: &RunEvent) -> Outcome<State> {
        match event {
            RunEvent::Started => Transition(State::preflight()),
            _ => Super,
        }
    }

    #[state(superstate = "open")]
    fn preflight(event: &RunEvent) -> Outcome<State> {
        match event {
            RunEvent::PreflightDone => Transition(State::before()),
            _ => Super,
        }
    }

    #[state(superstate = "open")]
    fn before(event: &RunEvent) -> Outcome<State> {
        match event {
            RunEvent::BeforeDone => Transition(State::soaking()),
            _ => Super,
        }
    }

    #[state(superstate = "open")]
    fn rolling(event: &RunEvent) -> Outcome<State> {
        match event {
            RunEvent::WaveFinished => Transition(State::soaking()),
            _ => Super,
        }
    }

    /// Between two waves; before the first one it ends at once.
    #[state(superstate = "open")]
    fn soaking(event: &RunEvent) -> Outcome<State> {
        match event {
            RunEvent::WaveStarted => Transition(State::rolling()),
            RunEvent::RolloutDone => Transition(State::after()),
            _ => Super,
        }
    }

    #[state(superstate = "open")]
    fn after(event: &RunEvent) -> Outcome<State> {
        let _ = event;
        Super
    }

    #[superstate(superstate = "known")]
    fn open(event: &RunEvent) -> Outcome<State> {
        match event {
            RunEvent::Halted => Transition(State::halted()),
            RunEvent::Finished => Transition(State::finished()),
            _ => Super,
        }
    }

    #[state(superstate = "known")]
    fn halted(event: &RunEvent) -> Outcome<State> {
        match event {
            RunEvent::Unhalted(RunPhase::Before) => Transition(State::before()),
            RunEvent::Unhalted(RunPhase::Rolling) => Transition(State::rolling()),
            RunEvent::Unhalted(RunPhase::Soaking) => Transition(State::soaking()),
            RunEvent::Unhalted(RunPhase::After) => Transition(State::after()),
            RunEvent::Reopened => Transition(State::before()),
            RunEvent::Finished => Transition(State::finished()),
            _ => Super,
        }
    }

    #[state(superstate = "known")]
    fn finished(event: &RunEvent) -> Outcome<State> {
        match event {
            RunEvent::Reopened => Transition(State::before()),
            _ => Super,
        }
    }

    #[superstate]
    fn known(context: &mut Verdict) -> Outcome<State> {
        context.ignored = true;
        Handled
    }
}

/// Where a run is.
#[derive(Clone, PartialEq)]
pub(in crate::engine) struct RunChart(StateMachine<Machine>);

impl std::fmt::Debug for RunChart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.phase().fmt(f)
    }
}

impl RunChart {
    pub(in crate::engine) fn new() -> Self {
        let machine = Machine.uninitialized_state_machine();
        Self(machine.init_with_context(&mut Verdict::default()).into())
    }

    /// `false`: the event may not happen in this phase, and nothing has changed.
    #[must_use]
    pub(in crate::engine) fn handle(&mut self, event: RunEvent) -> bool {
        let mut verdict = Verdict::default();
        self.0.handle_with_context(&event, &mut verdict);
        !verdict.ignored
    }

    pub(in crate::engine) fn phase(&self) -> RunPhase {
        match self.0.state() {
            State::Fresh {} => RunPhase::Fresh,
            State::Preflight {} => RunPhase::Preflight,
            State::Before {} => RunPhase::Before,
            State::Rolling {} => RunPhase::Rolling,
            State::Soaking {} => RunPhase::Soaking,
            State::After {} => RunPhase::After,
            State::Halted {} => RunPhase::Halted,
            State::Finished {} => RunPhase::Finished,
        }
    }
}

/// The phases of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunPhase {
    /// Nothing has happened.
    Fresh,
    /// Workers are looked at; nothing is issued.
    Preflight,
    /// The steps of `before`.
    Before,
    /// A wave is open.
    Rolling,
    /// Between two waves.
    Soaking,
    /// The steps of `after`.
    After,
    /// It cannot continue by itself.
    Halted,
    /// The end, unless it is reopened.
    Finished,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_through_its_phases_in_order() {
        let mut chart = RunChart::new();
        assert!(!chart.handle(RunEvent::WaveStarted));
        for (event, phase) in [
            (RunEvent::Started, RunPhase::Preflight),
            (RunEvent::PreflightDone, RunPhase::Before),
            (RunEvent::BeforeDone, RunPhase::Soaking),
            (RunEvent::WaveStarted, RunPhase::Rolling),
            (RunEvent::WaveFinished, RunPhase::Soaking),
            (RunEvent::Halted, RunPhase::Halted),
            (RunEvent::Unhalted(RunPhase::Soaking), RunPhase::Soaking),
            (RunEvent::RolloutDone, RunPhase::After),
            (RunEvent::Finished, RunPhase::Finished),
        ] {
            assert!(chart.handle(event), "{event:?}");
            assert_eq!(chart.phase(), phase);
        }
        assert!(!chart.handle(RunEvent::Started));
    }
}
