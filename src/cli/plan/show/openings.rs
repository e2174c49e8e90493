//! When workers may be started next, and whether the run fits.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::graph::RolloutGraph;
use crate::plan::counted;
use crate::policy::local_time;
use crate::policy::window::{self, Schedule};
use crate::report::describe_span;

/// So many are shown.
const SHOWN: usize = 3;

/// Nobody plans for more openings than a year of nights has.
const LOOKED_AT: usize = 400;

/// The next times in which a plan's windows and its freeze let workers start.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli::plan) struct Openings {
    /// The next three.
    next: Vec<OpeningJson>,
    /// How many of them the expected time of the run takes; `null`: nothing is expected, or it never fits.
    takes: Option<usize>,
    /// When the run is expected to end, if it is started now, in milliseconds since 1970; `null` as `takes`.
    ends_ms: Option<i64>,
}

/// Times in milliseconds since 1970; of an opening that has begun what is left of it.
#[derive(Debug, Serialize, JsonSchema)]
struct OpeningJson {
    from_ms: i64,
    /// `null`: without an end.
    to_ms: Option<i64>,
}

impl Openings {
    /// From `now_ms` on; `expected_ms`: how long the run is expected to take; `None`: the plan may start workers at any
    /// time.
    pub(in crate::cli::plan) fn of(
        graph: &RolloutGraph,
        now_ms: i64,
        expected_ms: Option<i64>,
    ) -> Option<Self> {
        let schedule = Schedule::of(graph)?.ok()?;
        let opening =
            |(from_ms, to): (i64, i64)| OpeningJson { from_ms, to_ms: Some(to).filter(|to| *to < i64::MAX) };
        let next = window::openings(&schedule, now_ms).take(SHOWN).map(opening).collect();
        let mut left = expected_ms;
        let fit =
            window::openings(&schedule, now_ms).take(LOOKED_AT).enumerate().find_map(|(at, (from, to))| {
                let needed = left?;
                let length = to.saturating_sub(from);
                left = Some(needed.saturating_sub(length));
                (needed <= length).then(|| (at + 1, from.saturating_add(needed)))
            });
        Some(Self { next, takes: fit.map(|(takes, _)| takes), ends_ms: fit.map(|(_, ends)| ends) })
    }

    /// Below "Time".
    pub(super) fn write(&self, text: &mut String, graph: &RolloutGraph, expects: bool) {
        for (at, opening) in self.next.iter().enumerate() {
            let label = if at == 0 { "openings" } else { "" };
            let from = local_time(graph, opening.from_ms);
            let length = match opening.to_ms {
                None => "without an end".to_owned(),
                Some(to) => format!("for {}", describe_span(to.saturating_sub(opening.from_ms))),
            };
            let _ = writeln!(text, "  {label:<9} {from}, {length}");
        }
        let fits = match (self.takes, self.ends_ms) {
            _ if self.next.is_empty() => "there is none ahead".to_owned(),
            (Some(1), _) => "what is expected fits into the first one".to_owned(),
            (Some(takes), Some(ends)) => {
                let takes = counted(takes, "opening");
                format!(
                    "what is expected takes {takes}, to {}: workers start in the next one where one closes",
                    local_time(graph, ends)
                )
            }
            _ if expects => "what is expected does not fit into those of a year".to_owned(),
            _ => return,
        };
        let _ = writeln!(text, "            {fits}");
    }
}
