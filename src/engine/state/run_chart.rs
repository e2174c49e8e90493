//! The chart of a whole run (statig, blocking): which phase may follow which.
//!
//! Pauses, signals and aborts are not phases but conditions that hold in any of them; they are kept
//! beside the chart in [`super::Hold`].

use statig::Outcome;
use statig::blocking::{IntoStateMachine, IntoStateMachineExt, State, StateMachine};

/// What can happen to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum RunEvent {
    Started,
    PreflightDone,
    BeforeDone,
    /// As `BeforeDone`, in a plan that prepares workers.
    PreparesNext,
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

/// Set when no phase took the event.
#[derive(Default)]
pub(in crate::engine) struct Verdict {
    ignored: bool,
}

/// What may follow what; there is no storage besides the phase.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine) struct Machine;

impl IntoStateMachine for Machine {
    type Event<'event> = RunEvent;
    type Context<'context> = Verdict;
    type State = RunPhase;
    type Superstate<'sub> = Superstate;

    fn initial() -> RunPhase {
        RunPhase::Fresh
    }
}

impl State<Machine> for RunPhase {
    fn call_handler(&mut self, _: &mut Machine, event: &RunEvent, _: &mut Verdict) -> Outcome<Self> {
        let next = match (*self, *event) {
            (Self::Fresh, RunEvent::Started) => Self::Preflight,
            (Self::Preflight, RunEvent::PreflightDone) => Self::Before,
            (Self::Before, RunEvent::BeforeDone) => Self::Soaking,
            (Self::Before, RunEvent::PreparesNext) => Self::Preparing,
            (Self::Rolling, RunEvent::WaveFinished) => Self::Soaking,
            // Between two waves; before the first one it ends at once.
            (Self::Preparing | Self::Soaking, RunEvent::WaveStarted) => Self::Rolling,
            (Self::Soaking, RunEvent::RolloutDone) => Self::After,
            (
                Self::Halted,
                RunEvent::Unhalted(
                    phase @ (Self::Before | Self::Preparing | Self::Rolling | Self::Soaking | Self::After),
                ),
            ) => phase,
            (Self::Halted | Self::Finished, RunEvent::Reopened) => Self::Before,
            (Self::Halted, RunEvent::Finished) => Self::Finished,
            _ => return Outcome::Super,
        };
        Outcome::Transition(next)
    }

    fn superstate(&mut self) -> Option<Superstate> {
        Some(match self {
            Self::Preflight
            | Self::Before
            | Self::Preparing
            | Self::Rolling
            | Self::Soaking
            | Self::After => Superstate::Open,
            Self::Fresh | Self::Halted | Self::Finished => Superstate::Known,
        })
    }
}

/// What several phases have in common.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) enum Superstate {
    /// It is under way.
    Open,
    /// Around all: whatever comes here was taken by no phase.
    Known,
}

impl statig::blocking::Superstate<Machine> for Superstate {
    fn call_handler(
        &mut self,
        _: &mut Machine,
        event: &RunEvent,
        verdict: &mut Verdict,
    ) -> Outcome<RunPhase> {
        match (*self, *event) {
            (Self::Open, RunEvent::Halted) => Outcome::Transition(RunPhase::Halted),
            (Self::Open, RunEvent::Finished) => Outcome::Transition(RunPhase::Finished),
            (Self::Open, _) => Outcome::Super,
            (Self::Known, _) => {
                verdict.ignored = true;
                Outcome::Handled
            }
        }
    }

    fn superstate(&mut self) -> Option<Self> {
        match self {
            Self::Open => Some(Self::Known),
            Self::Known => None,
        }
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
        *self.0.state()
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
    /// The steps of `prepare`, on all workers.
    Preparing,
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
