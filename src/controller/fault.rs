//! Ways in which the loop can be broken on purpose, to show that the simulator's checks notice. A release build
//! cannot choose one, and never asks for one.

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopFault {
    /// What is to be carried out is handed out, and its facts are stored with the next input.
    DispatchBeforeCommit,
    /// What came of an attempt is not told to the engine, once in a while.
    OutcomeDropped,
    /// A timer that was asked for is not set, once in a while.
    TimerForgotten,
    /// No timer is ever set.
    AllTimersForgotten,
    /// A request of an operator is applied, and applied again.
    RequestAppliedTwice,
    /// A request of an operator is not answered and not applied.
    RequestLost,
    /// A signal is heard and nothing follows.
    SignalIgnored,
    /// The loop ends although attempts are in flight.
    EndsEarly,
    /// Workers that were down during a round of observation count as seen.
    DisturbedCountAsSeen,
    /// A measurement that says nothing is taken for a pass.
    SilenceIsPass,
}
