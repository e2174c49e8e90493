//! How a plan is rehearsed, how that differs from a real run, and how far a rehearsal is.

use super::Replacement;

/// Settle times, soaks and pauses are this many times shorter in a rehearsal.
pub const TIME_SCALE: u32 = 60;

/// How a plan is rehearsed.
#[derive(Clone, Debug)]
pub struct RehearsalOptions {
    /// Variables of the plan that are set; the plan was parsed with them.
    pub overrides: Vec<(String, String)>,
    /// Faults to inject, as `HOST:KIND[@STEP]`.
    pub faults: Vec<String>,
    /// The first controller is killed at this commit, counted from 1.
    pub kill_controller: Option<u64>,
    /// Commands of the plan are executed, on this machine and as this user; else they are only recorded.
    pub execute: bool,
    /// Divides the simulated boot time of three seconds.
    pub speed: f64,
    /// Flags of the program's that decide how the run is shown, such as `--quiet`.
    pub child_flags: Vec<String>,
}

impl Default for RehearsalOptions {
    fn default() -> Self {
        Self {
            overrides: Vec::new(),
            faults: Vec::new(),
            kill_controller: None,
            execute: false,
            speed: 1.0,
            child_flags: Vec::new(),
        }
    }
}

/// How far a rehearsal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The fleet is up with its jobs; the run begins.
    Ready,
    /// The controller was killed, as asked for.
    Killed(Replacement),
    /// The run ended before the commit at which its controller was to be killed.
    NotKilled {
        /// The commit.
        at: u64,
    },
}

/// How a rehearsal differs from a real run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Settle times, soaks and pauses are [`TIME_SCALE`] times shorter.
    Shorter,
    /// The plan's window is one that is open now.
    OpenWindow,
    /// Commands of the plan are recorded and not executed.
    NotExecuted,
    /// Approvals are given at once.
    Approved,
}
