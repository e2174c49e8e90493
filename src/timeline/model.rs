//! The picture of a run as data.

use crate::engine::{Millis, PublicWorkerState, Resolution, RunEnd};
use crate::graph::{Lane, StepIx, TargetIx};
use crate::policy::Reason;

use super::down::Down;

/// A run over time. Times are milliseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// When it was started.
    pub began: Millis,
    /// Its end, or the moment up to which it is told.
    pub until: Millis,
    /// Its own steps and those of its workers: `before`, every worker in the order of the run, `after`.
    pub lanes: Vec<LaneTrack>,
    /// What happened to the run as a whole, in order.
    pub marks: Vec<Mark>,
    /// When and why nothing new was begun, in order; they may overlap.
    pub holds: Vec<Hold>,
    /// Each wave from its start to its end.
    pub waves: Vec<WaveTrack>,
    /// Workers that were down at the same time.
    pub down: Down,
    /// What the next worker in line waited for, in order and without overlap.
    pub waits: Vec<QueueWait>,
    /// When the plan's window was open, cut to the time of the run, in order; `None`: the plan has no window.
    pub window: Option<Vec<(Millis, Millis)>>,
}

/// One lane over time.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneTrack {
    /// Whose.
    pub lane: Lane,
    /// When its worker was admitted for the first time.
    pub admitted: Option<Millis>,
    /// How its worker stands at the end; of the run's own steps `None`.
    pub state: Option<PublicWorkerState>,
    /// What was under way, by beginning.
    pub bars: Vec<Bar>,
}

/// Something that a lane did, or waited for, over a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// The step.
    pub step: StepIx,
    /// What of it.
    pub kind: BarKind,
    /// Which attempt of the step, counted from 1.
    pub attempt: u32,
    /// When it began.
    pub from: Millis,
    /// When it ended; `None`: it has not.
    pub to: Option<Millis>,
    /// How it ended.
    pub end: BarEnd,
    /// What is known besides, in one line.
    pub note: Option<String>,
}

/// What a bar is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BarKind {
    /// An attempt of the step.
    Attempt,
    /// An attempt to undo it.
    Undo,
    /// The time until the next attempt.
    Backoff,
    /// A pause that the plan asks for.
    Pause,
    /// Waiting for an operator's approval.
    Approval,
}

/// How a bar ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BarEnd {
    /// It has not.
    Open,
    /// Well.
    Ok,
    /// It failed.
    Failed,
    /// It took longer than its time-out.
    TimedOut,
    /// Nothing was done, and no worker is to blame.
    NotDone,
    /// Its answer was lost.
    Unknown,
    /// The controller ended before it did; what became of it was found out afterwards, or not.
    Orphaned,
}

impl BarEnd {
    /// In a word.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Open => "under way",
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::NotDone => "not done",
            Self::Unknown => "answer lost",
            Self::Orphaned => "controller gone",
        }
    }
}

/// A moment of the run as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When.
    pub at: Millis,
    /// What.
    pub kind: MarkKind,
}

/// What a mark is about. `by` is `user@host`.
#[derive(Clone, Debug, PartialEq)]
pub enum MarkKind {
    /// It was started.
    Started,
    /// Nothing is known of its controller after this moment, although it had more to do.
    ControllerGone,
    /// A controller took it up.
    Resumed {
        /// Who.
        by: String,
        /// From a bundle of another machine's journal.
        from_bundle: bool,
    },
    /// A signal or an operator stopped it.
    Interrupted {
        /// The signal's name, or who.
        by: String,
    },
    /// It was paused.
    Paused {
        /// Who, or what.
        by: String,
        /// Why.
        reason: String,
    },
    /// It could not continue by itself.
    Halted {
        /// Why.
        reason: String,
    },
    /// An operator approved a gate.
    Approved {
        /// Whose step.
        lane: Lane,
        /// Which.
        step: StepIx,
        /// Who.
        by: String,
    },
    /// An operator let failed workers continue.
    Retried {
        /// Which.
        targets: Vec<TargetIx>,
        /// Who.
        by: String,
    },
    /// An operator gave up a worker.
    Skipped {
        /// Which.
        target: TargetIx,
        /// Who.
        by: String,
    },
    /// It cannot be found out whether a step ran: an operator has to decide.
    InDoubt {
        /// Whose step.
        lane: Lane,
        /// Which.
        step: StepIx,
    },
    /// What was in doubt is settled.
    Settled {
        /// Whose step.
        lane: Lane,
        /// Which.
        step: StepIx,
        /// How.
        how: Resolution,
    },
    /// Alerts of workers could not be silenced.
    NotSilenced {
        /// Which.
        targets: Vec<TargetIx>,
        /// Why.
        why: String,
    },
    /// An operator ended it for good.
    Aborted {
        /// Who.
        by: String,
    },
    /// It has ended.
    Finished {
        /// How.
        end: RunEnd,
    },
}

/// A time in which no worker was admitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// Since when.
    pub from: Millis,
    /// Until when; `None`: still.
    pub to: Option<Millis>,
    /// Why.
    pub kind: HoldKind,
}

/// Why no worker was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldKind {
    /// Between two waves.
    Soak,
    /// An operator, or something that had to be put right.
    Paused,
    /// A signal had stopped the run.
    Stopped,
    /// It had halted.
    Halted,
    /// Its controller was gone.
    Nobody,
}

impl HoldKind {
    /// In a few words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Soak => "soak",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Halted => "halted",
            Self::Nobody => "nobody carried it out",
        }
    }
}

/// A wave over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaveTrack {
    /// Counted from 0.
    pub wave: u32,
    /// When it began.
    pub from: Millis,
    /// When its last worker ended; `None`: not yet.
    pub to: Option<Millis>,
}

/// What the next worker in line waited for over a time.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueWait {
    /// Since when.
    pub from: Millis,
    /// Until when.
    pub to: Millis,
    /// The kind of reason.
    pub kind: WaitKind,
    /// In one sentence, as it was at the beginning.
    pub reason: String,
}

/// What kind of reason a worker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitKind {
    /// As many as allowed were under way.
    Concurrency,
    /// An earlier wave.
    Wave,
    /// Other failure domains were disturbed.
    Spread,
    /// A job's budget.
    Budget,
    /// Jobs had to be observed first.
    Observation,
    /// The window.
    Window,
    /// Failures.
    Failures,
    /// All workers had to be prepared first.
    Preparation,
    /// A pause.
    Paused,
}

impl WaitKind {
    /// For reading: `waited for …`.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Concurrency => "a free place",
            Self::Wave => "an earlier wave",
            Self::Spread => "failure domains",
            Self::Budget => "a budget",
            Self::Observation => "a look at its jobs",
            Self::Window => "the window",
            Self::Failures => "failed workers",
            Self::Preparation => "others to be prepared",
            Self::Paused => "a pause",
        }
    }

    /// Of a reason with its numbers.
    pub fn of(reason: &Reason) -> Self {
        match reason {
            Reason::Concurrency { .. } => Self::Concurrency,
            Reason::Wave { .. } => Self::Wave,
            Reason::Spread { .. } => Self::Spread,
            Reason::Budget { .. } => Self::Budget,
            Reason::Observation { .. } => Self::Observation,
            Reason::Window { .. } | Reason::Frozen { .. } | Reason::WindowTooShort { .. } => Self::Window,
            Reason::Failures { .. } => Self::Failures,
            Reason::Preparation { .. } => Self::Preparation,
            Reason::Paused => Self::Paused,
        }
    }

    /// As in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::Wave => "wave",
            Self::Spread => "spread",
            Self::Budget => "budget",
            Self::Observation => "observation",
            Self::Window => "window",
            Self::Failures => "failures",
            Self::Preparation => "preparation",
            Self::Paused => "paused",
        }
    }
}
