//! The answer of admission, with its numbers.

use serde::Serialize;

use crate::bucket::JobIx;
use crate::graph::TargetIx;

/// Whether a worker may start now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[must_use]
pub enum Verdict {
    /// Now.
    Admit,
    /// Not now.
    Wait(Reason),
    /// Never in this run, as things stand.
    Refuse(Reason),
}

/// Why a worker has to wait, with the numbers that an operator needs to judge it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Reason {
    /// An earlier wave has not ended.
    Wave {
        /// This worker's wave, counted from 0.
        wave: u32,
        /// The wave that is open, counted from 0.
        current: u32,
    },
    /// As many as allowed are active.
    Concurrency {
        /// How many are.
        active: u32,
        /// How many may be.
        allowed: u32,
    },
    /// Other failure domains are disturbed.
    Spread {
        /// The tag whose values are the failure domains.
        tag: String,
        /// This worker's value of it.
        domain: String,
        /// The values that are held now, with one worker each that holds it.
        held: Vec<(String, TargetIx)>,
        /// How many may be.
        at_most: u64,
    },
    /// A job would have too few allocations available.
    Budget {
        /// The job whose budget has no room.
        job: JobIx,
        /// Available now.
        available: u32,
        /// Allocations that count.
        of: u32,
        /// Minimum number that stays available.
        wants: u32,
        /// Workers of the run that hold it down.
        held_by: Vec<TargetIx>,
    },
    /// These jobs were not observed recently enough.
    Observation {
        /// The jobs that have to be observed first.
        jobs: Vec<JobIx>,
    },
    /// The window is closed.
    Window {
        /// Opens then (milliseconds since 1970, UTC); `None`: never again.
        opens_at: Option<i64>,
    },
    /// The plan's freeze holds.
    Frozen {
        /// The dates, or the name of the event in a calendar.
        freeze: String,
        /// Workers may be started from then on (milliseconds since 1970, UTC); `None`: never again.
        opens_at: Option<i64>,
    },
    /// The window is open, and the median time of a worker does not fit into what is left of it.
    WindowTooShort {
        /// Milliseconds left.
        left_ms: i64,
        /// The median time of a worker in this run.
        median_ms: i64,
        /// The next opening (milliseconds since 1970, UTC).
        opens_at: Option<i64>,
    },
    /// More failures than allowed.
    Failures {
        /// How many.
        failed: u32,
        /// How many are allowed.
        allowed: u32,
    },
    /// All workers are prepared before the first one is started.
    Preparation {
        /// How many are being prepared.
        under_way: u32,
        /// How many are not, yet.
        waiting: u32,
    },
    /// An operator paused the run.
    Paused,
}
