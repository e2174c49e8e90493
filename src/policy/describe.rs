//! Sentences for verdicts. Nothing is decided here.

use std::time::Duration;

use super::{Reason, Verdict};
use crate::graph::{RolloutGraph, TargetIx};
use crate::plan::{counted, duration};

/// Maximum number of workers that a sentence names.
const SHOWN: usize = 5;

impl Verdict {
    /// One sentence, lower case, without a full stop.
    pub fn describe(&self, graph: &RolloutGraph) -> String {
        match self {
            Self::Admit => "may start now".to_owned(),
            Self::Wait(reason) => format!("waits: {}", reason.describe(graph)),
            Self::Refuse(reason) => format!("will not start: {}", reason.describe(graph)),
        }
    }
}

impl Reason {
    /// Why, with the numbers, and what ends the wait: "job `api` has 2 of 3 available and wants 2;
    /// unblocks when 10.0.0.2 finishes".
    pub fn describe(&self, graph: &RolloutGraph) -> String {
        match self {
            Self::Wave { wave, current } => {
                format!("wave {} has not begun; wave {} is under way", wave + 1, current + 1)
            }
            Self::Concurrency { active, allowed } => {
                format!("{active} of {allowed} places are taken; unblocks when one of them finishes")
            }
            Self::Spread { tag, domain, held, at_most } => {
                let held = held.iter().map(|(value, holder)| format!("`{value}` by {}", graph.host(*holder)));
                let held = held.collect::<Vec<_>>().join(", ");
                format!(
                    "at most {at_most} {tag} at a time may be disturbed, and it is in `{domain}`; held: {held}"
                )
            }
            Self::Budget { job, available, of, wants, held_by } => {
                let job = &graph.fleet.job(*job).name;
                let end = if held_by.is_empty() {
                    "unblocks when its health checks pass again".to_owned()
                } else {
                    format!("unblocks when {} {}", hosts(graph, held_by, "or"), "finishes")
                };
                format!("job `{job}` has {available} of {of} available and wants {wants}; {end}")
            }
            Self::Observation { jobs } => {
                let names: Vec<_> =
                    jobs.iter().take(SHOWN).map(|job| format!("`{}`", graph.fleet.job(*job).name)).collect();
                let more = jobs.len().saturating_sub(SHOWN);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("the health of {}{more} has to be checked first", names.join(", "))
            }
            Self::Window { opens_at: Some(at) } => {
                format!("the window is closed; it opens at {}", local_time(graph, *at))
            }
            Self::Window { opens_at: None } => "the window is closed and never opens again".to_owned(),
            Self::Frozen { freeze, opens_at: Some(at) } => {
                format!(
                    "the plan is frozen (`{freeze}`); workers may be started from {}",
                    local_time(graph, *at)
                )
            }
            Self::Frozen { freeze, opens_at: None } => {
                format!("the plan is frozen (`{freeze}`), and it never ends in time for a window")
            }
            Self::WindowTooShort { left_ms, median_ms, opens_at } => {
                let next = opens_at
                    .map_or_else(String::new, |at| format!("; it opens again at {}", local_time(graph, at)));
                format!(
                    "a worker takes {} and the window closes in {}{next}",
                    span(*median_ms),
                    span(*left_ms)
                )
            }
            Self::Failures { failed, allowed } => {
                format!("{failed} failed, and max_failures is {allowed}")
            }
            Self::Preparation { under_way, waiting } => {
                let left = counted((under_way + waiting) as usize, "worker");
                let verb = if under_way + waiting == 1 { "is" } else { "are" };
                format!("all workers are prepared first, and {left} {verb} not yet")
            }
            Self::Paused => "the run is paused".to_owned(),
        }
    }
}

fn hosts(graph: &RolloutGraph, targets: &[TargetIx], word: &str) -> String {
    let names: Vec<_> = targets.iter().take(SHOWN).map(|target| graph.host(*target)).collect();
    match names.as_slice() {
        [all @ .., last] if targets.len() <= SHOWN && !all.is_empty() => {
            format!("{} {word} {last}", all.join(", "))
        }
        _ if targets.len() > SHOWN => {
            format!("{} {word} one of {} more", names.join(", "), targets.len() - SHOWN)
        }
        _ => names.join(", "),
    }
}

/// A moment in the time zone of the first window, else of the freeze, with its offset: `2026-11-20 22:00 +01:00`.
pub fn local_time(graph: &RolloutGraph, at_ms: i64) -> String {
    let Ok(at) = jiff::Timestamp::from_millisecond(at_ms) else { return format!("{at_ms} ms") };
    let zone = graph.plan.rollout.timezone();
    let zone = zone.and_then(|name| jiff::tz::TimeZoneDatabase::bundled().get(name).ok());
    let zone = zone.unwrap_or(jiff::tz::TimeZone::UTC);
    at.to_zoned_datetime(zone).strftime("%Y-%m-%d %H:%M %:z").to_string()
}

/// Whole seconds, from one on.
fn span(ms: i64) -> String {
    let ms = ms.max(0).unsigned_abs();
    duration(Duration::from_millis(if ms < 1000 { ms } else { ms - ms % 1000 }))
}
